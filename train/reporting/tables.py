"""Tables of reports, `show` and `compare`: metrics, search cost, differences with confidence intervals.

Why intervals: two means say nothing about significance. The paired interval over the same queries does, and the numbers
of queries won, tied and lost show who pays for a gain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rag.evaluation.intervals import Groups, Interval, paired_bootstrap, win_tie_loss
from rag.evaluation.metrics import METRICS, Values
from train.judging.abstention import KINDS, AbstentionThreshold
from train.judging.evaluate import Runs, Scores, full

Rows = list[list[str]]  # the first row is the head

MEGABYTE = 1e6


def metric_rows(names: Mapping[str, str], scores: Mapping[str, Scores], runs: Mapping[str, Runs]) -> Rows:
    """Return the metrics of each role at each dimension, with index size and search time."""
    rows = [["", "model", "dimension", *METRICS, "index", "search"]]
    for role, by_dim in scores.items():
        for dim, by_metric in by_dim.items():
            run = runs[role][dim]
            cost = [f"{run.index_bytes / MEGABYTE:.2f} MB", f"{run.search_ms:.2f} ms"]
            rows.append([role, names[role], str(dim), *_means(by_metric), *cost])
    return rows


def judged_rows(
    names: Mapping[str, str], scores: Mapping[str, Scores], shares: Mapping[str, Mapping[int, float]]
) -> Rows:
    """Return the metrics of each role on judged hits only, and its share of unjudged hits."""
    depths = list(next(iter(shares.values())))
    rows = [["", "model", *METRICS, *(f"unjudged@{k}" for k in depths)]]
    for role, by_dim in scores.items():
        rows.append([role, names[role], *_means(full(by_dim)), *(f"{shares[role][k]:.0%}" for k in depths)])
    return rows


def abstain_rows(names: Mapping[str, str], found: Mapping[str, AbstentionThreshold]) -> Rows:
    """Return the threshold of each role, and the share of each kind of questions that it declines."""
    kinds = [kind for kind in KINDS if any(kind in each.of for each in found.values())]
    rows = [["", "model", "threshold", "precision", "recall", *(KINDS[kind] for kind in kinds)]]
    for role, each in found.items():
        how = ["never", "-", "-"]
        if each.below is not None:
            how = [f"{each.below:.3f}", f"{each.precision:.2f}", f"{each.recall.share.mean:.2f}"]
        rows.append([role, names[role], *how, *(str(each.of.get(kind, "-")) for kind in kinds)])
    return rows


def difference_rows(
    names: tuple[str, str], ours: Mapping[str, Values], theirs: Mapping[str, Values], groups: Groups | None = None
) -> Rows:
    """Return for each metric both means, the difference with its interval, and the queries won, tied and lost.

    `groups` numbers the queries that share a passage (paired_bootstrap).
    """
    rows = [["", *names, "difference", "queries"]]
    for metric, mine in ours.items():
        other = theirs[metric]
        cells = [precise(paired_bootstrap(mine, other, groups=groups)), str(win_tie_loss(mine, other))]
        rows.append([metric, _mean(mine), _mean(other), *cells])
    return rows


def precise(interval: Interval) -> str:
    """Format a difference and its interval to three decimals."""
    return f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Format rows for a terminal, with aligned columns."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _means(by_metric: Mapping[str, Values]) -> list[str]:
    return [_mean(by_metric[metric]) for metric in METRICS]


def _mean(values: Values) -> str:
    return f"{float(values.mean()):.3f}" if values.size else "-"
