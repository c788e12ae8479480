"""Reciprocal rank fusion of several rankings, and maximal marginal relevance against near-duplicates.

Why ranks and not scores: BM25 has no upper bound, and each model has its own cosine scale, which training changes. A
sum of scores would weight the two rankings differently with each model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from rag.records import Hit

# With the usual 60, a chunk that only BM25 ranks first may come after 49 others that are in both rankings. With 2 it is
# the seventh at worst, and the third of BM25 alone the fifteenth. Measured recall is better, too: docs/log.md
SMOOTHING = 2
Vectors = NDArray[np.float32]


def fuse(lists: Iterable[tuple[float, Sequence[Hit]]]) -> dict[str, float]:
    """Return chunk id -> fused score, best first, ties by id; `lists` are (weight, hits).

    Reciprocal rank fusion (Cormack, Clarke and Büttcher 2009): a list adds weight / (SMOOTHING + rank) to each of its
    chunks. The smaller SMOOTHING, the more a first rank counts compared with two medium ones.
    """
    scores: dict[str, float] = {}
    for weight, hits in lists:
        for hit in hits:
            scores[hit.chunk.id] = scores.get(hit.chunk.id, 0.0) + weight / (SMOOTHING + hit.rank)
    best = sorted(scores, key=lambda chunk_id: (-round(scores[chunk_id], 12), chunk_id))  # sums depend on the order
    return {chunk_id: scores[chunk_id] for chunk_id in best}


def mmr(relevance: Sequence[float], vectors: Vectors, n: int, trade: float) -> list[int]:
    """Return at most n rows by maximal marginal relevance (Carbonell and Goldstein 1998).

    Each place goes to the row with the greatest trade * relevance - (1 - trade) * similarity to the nearest row chosen
    before. `vectors` have unit length and shape (len(relevance), dim); similarity is their cosine. Both are scaled to
    0..1 first: some models have all cosines above 0.7, and training changes the scale.
    """
    remaining, chosen = list(range(len(relevance))), list[int]()
    gain = trade * _scaled(np.asarray(relevance, np.float64), max(relevance, default=0.0))
    similarity = _scaled(np.asarray(vectors @ vectors.T, np.float64), 1.0)
    nearest = np.zeros(len(remaining))
    while remaining and len(chosen) < n:
        best = max(remaining, key=lambda row: (gain[row] - (1 - trade) * nearest[row], -row))
        remaining.remove(best)
        chosen.append(best)
        nearest = np.maximum(nearest, similarity[best])
    return chosen


def _scaled(values: NDArray[np.float64], most: float) -> NDArray[np.float64]:
    """Return values scaled so that the minimum is 0 and `most` is 1; all 1 if they are equal."""
    least = values.min(initial=most)
    return (values - least) / (most - least) if most > least else np.ones_like(values)
