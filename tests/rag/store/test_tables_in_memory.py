"""Small tables that are asked for again are searched in memory, with the same result, and never an old one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fakes import make_chunk
from rag.records import Hit
from rag.store import chunk_store, vector_index
from rag.store.store import Store, open_store

CHUNKS = [make_chunk(f"bees and {word}") for word in ("honey", "wax", "rain", "smoke", "frames", "honey again")]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "lancedb")
    opened.chunks.put("t", CHUNKS, vectors(len(CHUNKS)))
    opened.chunks.build_text_index("t")
    yield opened
    opened.close()


def vectors(n: int) -> chunk_store.Vectors:
    drawn = np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32)
    unit: chunk_store.Vectors = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return unit


def ranking(hits: list[Hit]) -> list[tuple[str, int, float, str]]:
    return [(hit.chunk.id, hit.rank, round(hit.score, 5), hit.origin) for hit in hits]


def test_a_search_in_memory_finds_what_lancedb_finds(store: Store) -> None:
    query = vectors(1)[0]
    by_lancedb = ranking(store.chunks.search("t", query, 4))
    assert not store.chunks._held
    by_words = ranking(store.chunks.search_text("t", "honey", query, 4))
    assert store.chunks._held
    assert ranking(store.chunks.search("t", query, 4)) == by_lancedb
    assert ranking(store.chunks.search_text("t", "honey", query, 4)) == by_words
    assert len(by_words) == 2
    ids = [CHUNKS[4].id, CHUNKS[1].id]
    assert np.array_equal(store.chunks.vectors("t", ids), vectors(len(CHUNKS))[[4, 1]])
    assert list(store.chunks.keyword_scores("t", "honey", 1)) == [by_words[0][0]]


def test_equal_vectors_are_ordered_by_id_in_memory(store: Store) -> None:
    many = [make_chunk(f"text {nth}") for nth in range(37)]
    store.chunks.put("same", many, np.repeat(vectors(1), len(many), axis=0))
    for _ in range(3):
        found = [hit.chunk.id for hit in store.chunks.search("same", vectors(1)[0], len(many))]
        assert found == sorted(chunk.id for chunk in many)


def test_a_chunk_that_another_process_adds_or_removes_counts_in_the_next_search(store: Store, tmp_path: Path) -> None:
    query = vectors(1)[0]
    for _ in range(3):
        store.chunks.search("t", query, 9)
    other = open_store(tmp_path / "lancedb")
    new = make_chunk("propolis and queens")
    other.chunks.put("t", [new], -query[None])
    for _ in range(3):
        assert store.chunks.search("t", query, 9)[-1].chunk.id == new.id
        assert [hit.chunk.id for hit in store.chunks.search_text("t", "propolis", query, 3)] == [new.id]
    other.chunks.delete("t", [new.id])
    for _ in range(3):
        assert new.id not in {hit.chunk.id for hit in store.chunks.search("t", query, 9)}
        assert not store.chunks.search_text("t", "propolis", query, 3)
    other.close()


def test_a_table_of_many_rows_stays_out_of_memory(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_index, "EXACT_UP_TO", len(CHUNKS) - 1)
    for _ in range(3):
        assert len(store.chunks.search("t", vectors(1)[0], 4)) == 4
    assert not store.chunks._held
