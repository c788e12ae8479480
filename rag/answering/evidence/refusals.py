"""Recognise an abstention: an answer that says that the passages do not answer the question, however a model words it.

A refusal stays one whatever stands around it: "[1] The passages found do not answer this." cites nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from rag.answering.evidence.citations import CITATION, Statement, statements
from rag.records import Hit, normalise_query

DONT_KNOW = "I do not know: the passages found do not answer this."
OUR_WORDS = tuple(map(normalise_query, DONT_KNOW.rstrip(".").split(": ")))
APOLOGY = r"(?:(?:sorry|unfortunately|i am sorry|i apologi[sz]e|however|answer)[,.:;]?\s*(?:but )?)*"
GIVEN = r"(?:(?:given|provided|found|numbered|above|available|retrieved|quoted|relevant|following|listed) )*"
TEXTS = (
    rf"(?:the |these |those |your |any of the |of the )*{GIVEN}(?:user's )?(?:own )?(?:passages?|documents?"
    r"|texts?|context|sources?|excerpts?|documentation|information|material)"
    r"(?: (?:found|given|provided|above|here|available|in the (?:passages|documents|context)|you (?:gave|provided)))*"
)
SAY = (
    r"(?:\w+ly )?(?:answer|contain|mention|provide|hold|say|specify|state|include|give|explain|address|discuss|describe"
    r"|cover|have|indicate|tell|offer|define|list|refer|talk|show)s?\b"
)
REFUSAL = re.compile(
    rf"{APOLOGY}(?:(?:based on|according to|from|in) {TEXTS},? )?(?:"
    r"i (?:do not|cannot|could not|am unable to|am not able to|was unable to|was not able to) "
    r"(?:know|answer|find|determine|tell|say|locate|provide an? answer)\b"
    rf"|{TEXTS} (?:do|does|did) not (?:seem to |appear to )?{SAY}"
    rf"|(?:none of|neither of) {TEXTS} {SAY}"
    rf"|no(?:ne)? (?:of )?{TEXTS} (?:{SAY}|(?:is|are|was|were) (?:given|provided|found|available|mentioned))"
    r"|there (?:is|are|was) no(?:t any)? (?:\w+ ){0,2}(?:information|mention|answer|passages?|details?|indication)\b"
    rf"|(?:[\w'-]+ ){{1,12}}(?:is|are|was|were) not (?:\w+ly )?(?:mentioned"
    rf"|stated|specified|answered|given|found|provided|contained|covered|available) (?:in|by) {TEXTS}"
    rf"|(?:is |was )?not (?:mentioned|stated|specified|answered|found|provided|covered) (?:in|by) {TEXTS}"
    r"|(?:the|this|your) question (?:cannot|can not) be answered"
    r"|ich weiss (?:es |das )?nicht|die (?:\w+ )*(?:passagen|textstellen|dokumente) (?:beantworten"
    r"|enthalten|erwähnen|geben)\b.* (?:nicht|keine?\w*)\b"
    r"|no (?:lo )?sé\b|los (?:\w+ )*(?:pasajes|fragmentos|documentos) (?:\w+ )*no (?:lo )?(?:responden|contienen"
    r"|mencionan|dan)\b"
    r"|je ne sais pas|les (?:\w+ )*(?:passages|extraits|documents) (?:\w+ )*ne (?:\w+ )?(?:répondent|contiennent"
    r"|mentionnent)\b"
    r")",
    re.IGNORECASE,
)
BUT = re.compile(r"[,;:–—-]\s*(?:but|however|although|though|only)\b|\bexcept\b|, (?:aber|pero|mais)\b", re.IGNORECASE)
OPENING = re.compile(r"[\s>*_#\"'“”‘’„«»()\-–—.:]+")
SHORT_FORMS = re.compile(r"\b(do|does|did|could|is|was|are|were)n['’]t\b|\b(ca)n['’]t\b|\bi['’]m\b", re.IGNORECASE)


def is_abstention(text: str, hits: Sequence[Hit], informative: Collection[int] = ()) -> bool:
    """Return whether an answer abstains.

    It does where a statement of it is our DONT_KNOW or half of it; and where one says so in other words, unless another
    statement says something: `informative` holds the starts of those that rest on a passage.
    """
    refusing = [each for each in statements(text, len(hits)) if is_refusal(each, hits)]
    if any(_plain(each.words).startswith(OUR_WORDS) for each in refusing):
        return True
    return bool(refusing) and {each.start for each in refusing}.issuperset(informative)


def is_refusal(statement: Statement, hits: Sequence[Hit]) -> bool:
    """Return whether a statement says that the passages answer nothing, and is not itself quoted from one."""
    words = _plain(statement.words)
    if words == normalise_query(DONT_KNOW):
        return True
    if statement.cited and BUT.search(words):
        return False
    if not (words.startswith(OUR_WORDS) or REFUSAL.match(words)):
        return False
    return not any(words.rstrip(".") in _plain(hit.chunk.text) for hit in hits)


def without_citations(text: str) -> str:
    """Return a refusal without the passages that it cites for nothing."""
    return re.sub(r"[^\S\n]{2,}", " ", re.sub(r"\s+(?=[.,;:])", "", CITATION.sub("", text))).strip()


def _plain(text: str) -> str:
    """Return a statement for comparing: no opening marks, no short forms, one blank between words, casefolded."""
    spelt = SHORT_FORMS.sub(lambda form: _spelt(form), " ".join(text.split()))
    return normalise_query(OPENING.sub("", spelt, count=1) if OPENING.match(spelt) else spelt)


def _spelt(form: re.Match[str]) -> str:
    if form[1]:
        return f"{form[1]} not"
    return "cannot" if form[2] else "i am"
