"""Inter-rater agreement: Krippendorff's alpha for nominal values, with a bootstrap interval over the targets.

Alpha corrects the share of agreement for chance: 1 is perfect agreement, 0 chance level, below 0 worse than chance. It
takes any number of raters and missing judgements (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability").

Why not the `krippendorff` package: it computes one alpha per call, and the bootstrap needs 2,000; vectorised here they
cost next to nothing (docs/log.md), since few targets differ in their counts. The tests compare both on random tables.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.columns import Numbers, codes
from rag.evaluation.intervals import Interval

RESAMPLES = 2_000  # bootstrap draws
Counts = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement over the targets that two raters or more have judged.

    `same` is the uncorrected share of agreeing pairs; `alpha` is None if all judgements have the same value.
    """

    targets: int
    raters: int
    judgements: int
    same: float
    alpha: Interval | None


def agreement(
    targets: Sequence[Hashable], raters: Sequence[str], values: Sequence[Hashable], *, seed: int = 0
) -> Agreement:
    """Return the agreement of judgements, an entry each, oldest first; a rater's last judgement of a target counts."""
    (target, names), (rater, people), (value, kinds) = codes(targets), codes(raters), codes(values)
    pairs = target * (len(people) or 1) + rater
    _, from_the_end = np.unique(pairs[::-1], return_index=True)
    last = len(pairs) - 1 - from_the_end
    judged = np.bincount(target[last], minlength=len(names))
    last = last[judged[target[last]] > 1]
    if not len(last):
        return Agreement(0, 0, 0, 0.0, None)
    shared, place = np.unique(target[last], return_inverse=True)
    cells = np.bincount(place * len(kinds) + value[last], minlength=len(shared) * len(kinds))
    rows, times = np.unique(cells.reshape(len(shared), len(kinds)), axis=0, return_counts=True)
    counts = rows.astype(np.float64)
    same = 1 - float((_disagreeing_pairs(counts) * times).sum() / len(last))
    return Agreement(len(shared), len(np.unique(rater[last])), len(last), same, _interval(counts, times, seed))


def alpha(counts: Counts) -> float | None:
    """Return Krippendorff's alpha of counts[target, value], or None if all judgements have the same value.

    Each target needs two judgements or more.
    """
    (found,) = _alphas(counts, np.ones((1, len(counts))))
    return None if np.isnan(found) else float(found)


def _interval(counts: Counts, times: Numbers, seed: int) -> Interval | None:
    """Return alpha with its 95% percentile bootstrap interval; targets are drawn with replacement.

    `counts` has the distinct rows, `times` how many targets have each: equal targets need not be told apart.
    """
    (found,) = _alphas(counts, times[None])
    if np.isnan(found):
        return None
    drawn = np.random.default_rng(seed).multinomial(times.sum(), times / times.sum(), size=RESAMPLES)
    low, high = np.nanpercentile(_alphas(counts, drawn), [2.5, 97.5])
    return Interval(float(found), float(low), float(high))


def _alphas(counts: Counts, times: NDArray[np.generic]) -> Counts:
    """Return alpha for each row of `times` (draws x targets: how often a target counts); NaN where it is undefined."""
    weights = times.astype(np.float64)
    judgements, values = weights @ counts.sum(axis=1), weights @ counts
    observed = weights @ _disagreeing_pairs(counts) / judgements
    expected = (values * (judgements[:, None] - values)).sum(axis=1) / (judgements * (judgements - 1))
    return np.where(expected > 0, 1 - observed / np.where(expected > 0, expected, 1), np.nan)


def _disagreeing_pairs(counts: Counts) -> Counts:
    """Return each target's ordered pairs of raters who differ, divided by its judgements - 1."""
    judged = counts.sum(axis=1)
    return np.asarray((counts * (judged[:, None] - counts)).sum(axis=1) / (judged - 1))
