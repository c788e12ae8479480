"""Find texts that are near duplicates of each other, and groups of queries that share a passage or such a copy."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache

from rag.feedback.chunk_matching import MIN_ANCHOR
from rag.records import Pair, normalise_query

SHINGLE = 3  # words
EDGES = 2  # shingles of a text, the first and the last
ALIKE = 0.5  # Jaccard similarity of shingles from which two texts are near duplicates
Node = tuple[str, str]


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
