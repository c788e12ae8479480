"""Split queries into train and held-out by a hash of the normalised text, without leakage through shared chunks.

Why holding out queries is not enough: a training query with the same positive chunk leaks the answer. So a training
pair is left out if its positive, or a near duplicate of it, answers a held-out query.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rag.errors import NotEnoughFeedback
from rag.evaluation.metrics import MIN_QUERIES
from rag.feedback.chunk_matching import MIN_ANCHOR
from rag.feedback.pairs import count_queries
from rag.records import ID_LENGTH, Chunk, Pair, Qrels, content_id, normalise_query

HELD_OUT_SHARE = (
    0.2  # with few queries all others are tested by cross-fitting (train.dataset.folds); past 500, 100 are enough
)
SURE = 0.5  # a thumb is shared among the passages that an answer cites: a small share is too unreliable to test with
SHINGLE = 3  # words
EDGES = 2  # shingles of a text, the first and the last
ALIKE = 0.5  # Jaccard similarity of shingles from which two texts are near duplicates
Node = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Split:
    """Training pairs and test queries. `extra` pairs are for training only; `leaks` is the number of pairs left out."""

    train: tuple[Pair, ...]
    extra: tuple[Pair, ...]
    held_out: Qrels
    leaks: int


def require_enough(pairs: Iterable[Pair], lost: int = 0) -> None:
    """Raise NotEnoughFeedback below MIN_QUERIES queries; `lost` is the number of labels that gave no pair."""
    n = count_queries(pairs)
    if n < MIN_QUERIES:
        raise NotEnoughFeedback(
            f"{n} rated queries with a positive, need {MIN_QUERIES}: rate more answers, or import labels with "
            "`python -m rag import FILE`"
            + (f" ({lost} labels point at text no longer in these documents)" if lost else "")
        )


def split(pairs: Sequence[Pair], extra: Sequence[Pair], chunks: Sequence[Chunk]) -> Split:
    """Hold out the queries of `pairs` chosen by hash, and remove leaking pairs from the rest of `pairs` and `extra`.

    `extra` are synthetic pairs, for training only. Raises NotEnoughFeedback where nothing is left to train on.
    """
    held = [pair for pair in pairs if pair.judges and is_held_out(pair.query)]
    asked = [pair for pair in pairs if not is_held_out(pair.query)]
    return hold_out(held, asked, [pair for pair in extra if not is_held_out(pair.query)], chunks)


def hold_out(judging: Sequence[Pair], asked: Sequence[Pair], extra: Sequence[Pair], chunks: Sequence[Chunk]) -> Split:
    """Return a split that tests on the queries of `judging` and trains on those other pairs that do not leak.

    A chunk with the same text as a positive is relevant as well.
    """
    held_out = qrels_of(judging, chunks)
    train = without_leaks(asked, held_out, chunks)
    if not train:
        raise NotEnoughFeedback(
            f"all {len(asked)} pairs to train on have a passage that answers a held-out query: rate answers from "
            "other documents, too"
        )
    return Split(train, without_leaks(extra, held_out, chunks), held_out, len(asked) - len(train))


def without_leaks(pairs: Sequence[Pair], held_out: Qrels, chunks: Sequence[Chunk]) -> tuple[Pair, ...]:
    """Return the pairs whose query is not held out and whose chunk (or near duplicate, or part) answers no such query.

    The pairs may be another training's, such as the champion's, and have chunks that no longer exist.
    """
    texts = {chunk.id: chunk.text for chunk in chunks}
    judged = {chunk_id for relevant in held_out.relevant.values() for chunk_id in relevant}
    trained = {text for pair in pairs for text in (pair.positive, texts.get(pair.positive_id, ""))}
    originals = [texts[chunk_id] for chunk_id in sorted(judged)]
    copies = copies_of(originals, trained) | chunks_containing(originals, trained)
    queries = {normalise_query(query) for query in held_out.relevant}
    return tuple(
        pair
        for pair in pairs
        if normalise_query(pair.query) not in queries
        and pair.positive_id not in judged
        and copies.isdisjoint((pair.positive, texts.get(pair.positive_id, "")))  # a cloze is less than its chunk
    )


def most_reliable(pairs: Sequence[Pair]) -> list[Pair]:
    """Return for each query the pairs with at least SURE times the weight of its heaviest pair."""
    best: dict[str, float] = {}
    for pair in pairs:
        key = normalise_query(pair.query)
        best[key] = max(best.get(key, 0.0), pair.weight)
    return [pair for pair in pairs if pair.weight >= SURE * best[normalise_query(pair.query)]]


def is_held_out(query: str) -> bool:
    """Return whether a query is held out. Deterministic: depends only on the normalised query."""
    share: float = int(content_id("held out", normalise_query(query)), 16) / 16**ID_LENGTH
    return share < HELD_OUT_SHARE


def alike(a: str, b: str) -> bool:
    """Return whether two texts are near duplicates: Jaccard similarity of three-word shingles of at least ALIKE."""
    ours, theirs = _shingles(a), _shingles(b)
    return len(ours & theirs) >= ALIKE * len(ours | theirs)


def copies_of(originals: Sequence[str], texts: Iterable[str]) -> set[str]:
    """Return the texts that are near duplicates of an original."""
    return {text for text, _ in alike_pairs(originals, texts)}


def chunks_containing(originals: Sequence[str], texts: Collection[str]) -> set[str]:
    """Return the texts that contain a whole original of at least MIN_ANCHOR characters.

    Such a text has all shingles of the original but the first and the last, whose outer words may be cut.
    """
    long_enough = [original for original in originals if len(original) >= MIN_ANCHOR]
    found = {
        text
        for text, original, common in _sharing(long_enough, texts)
        if common >= len(_shingles(original)) - EDGES and original in text
    }
    short = [original for original in long_enough if len(_shingles(original)) <= EDGES]  # they may have none in common
    return found | {text for text in texts if any(original in text for original in short)}


def alike_pairs(originals: Sequence[str], texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield (text, original) for each pair of near duplicates."""
    for text, original, common in _sharing(originals, texts):
        if common >= ALIKE * (len(_shingles(text)) + len(_shingles(original)) - common):
            yield text, original


def _sharing(originals: Sequence[str], texts: Iterable[str]) -> Iterator[tuple[str, str, int]]:
    """Yield (text, original, number of common shingles) by an inverted index; comparing all pairs takes minutes."""
    holders: dict[str, list[int]] = {}
    for number, original in enumerate(originals):
        for shingle in _shingles(original):
            holders.setdefault(shingle, []).append(number)
    for text in set(texts):
        shared = Counter(number for shingle in _shingles(text) for number in holders.get(shingle, ()))
        for number, common in shared.items():
            yield text, originals[number], common


def connected(pairs: Sequence[Pair]) -> list[list[str]]:
    """Return groups of normalised queries that share a chunk, or near duplicates of one (connected components)."""
    from scipy.sparse import coo_array  # slow to import, and not every training needs it
    from scipy.sparse.csgraph import connected_components

    numbers: dict[Node, int] = {}

    def number(kind: str, name: str) -> int:
        return numbers.setdefault((kind, name), len(numbers))

    links = [(number("query", normalise_query(p.query)), number("chunk", p.positive_id)) for p in pairs]
    links += [(number("chunk", pair.positive_id), number("text", pair.positive)) for pair in pairs]
    texts = sorted({pair.positive for pair in pairs})
    links += [(number("text", one), number("text", other)) for one, other in alike_pairs(texts, texts)]
    rows, columns = zip(*links, strict=True) if links else ((), ())
    graph = coo_array(([True] * len(links), (rows, columns)), shape=(len(numbers), len(numbers)))
    _, parts = connected_components(graph, directed=False)
    groups: dict[int, list[str]] = {}
    for (kind, name), part in zip(numbers, parts.tolist(), strict=True):
        if kind == "query":
            groups.setdefault(part, []).append(name)
    return [sorted(group) for group in groups.values()]


@lru_cache(maxsize=65_536)
def _shingles(text: str) -> frozenset[str]:
    words = re.findall(r"\w+", text.casefold()) or [text]
    return frozenset(" ".join(words[start : start + SHINGLE]) for start in range(max(1, len(words) - SHINGLE + 1)))


def qrels_of(pairs: Sequence[Pair], chunks: Sequence[Chunk]) -> Qrels:
    """Return the qrels of pairs: per query the positive chunks, and those with exactly the same text."""
    same: dict[str, set[str]] = {}
    for chunk in chunks:
        same.setdefault(_plain(chunk.text), set()).add(chunk.id)
    texts = {chunk.id: _plain(chunk.text) for chunk in chunks}
    relevant: dict[str, frozenset[str]] = {}
    spelling: dict[str, str] = {}
    for pair in most_reliable(pairs):
        query = spelling.setdefault(normalise_query(pair.query), pair.query)
        relevant[query] = relevant.get(query, frozenset()) | same[texts[pair.positive_id]]
    return Qrels(relevant)


def _plain(text: str) -> str:
    return " ".join(text.split())
