"""Confidence intervals: paired bootstrap of metrics, Wilson interval of shares, sample size for significance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.evaluation.metrics import Values

Groups = NDArray[np.int64]  # a number per query, the same for queries that share a passage

NORMAL_95 = 1.96  # standard errors from the mean to either end of a 95% interval
RESAMPLES = 5000
BLOCK = 512  # resamples drawn at once: 512 x 10,000 queries are 40 MB of indices


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95% confidence interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


@dataclass(frozen=True, slots=True)
class Tally:
    """On how many queries a won against b, tied and lost."""

    wins: int
    ties: int
    losses: int

    def __str__(self) -> str:
        return f"{self.wins} won, {self.ties} tied, {self.losses} lost"


def paired_bootstrap(
    a: Values, b: Values, *, groups: Groups | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Return the mean of a - b over the same queries with its 95% percentile interval (Efron and Tibshirani 1993).

    `a` and `b` have shape (queries,). Queries are drawn with replacement together with their difference; the result is
    deterministic for a seed. With `groups`, shape (queries,), whole groups are drawn (cluster bootstrap: Field and
    Welsh 2007), since queries that share a passage are no independent evidence. Without queries the interval is
    [-1, 1], the widest possible for a difference of metrics. Raises ValueError if the shapes differ.
    """
    if a.shape != b.shape or (groups is not None and groups.shape != a.shape):
        raise ValueError(f"not paired: {a.shape} and {b.shape} values")
    if a.size == 0:
        return Interval(0.0, -1.0, 1.0)
    difference = a - b
    _, members = np.unique(np.arange(a.size) if groups is None else groups, return_inverse=True)
    sums, sizes = np.bincount(members, weights=difference), np.bincount(members)
    rng = np.random.default_rng(seed)
    blocks = [min(BLOCK, resamples - start) for start in range(0, resamples, BLOCK)]
    drawn = (rng.integers(0, sums.size, (n, sums.size)) for n in blocks)
    means = np.concatenate([sums[rows].sum(axis=1) / sizes[rows].sum(axis=1) for rows in drawn])
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(difference.mean()), float(low), float(high))


def share_interval(won: int, n: int) -> Interval:
    """Return the share won / n with its 95% Wilson interval (1927), which holds for few trials and extreme shares.

    Without trials the interval is [0, 1].
    """
    if n == 0:
        return Interval(0.5, 0.0, 1.0)
    from scipy.stats import binomtest  # takes a second to import, and ranking needs none of it

    low, high = binomtest(won, n).proportion_ci(confidence_level=0.95, method="wilson")
    return Interval(won / n, float(low), float(high))


def queries_needed(difference: Values) -> int | None:
    """Return how many more queries would make the gain significant, if mean and standard deviation stay the same.

    `difference` has shape (queries,). Uses the normal approximation. 0: it is significant. None: the mean is not above
    0, so that more queries would not help, or there are fewer than two queries and no standard deviation.
    """
    mean = float(difference.mean()) if difference.size > 1 else 0.0
    if mean <= 0:
        return None
    enough = math.floor((NORMAL_95 * float(difference.std(ddof=1)) / mean) ** 2) + 1
    return max(0, enough - difference.size)


def win_tie_loss(a: Values, b: Values) -> Tally:
    """Return on how many queries a is above, equal to and below b."""
    ties = np.isclose(a, b)
    return Tally(int(((a > b) & ~ties).sum()), int(ties.sum()), int(((a < b) & ~ties).sum()))
