"""Estimate how many rated questions are still needed: to start a training, and for a likely verdict.

Why the last training matters: how many ratings a verdict takes depends on the size of the gain, which nobody knows
before a training has measured it. So the estimate comes from the last training, and is None where there was none.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rag.evaluation.metrics import MIN_QUERIES
from rag.models.registry import Version
from rag.training_results import ROLES, TrainingMetrics, read_metrics

SHOWN = ("hit_rate@1", "hit_rate@5", "mrr@10", "ndcg@10")


@dataclass(frozen=True, slots=True)
class RatingsNeeded:
    """Rated queries with a positive, how many of them are new, the number that makes a verdict likely, and a sentence.

    `target` is None where it is unknown. `enough` says whether a training would start.
    """

    rated: int
    new: int
    target: int | None
    enough: bool
    message: str


@dataclass(frozen=True, slots=True)
class TrainedVersion:
    """A version and the metrics of its training, None where its run folder is gone."""

    version: Version
    metrics: TrainingMetrics | None

    def table(self) -> list[list[str]]:
        """Return the metrics of base, champion and challenger at full dimension, under a header row; empty: unknown."""
        metrics = self.metrics
        if metrics is None or not all(metrics.at_full_dimension(role) for role in ROLES):
            return []
        rows = [["", "model", *SHOWN]]
        for role in ROLES:
            full = metrics.at_full_dimension(role)
            rows.append([role, metrics.models.get(role, ""), *(f"{full[metric]:.3f}" for metric in SHOWN)])
        return rows


def read_trained(runs: Path, version: Version) -> TrainedVersion:
    """Return a version with the metrics in its run folder."""
    return TrainedVersion(version, read_metrics(runs / version.name))


def ratings_needed(rated: int, last: TrainedVersion | None) -> RatingsNeeded:
    """Return how many of `rated` queries are new and how many are needed; `last` is the last training on ratings."""
    metrics = last.metrics if last else None
    then = metrics.rated if metrics else 0
    new = max(0, rated - then)
    if rated < MIN_QUERIES:
        return RatingsNeeded(rated, new, MIN_QUERIES, False, _too_few(rated))
    if last is None:
        return RatingsNeeded(
            rated,
            new,
            None,
            True,
            f"Enough to train on (at least {MIN_QUERIES}). How many more a verdict takes is not known before a first "
            "training has measured the gain.",
        )
    name = last.version.name
    if last.version.verdict == "promote":
        message = (
            f"{name} was significantly better. How many more rated questions the next verdict takes is not known "
            "before its gain is measured; some dozens of new ones are worth a try."
        )
        return RatingsNeeded(rated, new, None, True, message)
    if metrics is None:
        return RatingsNeeded(rated, new, None, True, f"The report of {name} is gone: not known.")
    if metrics.more is None:
        message = (
            f"{name} was not better than the model that served: more of the same would not decide it. Rate other "
            "questions, on other documents, or see in its report which queries it lost."
        )
        return RatingsNeeded(rated, new, None, True, message)
    return _likely(rated, new, then + metrics.more, name)


def _too_few(rated: int) -> str:
    return (
        f"{MIN_QUERIES - rated} more until a training can start: with fewer than {MIN_QUERIES} rated questions that "
        "have a right passage, a measured gain is mostly noise."
    )


def _likely(rated: int, new: int, target: int, name: str) -> RatingsNeeded:
    missing = max(0, target - rated)
    if missing:
        message = (
            f"About {missing} more rated questions make a verdict likely, if gain and spread stay as {name} had them: "
            "its gain was not statistically significant."
        )
    else:
        message = f"You have the extra ratings that {name} needed: a training now is likely to decide."
    return RatingsNeeded(rated, new, target, True, message)
