"""Which queries a model learns from and which it is judged on: decided by a hash, so that nobody can move one over.

The idea a reader would miss: a held-out query is not enough. A train query that leads to the same chunk teaches the
answer, so a pair goes too whose positive, or a near copy of it, answers a held-out query.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rag.errors import NotEnoughFeedback
from rag.records import ID_LENGTH, Chunk, Pair, Qrels, content_id, normalise_query

HELD_OUT_SHARE = 0.3  # judging is what is scarce: with 0.25 a true gain needs a quarter more ratings to be seen
MIN_QUERIES = 50  # below this a gain is a lottery: between -1.2 and +5.5 points (docs/log.md)
SHINGLE = 3  # words
ALIKE = 0.5  # share of common shingles from which two texts are copies of each other


@dataclass(frozen=True, slots=True)
class Split:
    """What to train on and what to judge with. `extra` never judges; `leaks` pairs were left out for their chunk."""

    train: tuple[Pair, ...]
    extra: tuple[Pair, ...]
    held_out: Qrels
    leaks: int


def require_enough(pairs: Iterable[Pair], lost: int = 0) -> None:
    """Raise NotEnoughFeedback where the pairs have fewer than MIN_QUERIES queries; `lost` labels made no pair."""
    n = len({normalise_query(pair.query) for pair in pairs})
    if n < MIN_QUERIES:
        raise NotEnoughFeedback(
            f"{n} rated queries with a positive, need {MIN_QUERIES}: rate more answers, or import labels with "
            "`python -m rag import FILE`"
            + (f" ({lost} labels point at text no longer in these documents)" if lost else "")
        )


def split(pairs: Sequence[Pair], extra: Sequence[Pair], chunks: Sequence[Chunk]) -> Split:
    """Hold out the queries of `pairs` that the hash names, and return the rest of both without what would leak.

    Extra pairs, made by nobody's question, are to learn from only. A chunk with the very text of a held-out positive
    answers its query as well and is judged as right. Raises NotEnoughFeedback where nothing is left to train on.
    """
    held_out = _qrels([pair for pair in pairs if is_held_out(pair.query)], chunks)
    texts = {chunk.id: chunk.text for chunk in chunks}
    judged = {chunk_id for relevant in held_out.relevant.values() for chunk_id in relevant}
    copies = copies_of([texts[chunk_id] for chunk_id in sorted(judged)], [pair.positive for pair in (*pairs, *extra)])

    def clean(given: Sequence[Pair]) -> tuple[Pair, ...]:
        return tuple(pair for pair in given if pair.positive_id not in judged and pair.positive not in copies)

    asked = [pair for pair in pairs if not is_held_out(pair.query)]
    train = clean(asked)
    if not train:
        raise NotEnoughFeedback(
            f"all {len(asked)} pairs to train on lead to chunks that held-out queries are judged by: rate answers from "
            "other documents, too"
        )
    return Split(train, clean([p for p in extra if not is_held_out(p.query)]), held_out, len(asked) - len(train))


def is_held_out(query: str) -> bool:
    """Return whether a query is held out: the same answer for all its spellings, on every machine, for ever."""
    share: float = int(content_id("held out", normalise_query(query)), 16) / 16**ID_LENGTH
    return share < HELD_OUT_SHARE


def alike(a: str, b: str) -> bool:
    """Return whether two texts are near copies: half of their three-word shingles are common (Jaccard)."""
    ours, theirs = _shingles(a), _shingles(b)
    return len(ours & theirs) >= ALIKE * len(ours | theirs)


def copies_of(originals: Sequence[str], texts: Iterable[str]) -> set[str]:
    """Return those texts that are alike to an original; by an index of shingles, since all pairs would take minutes."""
    holders: dict[str, list[int]] = {}
    for number, original in enumerate(originals):
        for shingle in _shingles(original):
            holders.setdefault(shingle, []).append(number)
    copies = set()
    for text in set(texts):
        shared = Counter(number for shingle in _shingles(text) for number in holders.get(shingle, ()))
        if any(alike(text, originals[number]) for number, _ in shared.most_common(3)):
            copies.add(text)
    return copies


@lru_cache(maxsize=65_536)
def _shingles(text: str) -> frozenset[str]:
    words = re.findall(r"\w+", text.casefold()) or [text]
    return frozenset(" ".join(words[start : start + SHINGLE]) for start in range(max(1, len(words) - SHINGLE + 1)))


def _qrels(pairs: Sequence[Pair], chunks: Sequence[Chunk]) -> Qrels:
    same: dict[str, set[str]] = {}
    for chunk in chunks:
        same.setdefault(_plain(chunk.text), set()).add(chunk.id)
    texts = {chunk.id: _plain(chunk.text) for chunk in chunks}
    relevant: dict[str, frozenset[str]] = {}
    spelt: dict[str, str] = {}
    for pair in pairs:
        query = spelt.setdefault(normalise_query(pair.query), pair.query)
        relevant[query] = relevant.get(query, frozenset()) | same[texts[pair.positive_id]]
    return Qrels(relevant)


def _plain(text: str) -> str:
    return " ".join(text.split())
