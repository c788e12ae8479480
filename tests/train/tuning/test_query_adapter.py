"""A query adapter is learned where that helps, left out where not, and serves from its model's table."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from fakes import make_chunk
from rag.answering.service import open_service
from rag.indexing.indexer import index
from rag.indexing.update import update_vectors
from rag.ingest.corpus import load_corpus
from rag.models.embedder import load_embedder
from rag.models.registry import Registry, Version
from rag.records import Pair
from rag.settings import Settings
from rag.store.store import open_store
from train.judging.promotion import promote_by_hand
from train.tuning import query_adapter
from train.tuning.query_adapter import (
    CANDIDATES,
    Examples,
    candidates_of,
    examples_of,
    fit,
    folds_of,
    train_on,
)

DIM = 16
RNG = np.random.default_rng(0)


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


START = np.eye(DIM, dtype=np.float32)
VECTORS = unit(RNG.normal(size=(240, DIM)))
CHUNKS = [make_chunk(f"chunk {number}", source=f"{number % 6}.md") for number in range(len(VECTORS))]
ASKED = [f"query {number}" for number in range(len(VECTORS))]
PAIRS = [Pair(query, chunk.id, chunk.text) for query, chunk in zip(ASKED, CHUNKS, strict=True)]


def named(queries: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(ASKED, queries, strict=True))


def found_first(queries: np.ndarray, rows: range) -> float:
    """Return for how many of these rows the chunk of the same row is nearest."""
    best = (queries[rows] @ VECTORS.T).argmax(axis=1)
    return float((best == np.array(rows)).mean())


# users who ask about one thing in the words of another: the last coordinate of every query has the wrong sign
MISLED = VECTORS * np.array([1.0] * (DIM - 4) + [-1.0] * 4, dtype=np.float32)


def test_what_the_pairs_teach_helps_queries_that_were_not_among_them() -> None:
    fitted = fit(PAIRS[:180], named(MISLED), CHUNKS, VECTORS, START)
    assert (fitted.kept, fitted.queries) == ("learned", 180)
    assert fitted.gain > 0.1
    new = range(180, 240)
    assert found_first(unit(MISLED + MISLED @ fitted.matrix), new) > found_first(MISLED, new) + 0.2


def test_the_same_pairs_give_the_same_matrix() -> None:
    one, other = (fit(PAIRS[:60], named(MISLED), CHUNKS, VECTORS, START, seed=1) for _ in range(2))
    assert one.matrix.any()
    np.testing.assert_array_equal(one.matrix, other.matrix)


def test_pairs_that_teach_nothing_leave_the_model_as_it_is() -> None:
    wrong = [replace(pair, positive_id=CHUNKS[(row * 7 + 3) % 240].id) for row, pair in enumerate(PAIRS)]
    fitted = fit(wrong, named(VECTORS), CHUNKS, VECTORS, START)
    assert (fitted.kept, fitted.gain, fitted.steps) == ("nothing", 0, 0)
    assert not fitted.matrix.any()


def test_where_its_start_is_best_the_adapter_is_that() -> None:
    knows = np.diag([1.0] * (DIM - 4) + [-1.0] * 4).astype(np.float32)
    fitted = fit(PAIRS[:40], named(MISLED), CHUNKS, VECTORS, knows)
    assert fitted.kept == "distilled"
    np.testing.assert_array_equal(fitted.matrix, knows - START)


def test_a_near_duplicate_of_a_positive_is_never_a_negative() -> None:
    examples = examples_of(PAIRS[:1], named(MISLED), CHUNKS)
    identity, candidates = np.eye(DIM, dtype=np.float32), np.arange(12)
    vectors = VECTORS[:12].copy()
    vectors[5] = vectors[0]
    with_copy, _, loss = train_on(examples, identity, vectors, candidates)
    without, _, same = train_on(examples, identity, vectors, np.delete(candidates, 5))
    np.testing.assert_allclose(with_copy, without, atol=1e-3)
    assert loss == pytest.approx(same, abs=1e-3)  # counted as wrong, an equal of the right one costs 0.7 more


def test_a_pair_of_no_weight_moves_nothing() -> None:
    identity, candidates = np.eye(DIM, dtype=np.float32), np.arange(240)
    alone, light, heavy = (
        train_on(examples_of(pairs, named(MISLED), CHUNKS), identity, VECTORS, candidates)[0]
        for pairs in (PAIRS[:1], [PAIRS[0], replace(PAIRS[1], weight=0.0)], PAIRS[:2])
    )
    np.testing.assert_allclose(light, alone, atol=1e-3)
    assert np.abs(heavy - alone).max() > 1e-2


def test_chunks_of_documents_without_ratings_are_not_negatives() -> None:
    examples = examples_of([PAIRS[0], PAIRS[7]], named(VECTORS), CHUNKS)
    documents = np.array([chunk.document_id for chunk in CHUNKS])
    assert [row % 6 in (0, 1) for row in range(240)] == np.isin(
        np.arange(240), candidates_of(examples, VECTORS, documents, 0)
    ).tolist()


def test_chunks_of_documents_with_a_rejected_passage_are_negatives_too() -> None:
    examples = examples_of([PAIRS[0]], named(VECTORS), CHUNKS)
    documents = np.array([chunk.document_id for chunk in CHUNKS])
    both = candidates_of(examples, VECTORS, documents, 0, {CHUNKS[1].document_id})
    assert set(documents[both]) == {CHUNKS[0].document_id, CHUNKS[1].document_id}


@pytest.mark.parametrize("first", [0, 120])
def test_groups_that_reject_each_others_passages_find_their_own_for_new_words(first: int) -> None:
    topics = np.random.default_rng(3).normal(size=(120, DIM))
    topics[:, 0] += 3.0  # what all have in common, by which a query can be moved
    topics[:, -1] = 0.0
    asked, side = unit(topics), np.array([0.0] * (DIM - 1) + [0.4])
    vectors = unit(np.concatenate([asked + side, asked - side]))  # each query lies between two passages
    chunks = [make_chunk(f"chunk {number}", source=f"{number // 20}.md") for number in range(240)]
    rejected, queries = (
        [chunk.text for chunk in (*chunks[120:], *chunks)][first:],
        dict(zip(ASKED, asked, strict=False)),
    )
    pairs = [Pair(ASKED[row], chunks[first + row].id, "", (rejected[row],)) for row in range(90)]
    fitted, new = fit(pairs, queries, chunks, vectors, START, rejects=True), np.arange(90, 120)
    best = (asked[new] @ (np.eye(DIM) + fitted.matrix) @ vectors.T).argmax(axis=1)
    assert (best == first + new).mean() > 0.9


def test_of_very_many_chunks_the_positives_and_the_nearest_are_candidates() -> None:
    vectors = unit(RNG.normal(size=(CANDIDATES + 500, 4)))
    examples = Examples(vectors[:2], (np.array([7]), np.array([20_100])), np.ones(2, np.float32), np.array([0, 1]))
    chosen = candidates_of(examples, vectors, np.zeros(len(vectors), dtype=str), 0)
    assert len(chosen) == CANDIDATES
    nearest = np.argsort(-(vectors @ vectors[1]))[:100]
    assert {7, 20_100, *nearest.tolist()} <= set(chosen.tolist())


def test_spellings_of_a_query_are_one_and_a_pair_without_its_chunk_is_none() -> None:
    gone = Pair("query 3", "gone", "a text that is no longer there")
    spelt = [PAIRS[1], Pair("QUERY 1?", CHUNKS[2].id, CHUNKS[2].text, weight=2.0), gone]
    examples = examples_of(spelt, named(VECTORS), CHUNKS)
    assert [rows.tolist() for rows in examples.positives] == [[1, 2]]
    assert examples.weights.tolist() == [2.0]
    with pytest.raises(ValueError, match="none of 1 pairs has its positive in the corpus"):
        examples_of([gone], named(VECTORS), CHUNKS)


def test_no_fold_is_trained_on_a_chunk_of_its_validation_queries() -> None:
    shared = [replace(pair, query=ASKED[-1 - row]) for row, pair in enumerate(PAIRS[:50])]
    examples = examples_of([*PAIRS[:100], *shared], named(VECTORS), CHUNKS)
    tried = 0
    for training, validation in folds_of(examples):
        tried += len(validation.queries)
        right = {int(row) for rows in validation.positives for row in rows}
        assert right.isdisjoint(int(row) for rows in training.positives for row in rows)
    assert tried == len(examples.queries) == 150


def by_hand(dim: int) -> np.ndarray:
    """Return the matrix of an adapter that swaps the first two numbers of a query."""
    matrix = np.zeros((dim, dim), dtype=np.float32)
    matrix[:2, :2] = [[-1, 1], [1, -1]]
    return matrix


def saved(folder: Path, model: str, settings: Settings) -> Path:
    embedder = load_embedder(model, settings)
    folder.mkdir(parents=True)
    query_adapter.write(by_hand(embedder.dim), folder, model, embedder.query_fingerprint)
    return folder


def test_a_saved_adapter_turns_queries_and_no_chunk(settings: Settings, tmp_path: Path) -> None:
    plain = load_embedder(settings.start_model, settings)
    adapted = load_embedder(str(saved(tmp_path / "v1", settings.start_model, settings)), settings)
    query, turned = plain.embed_queries(["the cat"]), adapted.embed_queries(["the cat"])
    np.testing.assert_allclose(turned[:, [1, 0, *range(2, plain.dim)]], query, atol=1e-6)
    np.testing.assert_array_equal(adapted.embed_documents(["the cat"]), plain.embed_documents(["the cat"]))
    assert adapted.fingerprint == plain.fingerprint
    assert adapted.query_fingerprint != plain.query_fingerprint


def test_a_home_can_be_moved_with_an_adapter_and_the_version_it_adapts(settings: Settings, tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(settings.start_model, models / "v1")
    saved(models / "v2", str(models / "v1"), settings)
    models.rename(tmp_path / "elsewhere")
    moved = load_embedder(str(tmp_path / "elsewhere" / "v2"), settings)
    assert moved.fingerprint == load_embedder(settings.start_model, settings).fingerprint


def test_an_adapter_promoted_by_hand_serves_from_the_table_that_is_there(settings: Settings) -> None:
    index(settings)
    store, corpus, registry = open_store(settings.lancedb), load_corpus(settings), Registry(settings.models)
    folder = saved(registry.folder / "v1", settings.start_model, settings)
    adapted = load_embedder(str(folder), settings)
    when = datetime(2026, 1, 2, tzinfo=UTC)
    registry.add(
        Version("v1", corpus.folders_id, adapted.fingerprint, settings.start_model, "ratings", "keep", "VERDICT", when)
    )
    embedded: list[int] = []

    def bar(text: str):
        return lambda done, total: embedded.append(total)

    table = update_vectors(store, corpus.id, load_embedder(settings.start_model, settings))
    assert promote_by_hand(settings, store, corpus, "v1", bar) == "v1"
    assert (set(embedded), update_vectors(store, corpus.id, adapted)) == ({0}, table)
    store.close()
    assert not any("use the same model" in note for note in open_service(settings).notes())


def test_where_nothing_can_be_validation_nothing_is_believed() -> None:
    fitted = fit(PAIRS[:1], named(VECTORS), CHUNKS[:1], VECTORS[:1], START)
    assert fitted.kept == "nothing"
