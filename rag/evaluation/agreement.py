"""Do raters agree? Krippendorff's alpha for nominal values (2011), over targets that two raters or more have judged.

The idea a reader would miss: where nearly everything gets a thumb up, two raters who never look agree in most cases.
Alpha is what they agree beyond that: 1 is always, 0 is what chance gives, below 0 is worse than chance. It takes any
number of raters, each of whom has judged something else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.evaluation.intervals import Interval

RESAMPLES, BLOCK = 2_000, 100  # draws of the targets, and how many at once: 100 x 10,000 targets are 8 MB
Counts = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a rater said of a target."""

    target: str
    rater: str
    value: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far raters agree. `same` is the plain share of agreement; alpha is None where only one value was ever said.

    Only targets with two raters or more count, in every number here.
    """

    targets: int
    raters: int
    judgements: int
    same: float
    alpha: Interval | None


def agreement(said: Iterable[Judgement], *, seed: int = 0) -> Agreement:
    """Return how far raters agree; of what one rater says of one target, the last word counts."""
    last = {(each.target, each.rater): each.value for each in said}
    by_target: dict[str, dict[str, str]] = {}
    for (target, rater), value in last.items():
        by_target.setdefault(target, {})[rater] = value
    shared = [values for values in by_target.values() if len(values) > 1]
    raters = {rater for values in shared for rater in values}
    kinds = sorted({value for values in shared for value in values.values()})
    counts = np.array([[[*values.values()].count(kind) for kind in kinds] for values in shared], dtype=np.float64)
    if not shared:
        return Agreement(0, 0, 0, 0.0, None)
    return Agreement(len(shared), len(raters), int(counts.sum()), 1 - _disagreement(counts), _interval(counts, seed))


def alpha(counts: Counts) -> float | None:
    """Return Krippendorff's alpha of counts[target, value], or None where all judgements are the same."""
    (found,) = _alphas(counts, np.ones((1, len(counts))))
    return None if np.isnan(found) else float(found)


def _interval(counts: Counts, seed: int) -> Interval | None:
    """Return alpha with its 95% percentile interval; the targets are drawn with replacement, whole."""
    found = alpha(counts)
    if found is None:
        return None
    rng, n = np.random.default_rng(seed), len(counts)
    drawn = [_alphas(counts, rng.multinomial(n, np.full(n, 1 / n), size=BLOCK)) for _ in range(RESAMPLES // BLOCK)]
    low, high = np.nanpercentile(np.concatenate(drawn), [2.5, 97.5])
    return Interval(found, float(low), float(high))


def _alphas(counts: Counts, times: NDArray[np.generic]) -> Counts:
    """Return alpha for each row of `times`, which says how often each target counts; NaN where it has no meaning."""
    weights = times.astype(np.float64)
    judgements, values = weights @ counts.sum(axis=1), weights @ counts
    observed = weights @ _split(counts) / judgements
    expected = (values * (judgements[:, None] - values)).sum(axis=1) / (judgements * (judgements - 1))
    return np.where(expected > 0, 1 - observed / np.where(expected > 0, expected, 1), np.nan)


def _split(counts: Counts) -> Counts:
    """Return for each target its pairs of raters who differ, each rater's share of them summed."""
    judged = counts.sum(axis=1)
    return np.asarray((counts * (judged[:, None] - counts)).sum(axis=1) / (judged - 1))


def _disagreement(counts: Counts) -> float:
    return float(_split(counts).sum() / counts.sum())
