"""File names of a training's run folder (runs/VERSION/), and the schema of metrics.json for its writer and readers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from rag.home_address import fetched

METRICS_FILE, REPORT_FILE = "metrics.json", "report.html"
QUALITY_PLOT, CURVE_PLOT = "quality-by-dimension.svg", "learning-curve.svg"
ROLES = ("base", "champion", "challenger")

Means = Mapping[str, Mapping[int, Mapping[str, float]]]  # role -> dimension -> metric -> mean


class MetricsFile(TypedDict):
    """The keys of metrics.json. A file of an older release may lack some of them."""

    version: str
    kind: str
    verdict: str
    reason: str
    gate: Mapping[str, object]
    point: Mapping[str, object]
    config: Mapping[str, object]
    data: Mapping[str, object]
    labels: Mapping[str, object] | None
    notes: list[str]
    seconds: Mapping[str, float]
    memory_mb: int | None
    models: Mapping[str, str]
    means: Means
    cost: Mapping[str, object]
    enough_dim: Mapping[str, object]
    judged_only: Mapping[str, object]
    unjudged: Mapping[str, object]
    precision: Mapping[str, object] | None
    ranking: str
    abstaining: Mapping[str, Mapping[str, object]]
    queries: list[Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class TrainingMetrics:
    """What later readers need of a metrics.json. Keys that a file of an older release lacks are empty here.

    `rated` is the number of rated queries with a positive that the training had; `more` is how many more would have
    decided a keep, None where more of the same would not. `means` has each role's metrics by dimension, `models` the
    name of each role's model, `abstaining` a sentence on each role's abstention threshold, `point` the training as a
    point of the learning curve, `gate` the numbers of the promotion gate.
    """

    reason: str
    rated: int
    more: int | None
    models: Mapping[str, str]
    means: Means
    abstaining: Mapping[str, str]
    point: Mapping[str, Any] | None
    gate: Mapping[str, Any] = field(default_factory=dict)

    def at_full_dimension(self, role: str) -> Mapping[str, float]:
        """Return a role's metrics at its full dimension, the one that serves; empty where it has none."""
        by_dim = self.means.get(role)
        return by_dim[max(by_dim)] if by_dim else {}


def read_metrics(run: Path) -> TrainingMetrics | None:
    """Return the metrics of a run folder, None where they are missing or cannot be read."""
    try:
        given: MetricsFile = json.loads((fetched(run) / METRICS_FILE).read_text("utf-8"))
        return _parse(given)
    except (OSError, ValueError, TypeError, AttributeError):  # gone, cut off, or of another shape
        return None


def _parse(given: MetricsFile) -> TrainingMetrics:
    gate = given.get("gate") or {}
    more, rated = gate.get("more"), (given.get("labels") or {}).get("queries")
    means = given.get("means") or {}
    return TrainingMetrics(
        reason=str(given.get("reason", "")),
        rated=rated if isinstance(rated, int) else 0,
        more=more if isinstance(more, int) else None,
        models=given.get("models") or {},
        means={role: {int(dim): values for dim, values in by_dim.items()} for role, by_dim in means.items()},
        abstaining={role: str(each.get("told", "")) for role, each in (given.get("abstaining") or {}).items()},
        point=given.get("point"),
        gate=gate,
    )
