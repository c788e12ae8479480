"""Exact search in blocks finds what a sort of all cosines finds; many vectors lie in a file."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.errors import StoreFailed
from rag.records import Chunk
from rag.store.store import open_store
from train import chunk_vectors
from train.chunk_vectors import cut, embed_chunks, nearest, room_for, table_vectors

RNG = np.random.default_rng(0)


def unit(count: int, dim: int = 8) -> np.ndarray:
    made = RNG.normal(size=(count, dim)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def chunk(n: int) -> Chunk:
    return Chunk(f"c{n:03}", "d", "d.txt", "", "", None, f"text {n}", 0, 6)


@pytest.fixture
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_vectors, "ROWS", 7)
    monkeypatch.setattr(chunk_vectors, "BLOCK", 3)
    monkeypatch.setattr(chunk_vectors, "EMBEDDED", 4)
    monkeypatch.setattr(chunk_vectors, "IN_MEMORY", 10)


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("dim", [0, 3, 8])
def test_the_nearest_in_blocks_are_the_first_of_all_sorted(dim: int) -> None:
    vectors, queries = unit(40), cut(unit(5), dim)
    vectors[[11, 23, 35]] = vectors[4]  # equals in several blocks: the earlier rows come first
    scores = queries @ cut(vectors, dim).T
    rows, cosines = nearest(queries, vectors, 9, dim=dim)
    for row in range(len(queries)):
        scores[row][[11, 23, 35]] = scores[row][4]  # a product of other shape rounds otherwise
    wanted = np.argsort(-scores, axis=1, kind="stable")[:, :9]
    np.testing.assert_array_equal(rows, wanted)
    np.testing.assert_allclose(cosines, np.take_along_axis(scores, wanted, axis=1), atol=1e-6)


@pytest.mark.usefixtures("_small_blocks")
def test_some_rows_may_be_searched_alone_and_there_may_be_fewer_than_asked_for() -> None:
    vectors, queries, some = unit(40), unit(4), np.array([2, 3, 9, 17, 18, 19, 20, 33, 39])
    rows, _ = nearest(queries, vectors, 20, among=some)
    assert rows.shape == (4, 9)
    for query, found in zip(queries, rows, strict=True):
        assert found.tolist() == some[np.argsort(-(vectors[some] @ query), kind="stable")].tolist()
    assert nearest(queries, vectors[:0], 5)[0].shape == (4, 0)
    assert nearest(queries[:0], vectors, 5)[1].shape == (0, 5)


@pytest.mark.usefixtures("_small_blocks")
def test_the_vectors_of_a_table_come_in_the_order_of_the_chunks(tmp_path: Path) -> None:
    store, chunks, vectors = open_store(tmp_path / "lancedb"), [chunk(n) for n in range(30)], unit(30)
    store.chunks.put("t", chunks, vectors)
    wanted = [29, *range(3, 15)]
    found = table_vectors(store, "t", [chunks[n] for n in wanted], tmp_path / "cache")
    np.testing.assert_array_equal(found, vectors[wanted])
    assert isinstance(found.base, np.memmap)
    assert list((tmp_path / "cache").iterdir()) == []  # gone as soon as nobody holds it
    with pytest.raises(KeyError, match="1 of 2 chunks have no vector"):
        table_vectors(store, "t", [chunks[0], chunk(99)], tmp_path / "cache")
    store.close()


@pytest.mark.usefixtures("_small_blocks")
def test_chunks_are_embedded_some_at_a_time(tmp_path: Path) -> None:
    class Counting:
        dim, calls = 2, list[int]()

        def embed_documents(self, texts: list[str], progress: Any) -> np.ndarray:
            self.calls.append(len(texts))
            progress(len(texts))
            return np.array([[int(text.split()[1]), 1] for text in texts], dtype=np.float32)

    done: list[tuple[int, int]] = []
    model: Any = Counting()
    found = embed_chunks(model, [chunk(n) for n in range(11)], tmp_path, lambda n, total: done.append((n, total)))
    assert found[:, 0].tolist() == list(range(11))
    assert model.calls == [4, 4, 3]
    assert done == [(4, 11), (4, 11), (3, 11)]


@pytest.mark.usefixtures("_small_blocks")
def test_a_full_disk_is_one_line_before_anything_is_written_into_the_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            """Close nothing."""

        def write(self, data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(chunk_vectors.tempfile, "TemporaryFile", lambda dir: Full())
    with pytest.raises(StoreFailed, match=r"no room for the vectors of 11 chunks \(0\.0 GB\): No space left on device"):
        room_for(11, 8, tmp_path)
    assert room_for(10, 8, tmp_path).shape == (10, 8)  # in memory
