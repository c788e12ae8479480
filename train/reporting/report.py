"""Write the report of a training: verdict and reason, metrics, differences, queries won and lost, data.

runs/<version>/report.html     for people: one self-contained file with plots
runs/<version>/report.md       the same page, with the plots as .svg files
runs/<version>/metrics.json    for programs: the same numbers, and those of every test query
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from rag.evaluation.evidence import Evidence
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
RATERS_SHOWN = 10  # those with most labels; the others are only counted

HELD_OUT = (
    "Held out: {n} queries that a hash of their text, or of another query on their passage, keeps out of every "
    "training, the champion's too. The models were evaluated as they serve."
)
CROSS_FITTED = (
    "Cross-fitted: the hash holds out {main} queries so far, fewer than {enough}, so every rated query is a "
    "test query, {n} in total. For each fold of the others both recipes, the challenger's and the champion's, were "
    "retrained without that fold; the numbers are those of the recipes. The version itself was trained on all folds."
)
COST_NOTE = (
    "The index size is that of the chunks' vectors without their texts; the search time is the median of single "
    "queries over all chunks on this machine, without embedding the query."
)
ON_JUDGED = (
    "Ratings judge only what was shown, and a hit that nobody judged counts as wrong above. Here such hits are removed "
    "and the others move up, on the {n} queries that have a chunk judged wrong as well as a correct one. A challenger "
    "with many more unjudged hits than the champion is better than the metrics above say; unjudged@5 is their share "
    "among the first 5."
)
NONE_JUDGED = (
    "No test query has a chunk that was judged wrong, so there are no metrics on judged hits alone: where only right "
    "chunks are known, the first one is always right."
)
CURVE_NOTE = (
    "Each version was evaluated with the test queries of its time, so compare the models at one version rather than "
    "one model over the versions; a line joins only versions with the same test queries. Filled markers are versions "
    "that the gate promoted."
)
ABSTAIN_NOTE = (
    "Where the cosine of the nearest passage is below a model's threshold, the chat says that it does not know. At "
    "most one in twenty of the questions whose correct passage is found may be declined. The shares are "
    "cross-validated: each fifth was measured with a threshold fitted on the others. Precision is the share of "
    "declined questions that have no answer, at equal numbers of questions with and without one. Where only a "
    "question's own passage is missing, the cosine does not help: other passages on the same subject are as near."
)
NOT_SERVING = "Not measured: the version was not promoted, so the precision stays."
PRECISION_NOTE = (
    "On {n} test queries and {chunks} chunks, each model compared with itself in full precision; seconds are processor "
    "time. All other metrics in this report are in the precision of training."
)
CURVE_ALONE = "This is the first training on these documents with a report; a curve needs two."


def write_report(folder: Path, facts: TrainingResults) -> Path:
    """Write report.html, report.md, the plots and metrics.json into a run folder; return the path of report.html."""
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
        promoted, judged = [point.promoted for point in points], [point.qrels_hash for point in points]
        plots[CURVE_PLOT] = learning_curve(names, labels, ndcg, promoted, judged)
    return plots


def _page(facts: TrainingResults, on_judged: JudgedOnlyScores) -> str:
    """Return the report as Markdown, the most important sections first."""
    sections = {
        "How it was judged": _judged(facts),
        "Metrics on the test queries": _metrics(facts),
        "Differences at full dimension": _differences(facts),
        "Metrics on judged hits alone": _on_judged(facts, on_judged),
        "When it says that it does not know": _abstaining(facts),
        "Precision that both arms serve in": _precision(facts),
        "Learning curve": _curve(facts),
        "Queries won most against the champion": _contrast(facts, best=True),
        "Queries lost most against the champion": _contrast(facts, best=False),
        "Labels and noise": _labels(facts.labels),
        "Data": _data(facts),
        "How the challenger was made": bullets(_formatted(facts.made)),
        "Settings and versions": bullets(facts.config),
        "Time and memory": bullets(_time_and_memory(facts)),
    }
    head = f"# Training {facts.version.name}\n\n`{facts.version.summary}`\n\nWhy: {plain(facts.verdict.reason)}."
    return "\n\n".join([head, *(f"## {title}\n\n{text}" for title, text in sections.items())]) + "\n"


def _judged(facts: TrainingResults) -> str:
    verdict, n = facts.verdict, len(facts.qrels)
    how = (HELD_OUT if verdict.kind == "held out" else CROSS_FITTED).format(
        n=n, main=facts.data.held_out, enough=ENOUGH_HELD_OUT
    )
    values = {
        "challenger over champion": f"{verdict.gain} of {GATE} on {verdict.n} queries: {verdict.tally}",
        "ranked": facts.ranking or "by the embeddings alone",
        "evidence so far": _evidence(verdict.evidence),
        "more rated questions that would decide it": _needed(verdict),
        "blind duels since the last promotion": verdict.online or "none that were decided",
        **{
            f"regression set, {each.name}": _set(each.has_regressed, str(each))
            for each in verdict.regressions
            if each.n
        },
    }
    return f"{how}\n\n{bullets(values)}"


def _evidence(evidence: Evidence) -> str:
    trainings = f"{evidence.trainings} training{'s' if evidence.trainings > 1 else ''}"
    return (
        f"{evidence}, from {trainings} against this champion on {len(evidence.queries)} queries, each counted once; "
        f"without any gain it reaches {evidence.needed:.0f} by chance in at most 1 of {evidence.needed:.0f} histories, "
        "however often somebody trains"
    )


def _needed(verdict: Verdict) -> str:
    if verdict.more is not None:
        return f"about {verdict.more}, if gain and spread stay as they are"
    decided = verdict.rule or (verdict.gain.low > 0 and verdict.evidence.is_enough)
    return "none, it is decided" if decided else "not known: more ratings of the same kind would not"


def _set(broken: bool, text: str) -> str:
    return f"{'broken' if broken else 'kept'} ({text.partition(': ')[2]})"


def _metrics(facts: TrainingResults) -> str:
    enough = serving_dim(facts.scores["challenger"])
    served = (
        f"A version serves its largest dimension (`--serve-dim` makes a smaller one). For the challenger {enough.dim} "
        f"dimensions would be enough: {enough.reason}. {COST_NOTE}"
    )
    plot = f"![{GATE} and hit_rate@5 by dimension, for each model]({QUALITY_PLOT})"
    return f"{plot}\n\n{_table(metric_rows(facts.names, facts.scores, facts.runs))}\n\n{served}"


def _differences(facts: TrainingResults) -> str:
    ours = full(facts.scores["challenger"])
    parts = [
        f"Challenger over {other}:\n\n"
        + _table(difference_rows(("challenger", other), ours, full(facts.scores[other]), facts.groups))
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
        return "The thresholds were not measured."
    lines = {role: each.summary() for role, each in facts.abstaining.items()}
    return f"{ABSTAIN_NOTE}\n\n{bullets(lines)}\n\n{_table(abstain_rows(facts.names, facts.abstaining))}"


def _precision(facts: TrainingResults) -> str:
    choice = facts.precision
    if choice is None:
        return NOT_SERVING
    text = f"{choice.precision or 'The native or configured one'}: {choice.why}."
    if not choice.measured:
        return text
    failed = [f"{precision}: {why}" for precision, why in choice.failed.items()]
    more = f"\n\n{bullets(failed)}" if failed else ""
    return f"{text}\n\n{PRECISION_NOTE.format(n=choice.n, chunks=choice.chunks)}\n\n{_table(choice.rows())}{more}"


def _curve(facts: TrainingResults) -> str:
    points = [*facts.former, facts.point]
    if len(points) < 2:
        return CURVE_ALONE
    rows = [["version", "rated queries", "test queries", *facts.names, "gate"]]
    for point in points:
        ndcg = [f"{point.ndcg[role]:.3f}" for role in facts.names]
        gate = "promote" if point.promoted else "keep"
        rows.append([point.version, str(point.labels), str(point.judging), *ndcg, gate])
    return f"{CURVE_NOTE}\n\n![{GATE} of each model over the versions]({CURVE_PLOT})\n\n{_table(rows)}"


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
        "rated queries with a positive": labels.queries,
        **{f"labels by {origin}": f"{good} good, {bad} bad" for origin, (good, bad) in labels.by_origin.items()},
        "chunks shown but not used by a good answer, assumed to be wrong": labels.guessed,
        "withdrawn": labels.withdrawn,
        "judged by several raters": f"{labels.shared}, of which {labels.contested} both good and bad",
        "left out because raters disagree": labels.drawn,
        "whose text is gone from the documents": labels.gone,
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
        parts.append("Trust: 1 for a rater who always agrees with the others, 0 for one who agrees at random or less.")
    return "\n\n".join(parts)


def _data(facts: TrainingResults) -> str:
    data = facts.data
    values = {
        "documents": data.documents,
        "chunks": data.chunks,
        "pairs trained on": data.pairs,
        "test queries": data.judging,
        "of these held out by hash": data.held_out,
        "corpus": data.corpus,
        "hash of chunks": data.chunks_hash,
        "hash of pairs": data.pairs_hash,
        "hash of qrels": data.qrels_hash,
    }
    notes = [line for note in facts.notes for line in note.splitlines()]
    return bullets([*(f"{name}: {value}" for name, value in values.items()), *notes])


def _formatted(made: Mapping[str, object]) -> dict[str, object]:
    return {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in made.items()}


def _time_and_memory(facts: TrainingResults) -> dict[str, str]:
    peak = f"{facts.memory_mb} MB" if facts.memory_mb else "not available on Windows"
    total = sum(facts.seconds.values())
    stages = {stage: f"{seconds:.1f} s" for stage, seconds in facts.seconds.items()}
    return {**stages, "total": f"{total:.1f} s", "peak memory": peak}


def _table(rows: Rows) -> str:
    head, *body = [[plain(cell) for cell in row] for row in rows]
    return table(head, body)
