"""A training's own page: the verdict and why, who is better and by how much, which queries paid for it, and on what.

runs/<version>/report.html     to be read: one file with its plots, which loads nothing
runs/<version>/report.md       the same page, with the plots beside it as .svg
runs/<version>/metrics.json    the same numbers, and every query's that judged, to be worked with
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from rag.evaluation.metrics import GATE
from rag.training_results import CURVE_PLOT, METRICS_FILE, QUALITY_PLOT, REPORT_FILE
from train.dataset.folds import ENOUGH_HELD_OUT
from train.judging.evaluate import full, serving_dim
from train.judging.gate import Verdict
from train.reporting.markdown import bullets, plain, table, to_html
from train.reporting.plots import as_file, learning_curve, quality_by_dimension
from train.reporting.query_diff import Side, excerpt, format_query_diff
from train.reporting.results import (
    JudgedOnlyScores,
    LabelSummary,
    TrainingResults,
    judged_only,
    means,
    metrics_of,
    unjudged,
    widest,
)
from train.reporting.tables import Rows, abstain_rows, difference_rows, judged_rows, metric_rows

MARKDOWN_FILE = "report.md"
RATERS_SHOWN = 10  # the busiest; in a large team the rest is a sum

HELD_OUT = (
    "Held out: {n} queries that a hash of their text keeps out of every training, the champion's too. The models were "
    "judged as they are."
)
CROSS_FITTED = (
    "Cross-fitted: the hash holds out {main} queries so far, fewer than {enough}, so every rated query judges, {n} in "
    "all. For each part of the others both recipes, the challenger's and the champion's, were trained anew without "
    "that part; the numbers are those of the recipes. The version itself learnt from all parts."
)
COST_TOLD = (
    "The index is the chunks' vectors without their texts; a search is the median of one query at a time over all "
    "chunks on this machine, without embedding the query."
)
ON_JUDGED = (
    "Votes judge only what was shown, and a hit that nobody judged counts as wrong above. Here such hits are taken out "
    "and the others move up, on the {n} queries that have a chunk judged wrong as well as a right one. A challenger "
    "with many more unjudged hits than the champion is better than the plain numbers say; unjudged@5 is their share "
    "among the first 5."
)
NONE_JUDGED = (
    "No query that judges has a chunk that was judged wrong, so there is nothing to tell on judged hits alone: where "
    "only right ones are known, the first is always right."
)
CURVE_TOLD = (
    "Each version was judged by the queries of its own day, so compare the lines at one version rather than one line "
    "over the versions. A filled mark was promoted by the gate."
)
ABSTAIN_TOLD = (
    "Where the cosine of the nearest passage is below a model's threshold, the chat says that it does not know. At "
    "most one in twenty of the questions whose right passage is found may be declined; each fifth was measured by a "
    "threshold that was fitted on the others. Precision is the share of the declined ones that have no answer, were "
    "there as many questions without an answer as with one. Where only a question's own passage is missing no cosine "
    "tells, for other passages on the same matter are as near."
)
NOT_SERVING = "Not measured: the version does not serve, so nothing changes."
PRECISION_TOLD = (
    "On {n} queries that judge and {chunks} chunks, each model beside itself in full precision; seconds are those of "
    "the processor. All other figures here are in the precision that models are trained in."
)
CURVE_ALONE = "This is the first training on these documents that has a report; a curve takes two."


def write_report(folder: Path, facts: TrainingResults) -> Path:
    """Write the page, its plots and metrics.json into a run's folder, and return the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    on_judged = judged_only(facts)
    plots = _plots(facts)
    markdown = _page(facts, on_judged)
    files = {
        METRICS_FILE: json.dumps(metrics_of(facts, on_judged), indent=2),
        MARKDOWN_FILE: markdown,
        REPORT_FILE: to_html(markdown, f"Training {facts.version.name}", plots),
        **{name: as_file(svg) for name, svg in plots.items()},
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder / REPORT_FILE


def _plots(facts: TrainingResults) -> dict[str, str]:
    plots = {QUALITY_PLOT: quality_by_dimension({role: means(scores) for role, scores in facts.scores.items()})}
    points = [*facts.former, facts.point]
    if len(points) > 1:
        ndcg = {role: [point.ndcg[role] for point in points] for role in facts.names}
        names, labels = [point.version for point in points], [point.labels for point in points]
        plots[CURVE_PLOT] = learning_curve(names, labels, ndcg, [point.promoted for point in points])
    return plots


def _page(facts: TrainingResults, on_judged: JudgedOnlyScores) -> str:
    """Return the whole page; what comes first is what most readers want."""
    sections = {
        "How it was judged": _judged(facts),
        "Metrics on the queries that judge": _metrics(facts),
        "Differences at full dimension": _differences(facts),
        "Metrics on judged hits alone": _on_judged(facts, on_judged),
        "When it says that it does not know": _abstaining(facts),
        "Precision that both arms serve in": _precision(facts),
        "Learning curve": _curve(facts),
        "Queries won most against the champion": _contrast(facts, best=True),
        "Queries lost most against the champion": _contrast(facts, best=False),
        "Labels and noise": _labels(facts.labels),
        "Data": _data(facts),
        "How the challenger was made": bullets(_worded(facts.made)),
        "Settings and versions": bullets(facts.config),
        "Time and memory": bullets(_spent(facts)),
    }
    head = f"# Training {facts.version.name}\n\n`{facts.version.summary}`\n\nWhy: {plain(facts.verdict.reason)}."
    return "\n\n".join([head, *(f"## {title}\n\n{text}" for title, text in sections.items())]) + "\n"


def _judged(facts: TrainingResults) -> str:
    verdict, n = facts.verdict, len(facts.qrels)
    how = (HELD_OUT if verdict.kind == "held out" else CROSS_FITTED).format(
        n=n, main=facts.data.held_out, enough=ENOUGH_HELD_OUT
    )
    told = {
        "challenger over champion": f"{verdict.gain} of {GATE} on {verdict.n} queries: {verdict.tally}",
        "more rated questions that would decide it": _needed(verdict),
        "blind duels since the last promotion": verdict.online or "none that were decided",
        **{f"regression set, {each.name}": _set(each.is_broken, str(each)) for each in verdict.regressions if each.n},
    }
    return f"{how}\n\n{bullets(told)}"


def _needed(verdict: Verdict) -> str:
    if verdict.more is not None:
        return f"about {verdict.more}, if gain and spread stay as they are"
    decided = verdict.rule or verdict.gain.low > 0
    return "none, it is decided" if decided else "not to be told: more of the same would not"


def _set(broken: bool, told: str) -> str:
    return f"{'broken' if broken else 'kept'} ({told.partition(': ')[2]})"


def _metrics(facts: TrainingResults) -> str:
    enough = serving_dim(facts.scores["challenger"])
    served = (
        f"What serves has the largest of its dimensions (`--serve-dim` makes a smaller one); of the challenger's "
        f"{enough.dim} would be enough: {enough.reason}. {COST_TOLD}"
    )
    plot = f"![{GATE} and hit_rate@5 by dimension, for each model]({QUALITY_PLOT})"
    return f"{plot}\n\n{_table(metric_rows(facts.names, facts.scores, facts.runs))}\n\n{served}"


def _differences(facts: TrainingResults) -> str:
    ours = full(facts.scores["challenger"])
    parts = [
        f"Challenger over {other}:\n\n"
        + _table(difference_rows(("challenger", other), ours, full(facts.scores[other])))
        for other in ("champion", "base")
    ]
    return "\n\n".join(["Mean difference with its 95% paired bootstrap interval, and on how many queries.", *parts])


def _on_judged(facts: TrainingResults, on_judged: JudgedOnlyScores) -> str:
    if not on_judged.n:
        shares = {role: f"{by_depth[5]:.0%}" for role, by_depth in unjudged(facts).items()}
        return f"{NONE_JUDGED}\n\nShare of the first 5 hits that nobody judged:\n\n{bullets(shares)}"
    return f"{ON_JUDGED.format(n=on_judged.n)}\n\n{_table(judged_rows(facts.names, on_judged.scores, unjudged(facts)))}"


def _abstaining(facts: TrainingResults) -> str:
    if not facts.abstaining:
        return "It was not measured when each model does not know."
    told = {role: each.told() for role, each in facts.abstaining.items()}
    return f"{ABSTAIN_TOLD}\n\n{bullets(told)}\n\n{_table(abstain_rows(facts.names, facts.abstaining))}"


def _precision(facts: TrainingResults) -> str:
    choice = facts.precision
    if choice is None:
        return NOT_SERVING
    told = f"{choice.precision or 'The one of this machine, or the one that is set'}: {choice.why}."
    if not choice.measured:
        return told
    failed = [f"{precision}: {why}" for precision, why in choice.failed.items()]
    more = f"\n\n{bullets(failed)}" if failed else ""
    return f"{told}\n\n{PRECISION_TOLD.format(n=choice.n, chunks=choice.chunks)}\n\n{_table(choice.rows())}{more}"


def _curve(facts: TrainingResults) -> str:
    points = [*facts.former, facts.point]
    if len(points) < 2:
        return CURVE_ALONE
    rows = [["version", "rated queries", "queries that judged", *facts.names, "gate"]]
    for point in points:
        ndcg = [f"{point.ndcg[role]:.3f}" for role in facts.names]
        gate = "promote" if point.promoted else "keep"
        rows.append([point.version, str(point.labels), str(point.judging), *ndcg, gate])
    return f"{CURVE_TOLD}\n\n![{GATE} of each model over the versions]({CURVE_PLOT})\n\n{_table(rows)}"


def _contrast(facts: TrainingResults, *, best: bool) -> str:
    champion, challenger = (
        Side(f"{role} ({facts.names[role]})", widest(facts.runs[role]).ranked, full(facts.scores[role])[GATE])
        for role in ("champion", "challenger")
    )
    return format_query_diff(champion, challenger, facts.qrels, facts.chunks, best=best)


def _labels(labels: LabelSummary | None) -> str:
    if labels is None:
        return "None: the pairs were made from the documents."
    counts = {
        "rated queries with a right chunk": labels.queries,
        **{f"labels by {origin}": f"{good} good, {bad} bad" for origin, (good, bad) in labels.by_origin.items()},
        "chunks shown and left unused, guessed to be wrong": labels.guessed,
        "withdrawn, or saying nothing": labels.withdrawn,
        "judged by several raters": f"{labels.shared}, of which {labels.contested} both good and bad",
        "left out because the raters are split": labels.drawn,
        "pointing at text that is gone": labels.gone,
    }
    gone = [f"gone: {query!r} had {excerpt(text)!r}; {why}" for query, text, why in labels.gone_shown]
    parts = [bullets([*(f"{name}: {value}" for name, value in counts.items()), *gone])]
    if labels.raters:
        shown = labels.raters[:RATERS_SHOWN]
        rows = [
            ["rater", "labels", "trust"],
            *([str(n), str(k), f"{trust:.2f}"] for n, (k, trust) in enumerate(shown, 1)),
        ]
        more = len(labels.raters) - len(shown)
        parts.append(_table(rows) + (f"\n\nAnd {more} more." if more else ""))
        parts.append("Trust: 0 for who says the opposite of the others or tosses a coin, 1 for who always agrees.")
    return "\n\n".join(parts)


def _data(facts: TrainingResults) -> str:
    data = facts.data
    told = {
        "documents": data.documents,
        "chunks": data.chunks,
        "pairs trained on": data.pairs,
        "queries that judge": data.judging,
        "of these held out by their hash": data.held_out,
        "corpus": data.corpus,
        "hash of chunks": data.chunks_hash,
        "hash of pairs": data.pairs_hash,
        "hash of qrels": data.qrels_hash,
    }
    notes = [line for note in facts.notes for line in note.splitlines()]
    return bullets([*(f"{name}: {value}" for name, value in told.items()), *notes])


def _worded(made: Mapping[str, object]) -> dict[str, object]:
    return {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in made.items()}


def _spent(facts: TrainingResults) -> dict[str, str]:
    peak = f"{facts.memory_mb} MB" if facts.memory_mb else "not known: Windows does not tell"
    total = sum(facts.seconds.values())
    stages = {stage: f"{seconds:.1f} s" for stage, seconds in facts.seconds.items()}
    return {**stages, "in all": f"{total:.1f} s", "most memory": peak}


def _table(rows: Rows) -> str:
    head, *body = [[plain(cell) for cell in row] for row in rows]
    return table(head, body)
