"""How often the gate promotes without a gain if somebody trains every day for a year, and how long it takes with one.

    python -m benchmarks.simulations.look_any_day [--histories N]

A history is a year with a training a day and LAST rated questions at its end; all are test queries, as while the hash
holds out few. Each question has a difficulty, each model a rank for it, hence ndcg@10; the spread of a difference is
0.30, as measured (0.29). Of what a challenger does differently from the champion, a share is common to all challengers
of the history: all (the same model again), half, or none. The gate's bootstrap is replaced by the normal interval,
which is a thousand times faster, and the regression sets are left out: they can only keep more.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.evaluation.evidence import CLEARLY, NOT_WORSE
from rag.evaluation.intervals import NORMAL_95
from rag.evaluation.sequential import PARTS, STAKES, share_sequence
from train.judging.gate import evidence_needed

Numbers = NDArray[np.float64]

DIFFICULTY, SPREAD, NOISE = 1.0, 1.5, 0.9  # of the logarithm of a rank: mean and spread over queries, and per model
FIRST, LAST = 50, 600  # rated questions at the first training and at the end of the year
DAYS = 365
DUELS = 400  # decided duels in the year
SHARES = (1.0, 0.5, 0.0)  # of the challengers' noise that they have in common
GAINS = (0.0, -0.02, 0.05, 0.1)
DEPTH = 10  # of the metric; ranks count from 0
NDCG = np.array([*(1 / np.log2(2 + np.arange(DEPTH))), 0.0])  # by rank
DIFFERENCE = (NDCG[:, None] - NDCG[None, :]).ravel()  # by rank of the challenger * (DEPTH + 1) + rank of the champion
PAIRS = len(DIFFERENCE)
POWER = 0.8  # of the fixed test that a delay is compared with


@dataclass
class Delays:
    """After how many test queries each rule promoted, per history; infinity where it never did."""

    fixed: list[float] = field(default_factory=list)  # the 95% interval at each look
    gate: list[float] = field(default_factory=list)
    duels: list[float] = field(default_factory=list)  # the gate, where raters truly prefer tuned over base


def main() -> None:
    """Print a table for each gain."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulations.look_any_day")
    parser.add_argument("--histories", type=int, default=1000)
    given = parser.parse_args()
    print(f"{given.histories} histories, a look a day, {FIRST} to {LAST} test queries\n")
    print("| true gain | in common | fixed 95%, ever | gate, ever | gate, raters prefer tuned | planned | gate: mean |")
    print("|---|---|---|---|---|---|---|")
    for gain in GAINS:
        for share in SHARES:
            print(_row(gain, share, _delays(gain, share, given.histories)), flush=True)


def _row(gain: float, share: float, delays: Delays) -> str:
    ever = [f"{np.isfinite(each).mean():.1%}" for each in (delays.fixed, delays.gate, delays.duels)]
    planned, times = "", ""
    if gain > 0:
        n = planned_queries(gain)
        gate = np.array(delays.gate)
        late = float(np.quantile(gate, POWER, method="higher"))
        planned = f"{n}"
        mean = float(np.minimum(gate, LAST).mean())
        times = (
            f"{mean:.0f} ({mean / n:.2f}), half by {np.median(gate):.0f}, {POWER:.0%} by {late:.0f} ({late / n:.2f})"
        )
        fixed = np.array(delays.fixed)
        ever[0] += f", half by {np.median(fixed):.0f}, {POWER:.0%} by {np.quantile(fixed, POWER, method='higher'):.0f}"
    return f"| {gain:+.2f} | {share:.0%} | {' | '.join(ever)} | {planned} | {times} |"


def planned_queries(gain: float) -> int:
    """Return the size of a fixed two-sided 5% test with POWER, looked at once: what a delay is compared with."""
    difference = differences(np.random.default_rng(1), gain, 100_000)
    return math.ceil(((NORMAL_95 + 0.8416) * float(difference.std()) / float(difference.mean())) ** 2)


def differences(rng: np.random.Generator, gain: float, queries: int) -> Numbers:
    """Return challenger - champion in ndcg@10 on simulated queries, with this mean gain."""
    challenger, champion = _ranks(rng, gain, 1.0, queries, 1)
    return np.asarray(NDCG[challenger[0]] - NDCG[champion])


def _delays(gain: float, share: float, histories: int) -> Delays:
    rng = np.random.default_rng(2)
    sizes = np.unique(np.linspace(FIRST, LAST, DAYS).round().astype(int))
    needed = evidence_needed("fine-tuned")
    delays = Delays()
    for _ in range(histories):
        challenger, champion = _ranks(rng, gain, share, LAST, 1 if share == 1 else len(sizes))
        pair = challenger * (DEPTH + 1) + champion
        new, old = _counts(pair, sizes), _counts(pair, np.concatenate([[0], sizes[:-1]]))
        mean, error = _so_far(new, sizes)
        low = mean - NORMAL_95 * error
        better = (_evidence(new, old, 0.0) >= math.log(needed)) & (low > 0)
        not_worse = _evidence(new, old, CLEARLY) >= math.log(needed * NOT_WORSE)
        close = not_worse & (mean > 0) & (low > -CLEARLY)
        delays.fixed.append(_first(low > 0, sizes))
        delays.gate.append(_first(better | (close & _preferred(rng, 0.5, len(sizes))), sizes))
        delays.duels.append(_first(better | (close & _preferred(rng, 0.65, len(sizes))), sizes))
    return delays


def _ranks(
    rng: np.random.Generator, gain: float, share: float, queries: int, models: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the ranks of challengers (models, queries) and champion (queries,), DEPTH for "not among the ten"."""
    query = rng.normal(DIFFICULTY, SPREAD, queries)
    champion = query + rng.normal(0, NOISE, queries)
    own = np.sqrt(share) * rng.normal(0, NOISE, queries) - _shift(gain)
    apart = np.sqrt(1 - share) * NOISE * rng.standard_normal((models, queries), dtype=np.float32)
    return _rank((query + own).astype(np.float32) + apart.astype(np.float32)), _rank(champion)


def _rank(log_rank: NDArray[Any]) -> NDArray[np.int32]:
    return np.asarray(np.minimum(np.exp(log_rank), DEPTH).astype(np.int32))


def _ndcg(log_rank: Numbers) -> Numbers:
    return np.asarray(NDCG[_rank(log_rank)])


_SHIFTS: dict[float, float] = {0.0: 0.0}


def _shift(gain: float) -> float:
    """Return by how much ranks must improve for a mean gain, by bisection on a large sample."""
    if gain not in _SHIFTS:
        rng = np.random.default_rng(0)
        ranks = rng.normal(DIFFICULTY, SPREAD, 400_000) + rng.normal(0, NOISE, 400_000)
        low, high = -3.0, 3.0
        for _ in range(40):
            middle = (low + high) / 2
            small = _ndcg(ranks - middle).mean() - _ndcg(ranks).mean() < gain
            low, high = (middle, high) if small else (low, middle)
        _SHIFTS[gain] = low
    return _SHIFTS[gain]


def _counts(pair: NDArray[np.int32], ends: NDArray[Any]) -> Numbers:
    """Return how often each pair of ranks occurs in each row up to its end; one row stands for every day."""
    rows, columns = np.nonzero(np.arange(LAST) < ends[:, None])
    codes = rows * PAIRS + pair[rows if len(pair) > 1 else 0, columns]
    return np.bincount(codes, minlength=len(ends) * PAIRS).reshape(-1, PAIRS).astype(np.float64)


def _so_far(counts: Numbers, sizes: NDArray[Any]) -> tuple[Numbers, Numbers]:
    """Return mean and standard error of each day's challenger on the queries so far, shape (days,)."""
    mean, square = counts @ DIFFERENCE / sizes, counts @ DIFFERENCE**2 / sizes
    return mean, np.sqrt((square - mean**2) / sizes)


def _evidence(new: Numbers, old: Numbers, margin: float) -> Numbers:
    """Return the logarithm of the evidence after each day: what `add_training` does day by day, all at once."""
    capital = np.log1p((DIFFERENCE + margin)[:, None] * STAKES)

    def e_values(counts: Numbers) -> Numbers:
        return np.asarray(np.logaddexp.reduce(counts @ capital + np.log(PARTS), axis=1))

    return np.asarray((e_values(new) - e_values(old)).cumsum())


def _preferred(rng: np.random.Generator, chance: float, days: int) -> NDArray[np.bool_]:
    """Return whether the blind duels so far show that raters prefer tuned, day by day."""
    won = (rng.random(DUELS) < chance).cumsum()
    at = np.linspace(1, DUELS, days).astype(int)
    return np.asarray(won[at - 1] >= [wins_needed(int(n)) for n in at])


@cache
def wins_needed(n: int) -> int:
    """Return how many of n duels tuned must win so that the confidence sequence lies above one half."""
    return next((won for won in range(n // 2, n + 1) if share_sequence(won, n).low > 0.5), n + 1)


def _first(promotes: NDArray[np.bool_], sizes: Sequence[int]) -> float:
    return float(sizes[int(promotes.argmax())]) if promotes.any() else math.inf


if __name__ == "__main__":
    sys.exit(main())
