"""Fusion of rankings, by scores for hybrid search and by ranks for several lists, and MMR against near-duplicates.

Why hybrid search adds scores: by how much the first passage is ahead says which of both searches knows more, and a rank
forgets it. On COVID-QA it is worth 0.03 ndcg@10 over reciprocal rank fusion (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rag.records import Hit

# With the usual 60, a chunk that only BM25 ranks first may come after 49 others that are in both rankings. With 2 it is
# the seventh at worst, and the third of BM25 alone the fifteenth. Measured recall is better, too: docs/log.md
SMOOTHING = 2
DENSE_WEIGHT = 0.7  # share of the cosine in hybrid search, for every model that has learnt no other: docs/log.md
TIE = 6  # digits of a score that order: equal vectors may differ in the last bit
Vectors = NDArray[np.float32]


def combine(
    cosines: Mapping[str, float], bm25: Mapping[str, float], dense_weight: float | None = None
) -> dict[str, float]:
    """Return chunk id -> weight * cosine + (1 - weight) * BM25, both scaled to 0..1; best first, ties by id.

    The weight is `dense_weight`, where it is None the usual DENSE_WEIGHT.
    `cosines` has all chunks to rank, `bm25` the scores of those that keyword search found; the others count 0. Scaled
    by the least that is possible, a cosine of -1 and a BM25 score of 0, and the greatest of this query: the convex
    combination TM2C2 of Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval" (2023).
    """
    weight = DENSE_WEIGHT if dense_weight is None else dense_weight
    nearest, most = 1.0 + max(cosines.values(), default=0.0), max(bm25.values(), default=0.0)
    scores = {
        chunk_id: weight * (1.0 + cosine) / (nearest or 1.0) + (1.0 - weight) * bm25.get(chunk_id, 0.0) / (most or 1.0)
        for chunk_id, cosine in cosines.items()
    }
    best = sorted(scores, key=lambda chunk_id: (-round(scores[chunk_id], TIE), chunk_id))
    return {chunk_id: scores[chunk_id] for chunk_id in best}


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
