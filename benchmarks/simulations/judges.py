"""What an LLM's judgements of unlabelled questions add to 50 labels of people, and whether a lying judge misleads.

    python -m benchmarks.simulations.judges [--runs N]

Prediction-powered inference with power tuning (Angelopoulos, Duchi and Zrnic 2023, "PPI++", arXiv 2311.01453): the
mean of the people's labels, corrected by how the judge's mean on the unlabelled questions differs from its mean on the
labelled ones. How much of the correction is taken follows from the labelled questions, so a judge that says nothing
about them changes nothing.

The label of a question is challenger - champion in ndcg@10, of simulated ranks with a gain of 5 points. A judge that is
right on a share of the questions gives the true difference there and that of another question elsewhere.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from benchmarks.simulations.look_any_day import differences
from rag.evaluation.intervals import Interval

Numbers = NDArray[np.float64]
Judge = Callable[[np.random.Generator, Numbers], Numbers]  # true differences -> judged ones

LABELLED, UNLABELLED = 50, 2000
GAIN = 0.05
FOLDS = 10
ALWAYS = 0.3  # what a judge says that finds the challenger better whatever it sees


def prediction_powered(labels: Numbers, judged: Numbers, unlabelled: Numbers) -> Interval:
    """Return the mean of a difference with its 95% interval, from people's labels and a judge's predictions.

    `labels` and `judged` are of the same questions, shape (n,), `unlabelled` are the judge's of others, shape (N,). The
    questions that people labelled must be a random sample of all. How much of the correction a question gets follows
    from the questions of the other FOLDS (cross-fitting), or the weight would fit the questions that it corrects.
    """
    n, more = labels.size, unlabelled.size
    fold = np.arange(n) % FOLDS
    weights = np.array([_weight(labels[fold != each], judged[fold != each], n / more) for each in range(FOLDS)])[fold]
    corrected = labels - weights * (judged - unlabelled.mean())
    mean = float(corrected.mean())
    spread = float(unlabelled.var(ddof=1))
    error = np.sqrt(corrected.var(ddof=1) / n + weights.mean() ** 2 * spread / more)
    margin = float(t.ppf(0.975, n - 2) * error)
    return Interval(mean, mean - margin, mean + margin)


def _weight(labels: Numbers, judged: Numbers, ratio: float) -> float:
    """Return the weight of the correction with the smallest variance; `ratio` is labelled to unlabelled questions."""
    spread = float(judged.var(ddof=1))
    return float(np.cov(labels, judged)[0, 1]) / (spread * (1 + ratio)) if spread > 0 else 0.0


def by_labels_alone(labels: Numbers) -> Interval:
    """Return the mean of people's labels with its 95% interval of Student's t."""
    mean, n = float(labels.mean()), labels.size
    margin = float(t.ppf(0.975, n - 1) * labels.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - margin, mean + margin)


def right_on(share: float) -> Judge:
    """Return a judge that is right on this share of the questions."""

    def judge(rng: np.random.Generator, true: Numbers) -> Numbers:
        return np.where(rng.random(true.shape) < share, true, rng.permutation(true))

    return judge


JUDGES: dict[str, Judge] = {
    "right on 90%": right_on(0.9),
    "right on 80%": right_on(0.8),
    "right on 70%": right_on(0.7),
    "right on 50%": right_on(0.5),
    "right on 80%, and 0.3 too much for the challenger": lambda rng, true: right_on(0.8)(rng, true) + ALWAYS,
    "always the challenger": lambda _, true: np.full(true.shape, ALWAYS),
    "the challenger by 0.3 in 90%, else the champion": lambda rng, true: np.where(
        rng.random(true.shape) < 0.9, ALWAYS, -ALWAYS
    ),
    "random": lambda rng, true: rng.choice([-ALWAYS, 0, ALWAYS], true.shape),
    "inverted": lambda _, true: -true,
    "the challenger where it is worse, else the truth": lambda _, true: np.abs(true),
}


@dataclass(frozen=True)
class Result:
    """Mean width of the intervals, and in which share of the runs they contain the truth."""

    width: float
    coverage: float


def main() -> None:
    """Print width and coverage for every judge."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulations.judges")
    parser.add_argument("--runs", type=int, default=4000)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    population = differences(rng, GAIN, 400_000)
    truth = float(population.mean())
    print(f"{given.runs} runs, {LABELLED} labels, {UNLABELLED} unlabelled questions, true gain {truth:+.3f}\n")
    print("| judge | width | narrower | coverage | correlation |\n|---|---|---|---|---|")
    drawn = [rng.choice(population, LABELLED + UNLABELLED) for _ in range(given.runs)]
    alone = _result([by_labels_alone(each[:LABELLED]) for each in drawn], truth)
    print(f"| none: people's labels alone | {alone.width:.3f} | | {alone.coverage:.1%} | |")
    for name, judge in JUDGES.items():
        judged = [judge(rng, each) for each in drawn]
        both = zip(drawn, judged, strict=True)
        found = _result([prediction_powered(y[:LABELLED], f[:LABELLED], f[LABELLED:]) for y, f in both], truth)
        sample = judge(rng, population)
        related = float(np.corrcoef(population, sample)[0, 1]) if sample.std() else 0.0
        narrower = 1 - found.width / alone.width
        print(f"| {name} | {found.width:.3f} | {narrower:.0%} | {found.coverage:.1%} | {related:.2f} |")


def _result(intervals: list[Interval], truth: float) -> Result:
    held = [each.low <= truth <= each.high for each in intervals]
    return Result(float(np.mean([each.high - each.low for each in intervals])), float(np.mean(held)))


if __name__ == "__main__":
    sys.exit(main())
