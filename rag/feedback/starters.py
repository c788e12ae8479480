"""Starters: example questions for an empty chat, which a person would ask and these documents answer.

Why so many checks: a bad example is worse than none. A candidate is a synthetic query that is a whole question, whose
passage both arms find, and which the answerer without an LLM answers from that passage.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from weakref import WeakKeyDictionary

from rag.answering.service import QueryService
from rag.models.arms import ServedModel
from rag.records import ARMS, Hit, SyntheticPair, normalise_query

MOST_TRIED = 40  # candidates; each takes a tenth of a second
MOST_CHARS = 90  # a starter is one line
WORDS = range(3, 19)
KINDS = ("questions", "llm", "heading", "definition")  # best first: people wrote the first three as questions

_ASKS = r"(?:is|are|was|were|do|does|did|can|could|should|must|will|may|has|have)"
WHOLE = re.compile(rf"^(?:(?:what|which|who|whose|why|how|when|where)\b.*\b{_ASKS}\b|{_ASKS}\b)", re.IGNORECASE)
INDIRECT = re.compile(  # "What it does", "Why blueprints are used": the verb comes after its subject
    rf"^(?:what|why|how|when|where) (?!{_ASKS}\b)(?!(?:long|many|much|often|far|big|large|old|fast|kind|sort)\b)",
    re.IGNORECASE,
)
HOW_TO = re.compile(r"^how to (?=\w)", re.IGNORECASE)
DEFINITION = re.compile(r"^what (?:is|are|does) ", re.IGNORECASE)
DEFINED = re.compile(
    r"^what (?:(?:is|are) (?:an? |the )?(?P<term>[^?]{1,40})|does (?P<word>[^?]{1,40}) mean)\?$", re.IGNORECASE
)
MARKUP = re.compile(r"[`*]|\\(?=\W)")
# Words that point to a text which the reader of a starter does not see, or to another question.
POINTS = re.compile(
    r"\b(?:this|that|these|those|it|its|they|them|their|he|she|his|her|here|there|above|below|following|previous|"
    r"instead|again|anymore|else|same|such|other|another)\b",
    re.IGNORECASE,
)
NO_QUESTION = re.compile(r"[/_=<>{}\[\]|#@]|\.\w|\d{3}|: ")  # code, paths, numbers of tickets and versions, two parts
VAGUE = re.compile(
    r"^what (?:(?:is|are) \w+ing|(?:is|are|does) (?:the .*|(?:an? )?\w{1,2}|.*['’]s \w+)(?: mean)?)$", re.IGNORECASE
)


@dataclass
class _Chosen:
    """The starters for one state of models and documents."""

    key: tuple[object, ...] = ()
    starters: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


_chosen: WeakKeyDictionary[QueryService, _Chosen] = WeakKeyDictionary()


def starters(serving: QueryService, n: int) -> list[str]:
    """Return at most n checked starters, each about another document; none where no candidate passes.

    Takes some seconds for new documents or models, so keep it off the event loop; the result is cached.
    """
    arms = [serving.served(arm) for arm in ARMS]
    synthetic = serving.store.feedback.synthetic()
    fingerprints = (each.embedder.query_fingerprint for each in arms)
    key = (n, *fingerprints, len(synthetic), *serving.store.chunks.versions(arms[0].table))
    chosen = _chosen.setdefault(serving, _Chosen())
    with chosen.lock:
        if chosen.key != key:
            chosen.starters, chosen.key = _choose(serving, arms, synthetic, n), key
        return chosen.starters


def as_question(query: str, origin: str) -> str:
    """Return a synthetic query as a whole question to ask out of the blue, "" where it is none.

    A heading counts by its last part, and by a question mark or the form of a question; "How to" becomes "How do I".
    English, but for a heading with a question mark.
    """
    text = MARKUP.sub("", query.rpartition(": ")[2] if origin == "heading" else query).strip()
    text = HOW_TO.sub("How do I ", text)
    is_asked = text.endswith("?")
    text = text.rstrip("?!. ")
    if len(text) > MOST_CHARS or len(text.split()) not in WORDS or POINTS.search(text) or NO_QUESTION.search(text):
        return ""
    if origin == "definition" and (not DEFINITION.match(text) or VAGUE.match(text)):
        return ""
    if is_asked and origin == "heading":
        is_whole = len(text.split()) >= 4 or bool(WHOLE.match(text))
    else:
        is_whole = bool(WHOLE.match(text)) and not INDIRECT.match(text)
    return f"{text[0].upper()}{text[1:]}?" if is_whole else ""


def candidates(synthetic: Iterable[SyntheticPair]) -> list[tuple[str, SyntheticPair]]:
    """Return (question, its pair) for all queries that are whole questions: the best kinds first, then by id."""
    found: dict[str, tuple[str, SyntheticPair]] = {}
    fits = (pair for pair in synthetic if pair.origin in KINDS)
    for pair in sorted(fits, key=lambda pair: (KINDS.index(pair.origin), pair.id)):
        if question := as_question(pair.query, pair.origin):
            found.setdefault(normalise_query(question), (question, pair))
    return list(found.values())


def _choose(
    serving: QueryService, arms: Sequence[ServedModel], synthetic: Iterable[SyntheticPair], n: int
) -> list[str]:
    passed: list[str] = []
    used: set[str] = set()
    for tried, (question, pair) in enumerate(_in_turns(candidates(synthetic))):
        if len(passed) == n or tried == MOST_TRIED:
            break
        source = _answering_source(serving, arms, question, pair)
        if source and source not in used:
            used.add(source)
            passed.append(question)
    return passed


def _in_turns(found: Sequence[tuple[str, SyntheticPair]]) -> Iterator[tuple[str, SyntheticPair]]:
    """Yield a question of each kind in turn, so that not all ask for a definition."""
    kinds = [[each for each in found if each[1].origin == kind] for kind in KINDS]
    for row in zip_longest(*kinds):
        yield from (each for each in row if each is not None)


def _answering_source(serving: QueryService, arms: Sequence[ServedModel], question: str, pair: SyntheticPair) -> str:
    """Return the document that answers a question by every arm, "" if one does not find or quote its chunk."""
    source = ""
    for arm in {each.embedder.query_fingerprint: each for each in arms}.values():
        (vector,) = arm.embedder.embed_queries([question])
        hits = serving.store.chunks.search(arm.table, vector, serving.settings.k)
        if arm.abstain_below is not None and hits and hits[0].score < arm.abstain_below:
            return ""
        hit = next((hit for hit in hits if hit.chunk.id == pair.chunk_id), None)
        if hit is None or not _quotes(serving, question, hits, hit, pair.origin):
            return ""
        source = hit.chunk.source
    return source


def _quotes(serving: QueryService, question: str, hits: Sequence[Hit], wanted: Hit, origin: str) -> bool:
    """Return whether the answer without an LLM opens with this hit, and a definition's with the term that it defines.

    True where an LLM writes the answers.
    """
    text = serving.quote(question, hits)
    if text is None:
        return True
    opening = text.partition("\n\n")[0]
    if f"[{wanted.rank}]" not in opening:
        return False
    asked = DEFINED.match(question) if origin == "definition" else None
    if asked is None:
        return True
    term = re.escape(asked["term"] or asked["word"])
    return re.match(rf"\W*(?:(?:an?|the|to) )?{term}\b", opening, re.IGNORECASE) is not None
