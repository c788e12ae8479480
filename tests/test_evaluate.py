"""Rankings by hand: vectors whose cosines one can read off, and a real store for those that serve already."""

from collections.abc import Sequence

import numpy as np
import pytest

from fakes import make_chunk
from rag.embed import load_embedder
from rag.index import corpus_chunks, load_corpus
from rag.prepare import index
from rag.records import Qrels
from rag.settings import Settings
from rag.stats import GATE
from rag.store import open_store
from train.evaluate import Contender, full, judge, newcomer, serving

CHUNKS = [make_chunk(f"chunk {n}") for n in range(3)]
IDS = [chunk.id for chunk in CHUNKS]


def unit(*rows: Sequence[float]) -> np.ndarray:
    array = np.array(rows, dtype=np.float32)
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def halves(full_dim: int) -> tuple[int, ...]:
    return (full_dim, full_dim // 2)


def judged(queries: np.ndarray, chunks: np.ndarray, *relevant: set[str]) -> dict[int, dict[str, np.ndarray]]:
    qrels = Qrels({f"q{n}": frozenset(ids) for n, ids in enumerate(relevant)})
    return judge({"it": Contender("it", queries, chunks)}, qrels, CHUNKS, halves)["it"]


def test_each_query_is_judged_against_the_whole_corpus():
    chunks = unit([1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0])
    scores = judged(unit([1, 0, 0, 0], [0, 1, 0, 0]), chunks, {IDS[0]}, {IDS[0]})
    assert scores[4]["hit_rate@1"].tolist() == [1, 0]
    assert scores[4]["mrr@10"].tolist() == pytest.approx([1, 1 / 3])


def test_a_smaller_dimension_is_cut_and_made_unit_again():
    chunks = unit([3, 1, 0, 0], [1, 0, 9, 0], [0, 1, 0, 0])
    scores = judged(unit([1, 0, 0, 0]), chunks, {IDS[1]})
    assert list(scores) == [4, 2]
    assert scores[4]["hit_rate@1"].tolist() == [0]  # in four dimensions the second chunk points elsewhere
    assert scores[2]["hit_rate@1"].tolist() == [1]  # in two it is the query itself, however short


def test_full_is_the_dimension_that_serves():
    scores = judged(unit([1, 0, 0, 0]), unit([1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]), {IDS[0]})
    assert full(scores) is scores[4]


def test_equal_scores_rank_in_the_order_of_the_corpus():
    same = unit([1, 0], [1, 0], [1, 0])
    assert judged(unit([1, 0]), same, {IDS[2]})[2]["mrr@10"].tolist() == pytest.approx([1 / 3])


def test_only_the_first_ten_ranks_count():
    chunks = [make_chunk(f"chunk {n}") for n in range(30)]
    angles = np.linspace(0, 1.5, 30)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    qrels = Qrels({"tenth": frozenset({chunks[9].id}), "eleventh": frozenset({chunks[10].id})})
    contender = Contender("it", unit([1, 0], [1, 0]), vectors)
    values = judge({"it": contender}, qrels, chunks, halves)["it"][2]
    assert values["mrr@10"].tolist() == pytest.approx([1 / 10, 0])
    assert values[GATE].tolist() == pytest.approx([1 / np.log2(11), 0])


def test_a_model_that_serves_is_judged_by_its_table_and_a_newcomer_alike(settings: Settings) -> None:
    index(settings)
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    chunks = corpus_chunks(store, corpus.id)[::-1]  # any order but the table's
    embedder = load_embedder(settings.start_model, settings)
    qrels = Qrels({"the cat drinks milk": frozenset({chunks[0].id})})
    ours = serving("served", embedder, qrels, chunks, store, corpus.id)
    fresh = newcomer("new", embedder, qrels, chunks)
    assert ours.dim == embedder.dim
    np.testing.assert_allclose(ours.chunks, fresh.chunks, atol=1e-5)
    np.testing.assert_allclose(ours.queries, fresh.queries, atol=1e-5)


def test_a_table_that_lags_behind_the_documents_is_brought_level_first(settings: Settings) -> None:
    index(settings)
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    chunks = corpus_chunks(store, corpus.id)
    embedder = load_embedder(settings.start_model, settings)
    store.delete_chunks(store.chunk_table(corpus.id, embedder.fingerprint), [chunks[0].id])
    contender = serving("served", embedder, Qrels({"q": frozenset()}), chunks, store, corpus.id)
    np.testing.assert_allclose(contender.chunks, embedder.embed_documents([c.text for c in chunks]), atol=1e-5)
