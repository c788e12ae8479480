"""A table gets an index when it has grown large, and only one that was measured to find what exact search finds."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fakes import make_chunk
from rag.store import index_metadata, vector_index
from rag.store.chunk_store import Vectors
from rag.store.filters import DocumentFilter
from rag.store.store import Store, open_store
from rag.store.vector_index import VectorIndexInfo

DIM, LARGE = 16, 1_200


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(vector_index, "EXACT_UP_TO", 500)
    monkeypatch.setattr(vector_index, "FRESH", 50)
    return open_store(tmp_path)


def vectors(n: int, seed: int = 0) -> Vectors:
    """Return unit vectors in 20 heaps, as texts of 20 topics have them."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(20, DIM))
    found = centres[rng.integers(20, size=n)] + 0.3 * rng.normal(size=(n, DIM))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def fill(store: Store, first: int, last: int, seed: int = 0) -> None:
    chunks = [make_chunk(f"passage number {n} of some words that say nothing more than this", f"{n % 7}.md")
              for n in range(first, last)]  # fmt: skip
    store.chunks.put("t", chunks, vectors(last - first, seed))


def found(store: Store, queries: Vectors, k: int = 10) -> list[list[str]]:
    return [[hit.chunk.id for hit in store.chunks.search("t", query, k)] for query in queries]


def exact(store: Store, queries: Vectors) -> list[list[str]]:
    return store.chunks.search_ids("t", queries, 10)


def shared(some: Sequence[Sequence[str]], others: Sequence[Sequence[str]]) -> float:
    return float(np.mean([len({*one} & {*other}) / len(other) for one, other in zip(some, others, strict=True)]))


def test_a_small_table_is_compared_with_whole(store: Store) -> None:
    fill(store, 0, 400)
    assert not store.chunks.vector_index_is_due("t")
    assert store.chunks.build_vector_index("t", vectors(50, 1)) is None
    assert found(store, vectors(20, 2)) == exact(store, vectors(20, 2))


def test_a_large_table_gets_an_index_that_finds_what_exact_search_finds(store: Store) -> None:
    fill(store, 0, LARGE)
    assert store.chunks.vector_index_is_due("t")
    made = store.chunks.build_vector_index("t", vectors(100, 1))
    assert made == store.chunks.vector_index("t")
    assert (made.kind, made.rows, made.queries, made.recall >= 0.99) == ("IVF_FLAT", LARGE, 100, True)
    assert not store.chunks.vector_index_is_due("t")
    queries = vectors(100, 2)
    assert shared(found(store, queries), exact(store, queries)) >= 0.98
    scores = [hit.score for hit in store.chunks.search("t", queries[0], 10)]
    assert scores == sorted(scores, reverse=True)


def test_a_table_of_many_vectors_gets_an_index_of_compressed_ones(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_index, "COMPRESSED_FROM", 4 * LARGE * DIM - 1)
    fill(store, 0, LARGE)
    made = store.chunks.build_vector_index("t", vectors(100, 1))
    assert made is not None
    assert made == store.chunks.vector_index("t")
    assert (made.kind, made.rows, made.recall >= 0.99, made.refine in vector_index.REFINES) == (
        "IVF_RQ", LARGE, True, True
    )  # fmt: skip
    queries = vectors(100, 2)
    assert shared(found(store, queries), exact(store, queries)) >= 0.98
    stored, rows = store.chunks.read("t")
    cosines = dict(zip([chunk.id for chunk in stored], rows @ queries[0], strict=True))
    for hit in store.chunks.search("t", queries[0], 10):  # not as the compressed vectors have it
        assert hit.score == pytest.approx(cosines[hit.chunk.id], abs=1e-5)
    fill(store, LARGE, LARGE + 100, seed=4)
    folded = store.chunks.build_vector_index("t", vectors(100, 1))
    assert folded is not None
    assert (folded.kind, folded.rows, folded.recall >= 0.99) == ("IVF_RQ", LARGE, True)


def test_where_compressed_vectors_lose_too_much_full_ones_are_searched(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_index, "COMPRESSED_FROM", 0)
    monkeypatch.setattr(vector_index, "REFINES", (1,))
    fill(store, 0, LARGE)
    made = store.chunks.build_vector_index("t", vectors(100, 1))
    assert made is not None
    assert (made.kind, made.refine, made.recall >= 0.99) == ("IVF_FLAT", 0, True)


def test_an_index_that_was_not_measured_is_not_asked(store: Store) -> None:
    fill(store, 0, LARGE)
    made = store.chunks.build_vector_index("t", vectors(50, 1))
    assert made is not None
    table, queries = store.tables.open("t"), vectors(50, 2)
    index_metadata.write(table, "nearest", {**index_metadata.read(table, "nearest"), "probes": 1})
    assert shared(found(store, queries), exact(store, queries)) < 1  # this is what asking it badly costs
    index_metadata.forget(table, "nearest")
    assert store.chunks.vector_index("t") is None
    assert found(store, queries) == exact(store, queries)


def test_where_partitions_lose_too_much_a_graph_is_made(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_index, "PROBES", (1,))
    fill(store, 0, LARGE)
    made = store.chunks.build_vector_index("t", vectors(100, 1))
    assert made is not None
    assert (made.kind, made.ef, made.recall >= 0.99) == ("HNSW_SQ", 128, True)
    queries = vectors(50, 2)
    assert shared(found(store, queries), exact(store, queries)) >= 0.98


def test_where_no_index_is_good_enough_there_is_none_and_it_is_said(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_index, "ENOUGH", 1.1)
    fill(store, 0, LARGE)
    made = store.chunks.build_vector_index("t", vectors(50, 1))
    assert str(made).startswith("exact search: an index found only ")
    assert store.tables.open("t").list_indices() == []
    assert found(store, vectors(20, 2)) == exact(store, vectors(20, 2))
    assert not store.chunks.vector_index_is_due("t")  # until it has twice the rows
    fill(store, LARGE, 2 * LARGE, seed=3)
    assert store.chunks.vector_index_is_due("t")


def test_new_rows_are_found_at_once_and_folded_in_when_they_are_many(store: Store) -> None:
    fill(store, 0, LARGE)
    first = store.chunks.build_vector_index("t", vectors(100, 1))
    fill(store, LARGE, LARGE + 20, seed=3)
    assert not store.chunks.vector_index_is_due("t")
    new = vectors(20, 3)
    assert [ids[0] for ids in found(store, new)] == [ids[0] for ids in exact(store, new)]
    fill(store, LARGE + 20, LARGE + 100, seed=4)
    assert store.chunks.vector_index_is_due("t")
    folded = store.chunks.build_vector_index("t", vectors(100, 1))
    assert first is not None
    assert folded is not None
    assert (folded.rows, folded.uuid != first.uuid, folded.recall >= 0.99) == (LARGE, True, True)
    assert store.tables.open("t").index_stats("vector_idx").num_unindexed_rows == 0
    assert not store.chunks.vector_index_is_due("t")


def test_a_table_of_twice_the_rows_is_partitioned_anew(store: Store) -> None:
    fill(store, 0, 600)
    store.chunks.build_vector_index("t", vectors(100, 1))
    fill(store, 600, LARGE, seed=3)
    assert store.chunks.vector_index_is_due("t")
    made = store.chunks.build_vector_index("t", vectors(100, 1))
    assert made is not None
    assert made.rows == LARGE


def test_rows_that_are_written_and_deleted_while_the_index_is_made_are_neither_lost_nor_back(store: Store) -> None:
    fill(store, 0, LARGE)
    gone = [make_chunk(f"passage number {n} of some words that say nothing more than this", f"{n % 7}.md").id
            for n in range(40)]  # fmt: skip

    def write() -> None:
        for n in range(8):
            fill(store, LARGE + n, LARGE + n + 1, seed=100 + n)
            store.chunks.delete("t", gone[5 * n : 5 * n + 5])

    with ThreadPoolExecutor(1) as beside_it:
        writing = beside_it.submit(write)
        made = store.chunks.build_vector_index("t", vectors(100, 1))
        writing.result()
    assert made is not None
    assert len(store.chunks.ids("t")) == LARGE + 8 - 40
    new = np.concatenate([vectors(1, 100 + n) for n in range(8)])
    assert [ids[0] for ids in found(store, new)] == [ids[0] for ids in exact(store, new)]
    assert not {*gone} & {chunk_id for ids in found(store, vectors(100, 5)) for chunk_id in ids}


def test_a_search_with_a_filter_is_exact(store: Store) -> None:
    fill(store, 0, LARGE)
    store.chunks.build_vector_index("t", vectors(100, 1))
    (query,) = vectors(1, 2)
    hits = store.chunks.search("t", query, 10, DocumentFilter(folders=("3.md",)))
    stored, rows = store.chunks.read("t")
    nearest_first = sorted(zip(rows @ query, stored, strict=True), key=lambda pair: -pair[0])
    assert [hit.chunk.id for hit in hits] == [c.id for _, c in nearest_first if c.source == "3.md"][:10]


def test_queries_to_measure_with_are_eight_words_in_a_row_of_a_passage(store: Store) -> None:
    fill(store, 0, 300)
    queries = store.chunks.sample_queries("t")
    texts = [chunk.text for chunk in store.chunks.read("t")[0]]
    assert len(queries) == vector_index.SAMPLE
    assert {len(query.split()) for query in queries} == {8}
    assert all(any(query in text for text in texts) for query in queries)


@pytest.mark.parametrize("text", ["猫は魚を食べます。" * 30, "\n\n".join(["แมวกินปลาและสุนัขกินกระดูก" * 4] * 3)])
def test_where_no_blanks_part_words_a_query_is_forty_characters_of_a_passage(text: str) -> None:
    queries = {vector_index._piece(text, random.Random(seed)) for seed in range(20)}
    assert len(queries) > 1
    assert all(query in " ".join(text.split()) for query in queries)
    assert {len(query) for query in queries} <= {38, 39, 40}  # two line ends are one blank, or none at an end
    assert vector_index._piece("猫は魚を食べます。", random.Random(0)) == "猫は魚を食べます。"
    assert vector_index._piece("", random.Random(0)) == ""


def test_facts_of_another_version_mean_exact_search(store: Store) -> None:
    fill(store, 0, 100)
    index_metadata.write(store.tables.open("t"), "nearest", {"kind": "IVF_FLAT", "what": "is this"})
    assert store.chunks.vector_index("t") is None


def test_it_says_of_itself_what_was_measured() -> None:
    made = VectorIndexInfo("IVF_FLAT", "u", 100_000, 0.9935, 200, probes=32)
    assert str(made) == "IVF_FLAT on 100,000 chunks, recall@10 0.994 on 200 queries"
    assert "only 81.2%" in str(replace(made, kind="exact", recall=0.812))
