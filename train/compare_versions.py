"""Evaluate, compare and show versions: `evaluate` on a file of labels, `compare` on the current held-out queries.

Why both: a version may have been trained on queries of the file (leakage); that is allowed, and reported. No version
was trained on a held-out query.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rag.errors import BadLabels, NotEnoughFeedback
from rag.evaluation.intervals import Groups, Interval, paired_bootstrap
from rag.evaluation.metrics import GATE, METRICS
from rag.feedback.files.import_export import read_labels
from rag.feedback.pairs import alike, make_pairs
from rag.models.arms import promoted_models
from rag.models.embedder import load_embedder
from rag.models.registry import START_WEIGHTS, Version
from rag.records import Qrels, normalise_query
from rag.settings import Settings
from rag.training_results import METRICS_FILE, REPORT_FILE, TrainingMetrics, read_metrics
from train.context import TrainingContext
from train.dataset.earlier_versions import known_sides, trained_pairs
from train.dataset.folds import groups_of
from train.dataset.gather import gather_ratings
from train.dataset.held_out import hold_out_groups
from train.dataset.split import qrels_of
from train.judging.evaluate import Scores, full, judge, keyword_search, serving
from train.judging.gate import MIN_HELD_OUT
from train.judging.serving_precision import PrecisionChoice, choose_precision
from train.progress import bar
from train.recipe import matryoshka_dims
from train.reporting.results import means
from train.reporting.tables import aligned, difference_rows


@dataclass(frozen=True, slots=True)
class MeasuredVersions:
    """Scores and model names by role, a summary of the test queries, and a number for those that share a passage."""

    scores: Mapping[str, Scores]
    names: Mapping[str, str]
    summary: str
    groups: Groups

    def table(self) -> str:
        """Return the mean of every metric as a table, one line per role and dimension."""
        rows = [["", "model", "dimension", *METRICS]]
        for role, scores in self.scores.items():
            for dim, values in means(scores).items():
                rows.append([role, self.names[role], str(dim), *(f"{values[metric]:.3f}" for metric in METRICS)])
        return f"{self.summary}\n\n{aligned(rows)}"


def measure_by_file(context: TrainingContext, name: str, path: Path) -> MeasuredVersions:
    """Evaluate base, champion and the version `name` (skipped if empty) on the queries of a file of labels.

    Raises BadLabels where the file has no positive on these documents, and UnknownVersion.
    """
    settings, chunks = context.settings, context.chunks
    read = read_labels(path, context.store.documents.read(context.corpus.id))
    pairs = make_pairs(read.labels, chunks, alike).pairs
    if not pairs:
        raise BadLabels(
            f"{path}: none of its {len(read.labels)} labels is a positive in these documents: nothing to evaluate"
        )
    qrels = qrels_of(pairs, chunks)
    models = _served(settings, context.corpus.folders_id)
    if name:
        models["version"] = (name, _reference(context, name))
    asked = {normalise_query(query) for query in qrels.relevant}
    trained_on = {
        normalise_query(pair.query) for pair in trained_pairs(Path(models.get("version", models["champion"])[1]))
    }
    summary = f"{len(qrels)} queries of {path}; {len(read.unmatched)} lines match no passage in these documents"
    if asked & trained_on:
        summary += f"; the version was trained on {len(asked & trained_on)} of these queries, which favours it"
    return _measure(context, models, qrels, summary)


def measure_held_out(context: TrainingContext, names: Sequence[str]) -> MeasuredVersions:
    """Evaluate versions on the current held-out queries. Raises NotEnoughFeedback below MIN_HELD_OUT queries."""
    qrels = held_out_queries(context, names)
    if len(qrels) < MIN_HELD_OUT:
        raise NotEnoughFeedback(
            f"{len(qrels)} rated queries are held out, need {MIN_HELD_OUT} to compare versions: rate more, or "
            "evaluate both with `python -m train evaluate VERSION --qrels FILE`"
        )
    models = {name: (name, _reference(context, name)) for name in names}
    return _measure(context, models, qrels, f"{len(qrels)} held-out queries, which no version was trained on")


def measure_precision(context: TrainingContext, reference: str) -> PrecisionChoice:
    """Choose the precision of both arms for serving this model, measured on the current held-out queries."""
    settings, folders = context.settings, context.corpus.folders_id
    try:
        qrels = held_out_queries(context)
    except NotEnoughFeedback:
        qrels = Qrels({})
    now = context.registry.precision(folders, context.champion, settings.base_model)
    return choose_precision(settings, {"base": settings.base_model, "tuned": reference}, qrels, context.chunks, now)


def held_out_queries(context: TrainingContext, names: Collection[str] = ()) -> Qrels:
    """Return the current held-out queries: no version for everybody was trained on them, nor those named, of groups.

    Raises NotEnoughFeedback.
    """
    groups = {version.group for version in context.registry.versions() if version.name in names}
    pairs = gather_ratings(context).pairs
    held_out = hold_out_groups(pairs, known_sides(context.registry, context.corpus.folders_id, groups))
    return qrels_of([pair for pair in pairs if pair.judges and held_out.judges(pair.query)], context.chunks)


def _measure(
    context: TrainingContext, models: Mapping[str, tuple[str, str]], qrels: Qrels, summary: str
) -> MeasuredVersions:
    scores: dict[str, Scores] = {}
    for role, (name, reference) in models.items():
        embedder = load_embedder(reference, context.settings)
        scored = serving(context, name, embedder, qrels, bar(f"embedding ({name})"))
        keywords = keyword_search(context, embedder)
        scores |= judge({role: scored}, qrels, context.chunks, matryoshka_dims, keywords)
    groups = groups_of(qrels, context.chunks)
    return MeasuredVersions(scores, {role: name for role, (name, _) in models.items()}, summary, groups)


def _served(settings: Settings, folders: str) -> dict[str, tuple[str, str]]:
    arms = promoted_models(settings, folders)
    return {"base": arms["base"], "champion": arms["tuned"]}


def _reference(context: TrainingContext, name: str) -> str:
    """Return the model reference of a version, or of the start weights, by name. Raises UnknownVersion."""
    if name == START_WEIGHTS:
        return context.settings.start_model
    return str(context.registry.model_folder(context.registry.version(name)))


def show(version: Version, run: Path, *, serves: bool) -> str:
    """Describe a version: verdict, metrics, report. `run` is its run folder, which may be deleted."""
    metrics = read_metrics(run)
    whom = f"group {version.group}" if version.group else "these documents"
    lines = [
        f"{version.name}{', which serves ' + whom if serves else ''}",
        f"trained {version.created:%Y-%m-%d %H:%M} UTC on {version.kind}, from {version.started_from}",
        version.summary,
    ]
    if metrics is None:
        return "\n".join([*lines, f"{run / METRICS_FILE} was deleted, so there are no metrics to show"])
    lines += [f"why: {metrics.reason}", "", aligned(_means(metrics)), ""]
    if metrics.abstaining:  # not in older reports
        lines += [*(f"{role} {text}" for role, text in metrics.abstaining.items()), ""]
    lines.append(f"report: {run / REPORT_FILE}")
    return "\n".join(lines)


def compare(one: str, other: str, ours: Scores, theirs: Scores, summary: str, groups: Groups | None = None) -> str:
    """Compare two versions on the same queries: tables, then the verdict.

    `summary` describes the queries, `groups` numbers those that share a passage (paired_bootstrap).
    """
    names = (one, other)
    parts = [f"{one} against {other}: {summary}", aligned(difference_rows(names, full(ours), full(theirs), groups))]
    shared = [dim for dim in ours if dim in theirs and dim != max(ours)]
    if shared:
        at = {f"{GATE} at {dim}": (ours[dim][GATE], theirs[dim][GATE]) for dim in shared}
        first, second = ({name: pair[n] for name, pair in at.items()} for n in (0, 1))
        parts.append(aligned(difference_rows(names, first, second, groups)))
    gain = paired_bootstrap(full(ours)[GATE], full(theirs)[GATE], groups=groups)
    return "\n\n".join([*parts, _verdict(one, other, gain)])


def _means(metrics: TrainingMetrics) -> list[list[str]]:
    rows = [["", "model", "dimension", *METRICS]]
    for role, by_dim in metrics.means.items():
        for dim, by_metric in by_dim.items():
            rows.append([role, metrics.models[role], str(dim), *(f"{by_metric[metric]:.3f}" for metric in METRICS)])
    return rows


def _verdict(one: str, other: str, gain: Interval) -> str:
    if gain.low > 0:
        return f"{one} is better than {other}, statistically significant: {GATE} {gain}"
    if gain.high < 0:
        return f"{other} is better than {one}, statistically significant: {GATE} {gain}"
    return f"the difference is not statistically significant: {GATE} {gain}"
