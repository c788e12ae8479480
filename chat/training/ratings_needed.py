"""Estimate how many rated questions are still needed: to start a training, and for a clear result.

Why the last training matters: how many ratings a clear result takes depends on the size of the gain, which nobody knows
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
    """Rated queries with a positive, how many of them are new, how many make a clear result likely, a message.

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

    def result(self) -> str:
        """Return the result as sentences: promoted or not, and ndcg@10 of challenger, champion and base if known."""
        name = self.version.name
        decided = f"{name} was {'' if self.version.verdict == 'promote' else 'not '}promoted."
        gate = self.metrics.gate if self.metrics else {}
        if not all(isinstance(gate.get(role), float | int) for role in (*ROLES, "n")):
            return decided
        models = self.metrics.models if self.metrics else {}
        others = (f"{models.get(role, role)} ({role}) {gate[role]:.2f}" for role in ("champion", "base"))
        how = f", {gate['kind']}" if gate.get("kind") else ""
        return (
            f"{decided} Mean ndcg@10 on {gate['n']} test questions{how}: {name} {gate['challenger']:.2f}, "
            f"{', '.join(others)}."
        )

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
            f"You can train now (minimum {MIN_QUERIES}). How many more rated questions a clear result takes can be "
            "estimated after the first training.",
        )
    name = last.version.name
    if last.version.verdict == "promote":
        message = (
            f"{name} was significantly better. How many more rated questions the next clear result takes is not "
            "known before a training has measured the gain; try again after some dozens of new ones."
        )
        return RatingsNeeded(rated, new, None, True, message)
    if metrics is None:
        return RatingsNeeded(rated, new, None, True, f"The report of {name} was deleted, so nothing can be estimated.")
    if metrics.more is None:
        message = (
            f"{name} was not better than the current model, and more ratings of the same kind would not change that. "
            "Rate other questions, on other documents, or read in its report which queries it lost."
        )
        return RatingsNeeded(rated, new, None, True, message)
    return _likely(rated, new, then + metrics.more, name)


def _too_few(rated: int) -> str:
    return (
        f"{MIN_QUERIES - rated} more until a training can start: with fewer than {MIN_QUERIES} rated questions that "
        "have a known correct passage, a measured gain is mostly noise."
    )


def _likely(rated: int, new: int, target: int, name: str) -> RatingsNeeded:
    missing = max(0, target - rated)
    if missing:
        message = (
            f"The gain of {name} was not statistically significant. With about {missing} more rated questions a clear "
            "result is likely, if gain and spread stay the same."
        )
    else:
        message = f"You have the extra ratings that {name} needed: training now is likely to give a clear result."
    return RatingsNeeded(rated, new, target, True, message)
