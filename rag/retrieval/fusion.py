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


def mmr(relevance: Sequence[float], vectors: Vectors, n: int, trade: float) -> list[int]:
    """Return the rows of the n to show, by maximal marginal relevance (Carbonell and Goldstein 1998).

    Each place goes to the row of the greatest trade * relevance - (1 - trade) * likeness to the nearest row chosen
    before. `vectors` are unit, shape (len(relevance), dim), and likeness is their cosine. Both are brought to 0..1
    first: some models have all cosines above 0.7, and a model that was trained has others than before.
    """
    left, chosen = list(range(len(relevance))), list[int]()
    worth = trade * _scaled(np.asarray(relevance, np.float64), max(relevance, default=0.0))
    likeness = _scaled(np.asarray(vectors @ vectors.T, np.float64), 1.0)
    nearest = np.zeros(len(left))
    while left and len(chosen) < n:
        best = max(left, key=lambda row: (worth[row] - (1 - trade) * nearest[row], -row))
        left.remove(best)
        chosen.append(best)
        nearest = np.maximum(nearest, likeness[best])
    return chosen


def _scaled(values: NDArray[np.float64], most: float) -> NDArray[np.float64]:
    """Return values so that the least is 0 and `most` is 1; all 1 where there is nothing between."""
    least = values.min(initial=most)
    return (values - least) / (most - least) if most > least else np.ones_like(values)
