"""Inter-rater agreement: Krippendorff's alpha for nominal values, with a bootstrap interval over the targets.

Alpha corrects the share of agreement for chance: 1 is perfect agreement, 0 chance level, below 0 worse than chance. It
takes any number of raters and missing judgements (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability").

Why not the `krippendorff` package: it computes one alpha per call, and the bootstrap needs 2,000; vectorised here they
take 1.3 s of a core for 10,000 targets instead of 6.1 s (docs/log.md). The tests compare both on random tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.evaluation.intervals import Interval

RESAMPLES, BLOCK = 2_000, 100  # bootstrap draws, and draws per block: 100 x 10,000 targets are 8 MB
Counts = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judgement:
    """One rater's value for one target."""

    target: str
    rater: str
    value: str


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


def agreement(judgements: Iterable[Judgement], *, seed: int = 0) -> Agreement:
    """Return the agreement of raters; a rater's last judgement of a target counts."""
    last = {(each.target, each.rater): each.value for each in judgements}
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
    """Return Krippendorff's alpha of counts[target, value], or None if all judgements have the same value.

    Each target needs two judgements or more.
    """
    (found,) = _alphas(counts, np.ones((1, len(counts))))
    return None if np.isnan(found) else float(found)


def _interval(counts: Counts, seed: int) -> Interval | None:
    """Return alpha with its 95% percentile bootstrap interval; targets are drawn with replacement."""
    found = alpha(counts)
    if found is None:
        return None
    rng, n = np.random.default_rng(seed), len(counts)
    drawn = [_alphas(counts, rng.multinomial(n, np.full(n, 1 / n), size=BLOCK)) for _ in range(RESAMPLES // BLOCK)]
    low, high = np.nanpercentile(np.concatenate(drawn), [2.5, 97.5])
    return Interval(found, float(low), float(high))


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


def _disagreement(counts: Counts) -> float:
    return float(_disagreeing_pairs(counts).sum() / counts.sum())
