"""Evaluate models on held-out queries over the whole corpus: metrics per dimension and query, index size, search time.

Why no train/serve skew: each model is evaluated with the vectors that it serves with. Those of base and champion are
read from their tables; the challenger's, embedded once, become its table if it is promoted. Where the chat uses hybrid
search, so does the evaluation, by the same function.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from statistics import median

from rag.evaluation.metrics import GATE, Values, evaluate_run
from rag.indexing.update import Embedded, update_vectors
from rag.models.embedder import Embedder, Vectors
from rag.models.weights import read_dense_weight
from rag.records import Chunk, Qrels
from rag.retrieval.fusion import combine
from train.chunk_vectors import ROWS, cut, nearest, table_vectors
from train.context import TrainingContext

Scores = dict[int, dict[str, Values]]  # dimension -> metric -> a value per held-out query
KeywordSearch = Callable[[str], Mapping[str, float]]  # query -> chunk id -> BM25 score of the POOL best chunks

POOL = 50  # ranks kept: metrics read ten, but unjudged hits may be removed (rag.evaluation.metrics.condense)
TIMED = 20  # queries for the search time
AS_GOOD = 0.005  # ndcg@10 that a smaller dimension may cost: half a point is below what any report here can resolve


@dataclass(frozen=True, slots=True)
class ScoredCandidate:
    """A model with unit vectors of the test queries (queries, dim) and of all chunks (chunks, dim), both in order.

    `dense_weight` is the share of its cosine in hybrid search, None the usual one.
    """

    name: str
    queries: Vectors
    chunks: Vectors
    dense_weight: float | None = None

    @property
    def dim(self) -> int:
        """Return the full dimension."""
        return int(self.chunks.shape[1])


@dataclass(frozen=True, slots=True)
class Run:
    """A model's ranking at one dimension: per query the POOL best chunks, best first; and its cost.

    `index_bytes` are the chunks' vectors in float32, without their texts. `search_ms` is the median wall time of one
    query's exact search in numpy over all chunks, one query at a time, without embedding it; measured on ROWS of them
    where there are more. `cosines` has per query
    the chunks that hybrid search ranks, those nearest and those found by keywords; nothing for dense search.
    """

    ranked: dict[str, list[str]]
    index_bytes: int
    search_ms: float
    cosines: dict[str, dict[str, float]] = field(default_factory=dict)


Runs = dict[int, Run]  # by dimension, the full one first


@dataclass(frozen=True, slots=True)
class ServingDim:
    """The smallest dimension that is good enough to serve, and why."""

    dim: int
    reason: str


def serving(
    context: TrainingContext,
    name: str,
    embedder: Embedder,
    held_out: Qrels,
    progress: Embedded = lambda done, total: None,
) -> ScoredCandidate:
    """Return a serving model for scoring, with the vectors of its table; updates the table first."""
    table = update_vectors(context.store, context.corpus.id, embedder, progress)
    vectors = table_vectors(context.store, table, context.chunks, context.settings.cache)
    queries = embedder.embed_queries(list(held_out.relevant))
    return ScoredCandidate(name, queries, vectors, read_dense_weight(embedder.reference))


def evaluation_runs(
    rounds: Iterable[tuple[Qrels, Mapping[str, ScoredCandidate]]],
    chunks: Sequence[Chunk],
    dims_of: Callable[[int], Sequence[int]],
    keywords: KeywordSearch | None = None,
) -> dict[str, Runs]:
    """Rank the chunks for all test queries, split by split; return each role's runs.

    With `keywords` by hybrid search, else by embeddings alone. A role's model may differ from split to split, its
    dimensions may not. Pass a generator: the vectors of one split are freed before the next one is made.
    """
    rows = {chunk.id: row for row, chunk in enumerate(chunks)}
    runs: dict[str, Runs] = {}
    for held_out, scored in rounds:
        _add_round(runs, held_out, scored, rows, dims_of, keywords)
        del scored  # frees its vectors before the next split's are made
    return runs


def scores_of(runs: Runs, qrels: Qrels) -> Scores:
    """Return the metrics at each dimension, shape (queries,) in the order of the qrels."""
    return {dim: evaluate_run(run.ranked, qrels) for dim, run in runs.items()}


def judge(
    scored: Mapping[str, ScoredCandidate],
    held_out: Qrels,
    chunks: Sequence[Chunk],
    dims_of: Callable[[int], Sequence[int]],
    keywords: KeywordSearch | None = None,
) -> dict[str, Scores]:
    """Return the metrics of each role at its dimensions: vectors truncated and normalised, exact cosine search."""
    runs = evaluation_runs([(held_out, scored)], chunks, dims_of, keywords)
    return {role: scores_of(each, held_out) for role, each in runs.items()}


def full(scores: Scores) -> dict[str, Values]:
    """Return the metrics at full dimension, which is what serves."""
    return scores[max(scores)]


def serving_dim(scores: Scores) -> ServingDim:
    """Return the smallest dimension whose mean ndcg@10 is within AS_GOOD of the full one's."""
    largest = max(scores)
    means = {dim: float(values[GATE].mean()) if values[GATE].size else 0.0 for dim, values in scores.items()}
    dim = min(dim for dim, mean in means.items() if mean >= means[largest] - AS_GOOD)
    text = f"{GATE} {means[dim]:.3f} at {dim} dimensions"
    if dim == largest:
        return ServingDim(dim, f"{text}, and every smaller one costs more than {AS_GOOD}")
    return ServingDim(
        dim, f"{text}, {means[largest]:.3f} at {largest}: within {AS_GOOD}, at {dim / largest:.0%} of the size"
    )


def keyword_search(context: TrainingContext, embedder: Embedder) -> KeywordSearch | None:
    """Return BM25 over the table of a model where the chat uses hybrid search, None where it does not."""
    return word_search(context, embedder) if context.settings.search == "hybrid" else None


def word_search(context: TrainingContext, embedder: Embedder) -> KeywordSearch:
    """Return BM25 over the table of a model. Every model's table has the same chunks; it must be up to date."""
    store = context.store.chunks
    table = store.table_name(context.corpus.id, embedder.fingerprint)
    store.build_text_index(table)
    return cache(lambda query: store.keyword_scores(table, query, POOL))


def _add_round(
    runs: dict[str, Runs],
    held_out: Qrels,
    scored: Mapping[str, ScoredCandidate],
    rows: Mapping[str, int],
    dims_of: Callable[[int], Sequence[int]],
    keywords: KeywordSearch | None,
) -> None:
    for role, candidate in scored.items():
        _add(runs.setdefault(role, {}), candidate, held_out, rows, dims_of(candidate.dim), keywords)


def _add(
    runs: Runs,
    candidate: ScoredCandidate,
    held_out: Qrels,
    rows: Mapping[str, int],
    dims: Sequence[int],
    keywords: KeywordSearch | None,
) -> None:
    ids = list(rows)
    for dim in dims:
        queries, chunks = cut(candidate.queries, dim), candidate.chunks
        if dim not in runs or not runs[dim].ranked:
            runs[dim] = Run({}, len(chunks) * dim * chunks.itemsize, _search_ms(queries, chunks, dim))
        run, found_rows = runs[dim], nearest(queries, chunks, POOL, dim=dim)[0]
        for query, vector, best in zip(held_out.relevant, queries, found_rows, strict=True):
            run.ranked[query] = [ids[row] for row in best]
            if keywords:
                found = keywords(query)
                pool = list(dict.fromkeys([*run.ranked[query], *(each for each in found if each in rows)]))
                cosines = cut(chunks[[rows[each] for each in pool]], dim) @ vector
                run.cosines[query] = dict(zip(pool, map(float, cosines), strict=True))
                run.ranked[query] = list(combine(run.cosines[query], found, candidate.dense_weight))[:POOL]


def _search_ms(queries: Vectors, chunks: Vectors, dim: int) -> float:
    """Return the median time of one query among the first ROWS vectors, multiplied by how many there are."""
    some, times = cut(chunks[:ROWS], dim), []
    for row in range(min(TIMED, len(queries))):
        began = time.perf_counter()
        nearest(queries[row : row + 1], some, POOL)
        times.append(time.perf_counter() - began)
    return 1000 * median(times) * len(chunks) / max(1, len(some)) if times else 0.0
