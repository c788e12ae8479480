"""Confidence intervals: paired bootstrap of metrics, Wilson intervals of shares, and the sample size to decide."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rag.evaluation.metrics import BLOCK, NORMAL_95, RESAMPLES, Values


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


def queries_needed(difference: Values) -> int | None:
    """Return how many more queries would lift the interval's lower end above 0, if mean and spread stay as they are.

    By the normal approximation. 0: there are enough. None: the mean is not above 0, so that more of the same would not
    do it, or there are fewer than two queries, which have no spread.
    """
    mean = float(difference.mean()) if difference.size > 1 else 0.0
    if mean <= 0:
        return None
    enough = math.floor((NORMAL_95 * float(difference.std(ddof=1)) / mean) ** 2) + 1
    return max(0, enough - difference.size)


def share_interval(won: int, n: int) -> Interval:
    """Return the share won / n with its 95% interval (Wilson 1927), which holds for few trials and extreme shares too.

    No trials: nothing is known, and the interval is the whole range.
    """
    if n == 0:
        return Interval(0.5, 0.0, 1.0)
    from scipy.stats import binomtest  # takes a second to import, and whoever only ranks needs none of it

    low, high = binomtest(won, n).proportion_ci(confidence_level=0.95, method="wilson")
    return Interval(won / n, float(low), float(high))


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
