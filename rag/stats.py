"""The arithmetic of better: what a ranking is worth, and whether a difference between two of them is more than luck.

Everything here is pure numpy. A metric is kept per query, because two models are judged on the same queries: the
difference per query has a far smaller spread than either mean, and its bootstrap interval is what the gate reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.records import Qrels

Values = NDArray[np.float64]  # one number per query, in the order of the qrels

GATE = (
    "ndcg@10"  # the metric that decides: it sees every rank, so it needs about half the queries that hit_rate@5 needs
)
DEPTH = 10  # ranks that any metric here looks at
RESAMPLES = 5000
BLOCK = 512  # resamples drawn at once: 512 x 10,000 queries are 40 MB of indices


def hit_rate(ranked: Sequence[str], relevant: AbstractSet[str], k: int) -> float:
    """Return 1 if one of the first k is relevant, else 0."""
    return float(any(chunk_id in relevant for chunk_id in ranked[:k]))


def mrr(ranked: Sequence[str], relevant: AbstractSet[str], k: int) -> float:
    """Return 1 / the rank of the first relevant one among the first k, else 0."""
    return next((1 / rank for rank, chunk_id in enumerate(ranked[:k], 1) if chunk_id in relevant), 0.0)


def ndcg(ranked: Sequence[str], relevant: AbstractSet[str], k: int) -> float:
    """Return the discounted gain of the first k over that of a perfect ranking (Järvelin and Kekäläinen 2002)."""
    gains = [1 / np.log2(rank + 1) for rank, chunk_id in enumerate(ranked[:k], 1) if chunk_id in relevant]
    perfect = [1 / np.log2(rank + 1) for rank in range(1, min(len(relevant), k) + 1)]
    return float(sum(gains) / sum(perfect)) if perfect else 0.0


METRICS: dict[str, Callable[[Sequence[str], AbstractSet[str]], float]] = {
    "hit_rate@1": lambda ranked, relevant: hit_rate(ranked, relevant, 1),
    "hit_rate@5": lambda ranked, relevant: hit_rate(ranked, relevant, 5),
    "mrr@10": lambda ranked, relevant: mrr(ranked, relevant, 10),
    GATE: lambda ranked, relevant: ndcg(ranked, relevant, 10),
}


def evaluate_run(run: Mapping[str, Sequence[str]], qrels: Qrels) -> dict[str, Values]:
    """Return each metric's value per query of the qrels, in their order; a query that the run lacks counts 0."""
    return {
        name: np.array([metric(run.get(query, ()), relevant) for query, relevant in qrels.relevant.items()], np.float64)
        for name, metric in METRICS.items()
    }


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the 95% interval around it."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


def paired_bootstrap(a: Values, b: Values, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Return the mean of a - b over the same queries with its 95% percentile interval (Efron and Tibshirani 1993).

    The queries are drawn with replacement, the difference of each stays with it. Same seed, same interval. No queries:
    nothing is known, and the interval is the widest that a difference of two metrics can have.
    """
    if a.shape != b.shape:
        raise ValueError(f"not paired: {a.shape} and {b.shape} values")
    if a.size == 0:
        return Interval(0.0, -1.0, 1.0)
    difference = a - b
    rng = np.random.default_rng(seed)
    blocks = [min(BLOCK, resamples - start) for start in range(0, resamples, BLOCK)]
    means = np.concatenate([difference[rng.integers(0, a.size, (n, a.size))].mean(axis=1) for n in blocks])
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(difference.mean()), float(low), float(high))


@dataclass(frozen=True, slots=True)
class Tally:
    """How many queries a won against b, tied and lost."""

    wins: int
    ties: int
    losses: int

    def __str__(self) -> str:
        return f"{self.wins} won, {self.ties} tied, {self.losses} lost"


def win_tie_loss(a: Values, b: Values) -> Tally:
    """Return for how many queries a is above, at and below b."""
    ties = np.isclose(a, b)
    return Tally(int(((a > b) & ~ties).sum()), int(ties.sum()), int(((a < b) & ~ties).sum()))
