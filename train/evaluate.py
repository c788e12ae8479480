"""Models x held-out queries -> runs over the whole corpus -> metrics per dimension and query.

The idea a reader would miss: each model is judged by the vectors that it serves with. Those of base and champion are
read from their tables, and the challenger's, made here once, become its table if it is promoted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.embed import Embedder, Vectors
from rag.index import Embedded, update_vectors
from rag.records import Chunk, Qrels
from rag.stats import DEPTH, Values, evaluate_run
from rag.store import Store

Scores = dict[int, dict[str, Values]]  # dimension -> metric -> a value per held-out query

BLOCK = 256  # queries ranked at once: against 100,000 chunks 100 MB of scores


@dataclass(frozen=True, slots=True)
class Contender:
    """A model with a unit vector per held-out query and per chunk of the corpus, both in order."""

    name: str
    queries: Vectors
    chunks: Vectors

    @property
    def dim(self) -> int:
        """Return the full dimension."""
        return int(self.chunks.shape[1])


def serving(
    name: str,
    embedder: Embedder,
    held_out: Qrels,
    chunks: Sequence[Chunk],
    store: Store,
    corpus_id: str,
    progress: Embedded = lambda done, total: None,
) -> Contender:
    """Return a model that serves, by the vectors of its table, which is first brought level with the documents."""
    stored, vectors = store.read_chunks(update_vectors(store, corpus_id, embedder, progress))
    rows = {chunk.id: row for row, chunk in enumerate(stored)}
    order = [rows[chunk.id] for chunk in chunks]
    return Contender(name, embedder.embed_queries(list(held_out.relevant)), vectors[order])


def newcomer(
    name: str,
    embedder: Embedder,
    held_out: Qrels,
    chunks: Sequence[Chunk],
    progress: Embedded = lambda done, total: None,
) -> Contender:
    """Return a model that has no table yet; its vectors are made here."""
    texts = [chunk.text for chunk in chunks]
    vectors = embedder.embed_documents(texts, lambda done: progress(done, len(texts)))
    return Contender(name, embedder.embed_queries(list(held_out.relevant)), vectors)


def judge(
    entered: Mapping[str, Contender], held_out: Qrels, chunks: Sequence[Chunk], dims_of: Callable[[int], Sequence[int]]
) -> dict[str, Scores]:
    """Return the metrics of each contender at its dimensions: vectors cut and made unit again, exact cosine search."""
    ids = [chunk.id for chunk in chunks]
    return {
        role: {dim: _scores(each, held_out, ids, dim) for dim in dims_of(each.dim)} for role, each in entered.items()
    }


def full(scores: Scores) -> dict[str, Values]:
    """Return the metrics at full dimension, the one that serves."""
    return scores[max(scores)]


def _scores(contender: Contender, held_out: Qrels, ids: Sequence[str], dim: int) -> dict[str, Values]:
    best = _nearest(_cut(contender.queries, dim), _cut(contender.chunks, dim))
    run = {query: [ids[row] for row in rows] for query, rows in zip(held_out.relevant, best, strict=True)}
    return evaluate_run(run, held_out)


def _cut(vectors: Vectors, dim: int) -> Vectors:
    part: Vectors = vectors[:, :dim]
    lengths = np.linalg.norm(part, axis=1, keepdims=True)
    unit: Vectors = part / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit


def _nearest(queries: Vectors, chunks: Vectors) -> list[NDArray[np.intp]]:
    """Return for each query the rows of the DEPTH nearest chunks, best first, ties by row."""
    found: list[NDArray[np.intp]] = []
    for start in range(0, len(queries), BLOCK):
        scores = queries[start : start + BLOCK] @ chunks.T
        deep = min(DEPTH, scores.shape[1])
        for row in scores:
            top = np.sort(np.argpartition(-row, deep - 1)[:deep])
            found.append(top[np.argsort(-row[top], kind="stable")])
    return found
