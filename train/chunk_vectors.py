"""The vectors of all chunks, on disk where there are many, and exact search among them in blocks.

A million vectors of 384 dimensions take 1.5 GB, and a training compares several models. What lies in a file is read
page by page, and the operating system takes the pages back when memory is short.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rag.errors import StoreFailed
from rag.indexing.update import Embedded
from rag.models.embedder import Embedder, Vectors
from rag.records import Chunk
from rag.store.store import Store

IN_MEMORY = 50_000  # vectors that are held in memory: 77 MB of 384 dimensions
ROWS, BLOCK = 20_000, 256  # chunks and queries of one matrix product: 20 MB of scores
EMBEDDED = 20_000  # chunks whose texts are handed to the model at once
ZEROS = bytes(1 << 20)

Rows = NDArray[np.intp]


def room_for(count: int, dim: int, folder: Path) -> Vectors:
    """Return an array (count, dim) to be filled: in memory, or in a file of this folder that is gone when it is freed.

    Raises StoreFailed where the disk has no room for it: written later, it would end the process.
    """
    if count <= IN_MEMORY:
        return np.empty((count, dim), dtype=np.float32)
    size = count * dim * np.dtype(np.float32).itemsize
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            for start in range(0, size, len(ZEROS)):
                file.write(ZEROS[: size - start])
            file.flush()
            return np.asarray(np.memmap(file, np.float32, "r+", shape=(count, dim)))
    except OSError as error:
        raise StoreFailed(
            f"{folder}: no room for the vectors of {count:,} chunks ({size / 1e9:.1f} GB): {error.strerror}: "
            "free some space"
        ) from error


def table_vectors(store: Store, table: str, chunks: Sequence[Chunk], folder: Path) -> Vectors:
    """Return the vectors of these chunks from a table (chunks, dim), in their order; `folder` as in `room_for`."""
    rows = {chunk.id: row for row, chunk in enumerate(chunks)}
    filled = np.zeros(len(chunks), dtype=np.bool_)
    made: list[Vectors] = []

    def take(ids: list[str], vectors: Vectors) -> None:
        if not made:
            made.append(room_for(len(chunks), vectors.shape[1], folder))
        places = np.array([rows.get(each, -1) for each in ids], dtype=np.intp)
        known = places >= 0
        made[0][places[known]] = vectors[known]
        filled[places[known]] = True

    store.chunks.read_vectors(table, take)
    if not filled.all():
        raise KeyError(f"{table}: {int((~filled).sum())} of {len(chunks)} chunks have no vector")
    return made[0]


def embed_chunks(embedder: Embedder, chunks: Sequence[Chunk], folder: Path, progress: Embedded) -> Vectors:
    """Embed the chunks (chunks, dim), in their order; `folder` as in `room_for`."""
    found = room_for(len(chunks), embedder.dim, folder)
    for start in range(0, len(chunks), EMBEDDED):
        some = chunks[start : start + EMBEDDED]
        found[start : start + len(some)] = embedder.embed_documents(
            [chunk.embedded for chunk in some], lambda done: progress(done, len(chunks))
        )
    return found


def nearest(
    queries: Vectors, vectors: Vectors, deep: int, *, dim: int = 0, among: Rows | None = None
) -> tuple[Rows, Vectors]:
    """Return the rows of the `deep` nearest vectors of each query, best first, ties by row, and their cosines.

    Both have the shape (queries, deep), or fewer columns where there are fewer vectors. `queries` (queries, dim) and
    `vectors` (chunks, dim) are unit vectors; with `dim` below their size the latter are cut and normalised, and queries
    have that size. `among` are the rows that are searched, sorted; all by default. Why not sentence-transformers'
    `semantic_search`: it cuts no vectors, and its ties have no order, by which trainings would differ.
    """
    count = len(vectors) if among is None else len(among)
    deep = min(deep, count)
    best = np.zeros((len(queries), 0), dtype=np.float32)
    rows = np.zeros((len(queries), 0), dtype=np.intp)
    if not len(queries):
        return rows.reshape(0, deep), best.reshape(0, deep)
    for start in range(0, count, ROWS):
        here = np.arange(start, min(start + ROWS, count)) if among is None else among[start : start + ROWS]
        block = cut(vectors[here[0] : here[-1] + 1] if among is None else vectors[here], dim)
        found = [
            _nearest_of(queries[first : first + BLOCK] @ block.T, here, deep) for first in range(0, len(queries), BLOCK)
        ]
        best = np.hstack([best, np.vstack([scores for _, scores in found])])
        rows = np.hstack([rows, np.vstack([places for places, _ in found])])
        order = np.argsort(-best, axis=1, kind="stable")[:, :deep]  # of equals the first, which are earlier rows
        best, rows = np.take_along_axis(best, order, axis=1), np.take_along_axis(rows, order, axis=1)
    return rows, best


def cut(vectors: Vectors, dim: int = 0) -> Vectors:
    """Return the first `dim` dimensions as unit vectors; the vectors themselves where they have no more, or for 0."""
    if not dim or dim >= vectors.shape[1]:
        return vectors
    part: Vectors = vectors[:, :dim]
    lengths = np.linalg.norm(part, axis=1, keepdims=True)
    unit: Vectors = part / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit


def _nearest_of(scores: Vectors, here: Rows, deep: int) -> tuple[Rows, Vectors]:
    """Return the rows and scores of the `deep` greatest scores of each query among `here`, by row."""
    deep = min(deep, scores.shape[1])
    top = np.sort(np.argpartition(-scores, deep - 1, axis=1)[:, :deep], axis=1)
    return here[top], np.take_along_axis(scores, top, axis=1)
