"""Estimate how many rated questions are still needed: to start a training, and for a clear result.

Why the last training matters: how many ratings a clear result takes depends on the size of the gain, which nobody knows
before a training has measured it. So the estimate comes from the last training, and is None where there was none.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chat.language import Phrase, recognised
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
        is_active = self.version.verdict == "promote"
        decided = Phrase("needed.promoted" if is_active else "needed.not_promoted", version=name)
        gate = self.metrics.gate if self.metrics else {}
        if not all(isinstance(gate.get(role), float | int) for role in (*ROLES, "n")):
            return decided
        models = self.metrics.models if self.metrics else {}
        names = {f"{role}_name": models.get(role, role) for role in ("champion", "base")}
        shown = {"decided": decided, "version": name, **names, **{role: gate[role] for role in (*ROLES, "n")}}
        kind = recognised(str(gate.get("kind") or ""))
        return Phrase("needed.result_kind", kind=kind, **shown) if kind else Phrase("needed.result", **shown)

    def table(self) -> list[list[str]]:
        """Return the metrics of base, champion and challenger at full dimension, under a header row; empty: unknown."""
        metrics = self.metrics
        if metrics is None or not all(metrics.at_full_dimension(role) for role in ROLES):
            return []
        rows: list[list[str]] = [["", Phrase("needed.model"), *SHOWN]]
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
            Phrase("needed.first", least=MIN_QUERIES),
        )
    name = last.version.name
    if last.version.verdict == "promote":
        return RatingsNeeded(rated, new, None, True, Phrase("needed.better", version=name))
    if metrics is None:
        return RatingsNeeded(rated, new, None, True, Phrase("needed.no_report", version=name))
    if metrics.more is None:
        return RatingsNeeded(rated, new, None, True, Phrase("needed.hopeless", version=name))
    return _likely(rated, new, then + metrics.more, name)


def _too_few(rated: int) -> str:
    return Phrase("needed.too_few", n=MIN_QUERIES - rated, least=MIN_QUERIES)


def _likely(rated: int, new: int, target: int, name: str) -> RatingsNeeded:
    missing = max(0, target - rated)
    message = Phrase("needed.more", version=name, n=missing) if missing else Phrase("needed.enough", version=name)
    return RatingsNeeded(rated, new, target, True, message)
