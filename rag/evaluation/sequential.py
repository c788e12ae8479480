"""Sequential tests that hold at every look: betting e-values of a mean difference, confidence sequences of a share.

Why: who trains every morning looks at a growing sample again and again, and a fixed 95% interval then excludes zero by
chance sooner or later. An e-process is the capital of a bet against "no gain" that no such gain can make grow on
average. By Ville's inequality it reaches 1 / ERROR in at most a share ERROR of all histories without a gain, however
long they are and whenever somebody looks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rag.evaluation.evidence import CLEARLY, DECIDES, Evidence
from rag.evaluation.intervals import Groups, Interval
from rag.evaluation.metrics import Values

# Stakes and the parts of the capital on each. With the measured spread of 0.3, 0.15 grows fastest at a gain of 1 to 2
# points, 0.4 at 4 points, 0.8 at 8 points and above; the part on 0 is kept, so that no bad challenger loses it all.
STAKES = np.array([0.0, 0.15, 0.4, 0.8])
PARTS = np.array([0.05, 0.1, 0.425, 0.425])
PSEUDO_DUELS = 4.0  # won and lost before the first duel: of 1 to 20, what decides win rates of 0.6 to 0.7 earliest
HALVINGS = 50  # of the unit interval, for an end of a confidence sequence


def add_training(
    before: Evidence, queries: Sequence[str], difference: Values, groups: Groups | None = None
) -> Evidence:
    """Return the evidence after one more training: `difference` is challenger - champion per query, within [-1, 1].

    With `groups`, shape (queries,), the bets are on the means of groups, since queries that share a passage succeed or
    fail together. For the same reason new queries of a group that was counted before add nothing: their difference is
    known beforehand, and counting them promoted without a gain in 17% of simulated years, eight queries a passage.

    Only queries that are not yet in `before` count, so that each training may have another challenger: given all that
    was seen before, no gain means a mean of at most 0 on a new query. How the capital is staked on them follows from
    the challenger's difference on the old queries, which is known before: the factor is e(all) / e(old), with the
    mixture e-value e of one challenger (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables
    by betting", https://arxiv.org/abs/2010.09686). With the same challenger each time the product is e(all).
    """
    old = np.array([query in before.queries for query in queries], dtype=np.bool_)
    if groups is not None:
        old = np.isin(groups, groups[old])
    counted, together = (_group_means(difference, groups, among) for among in (old, np.ones_like(old)))
    return replace(
        before,
        better=before.better + log_e_value(together) - log_e_value(counted),
        not_worse=before.not_worse + log_e_value(together + CLEARLY) - log_e_value(counted + CLEARLY),
        trainings=before.trainings + 1,
        queries=before.queries | set(queries),
    )


def log_e_value(difference: Values) -> float:
    """Return the logarithm of the e-value against a mean of at most 0; values above -1.25 keep the capital positive.

    It does not depend on the order of the values: it is the mixture of the capitals of constant stakes.
    """
    capital = np.log1p(STAKES[:, None] * difference[None, :]).sum(axis=1)
    return float(np.logaddexp.reduce(capital + np.log(PARTS)))


def _group_means(difference: Values, groups: Groups | None, among: NDArray[np.bool_]) -> Values:
    """Return the mean difference of each group among some of the queries; of each query without groups."""
    if groups is None:
        return difference[among]
    _, members = np.unique(groups[among], return_inverse=True)
    means: Values = np.bincount(members, weights=difference[among]) / np.bincount(members)
    return means


def queries_to_enough(so_far: Evidence, difference: Values, groups: Groups | None = None) -> int | None:
    """Return how many more queries make the evidence enough, if they show differences like these; None if none would.

    0: it is enough. The capital on the best stake grows by its mean logarithm per query.
    """
    if so_far.is_enough:
        return 0
    if difference.size < 2:
        return None
    means = _group_means(difference, groups, np.ones(difference.shape, np.bool_))
    growth = np.log1p(STAKES[:, None] * means[None, :]).sum(axis=1).max() / difference.size
    if growth <= 0:
        return None
    return math.ceil((math.log(so_far.needed) - so_far.better) / float(growth))


def share_sequence(won: int, n: int) -> Interval:
    """Return the share won / n with its 95% confidence sequence, which holds at every look; [0, 1] without trials.

    The shares whose likelihood ratio against a beta mixture is below DECIDES (Robbins 1970; the mixture is centred on
    one half, where it decides first).
    """
    if n == 0:
        return Interval(0.5, 0.0, 1.0)
    share = won / n
    mixture = _log_beta(PSEUDO_DUELS + won, PSEUDO_DUELS + n - won) - _log_beta(PSEUDO_DUELS, PSEUDO_DUELS)

    def is_excluded(at: float) -> bool:
        return mixture - _log_likelihood(won, n, at) >= math.log(DECIDES)

    return Interval(share, _end(0.0, share, is_excluded), 1 - _end(0.0, 1 - share, lambda at: is_excluded(1 - at)))


def _end(outside: float, inside: float, is_excluded: Callable[[float], bool]) -> float:
    """Return where the interval begins between a value that may be excluded and one that is not."""
    if not is_excluded(outside):
        return outside
    for _ in range(HALVINGS):
        middle = (outside + inside) / 2
        outside, inside = (middle, inside) if is_excluded(middle) else (outside, middle)
    return inside


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _log_likelihood(won: int, n: int, share: float) -> float:
    parts = [(won, share), (n - won, 1 - share)]
    return sum(times * math.log(chance) if chance > 0 else -math.inf for times, chance in parts if times)
