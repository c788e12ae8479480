"""Compare two ways to search on the same held-out queries: models, hybrid search, rerankers, chunk sizes.

Each side is measured with the product's own tables and search. Another chunk size or base model has other chunks:
these are indexed apart from the home's tables, in the cache, and a passage is found again by its place in the document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter

from rag.errors import BadSetting, NotEnoughFeedback
from rag.evaluation.metrics import METRICS, Values, evaluate_run
from rag.indexing.indexer import index
from rag.indexing.update import corpus_chunks, update_vectors
from rag.ingest.corpus import load_corpus
from rag.models.arms import ServedModel, promoted_models
from rag.models.embedder import load_embedder
from rag.models.registry import START_WEIGHTS
from rag.models.weights import read_dense_weight
from rag.records import Chunk, Qrels
from rag.retrieval.search import SearchOptions, build_options, retrieve
from rag.settings import Settings, load_settings
from rag.store.store import Store, open_store
from train.compare_versions import compare, held_out_queries
from train.context import TrainingContext
from train.dataset.folds import groups_of
from train.dataset.gather import gather_ratings
from train.dataset.split import qrels_of
from train.judging.gate import MIN_HELD_OUT
from train.progress import bar

SEARCH_SETTINGS = ("search", "rerank", "mmr", "explore")
ANSWER_SETTINGS = ("llm", "instructions", "llm_temperature", "llm_max_tokens", "context_tokens", "k")
CHUNK_SETTINGS = ("chunk_tokens", "base_model", "start_model")  # these change the chunks, or how they are indexed
DEPTH = 10  # hits that the metrics look at
HALF = 0.5  # of the shorter one of two passages: with less in common neither answers for the other


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: what it is called, the settings it changes, and its model.

    `model` is a version's name, the start weights, "base" or "champion".
    """

    name: str
    model: str
    changes: Mapping[str, str]

    @property
    def changes_answers(self) -> bool:
        """Return whether it changes how answers are written, and not only what is found."""
        return not self.changes.keys().isdisjoint(ANSWER_SETTINGS)

    @property
    def is_version(self) -> bool:
        """Return whether it is a model alone, with the settings as they are."""
        return not self.changes and self.model not in ("base", "champion")


@dataclass(frozen=True, slots=True)
class Measured:
    """A side's metrics per query, shape (queries,), its number of chunks, and the median milliseconds of a search."""

    values: dict[str, Values]
    dim: int
    chunks: int
    ms: float


def parse_side(text: str) -> Side:
    """Return a side from words separated by commas: at most one model, and settings such as `search=hybrid`.

    Without a model it is the champion, with `base_model=` the base arm, with `start_model=` the start weights.
    Raises BadSetting for a setting that changes neither search nor answers.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    changes = dict(word.split("=", 1) for word in words if "=" in word)
    named = [word for word in words if "=" not in word]
    comparable = (*SEARCH_SETTINGS, *CHUNK_SETTINGS, *ANSWER_SETTINGS)
    wrong = sorted(changes.keys() - {*comparable})
    if wrong or len(named) > 1 or not words:
        known = ", ".join(comparable)
        what = f"{wrong[0]!r} cannot be compared" if wrong else f"{text!r} names {len(named)} models"
        raise BadSetting(
            f"{what}: give one model (a version, base, champion or {START_WEIGHTS}), and settings: {known}"
        )
    default = "base" if "base_model" in changes else START_WEIGHTS if "start_model" in changes else "champion"
    return Side(text, named[0] if named else default, changes)


def compare_sides(context: TrainingContext, sides: tuple[Side, Side]) -> str:
    """Return the report on two sides: differences with intervals, cost, verdict. Raises NotEnoughFeedback."""
    qrels, summary = comparable_queries(context, sides)
    with ExitStack() as opened:
        worlds = [opened.enter_context(_open_world(context, side)) for side in sides]
        placed = [same_places(qrels, context.chunks, world.chunks) for world in worlds]
        both = [query for query in qrels.relevant if all(part.relevant[query] for part in placed)]
        if len(both) < MIN_HELD_OUT:
            raise NotEnoughFeedback(f"{len(both)} queries have a passage on both sides, need {MIN_HELD_OUT}: rate more")
        ours, theirs = (
            _measure(world, side, Qrels({query: part.relevant[query] for query in both}))
            for side, world, part in zip(sides, worlds, placed, strict=True)
        )
    if lost := len(qrels) - len(both):
        summary += f"; {lost} more have no passage on one side"
    if ours.chunks != theirs.chunks:
        summary += "; where a passage was cut into several, each of them counts as correct"
    one, other = (side.name for side in sides)
    groups = groups_of(Qrels({query: qrels.relevant[query] for query in both}), context.chunks)
    scores = ({ours.dim: ours.values}, {theirs.dim: theirs.values})
    report, _, verdict = compare(one, other, *scores, f"{len(both)} {summary}", groups).rpartition("\n\n")
    cost = [
        f"{side.name}: {each.chunks:,} chunks of {each.dim} dimensions, {each.ms:.0f} ms a question"
        for side, each in zip(sides, (ours, theirs), strict=True)
    ]
    return "\n\n".join([report, "\n".join(cost), verdict])


def same_places(qrels: Qrels, chunks: Sequence[Chunk], others: Sequence[Chunk]) -> Qrels:
    """Return the qrels on the chunks of another cut: those that lie at the same places of the same documents.

    Two passages are at the same place if they have at least half of the shorter one in common.
    """
    by_id = {chunk.id: chunk for chunk in chunks}
    if all(chunk_id in by_id for chunk_id in {chunk.id for chunk in others}):
        return qrels
    of_document: dict[str, list[Chunk]] = {}
    for chunk in others:
        of_document.setdefault(chunk.document_id, []).append(chunk)

    def find(chunk: Chunk) -> set[str]:
        return {
            other.id
            for other in of_document.get(chunk.document_id, ())
            if min(chunk.end, other.end) - max(chunk.start, other.start)
            >= HALF * min(chunk.end - chunk.start, other.end - other.start)
        }

    return Qrels(
        {
            query: frozenset().union(*(find(by_id[chunk_id]) for chunk_id in relevant))
            for query, relevant in qrels.relevant.items()
        }
    )


def comparable_queries(context: TrainingContext, sides: tuple[Side, Side]) -> tuple[Qrels, str]:
    """Return the queries to compare on, and what they are: all rated ones where no side's model was trained on ratings.

    Raises NotEnoughFeedback below MIN_HELD_OUT queries.
    """
    known = (START_WEIGHTS, "base")
    untrained = all(side.model in known or (side.model == "champion" and context.champion is None) for side in sides)
    if untrained:
        pairs = gather_ratings(context).pairs
        qrels = qrels_of([pair for pair in pairs if pair.judges], context.chunks)
        summary = "rated queries, since neither model was trained on ratings"
    else:
        named = [side.model for side in sides]
        qrels, summary = held_out_queries(context, named), "held-out queries, which no version was trained on"
    if len(qrels) < MIN_HELD_OUT:
        raise NotEnoughFeedback(f"{len(qrels)} {summary}, need {MIN_HELD_OUT} to compare: rate more")
    return qrels, summary


@dataclass(frozen=True, slots=True)
class _World:
    """The settings, tables and chunks of one side."""

    settings: Settings
    store: Store
    corpus_id: str
    reference: str
    options: SearchOptions
    chunks: Sequence[Chunk]


@contextmanager
def _open_world(context: TrainingContext, side: Side) -> Iterator[_World]:
    """Yield what to search for a side; indexes the documents apart where its chunks are not those of the home."""
    settings = load_settings(**side.changes)
    explore = settings.explore if "explore" in side.changes else 0
    options = replace(build_options(settings), k=DEPTH, explore=explore)
    corpus, reference = load_corpus(settings), _reference(context, settings, side)
    if corpus.id == context.corpus.id:
        yield _World(settings, context.store, corpus.id, reference, options, context.chunks)
        return
    apart = settings.model_copy(update={"home": settings.cache / "compare" / corpus.id})
    index(apart)
    with closing(open_store(apart.lancedb)) as store:
        yield _World(settings, store, corpus.id, reference, options, corpus_chunks(store, corpus.id))


def _reference(context: TrainingContext, settings: Settings, side: Side) -> str:
    """Return the reference of a side's model. Raises UnknownVersion."""
    if side.model == "base":
        return settings.base_model
    if side.model == START_WEIGHTS:
        return settings.start_model
    if side.model == "champion":
        return promoted_models(context.settings, context.corpus.folders_id)["tuned"][1]
    return str(context.registry.model_folder(context.registry.version(side.model)))


def _measure(world: _World, side: Side, qrels: Qrels) -> Measured:
    embedder = load_embedder(world.reference, world.settings)
    table = update_vectors(world.store, world.corpus_id, embedder, bar(f"embedding ({side.name})"))
    served = ServedModel("tuned", side.name, embedder, table, dense_weight=read_dense_weight(world.reference))
    ranked: dict[str, list[str]] = {}
    times = []
    for query in qrels.relevant:
        began = perf_counter()
        hits = retrieve(world.store, served, query, world.options)
        times.append(perf_counter() - began)
        ranked[query] = [hit.chunk.id for hit in hits]
    values = evaluate_run(ranked, qrels)
    return Measured({name: values[name] for name in METRICS}, embedder.dim, len(world.chunks), 1000 * median(times))
