"""Find all near duplicates among many texts, and groups of queries that share a passage or such a copy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from rag.feedback.chunk_matching import MIN_ANCHOR
from rag.feedback.pairs import ALIKE, shingles
from rag.records import Pair, normalise_query

EDGES = 2  # shingles of a text, the first and the last
Node = tuple[str, str]


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
        if common >= len(shingles(original)) - EDGES and original in text
    }
    short = [original for original in long_enough if len(shingles(original)) <= EDGES]  # they may have none in common
    return found | {text for text in texts if any(original in text for original in short)}


def alike_pairs(originals: Sequence[str], texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield (text, original) for each pair of near duplicates."""
    for text, original, common in _sharing(originals, texts):
        if common >= ALIKE * (len(shingles(text)) + len(shingles(original)) - common):
            yield text, original


def _sharing(originals: Sequence[str], texts: Iterable[str]) -> Iterator[tuple[str, str, int]]:
    """Yield (text, original, number of common shingles) by an inverted index; comparing all pairs takes minutes."""
    holders: dict[str, list[int]] = {}
    for number, original in enumerate(originals):
        for shingle in shingles(original):
            holders.setdefault(shingle, []).append(number)
    for text in set(texts):
        shared = Counter(number for shingle in shingles(text) for number in holders.get(shingle, ()))
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
