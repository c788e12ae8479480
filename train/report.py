"""A training's own page: what went in, what came out, and which queries paid for it.

runs/<version>/report.md       to be read
runs/<version>/metrics.json    the same numbers, and every held-out query's, to be worked with
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path

import numpy as np

from rag.embed import pick_device
from rag.records import Chunk, Pair, content_id
from rag.registry import Version
from rag.settings import Settings
from rag.stats import GATE, METRICS, Interval, paired_bootstrap, win_tie_loss
from train.evaluate import Scores, full
from train.split import Split

LIBRARIES = ("torch", "sentence-transformers", "transformers", "datasets", "lancedb")
SHOWN = 10  # queries won and lost most


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a training when it ends. `names` and `scores` have base, champion and challenger."""

    version: Version
    reason: str
    names: Mapping[str, str]
    config: Mapping[str, object]
    data: Mapping[str, object]
    notes: Sequence[str]
    scores: Mapping[str, Scores]
    queries: Sequence[str]
    seconds: Mapping[str, float]


def write_report(folder: Path, facts: Facts) -> Path:
    """Write report.md and metrics.json into a run's folder, and return the path of the report."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(_metrics(facts), indent=2), encoding="utf-8")
    report = folder / "report.md"
    report.write_text(_page(facts), encoding="utf-8")
    return report


def config_of(settings: Settings) -> dict[str, object]:
    """Return the settings and library versions that a training depends on."""
    return {
        "base_model": settings.base_model,
        "start_model": settings.start_model,
        "chunk_tokens": settings.chunk_tokens,
        "device": pick_device(settings),
        "threads": settings.train_threads,
        "libraries": ", ".join(f"{name} {installed(name)}" for name in LIBRARIES),
    }


def data_of(corpus_id: str, chunks: Sequence[Chunk], parts: Split, pairs: Sequence[Pair]) -> dict[str, object]:
    """Return what was trained and judged on: how much, and hashes by which two runs can be compared."""
    judged = [f"{query} {' '.join(sorted(relevant))}" for query, relevant in parts.held_out.relevant.items()]
    return {
        "chunks": len(chunks),
        "pairs trained on": len(pairs),
        "queries held out": len(parts.held_out),
        "corpus": corpus_id,
        "hash of chunks": content_id(*sorted(chunk.id for chunk in chunks)),
        "hash of pairs": content_id(*(part for pair in pairs for part in (pair.query, pair.positive, *pair.negatives))),
        "hash of held-out qrels": content_id(*sorted(judged)),
    }


def seen_by_champion(parts: Split, seen: frozenset[str]) -> str:
    """Say for how many held-out queries the champion learnt a right chunk, before a rater asked that query."""
    n = sum(bool(relevant & seen) for relevant in parts.held_out.relevant.values())
    return f"the champion was trained on a right chunk of {n} of the held-out queries, which favours it"


def means(scores: Scores) -> dict[int, dict[str, float]]:
    """Return each metric's mean over the queries, per dimension."""
    return {
        dim: {metric: float(values.mean()) if values.size else 0.0 for metric, values in by_metric.items()}
        for dim, by_metric in scores.items()
    }


def _metrics(facts: Facts) -> dict[str, object]:
    return {
        "version": facts.version.name,
        "kind": facts.version.kind,
        "verdict": facts.version.summary,
        "reason": facts.reason,
        "config": dict(facts.config),
        "data": dict(facts.data),
        "notes": list(facts.notes),
        "seconds": {stage: round(seconds, 1) for stage, seconds in facts.seconds.items()},
        "models": dict(facts.names),
        "means": {role: means(scores) for role, scores in facts.scores.items()},
        "queries": [_query_row(facts, row, query) for row, query in enumerate(facts.queries)],
    }


def _query_row(facts: Facts, row: int, query: str) -> dict[str, object]:
    return {"query": query, **{role: round(float(full(s)[GATE][row]), 4) for role, s in facts.scores.items()}}


def _page(facts: Facts) -> str:
    sections = [
        f"# Training {facts.version.name}\n\n`{facts.version.summary}`\n\nWhy: {facts.reason}.",
        "## Metrics on the held-out queries\n\n" + _metric_table(facts),
        "## Differences at full dimension\n\nMean and 95% paired bootstrap interval, and on how many queries.\n\n"
        + "\n\n".join(_differences(facts, other) for other in ("champion", "base")),
        "## Queries won most against the champion\n\n" + _queries(facts, best=True),
        "## Queries lost most against the champion\n\n" + _queries(facts, best=False),
        "## Data\n\n" + "\n".join([_list(facts.data), *(f"- {note}" for note in facts.notes)]),
        "## Configuration\n\n" + _list(facts.config),
        "## Time\n\n" + _list({stage: f"{seconds:.1f} s" for stage, seconds in facts.seconds.items()}),
    ]
    return "\n\n".join(sections) + "\n"


def _metric_table(facts: Facts) -> str:
    rows = [
        [role, _cell(facts.names[role]), str(dim), *(f"{values[metric]:.3f}" for metric in METRICS)]
        for role, scores in facts.scores.items()
        for dim, values in means(scores).items()
    ]
    return _table(["", "model", "dimension", *METRICS], rows)


def _differences(facts: Facts, other: str) -> str:
    ours, theirs = full(facts.scores["challenger"]), full(facts.scores[other])
    rows = [
        [metric, _precise(paired_bootstrap(mine, theirs[metric])), str(win_tie_loss(mine, theirs[metric]))]
        for metric, mine in ours.items()
    ]
    return f"Challenger over {other} ({facts.names[other]}):\n\n" + _table(["", "difference", "queries"], rows)


def _queries(facts: Facts, *, best: bool) -> str:
    """Return the queries that gained (or lost) most, with both values of the gate's metric."""
    ours, theirs = full(facts.scores["challenger"])[GATE], full(facts.scores["champion"])[GATE]
    gained = (ours - theirs) * (1 if best else -1)
    order = [row for row in np.argsort(-gained, kind="stable") if gained[row] > 0][:SHOWN]
    rows = [[_cell(facts.queries[row]), f"{theirs[row]:.2f}", f"{ours[row]:.2f}"] for row in order]
    return _table(["query", "champion", "challenger"], rows) if rows else "None."


def _precise(interval: Interval) -> str:
    return f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """Return a text that cannot break out of its table cell."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _list(values: Mapping[str, object]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in values.items())
