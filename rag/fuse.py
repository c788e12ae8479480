"""Several rankings -> one; one ranking -> one that does not say the same thing twice. Pure.

The idea a reader would miss: fusing reads ranks and never scores. BM25 has no upper end, a cosine's scale is its
model's own, and after training it is another one; a sum of scores would weigh the two voices anew with each model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from rag.records import Hit

SMOOTHING = 2  # with the usual 60 a chunk that words alone rank first may stand behind 49 others that both rankings
# know; with 2 it is the seventh at worst, and the third of the words alone the fifteenth. Found more, too: docs/log.md
Vectors = NDArray[np.float32]


def fuse(lists: Iterable[tuple[float, Sequence[Hit]]]) -> dict[str, float]:
    """Return chunk id -> fused score, the best first, ties by id; each list comes with what its voice counts.

    Reciprocal rank fusion (Cormack, Clarke and Büttcher 2009): a list adds weight / (SMOOTHING + rank) to each of its
    chunks. The less SMOOTHING, the more a first place counts against two middling ones.
    """
    scores: dict[str, float] = {}
    for weight, hits in lists:
        for hit in hits:
            scores[hit.chunk.id] = scores.get(hit.chunk.id, 0.0) + weight / (SMOOTHING + hit.rank)
    best = sorted(scores, key=lambda chunk_id: (-round(scores[chunk_id], 12), chunk_id))  # sums round in any order
    return {chunk_id: scores[chunk_id] for chunk_id in best}


def spread(relevance: Sequence[float], vectors: Vectors, n: int, trade: float) -> list[int]:
    """Return the rows of the n to show, by maximal marginal relevance (Carbonell and Goldstein 1998).

    Each place goes to the row of the greatest trade * relevance - (1 - trade) * cosine to the nearest row chosen
    before. `vectors` are unit, shape (len(relevance), dim). Relevance is brought to 0..1 first, whatever its scale is.
    """
    left, chosen = list(range(len(relevance))), list[int]()
    worth = trade * _scaled(np.asarray(relevance, np.float64))
    nearest = np.zeros(len(left))  # a cosine below 0 is no nearer than one of 0
    while left and len(chosen) < n:
        best = max(left, key=lambda row: (worth[row] - (1 - trade) * nearest[row], -row))
        left.remove(best)
        chosen.append(best)
        nearest = np.maximum(nearest, vectors @ vectors[best])
    return chosen


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = values.min(initial=np.inf), values.max(initial=-np.inf)
    return (values - low) / (high - low) if high > low else np.ones_like(values)
