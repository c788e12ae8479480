"""The promotion gate: decide promote or keep from per-query metrics of base, champion and challenger. Pure.

Why two thresholds for one gain: the evidence of all trainings against this champion holds however often it is looked at
(rag.evaluation.sequential), and the interval is this challenger's own, so that no weak one is promoted on the evidence
of others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rag.evaluation.evidence import CLEARLY, ERROR, NO_EVIDENCE, Evidence
from rag.evaluation.intervals import Groups, Interval, Tally, paired_bootstrap, queries_needed, win_tie_loss
from rag.evaluation.metrics import GATE, Values
from rag.evaluation.sequential import add_training, queries_to_enough
from rag.evaluation.win_rates import WinRate
from train.dataset.folds import ENOUGH_HELD_OUT, EvaluationKind
from train.dataset.held_out import HELD_OUT_SHARE

MIN_HELD_OUT = 10  # queries; on fewer the bootstrap interval calls a single lucky query significant
HARDLY_WORSE = -CLEARLY  # lower end of the interval that is allowed where raters prefer tuned in blind duels
# Shares of the error: a query adapter is a quick check before a full training on the same queries, so each has its own
# evidence, and its gain is small in any case.
SHARES = {"fine-tuned": 0.8, "adapter": 0.2}
# Tolerated decrease of the gate's metric on a regression set. Why not 0: part of the champion's wins is chance, and the
# same recipe with another seed loses 0.02 there (docs/decisions/0010-cross-fitting-and-the-wider-gate.md).
CHAMPION_WINS, CHAMPION_WINS_TOLERANCE = "queries the champion wins", 0.05
GENERAL, GENERAL_TOLERANCE = "general queries", 0.03
MIN_REGRESSION = 20  # queries; on fewer the mean of a set moves by more than its tolerance by chance


@dataclass(frozen=True, slots=True)
class RegressionSet:
    """Queries on which the challenger must not be worse: its change to the champion, and the tolerated decrease."""

    name: str
    change: Interval
    n: int
    tolerance: float

    @property
    def has_regressed(self) -> bool:
        """Return whether the mean decrease exceeds the tolerance, on at least MIN_REGRESSION queries."""
        return self.n >= MIN_REGRESSION and self.change.mean < -self.tolerance

    def __str__(self) -> str:
        return f"{self.name}: {self.change} on {self.n}, {-self.tolerance:+.2f} is tolerated"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's decision and its numbers: means of the gate's metric at full dimension.

    `rule` names the rule that promoted. `more` is how many more rated queries would decide, at the current gain and
    spread; None where more ratings of the same kind would not. `evidence` is that of all trainings against this
    champion, with this one.
    """

    decision: Literal["promote", "keep"]
    reason: str
    challenger: float
    champion: float
    base: float
    gain: Interval  # challenger over champion
    tally: Tally  # challenger against champion
    n: int
    kind: EvaluationKind
    rule: Literal["", "interval", "duels"] = ""
    regressions: tuple[RegressionSet, ...] = ()
    online: WinRate | None = None
    more: int | None = None
    evidence: Evidence = NO_EVIDENCE

    @property
    def is_ahead(self) -> bool:
        """Return whether nothing but evidence speaks against a promotion."""
        is_better = self.gain.mean > 0 and self.challenger >= self.base
        return self.n >= MIN_HELD_OUT and is_better and not any(each.has_regressed for each in self.regressions)

    def line(self, challenger: str, champion: str) -> str:
        """Return the last line that a training prints."""
        what = f"promote {challenger}" if self.decision == "promote" else f"keep {champion}, not {challenger}"
        return (
            f"VERDICT: {what} | {GATE} {self.challenger:.2f}, champion {self.champion:.2f} ({self.gain}), "
            f"base {self.base:.2f} | evidence {self.evidence} | n={self.n} {self.kind}"
        )


def evidence_needed(made: str) -> float:
    """Return the e-value that decides for challengers that are made like this, a key of SHARES."""
    return 1 / (ERROR * SHARES[made])


def decide(
    challenger: Values,
    champion: Values,
    base: Values,
    *,
    kind: EvaluationKind = "held out",
    groups: Groups | None = None,
    general: tuple[Values, Values] | None = None,
    online: WinRate | None = None,
    queries: Sequence[str] = (),
    before: Evidence = NO_EVIDENCE,
) -> Verdict:
    """Promote a challenger whose gain is shown at any look, or one that is not clearly worse while raters prefer tuned.

    `challenger`, `champion` and `base` are the gate's metric per test query, shape (queries,), in the same order, and
    `groups` numbers those that share a passage, which count together. `queries` are the ids of the test queries, and
    `before` is the evidence of earlier trainings against this champion; without ids all queries are new.
    `general` has challenger's and champion's on synthetic queries that neither was trained on; `online` is the
    champion's blind win rate against base since its promotion. Nothing is promoted on fewer than MIN_HELD_OUT queries,
    below base, or with a broken regression set.
    """
    n = int(challenger.size)
    ours, theirs, off_the_shelf = (float(values.mean()) if n else 0.0 for values in (challenger, champion, base))
    gain = paired_bootstrap(challenger, champion, groups=groups)
    passages = n if groups is None else np.unique(groups).size
    sets = _regression_sets(challenger, champion, base, groups, general)
    evidence = add_training(before, queries or [str(row) for row in range(n)], challenger - champion, groups)
    rule = _rule(gain, evidence, online)
    more = None if rule and n >= MIN_HELD_OUT else _labels_needed(challenger - champion, groups, evidence, kind)
    against = {
        f"{n} test queries, need {MIN_HELD_OUT}: rate about {more} more questions": n < MIN_HELD_OUT,
        f"its {n} test queries are about {passages} passages, need {MIN_HELD_OUT}: rate answers about others, too": (
            passages < MIN_HELD_OUT <= n
        ),
        _undecided(gain, evidence, online, more): n >= MIN_HELD_OUT and not rule,
        f"it is worse than base: {ours:.3f} against {off_the_shelf:.3f}": ours < off_the_shelf,
        **{f"it is too much worse on {each}": each.has_regressed for each in sets},
    }
    reasons = [reason for reason, holds in against.items() if holds]
    return Verdict(
        decision="keep" if reasons else "promote",
        reason="; ".join(reasons) or _why(rule, gain, evidence, online),
        challenger=ours,
        champion=theirs,
        base=off_the_shelf,
        gain=gain,
        tally=win_tie_loss(challenger, champion),
        n=n,
        kind=kind,
        rule="" if reasons else rule,
        regressions=sets,
        online=online,
        more=more,
        evidence=evidence,
    )


def _regression_sets(
    challenger: Values,
    champion: Values,
    base: Values,
    groups: Groups | None,
    general: tuple[Values, Values] | None,
) -> tuple[RegressionSet, ...]:
    won = (champion > base) & ~np.isclose(champion, base)
    of_wins = paired_bootstrap(challenger[won], champion[won], groups=None if groups is None else groups[won])
    sets = [RegressionSet(CHAMPION_WINS, of_wins, int(won.sum()), CHAMPION_WINS_TOLERANCE)]
    if general:
        sets.append(RegressionSet(GENERAL, paired_bootstrap(*general), int(general[0].size), GENERAL_TOLERANCE))
    return tuple(sets)


def _rule(gain: Interval, evidence: Evidence, online: WinRate | None) -> Literal["", "interval", "duels"]:
    if gain.low > 0 and evidence.is_enough:
        return "interval"
    preferred = online is not None and online.sequence.low > 0.5
    close = gain.mean > 0 and gain.low > HARDLY_WORSE and evidence.is_not_worse
    return "duels" if preferred and close else ""


def _labels_needed(difference: Values, groups: Groups | None, evidence: Evidence, kind: EvaluationKind) -> int | None:
    """Return how many more rated queries give as many test queries as a significant gain needs; None if none would.

    With cross-fitting every rated query is a test query, until the held-out share alone has ENOUGH_HELD_OUT.
    """
    n, needs = int(difference.size), (queries_needed(difference), queries_to_enough(evidence, difference, groups))
    more = None if None in needs else max(need for need in needs if need is not None)
    if n < MIN_HELD_OUT:
        more = max(more or 0, MIN_HELD_OUT - n)
    if more is None:
        return None

    def labels(queries: int) -> int:
        every = kind == "cross-fitted" and queries < ENOUGH_HELD_OUT / HELD_OUT_SHARE
        return queries if every else math.ceil(queries / HELD_OUT_SHARE)

    return labels(n + max(more, 1)) - labels(n)


def _undecided(gain: Interval, evidence: Evidence, online: WinRate | None, more: int | None) -> str:
    if more is None:
        return f"it is not better than the champion: {gain}; more ratings of the same kind would not change that"
    duels = f", and the duels do not decide either: {online}" if online and gain.low > HARDLY_WORSE else ""
    return (
        f"the evidence so far is {evidence}, which does not decide; the difference to the champion is {gain}{duels}; "
        f"about {more} more rated questions would decide it, if the gain stays as it is"
    )


def _why(rule: str, gain: Interval, evidence: Evidence, online: WinRate | None) -> str:
    if rule == "interval":
        return f"significantly better than the champion: {gain}, evidence {evidence}"
    return f"not clearly worse than the champion: {gain}, and raters prefer the tuned arm in blind duels: {online}"
