"""What a terminal is told of a version, and of two of them: `show V` and `compare V W`.

The idea a reader would miss: two reports cannot be compared line by line, for each version was judged by the queries of
its own day. So `compare` is given scores of both on the same queries, of today.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rag.registry import Version
from rag.stats import GATE, METRICS, Interval, paired_bootstrap
from train.evaluate import Scores, full
from train.facts import METRICS_FILE, PAGE, read_metrics
from train.tables import aligned, difference_rows


def show(version: Version, run: Path, *, serves: bool) -> str:
    """Return what is known of a version; `run` is its run folder, which may be gone."""
    metrics = read_metrics(run)
    lines = [
        f"{version.name}{', which serves these documents' if serves else ''}",
        f"made {version.created:%Y-%m-%d %H:%M} UTC from {version.kind}, of {version.started_from}",
        version.summary,
    ]
    if metrics is None:
        return "\n".join([*lines, f"{run / METRICS_FILE} is gone, so there are no numbers to show"])
    lines += [f"why: {metrics['reason']}", "", aligned(_means(metrics)), ""]
    if declines := metrics.get("abstaining"):  # not in older reports
        lines += [*(f"{role} {each['told']}" for role, each in declines.items()), ""]
    lines.append(f"report: {run / PAGE}")
    return "\n".join(lines)


def compare(one: str, other: str, ours: Scores, theirs: Scores, told: str) -> str:
    """Return how two versions did on the same queries; `told` says which these are."""
    parts = [f"{one} against {other}: {told}", aligned(difference_rows((one, other), full(ours), full(theirs)))]
    shared = [dim for dim in ours if dim in theirs and dim != max(ours)]
    if shared:
        at = {f"{GATE} at {dim}": (ours[dim][GATE], theirs[dim][GATE]) for dim in shared}
        first, second = ({name: pair[n] for name, pair in at.items()} for n in (0, 1))
        parts.append(aligned(difference_rows((one, other), first, second)))
    gain = paired_bootstrap(full(ours)[GATE], full(theirs)[GATE])
    return "\n\n".join([*parts, _verdict(one, other, gain)])


def _means(metrics: Mapping[str, Any]) -> list[list[str]]:
    rows = [["", "model", "dimension", *METRICS]]
    for role, by_dim in metrics["means"].items():
        for dim, by_metric in by_dim.items():
            rows.append([role, metrics["models"][role], dim, *(f"{by_metric[metric]:.3f}" for metric in METRICS)])
    return rows


def _verdict(one: str, other: str, gain: Interval) -> str:
    if gain.low > 0:
        return f"{one} is better than {other} beyond luck: {GATE} {gain}"
    if gain.high < 0:
        return f"{other} is better than {one} beyond luck: {GATE} {gain}"
    return f"the difference may be luck: {GATE} {gain}"
