"""Choose the precision that both arms serve in: the fastest whose ndcg@10 is within 0.005 of fp32.

Why one precision for both arms: only the weights may differ between them. So it is measured on base and on the new
version, and a precision that costs either too much is not chosen. Models behind an endpoint are not measured.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from rag.errors import BadModel
from rag.evaluation.intervals import Interval, paired_bootstrap
from rag.evaluation.metrics import GATE, Values
from rag.models.embedder import Embedder, load_embedder
from rag.models.precision import Precision, bf16_pays, native, pick_device
from rag.models.weights import is_adapter
from rag.records import Chunk, Qrels, content_id
from rag.settings import Settings
from train.judging.evaluate import ScoredCandidate, full, judge

WITHIN = 0.005  # ndcg@10 below fp32: half a point is below what any report here can resolve
MIN_JUDGING = 10  # queries, as at the gate; on fewer, a single lost query decides
MOST_JUDGING = 300  # queries; with the chunks below a model of MiniLM's size takes a minute on one core
OTHERS = 500  # chunks besides the relevant ones, sampled by hash
TIMED, ROUNDS = 96, 2  # chunks embedded for timing; precisions take turns, so that other load affects each alike
ASKED = 20  # queries embedded one by one for timing


@dataclass(frozen=True, slots=True)
class JudgedSample:
    """A sample of test queries, and of chunks to search."""

    qrels: Qrels
    chunks: Sequence[Chunk]


@dataclass(frozen=True, slots=True)
class MeasuredPrecision:
    """A role's model in one precision: ndcg@10, change against fp32, and speed.

    `per_second` is chunks per second of processor time, `query_ms` the median wall time of one query.
    """

    role: str
    precision: Precision
    ndcg: float
    change: Interval
    per_second: float
    query_ms: float

    def row(self) -> list[str]:
        """Return the cells of its table row."""
        change = f"{self.change.mean:+.4f} [{self.change.low:+.4f}, {self.change.high:+.4f}]"
        return [
            self.role,
            self.precision,
            f"{self.ndcg:.4f}",
            change,
            f"{self.per_second:.1f}",
            f"{self.query_ms:.1f} ms",
        ]


@dataclass(frozen=True, slots=True)
class PrecisionChoice:
    """The chosen precision (None: the native one), the reason, and the measurements on `n` queries and `chunks` chunks.

    `failed` has for a precision the reason why a model cannot be loaded in it.
    """

    precision: Precision | None
    why: str
    measured: Sequence[MeasuredPrecision] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    n: int = 0
    chunks: int = 0

    def rows(self) -> list[list[str]]:
        """Return the measurements as table rows, the first one the head."""
        head = ["", "precision", GATE, "to fp32", "chunks per second", "a query"]
        return [head, *(each.row() for each in self.measured)]


AFTER_BOOTSTRAP = PrecisionChoice(None, "not measured after a bootstrap, which the first start of the chat waits for")


def choose_precision(
    settings: Settings,
    references: Mapping[str, str],
    qrels: Qrels,
    chunks: Sequence[Chunk],
    now: Precision | None = None,
) -> PrecisionChoice:
    """Measure both arms' models in each precision that this machine supports, and choose one for both.

    With a query adapter the current precision `now` stays, since the index stays unchanged.
    """
    if settings.precision != "auto":
        return PrecisionChoice(None, f"set by THUMBTUNE_PRECISION={settings.precision}; not measured")
    if (device := pick_device(settings)) != "cpu":
        return PrecisionChoice(None, f"always {native(settings)} on {device}; not measured")
    if any(is_adapter(reference) for reference in references.values()):
        return PrecisionChoice(now, "a query adapter changes neither the index nor the precision; not measured")
    if len(qrels) < MIN_JUDGING:
        return PrecisionChoice(None, f"{len(qrels)} test queries, need {MIN_JUDGING}: {native(settings)} as before")
    sample = draw(qrels, chunks)
    measured: list[MeasuredPrecision] = []
    failed: dict[str, str] = {}
    for role, reference in references.items():
        models, why = _load_each(settings, reference)
        if why:
            failed["int8"] = f"{role}: {why}"
        if models["fp32"].precision:  # else an endpoint's
            measured += measure(role, models, sample)
    choice, why = fastest([each for each in measured if each.precision not in failed])
    return PrecisionChoice(choice, why, measured, failed, len(sample.qrels), len(sample.chunks))


def draw(qrels: Qrels, chunks: Sequence[Chunk]) -> JudgedSample:
    """Return a sample by hash: MOST_JUDGING queries, all their relevant chunks, and OTHERS more chunks."""
    queries = sorted(qrels.relevant, key=lambda query: content_id("precision", query))[:MOST_JUDGING]
    asked = Qrels({query: qrels.relevant[query] for query in queries})
    right = frozenset[str]().union(*asked.relevant.values())
    by_hash = sorted(chunks, key=lambda chunk: content_id("precision", chunk.id))
    others = [chunk for chunk in by_hash if chunk.id not in right][:OTHERS]
    return JudgedSample(asked, [*(chunk for chunk in by_hash if chunk.id in right), *others])


def measure(role: str, models: Mapping[Precision, Embedder], sample: JudgedSample) -> list[MeasuredPrecision]:
    """Measure quality and speed of a role's model in each precision."""
    texts = [chunk.embedded for chunk in sample.chunks]
    values = {precision: _ndcg(model, sample, texts) for precision, model in models.items()}
    seconds = dict.fromkeys(models, 0.0)
    for _ in range(ROUNDS):
        for precision, model in models.items():
            began = time.process_time()
            model.embed_documents(texts[:TIMED])
            seconds[precision] += time.process_time() - began
    queries = list(sample.qrels.relevant)[:ASKED]
    return [
        MeasuredPrecision(
            role,
            precision,
            float(values[precision].mean()),
            paired_bootstrap(values[precision], values["fp32"]),
            ROUNDS * len(texts[:TIMED]) / max(seconds[precision], 1e-9),
            1000 * median(_wall(model, query) for query in queries),
        )
        for precision, model in models.items()
    ]


def fastest(measured: Sequence[MeasuredPrecision]) -> tuple[Precision | None, str]:
    """Return the fastest precision (by its slower role) of those that cost no role more than WITHIN, and the reason.

    The precision is None where nothing was measured.
    """
    by_precision: dict[Precision, list[MeasuredPrecision]] = {}
    for each in measured:
        by_precision.setdefault(each.precision, []).append(each)
    if not by_precision:
        return None, "both arms' models run behind endpoints"
    exact = {each.role: each.ndcg for each in by_precision["fp32"]}
    lost = {name: max(exact[each.role] - each.ndcg for each in rows) for name, rows in by_precision.items()}
    pace = {name: min(each.per_second for each in rows) for name, rows in by_precision.items()}
    best = max((name for name in lost if lost[name] <= WITHIN), key=lambda name: pace[name])
    out = [f"{name} costs {lost[name]:.3f}" for name in lost if lost[name] > WITHIN and pace[name] > pace[best]]
    others = "; ".join(out) or "no faster one was measured"
    return best, (
        f"the fastest whose {GATE} is at most {WITHIN} below fp32 in both arms ({max(lost[best], 0):.3f} below, "
        f"{pace[best] / pace['fp32']:.1f} times as fast); {others}"
    )


def _load_each(settings: Settings, reference: str) -> tuple[dict[Precision, Embedder], str]:
    """Load a model in each precision of this machine; the second value says why int8 failed, if it did."""
    models: dict[Precision, Embedder] = {"fp32": load_embedder(reference, settings, "fp32")}
    if bf16_pays(pick_device(settings)):
        models["bf16"] = load_embedder(reference, settings, "bf16")
    try:
        models["int8"] = load_embedder(reference, settings, "int8")
    except BadModel as error:
        return models, str(error)
    return models, ""


def _ndcg(model: Embedder, sample: JudgedSample, texts: list[str]) -> Values:
    scored = ScoredCandidate(
        model.reference, model.embed_queries(list(sample.qrels.relevant)), model.embed_documents(texts)
    )
    scores = judge({"it": scored}, sample.qrels, sample.chunks, lambda dim: (dim,))
    return full(scores["it"])[GATE]


def _wall(model: Embedder, query: str) -> float:
    began = time.perf_counter()
    model.embed_queries([query])
    return time.perf_counter() - began
