"""How far the raters are from the next verdict: what is rated, what is new, and how many more are likely to decide.

The idea a reader would miss: how many ratings a verdict takes depends on how large the gain is, and nobody knows that
before a training has measured it. So the number comes from the last training, where there was one, and is called
unknown where it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.evaluation.metrics import MIN_QUERIES
from rag.feedback.chunk_matching import ChunkMatcher
from rag.models.registry import Version
from rag.records import Chunk, LabelledPair, normalise_query

METRICS_FILE = "metrics.json"  # in a run's folder, by train.reporting.report
SHOWN = ("hit_rate@1", "hit_rate@5", "mrr@10", "ndcg@10")
ROLES = ("base", "champion", "challenger")


@dataclass(frozen=True, slots=True)
class RatingsNeeded:
    """Rated queries with a right passage, how many of them are new, at how many a verdict is likely, and in words.

    `target` is None where nobody can know. `enough` says whether a training would start.
    """

    rated: int
    new: int
    target: int | None
    enough: bool
    told: str


@dataclass(frozen=True, slots=True)
class TrainedVersion:
    """A version as its run's folder tells of it. `metrics` is empty where that folder is gone."""

    version: Version
    metrics: Mapping[str, Any]

    @property
    def rated(self) -> int:
        """Return on how many rated queries it could go."""
        return int((self.metrics.get("labels") or {}).get("queries", 0))

    @property
    def more(self) -> int | None:
        """Return how many more rated queries would have decided a keep; None where more of the same would not."""
        more = (self.metrics.get("gate") or {}).get("more")
        return more if isinstance(more, int) else None

    def table(self) -> list[list[str]]:
        """Return the metrics of base, champion and challenger at full dimension, under a head; empty: not known."""
        means, names = self.metrics.get("means") or {}, self.metrics.get("models") or {}
        if not all(means.get(role) for role in ROLES):
            return []
        rows = [["", "model", *SHOWN]]
        for role in ROLES:
            full = means[role][max(means[role], key=int)]
            rows.append([role, str(names.get(role, "")), *(f"{full[metric]:.3f}" for metric in SHOWN)])
        return rows


def read_trained(runs: Path, version: Version) -> TrainedVersion:
    """Return what a version's run tells."""
    try:
        metrics = json.loads((runs / version.name / METRICS_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        metrics = {}
    return TrainedVersion(version, metrics if isinstance(metrics, dict) else {})


def count_rated(labels: Iterable[LabelledPair], chunks: Sequence[Chunk]) -> int:
    """Return for how many queries the raters know a right passage of these documents.

    This is what training counts, but for the passages on which raters are split.
    """
    anchors = ChunkMatcher(chunks)
    said: dict[tuple[str, str], float] = {}
    for label in labels:
        guessed = label.origin == "rating" and not label.cited
        chunk_id = anchors.find(label.chunk_id, label.text) if label.label and not guessed else None
        if chunk_id is not None:
            key = normalise_query(label.query), chunk_id
            said[key] = said.get(key, 0.0) + label.label * label.weight
    return len({query for (query, _), lean in said.items() if lean > 0})


def ratings_needed(rated: int, last: TrainedVersion | None) -> RatingsNeeded:
    """Return how far it is to the next verdict; `last` is the last training on ratings."""
    then = last.rated if last else 0
    new = max(0, rated - then)
    if rated < MIN_QUERIES:
        return RatingsNeeded(rated, new, MIN_QUERIES, False, _too_few(rated))
    if last is None:
        return RatingsNeeded(
            rated,
            new,
            None,
            True,
            f"Enough to train on ({MIN_QUERIES} are the least). How many more a verdict takes is not known before a "
            "first training has measured the gain.",
        )
    name = last.version.name
    if last.version.verdict == "promote":
        told = (
            f"{name} was better beyond luck. What the next training gains, and so how many more questions its verdict "
            "takes, is not known before; some dozens of new ones are worth a try."
        )
        return RatingsNeeded(rated, new, None, True, told)
    if last.more is None:
        told = (
            f"{name} was not better than what served: more of the same would not decide it. Rate other questions, on "
            "other documents, or look into its report at what it lost."
        )
        return RatingsNeeded(
            rated, new, None, True, told if last.metrics else f"The report of {name} is gone: not known."
        )
    return _likely(rated, new, then + last.more, name)


def _too_few(rated: int) -> str:
    return (
        f"{MIN_QUERIES - rated} more until a training can start: below {MIN_QUERIES} rated questions with a right "
        "passage a gain is a lottery."
    )


def _likely(rated: int, new: int, target: int, name: str) -> RatingsNeeded:
    missing = max(0, target - rated)
    if missing:
        told = (
            f"About {missing} more rated questions make a verdict likely, if gain and spread stay as {name} had them: "
            "its difference to what served may have been luck."
        )
    else:
        told = f"There are as many new ones as {name} was missing: a verdict is likely now."
    return RatingsNeeded(rated, new, target, True, told)
