"""Citations of an answer: read every form that language models write, and write them in one form, as [1].

Read are [1], [1, 3], [2-4], 【1】, [^1], (1), "Passage 1", "Source: 1" and [passage-1]; what code, an enumeration, an
array index or a passage's own text contains is none. Parsed are answers in the one form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from rag.answering.evidence.words import stem_list
from rag.loaders.blocks import CLOSERS, SENTENCE, SMALL, split
from rag.records import Hit

CODE = re.compile(  # a fence or code span: no citation stands in it
    r"(?P<fence>`{3,}|~{3,}).*?(?:(?P=fence)|\Z)|(?P<tick>`+)(?!`)(?:(?!\n\n).)+?(?<!`)(?P=tick)(?!`)", re.DOTALL
)
CODE_BLOCK = re.compile(r"^(?P<fence>`{3,}|~{3,})[^\n]*\n(?P<code>.*?)^(?P=fence)\s*", re.DOTALL | re.MULTILINE)
LIST = r"\d{1,2}(?:\s*(?:[,;–-]|and|&|und|y|et)\s*\d{1,2})*"
CITATION = re.compile(r"\[(\d{1,2}(?:\s*[,;–-]\s*\d{1,2})*)\](?!\()")  # [1], [1, 3], [2-4]; not a Markdown link
WORD_CHARACTER = re.compile(r"\w")
NUMBERS = re.compile(r"(\d+)(?:\s*[–-]\s*(\d+))?")
SENTENCE_OR_LINE = re.compile(  # "It is so. [2]" is one sentence, not two, and ends after the citation
    rf"(?:{SENTENCE.pattern})(?!\[)|[.!?…][{CLOSERS}]*\s*(?:\[\d{{1,2}}\])+(\s+)(?![{SMALL}\[])|(\n+)"
)

NOUN = r"(?:passages?|sources?|citations?|references?|refs?\.?|passagen?|quellen?|fuentes?|pasajes?|textstellen?)"
IN_PROSE = r"(?:passages?|(?-i:(?<!Open )Sources?)|sources?(?=:)|passagen?|quellen?|fuentes?|pasajes?|textstellen?)"
ARTICLES = ("the", "this", "that", "die", "der", "dem", "den", "la", "el")
NO_ARTICLE = "".join(rf"(?<!\b{word} )" for word in ARTICLES)  # "in the passage [1]" keeps its noun
SEE = r"(?:(?:see|cf\.?|from|siehe|vgl\.|ver)\s+)?"
ENUMERATED = frozenset(  # "see equation (1)" points into a document
    [
        "equation",
        "equations",
        "eq",
        "eqs",
        "step",
        "steps",
        "section",
        "sections",
        "figure",
        "figures",
        "fig",
        "table",
        "tables",
        "item",
        "items",
        "option",
        "options",
        "chapter",
        "rule",
        "rules",
        "case",
        "cases",
        "part",
        "article",
        "version",
        "level",
        "type",
        "number",
        "page",
        "line",
        "formula",
        "clause",
        "paragraph",
        "point",
        "example",
        "group",
        "class",
        "phase",
        "grade",
        "theorem",
        "lemma",
        "appendix",
        "axis",
        "priority",
    ]
)
FORMS = re.compile(
    rf"(?P<code>{CODE.pattern})"
    rf"|(?:{NO_ARTICLE}{IN_PROSE}\s*:?\s*)?\[(?P<plain>{LIST})\](?!\()"
    rf"|\[\^(?P<foot>{LIST})\](?!:)"
    rf"|【\s*(?:{NOUN}\s*[:#-]?\s*)?(?P<wide>{LIST})(?:[:†][^】\n]{{0,60}})?】"
    rf"|\[\s*{SEE}(?:{NOUN}\s*[:#-]?\s*#?|#|n=\"?)(?P<named>{LIST})\"?\s*\](?!\()"
    rf"|\(\s*{SEE}{NOUN}\s*[:#-]?\s*#?(?P<round>{LIST})\s*\)"
    rf"|(?<![\w(])\((?P<bare>{LIST})\)(?=[.,;:!?…]*(?:\s*(?:\[|\(\d{{1,2}}\)|\Z)|[^\S\n]*\n|[.,;:!?…]))"
    rf"|(?<![\w\[(<-]){IN_PROSE}\s*[:#-]?\s*(?P<prose>{LIST})(?![\w%°/-]|[.,:]\d|\s*(?:\d|%|[$€£]))",
    re.DOTALL | re.IGNORECASE,
)
NUMBER_GROUPS = ("plain", "foot", "wide", "named", "round", "bare", "prose")
LOOK_BACK = 400  # characters; all that is before, for each of its numbers, took 0.6 s of an answer of 8,000 tokens
BEFORE = 16  # characters before a number by which it is known as the passage's own
LAST_WORD = re.compile(r"[^\W\d_]+(?=\.?[^\S\n]*\Z)")
INDEXED = re.compile(r"(?<!\w)(?:\w|\w*_\w*|\w[\w.]*\.\w+)\Z")  # x[1], my_list[1], sys.argv[1]
ASSIGNED = re.compile(r"[^\S\n]*[+*/-]?=[^\S\n]")  # counts[1] += 1
TOUCHING = re.compile(r"\w+\Z")
RUN = re.compile(r"\[\d{1,2}\](?:[^\S\n]*\[\d{1,2}\])+")
POINTING = frozenset(  # words of a sentence that says nothing but where the one before it stands
    stem_list(
        """according answer cited citation describe details detail document explained found given information mentioned
        mention passage passages provided reference refer same see also shown source sources stated state says text
        below above following here can"""
    )
)
LABEL = re.compile(rf"\b(?:{NOUN}|see|also|from)(?!\w)", re.IGNORECASE)
MAX_RANGE = 20


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence, line or code block of an answer: its place, its words without citations, and the ranks it cites."""

    start: int
    end: int
    words: str
    cited: tuple[int, ...]


def has_words(text: str) -> bool:
    """Return whether a text says something besides its citations."""
    return WORD_CHARACTER.search(CITATION.sub(" ", text)) is not None


def uniform_citations(text: str, hits: Sequence[Hit], start: int = 0) -> str:
    """Return an answer, from `start` on, with every citation of the hits in the form [1], each of neighbours once.

    A bracketed number that a hit's own text has at that place, as [3] in a quoted paper, is escaped as no citation.
    What is before `start` is looked at, up to LOOK_BACK characters.
    """
    ranks = {hit.rank for hit in hits}

    def uniform(form: re.Match[str]) -> str:
        if form["code"]:
            return form[0]
        name = next(name for name in NUMBER_GROUPS if form[name])
        numbers = list(_expand(form[name]))
        if not ranks.issuperset(numbers):
            loose = name in ("bare", "prose") or not ranks.intersection(numbers)
            return form[0] if loose else "".join(f"[{n}]" for n in numbers)
        if _is_content(form, name, hits):
            return rf"\{form[0][:-1]}\]" if name == "plain" else form[0]
        return "".join(f"[{n}]" for n in numbers)

    parts, at = list[str](), start
    for form in FORMS.finditer(text, start):
        parts += text[at : form.start()], uniform(form)
        at = form.end()
    return RUN.sub(_once, "".join(parts) + text[at:])


def cited_numbers(text: str, n_hits: int) -> tuple[int, ...]:
    """Return the ranks that an answer cites, in order of first mention.

    Numbers above `n_hits` are ignored, and so is code: `argv[1]` cites nothing.
    """
    cited: dict[int, None] = {}
    for citation in CITATION.finditer(CODE.sub(" ", text)):
        cited.update(dict.fromkeys(n for n in _expand(citation[1]) if 1 <= n <= n_hits))
    return tuple(cited)


def statements(text: str, n_hits: int) -> list[Statement]:
    """Return the statements of an answer in reading order.

    A citation belongs to the sentence before it, and right after a code block to the code. A line of nothing but
    citations is no statement, nor is a sentence that only points to passages ("This information is found in [2].").
    """
    blocks = [block.span() for block in CODE_BLOCK.finditer(text)]
    flat = CODE_BLOCK.sub(_on_one_line, text)
    found: list[Statement] = []
    for start, end in split(flat, 0, len(flat), SENTENCE_OR_LINE):
        closing = next((last for first, last in blocks if first <= start < last and end <= last), end)
        end = len(text[:closing].rstrip())
        words, cited = CITATION.sub(" ", flat[start:end]), cited_numbers(flat[start:end], n_hits)
        points = cited and POINTING.issuperset(stem_list(words))
        if found and (points or not LABEL.sub(" ", words).strip(" \t,;:.()*_-")):
            last = found[-1]
            found[-1] = replace(last, end=end, cited=tuple(dict.fromkeys((*last.cited, *cited))))
        else:
            found.append(Statement(start, end, words, cited))
    return found


def _expand(numbers: str) -> Iterator[int]:
    """Yield the numbers of a list such as "1, 3" or "2-4"."""
    for first, last in NUMBERS.findall(numbers):
        yield from range(int(first), min(int(last or first), int(first) + MAX_RANGE) + 1)


def _is_content(form: re.Match[str], name: str, hits: Sequence[Hit]) -> bool:
    """Return whether a number is part of what an answer says and no citation."""
    before = form.string[max(0, form.start() - LOOK_BACK) : form.start()]
    if name in ("named", "round", "prose"):
        return _stands_in(form[0], hits)
    if name == "bare":
        word = LAST_WORD.search(before)
        if not re.search(r"\w", before.rpartition("\n")[2]) or (word and word[0].casefold() in ENUMERATED):
            return True
    elif name == "plain" and ASSIGNED.match(form.string, form.end()):
        return True
    elif name == "plain" and (touching := TOUCHING.search(before)):
        return bool(INDEXED.search(before)) or _stands_in(touching[0] + form[0], hits)
    copied = before[-BEFORE:].lstrip()
    return len(copied) > BEFORE // 2 and _stands_in(copied + form[0], hits)


def _stands_in(text: str, hits: Sequence[Hit]) -> bool:
    wanted = _one_spaced(text)
    return any(wanted in _one_spaced(hit.chunk.text) for hit in hits)


@lru_cache(maxsize=256)  # the passages of some fifty answers, looked at for each citation of each snapshot
def _one_spaced(text: str) -> str:
    return " ".join(text.split())


def _once(run: re.Match[str]) -> str:
    """Return a run of citations, each number once."""
    return "".join(dict.fromkeys(re.findall(r"\[\d+\]", run[0])))


def _on_one_line(block: re.Match[str]) -> str:
    """Return a code block as one line of the same length: its words, no end of a sentence and no citation."""
    begin, end = block.span("code")
    first = block.start()
    code = re.sub(r"[\n.!?…\[\]]", " ", block["code"])
    return " " * (begin - first) + code + " " * (block.end() - end)
