"""In which precision a new champion serves: the fastest whose ndcg@10 stays within half a point of fp32.

The idea a reader would miss: both arms serve in one precision, so that weights alone tell them apart. So it is measured
on base and on the new version, and what costs one of them too much is not chosen for either. What an endpoint computes
is its own affair.
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

WITHIN = 0.005  # ndcg@10 below fp32: half a point is below what any report here can show
MIN_JUDGING = 10  # queries, as at the gate; on fewer, one that is lost is called a loss of all
MOST_JUDGING = 300  # queries; with the chunks below a model of MiniLM's size takes a minute on one core
OTHERS = 500  # chunks besides the right ones, drawn by hash
TIMED, ROUNDS = 96, 2  # chunks that are embedded for their time, in turns, so that a busy minute meets each precision
ASKED = 20  # queries whose embedding is timed, one by one


@dataclass(frozen=True, slots=True)
class JudgedSample:
    """The queries that judge and the chunks they are looked for in."""

    qrels: Qrels
    chunks: Sequence[Chunk]


@dataclass(frozen=True, slots=True)
class MeasuredPrecision:
    """A role's model in a precision: its ndcg@10, what that is beside fp32, and what embedding takes.

    `per_second` is chunks per second of processor time, `query_ms` the median wall time of one query.
    """

    role: str
    precision: Precision
    ndcg: float
    change: Interval
    per_second: float
    query_ms: float

    def row(self) -> list[str]:
        """Return it as cells."""
        beside = f"{self.change.mean:+.4f} [{self.change.low:+.4f}, {self.change.high:+.4f}]"
        return [
            self.role,
            self.precision,
            f"{self.ndcg:.4f}",
            beside,
            f"{self.per_second:.1f}",
            f"{self.query_ms:.1f} ms",
        ]


@dataclass(frozen=True, slots=True)
class PrecisionChoice:
    """The precision to serve in, why, and what that rests on: `n` queries and `chunks`. None: the native one.

    `failed` says of a precision why a model cannot be had in it.
    """

    precision: Precision | None
    why: str
    measured: Sequence[MeasuredPrecision] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    n: int = 0
    chunks: int = 0

    def rows(self) -> list[list[str]]:
        """Return what was measured as a table, the first row its head."""
        head = ["", "precision", GATE, "to fp32", "chunks per second", "a query"]
        return [head, *(each.row() for each in self.measured)]


AFTER_BOOTSTRAP = PrecisionChoice(
    None, "a newcomer waits for the first training; it is measured when one on ratings is promoted"
)


def choose_precision(
    settings: Settings,
    references: Mapping[str, str],
    qrels: Qrels,
    chunks: Sequence[Chunk],
    now: Precision | None = None,
) -> PrecisionChoice:
    """Measure the models of both arms, by role, in each precision that this machine has, and choose one for both.

    With an adapter it stays the one that was chosen until `now`: it is there in seconds, and the index stays as it is.
    """
    if settings.precision != "auto":
        return PrecisionChoice(None, f"THUMBTUNE_PRECISION={settings.precision} says so; nothing was measured")
    if (device := pick_device(settings)) != "cpu":
        return PrecisionChoice(None, f"on {device} it is {native(settings)}; nothing was measured")
    if any(is_adapter(reference) for reference in references.values()):
        return PrecisionChoice(now, "an adapter leaves the index as it is, and so the precision; nothing was measured")
    if len(qrels) < MIN_JUDGING:
        return PrecisionChoice(
            None, f"{len(qrels)} queries to judge by, need {MIN_JUDGING}: {native(settings)} as before"
        )
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
    """Return so many of the queries, all chunks that are right for them, and OTHERS; a hash draws, not an order."""
    queries = sorted(qrels.relevant, key=lambda query: content_id("precision", query))[:MOST_JUDGING]
    asked = Qrels({query: qrels.relevant[query] for query in queries})
    right = frozenset[str]().union(*asked.relevant.values())
    by_hash = sorted(chunks, key=lambda chunk: content_id("precision", chunk.id))
    others = [chunk for chunk in by_hash if chunk.id not in right][:OTHERS]
    return JudgedSample(asked, [*(chunk for chunk in by_hash if chunk.id in right), *others])


def measure(role: str, models: Mapping[Precision, Embedder], sample: JudgedSample) -> list[MeasuredPrecision]:
    """Return what a role's model, loaded in each precision, is worth and takes."""
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
    """Return the precision in which the slower role is fastest, of those that cost none of them more than WITHIN.

    None where nothing was measured.
    """
    by_precision: dict[Precision, list[MeasuredPrecision]] = {}
    for each in measured:
        by_precision.setdefault(each.precision, []).append(each)
    if not by_precision:
        return None, "both arms' models are computed by endpoints"
    exact = {each.role: each.ndcg for each in by_precision["fp32"]}
    lost = {name: max(exact[each.role] - each.ndcg for each in rows) for name, rows in by_precision.items()}
    pace = {name: min(each.per_second for each in rows) for name, rows in by_precision.items()}
    best = max((name for name in lost if lost[name] <= WITHIN), key=lambda name: pace[name])
    out = [f"{name} costs {lost[name]:.3f}" for name in lost if lost[name] > WITHIN and pace[name] > pace[best]]
    beside = "; ".join(out) or "nothing faster was measured"
    return best, (
        f"the fastest whose {GATE} is at most {WITHIN} below fp32 in both arms ({max(lost[best], 0):.3f} below, "
        f"{pace[best] / pace['fp32']:.1f} times as fast); {beside}"
    )


def _load_each(settings: Settings, reference: str) -> tuple[dict[Precision, Embedder], str]:
    """Return a model in each precision of this machine, and why it is not to be had in int8."""
    models: dict[Precision, Embedder] = {"fp32": load_embedder(reference, settings, "fp32")}
    if bf16_pays(pick_device(settings)):
        models["bf16"] = load_embedder(reference, settings, "bf16")
    try:
        models["int8"] = load_embedder(reference, settings, "int8")
    except BadModel as error:
        return models, str(error)
    return models, ""


def _ndcg(model: Embedder, sample: JudgedSample, texts: list[str]) -> Values:
    entered = ScoredCandidate(
        model.reference, model.embed_queries(list(sample.qrels.relevant)), model.embed_documents(texts)
    )
    scores = judge({"it": entered}, sample.qrels, sample.chunks, lambda dim: (dim,))
    return full(scores["it"])[GATE]


def _wall(model: Embedder, query: str) -> float:
    began = time.perf_counter()
    model.embed_queries([query])
    return time.perf_counter() - began
