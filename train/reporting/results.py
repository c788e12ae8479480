"""The results of a training as values, and as metrics.json for programs and later reports.

Why so much provenance: a report is compared with others months later, so it has settings, seed, library versions and
hashes of the data. Why no rater is named: `rag forget` cannot change a report.
"""

from __future__ import annotations

import platform
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version as installed
from pathlib import Path

from rag.evaluation.intervals import Groups
from rag.evaluation.metrics import GATE, condense, evaluate_run, unjudged_share
from rag.feedback.pairs import MadePairs, count_queries, is_guess
from rag.models.precision import pick_device
from rag.models.registry import Version
from rag.records import Chunk, LabelledPair, Pair, Qrels, content_id, normalise_query
from rag.settings import Settings
from rag.training_results import MetricsFile, read_metrics
from train.dataset.folds import EvaluationSplits
from train.dataset.split import Split
from train.judging.abstention import AbstentionThreshold
from train.judging.evaluate import Run, Runs, Scores, full, serving_dim
from train.judging.gate import Verdict
from train.judging.serving_precision import PrecisionChoice

LIBRARIES = ("torch", "sentence-transformers", "transformers", "datasets", "peft", "lancedb", "numpy")
UNJUDGED_AT = (5, 10)  # passages of an answer, depth of the metrics
GONE_SHOWN = 5  # labels shown whose text is gone: enough to see which document it was

Means = dict[int, dict[str, float]]  # dimension -> metric -> mean


@dataclass(frozen=True, slots=True)
class LabelSummary:
    """Counts of labels. `raters` has (number of labels, trust) per rater, most labels first.

    `by_origin` counts rated, marked, taught and imported labels; `guessed` chunks that an answer showed but did not
    use; `withdrawn` withdrawn labels; `drawn` chunks on which raters disagree evenly. Of the `shared` chunks, which
    several raters judged for a query, `contested` were judged both good and bad. `gone_shown` has query, text and
    reason of the first of the `gone` labels.
    """

    queries: int
    by_origin: Mapping[str, tuple[int, int]]  # good, bad
    guessed: int
    withdrawn: int
    raters: Sequence[tuple[int, float]]
    shared: int
    contested: int
    drawn: int
    gone: int
    gone_shown: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class DataSummary:
    """Sizes and hashes of the training and test data, to compare two trainings."""

    documents: int
    chunks: int
    pairs: int
    judging: int  # queries
    held_out: int  # of these, held out by hash
    corpus: str
    chunks_hash: str
    pairs_hash: str
    qrels_hash: str


@dataclass(frozen=True, slots=True)
class LearningCurvePoint:
    """A point of the learning curve: a version, its number of rated queries, and ndcg@10 of each role.

    `qrels_hash` identifies the test queries and their relevant chunks, "" for a training of an older release.
    """

    version: str
    labels: int
    judging: int
    ndcg: Mapping[str, float]
    promoted: bool
    qrels_hash: str = ""


@dataclass(frozen=True, slots=True)
class TrainingResults:
    """All data of a report. The roles in `names`, `runs` and `scores` are base, champion and challenger.

    `made` has the challenger's recipe and training statistics; `labels` is None without ratings; `former` has the
    earlier trainings on the same documents; `groups` numbers the test queries that share a passage; `abstaining` the
    threshold per role; `precision` the choice for both arms, None where the version was not promoted; `ranking` how
    hybrid search ranks with the challenger, "" where embeddings alone do.
    """

    version: Version
    verdict: Verdict
    names: Mapping[str, str]
    runs: Mapping[str, Runs]
    qrels: Qrels
    groups: Groups
    scores: Mapping[str, Scores]
    chunks: Mapping[str, Chunk]
    made: Mapping[str, object]
    config: Mapping[str, object]
    data: DataSummary
    labels: LabelSummary | None
    notes: Sequence[str]
    seconds: Mapping[str, float]
    memory_mb: int | None
    former: Sequence[LearningCurvePoint] = ()
    abstaining: Mapping[str, AbstentionThreshold] = field(default_factory=dict)
    precision: PrecisionChoice | None = None
    ranking: str = ""

    @property
    def point(self) -> LearningCurvePoint:
        """Return this training as a point of the learning curve."""
        ndcg = {role: means(scores)[max(scores)][GATE] for role, scores in self.scores.items()}
        rated = self.labels.queries if self.labels else 0
        promoted = self.verdict.decision == "promote"
        return LearningCurvePoint(self.version.name, rated, len(self.qrels), ndcg, promoted, self.data.qrels_hash)


def config_of(settings: Settings) -> dict[str, object]:
    """Return the settings, machine and library versions that a training depends on; no secrets."""
    return {
        "documents": ", ".join(str(folder) for folder in settings.docs),
        "base_model": settings.base_model,
        "start_model": settings.start_model,
        "chunk_tokens": settings.chunk_tokens,
        "k": settings.k,
        "explore": settings.explore,
        "search": settings.search,
        "rerank": settings.rerank or "none",
        "mmr": settings.mmr,
        "answerer": settings.answerer,
        "device": pick_device(settings),
        "threads": settings.train_threads,
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "libraries": ", ".join(f"{name} {installed(name)}" for name in LIBRARIES),
    }


def unevaluated_options(settings: Settings) -> list[str]:
    """Return a note where the chat ranks by more than a training does: a training reranks and diversifies nothing."""
    on = {"rerank": bool(settings.rerank), "mmr": settings.mmr < 1}
    named = " and ".join(f"THUMBTUNE_{name.upper()}={getattr(settings, name)}" for name, is_on in on.items() if is_on)
    return [f"no metric is measured with {named}, which the chat also uses, in both arms"] if named else []


def data_of(
    corpus_id: str, chunks: Sequence[Chunk], evaluation: EvaluationSplits, pairs: Sequence[Pair]
) -> DataSummary:
    """Return sizes and hashes of the data; the hashes do not depend on the order of the chunks."""
    judged = [f"{query} {' '.join(sorted(relevant))}" for query, relevant in evaluation.qrels.relevant.items()]
    trained = (part for pair in pairs for part in (pair.query, pair.positive, *pair.negatives, f"{pair.weight:g}"))
    return DataSummary(
        documents=len({chunk.document_id for chunk in chunks}),
        chunks=len(chunks),
        pairs=len(pairs),
        judging=len(evaluation.qrels),
        held_out=len(evaluation.main.held_out),
        corpus=corpus_id,
        chunks_hash=content_id(*sorted(chunk.id for chunk in chunks)),
        pairs_hash=content_id(*trained),
        qrels_hash=content_id(*sorted(judged)),
    )


def labels_of(labels: Iterable[LabelledPair], made: MadePairs) -> LabelSummary:
    """Count the labels."""
    given = list(labels)
    outright = [label for label in given if label.label and not is_guess(label)]
    said: dict[tuple[str, str], dict[str, set[int]]] = {}
    for label in outright:
        said.setdefault((normalise_query(label.query), label.chunk_id), {}).setdefault(label.rater, set()).add(
            label.label
        )
    shared = [set().union(*by_rater.values()) for by_rater in said.values() if len(by_rater) > 1]
    origins = Counter((label.origin, label.label) for label in outright)
    busy = Counter(label.rater for label in outright)
    return LabelSummary(
        queries=count_queries(made.pairs),
        by_origin={origin: (origins[origin, 1], origins[origin, -1]) for origin in sorted({o for o, _ in origins})},
        guessed=sum(bool(label.label) for label in given) - len(outright),
        withdrawn=sum(label.label == 0 for label in given),
        raters=[(n, made.trust[rater]) for rater, n in busy.most_common() if rater in made.trust],
        shared=len(shared),
        contested=sum(len(values) > 1 for values in shared),
        drawn=made.ties,
        gone=len(made.retired),
        gone_shown=[(label.query, label.text, reason) for label, reason in made.retired[:GONE_SHOWN]],
    )


def trained_on_by_champion(parts: Split, trained_on: frozenset[str]) -> str:
    """Return a note on how many held-out queries have a relevant chunk that the champion was trained on."""
    n = sum(bool(relevant & trained_on) for relevant in parts.held_out.relevant.values())
    return f"the champion was trained on a relevant chunk of {n} of the held-out queries, which favours it"


def peak_memory_mb() -> int | None:
    """Return the peak memory of this process in MB (a million bytes); None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, others KiB
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


def means(scores: Scores) -> Means:
    """Return each metric's mean over the queries, per dimension."""
    return {
        dim: {metric: float(values.mean()) if values.size else 0.0 for metric, values in by_metric.items()}
        for dim, by_metric in scores.items()
    }


def widest(runs: Runs) -> Run:
    """Return the run at full dimension, which is what serves."""
    return runs[max(runs)]


@dataclass(frozen=True, slots=True)
class JudgedOnlyScores:
    """Scores at full dimension with unjudged hits removed, on `n` queries."""

    scores: Mapping[str, Scores]
    n: int


def judged_only(facts: TrainingResults) -> JudgedOnlyScores:
    """Return each role's scores on judged hits only (condensed lists)."""
    condensed = {role: condense(widest(runs).ranked, facts.qrels) for role, runs in facts.runs.items()}
    scores = {role: {max(facts.runs[role]): evaluate_run(*each)} for role, each in condensed.items()}
    return JudgedOnlyScores(scores, len(condensed["challenger"][1]))


def unjudged(facts: TrainingResults) -> dict[str, dict[int, float]]:
    """Return the share of unjudged hits at each depth, by role."""
    return {
        role: {k: unjudged_share(widest(runs).ranked, facts.qrels, k) for k in UNJUDGED_AT}
        for role, runs in facts.runs.items()
    }


def metrics_of(facts: TrainingResults, on_judged: JudgedOnlyScores) -> MetricsFile:
    """Return the content of metrics.json."""
    return {
        "version": facts.version.name,
        "kind": facts.version.kind,
        "verdict": facts.version.summary,
        "reason": facts.verdict.reason,
        "gate": _gate(facts.verdict),
        "point": asdict(facts.point),
        "config": {**facts.config, **facts.made},
        "data": asdict(facts.data),
        "labels": asdict(facts.labels) if facts.labels else None,
        "notes": list(facts.notes),
        "seconds": {stage: round(seconds, 1) for stage, seconds in facts.seconds.items()},
        "memory_mb": facts.memory_mb,
        "models": dict(facts.names),
        "means": {role: means(scores) for role, scores in facts.scores.items()},
        "cost": {
            role: {dim: {"index_bytes": run.index_bytes, "search_ms": run.search_ms} for dim, run in runs.items()}
            for role, runs in facts.runs.items()
        },
        "enough_dim": asdict(serving_dim(facts.scores["challenger"])),
        "judged_only": {
            "queries": on_judged.n,
            "means": {role: means(scores) for role, scores in on_judged.scores.items()},
        },
        "unjudged": unjudged(facts),
        "precision": asdict(facts.precision) if facts.precision else None,
        "ranking": facts.ranking,
        "abstaining": {
            role: {**asdict(each), "precision": each.precision, "told": each.summary()}
            for role, each in facts.abstaining.items()
        },
        "queries": [_query_row(facts, row, query) for row, query in enumerate(facts.qrels.relevant)],
    }


def _gate(verdict: Verdict) -> dict[str, object]:
    """Return the verdict as a JSON object; its decision is called "word" there, as in files of earlier releases."""
    fields = asdict(verdict)
    evidence = verdict.evidence
    counted = {"trainings": evidence.trainings, "queries": len(evidence.queries)}  # which ones, the registry knows
    fields["evidence"] = {"so_far": round(evidence.factor, 2), "needed": evidence.needed, **counted}
    return {"word": fields.pop("decision"), **fields}


def former_points(runs: Path, versions: Sequence[Version], folders: str) -> list[LearningCurvePoint]:
    """Return the earlier trainings on these documents, oldest first, without those whose run folder was deleted."""
    own = [version.name for version in versions if version.folders == folders]
    found = [metrics.point for name in own if (metrics := read_metrics(runs / name))]
    return [LearningCurvePoint(**point) for point in found if point]


def _query_row(facts: TrainingResults, row: int, query: str) -> dict[str, object]:
    return {"query": query, **{role: round(float(full(s)[GATE][row]), 4) for role, s in facts.scores.items()}}
