"""Evaluation by hand: vectors whose cosines one can read off, and a real store for serving models."""

import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from fakes import make_chunk
from rag.evaluation.metrics import GATE, condense, evaluate_run, unjudged_share
from rag.indexing.indexer import index
from rag.indexing.update import corpus_chunks
from rag.ingest.corpus import load_corpus
from rag.models.embedder import load_embedder
from rag.records import Chunk, Qrels
from rag.settings import Settings
from rag.store.store import open_store
from train.context import open_context
from train.judging.contenders import challenger_candidates
from train.judging.evaluate import POOL, ScoredCandidate, evaluation_runs, full, judge, scores_of, serving, serving_dim
from train.tuning.challenger import Challenger

CHUNKS = [make_chunk(f"chunk {n}") for n in range(3)]
IDS = [chunk.id for chunk in CHUNKS]


def unit(*rows: Sequence[float]) -> np.ndarray:
    array = np.array(rows, dtype=np.float32)
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def halves(full_dim: int) -> tuple[int, ...]:
    return (full_dim, full_dim // 2)


def judged(queries: np.ndarray, chunks: np.ndarray, *relevant: set[str]) -> dict[int, dict[str, np.ndarray]]:
    qrels = Qrels({f"q{n}": frozenset(ids) for n, ids in enumerate(relevant)})
    return judge({"it": ScoredCandidate("it", queries, chunks)}, qrels, CHUNKS, halves)["it"]


def test_each_query_is_evaluated_on_the_whole_corpus():
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
    chunks, vectors = fan(30)
    qrels = Qrels({"tenth": frozenset({chunks[9].id}), "eleventh": frozenset({chunks[10].id})})
    contender = ScoredCandidate("it", unit([1, 0], [1, 0]), vectors)
    values = judge({"it": contender}, qrels, chunks, halves)["it"][2]
    assert values["mrr@10"].tolist() == pytest.approx([1 / 10, 0])
    assert values[GATE].tolist() == pytest.approx([1 / np.log2(11), 0])


def fan(n: int) -> tuple[list[Chunk], np.ndarray]:
    """Return n chunks whose vectors turn away from (1, 0), one after the other."""
    angles = np.linspace(0, 1.5, n)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    return [make_chunk(f"chunk {number}") for number in range(n)], vectors


def test_the_runs_of_all_splits_are_merged_and_scored_together():
    one, two = Qrels({"first": frozenset({IDS[0]})}), Qrels({"second": frozenset({IDS[1]})})
    chunks = unit([1, 0], [0, 1], [-1, 0])
    rounds = [
        (held, {"it": ScoredCandidate("it", query, chunks)})
        for held, query in ((one, unit([1, 0])), (two, unit([1, 0])))
    ]
    runs = evaluation_runs(rounds, CHUNKS, halves)["it"]
    both = Qrels({**two.relevant, **one.relevant})
    assert scores_of(runs, both)[2]["mrr@10"].tolist() == [1 / 2, 1]


def test_a_round_is_let_go_before_the_next_one_is_made():
    alive: list[weakref.ref[np.ndarray]] = []

    def rounds() -> Iterator[tuple[Qrels, Mapping[str, ScoredCandidate]]]:
        for n in range(3):
            assert not [ref for ref in alive if ref() is not None]
            chunks = unit([1, 0], [0, 1], [-1, 0])
            alive.append(weakref.ref(chunks))
            yield Qrels({f"q{n}": frozenset({IDS[0]})}), {"it": ScoredCandidate("it", unit([1, 0]), chunks)}
            del chunks

    assert len(evaluation_runs(rounds(), CHUNKS, halves)["it"][2].ranked) == 3
    assert len(alive) == 3


def test_more_ranks_are_kept_than_metrics_read_so_that_unjudged_hits_can_make_room():
    chunks, vectors = fan(POOL + 10)
    right, wrong = frozenset({chunks[30].id}), frozenset({chunks[40].id})
    qrels = Qrels({"q": right}, {"q": right | wrong})
    run = evaluation_runs([(qrels, {"it": ScoredCandidate("it", unit([1, 0]), vectors)})], chunks, halves)["it"][2]
    assert len(run.ranked["q"]) == POOL
    assert evaluate_run(run.ranked, qrels)[GATE].tolist() == [0]
    assert unjudged_share(run.ranked, qrels, 10) == 1
    assert evaluate_run(*condense(run.ranked, qrels))[GATE].tolist() == [1]


def test_an_index_takes_four_bytes_for_each_number_and_a_search_takes_time():
    chunks, vectors = fan(100)
    qrels = Qrels({"q": frozenset({chunks[0].id})})
    runs = evaluation_runs([(qrels, {"it": ScoredCandidate("it", unit([1, 0]), vectors)})], chunks, halves)["it"]
    assert {dim: run.index_bytes for dim, run in runs.items()} == {2: 800, 1: 400}
    assert all(run.search_ms > 0 for run in runs.values())


def test_hybrid_search_adds_the_keyword_scores_and_ranks_what_only_keywords_found() -> None:
    chunks, vectors = fan(POOL + 10)
    last, second = chunks[-1].id, chunks[1].id
    qrels = Qrels({"q": frozenset({last})})
    scored = ScoredCandidate("it", unit([1, 0]), vectors, dense_weight=0.5)
    found = {last: 4.0, second: 1.0}
    run = evaluation_runs([(qrels, {"it": scored})], chunks, halves, lambda query: found)["it"][2]
    # by 0.5 * (1 + cosine) / 2 + 0.5 * BM25 / 4: last 0.77, second 0.62, the first, without a word, 0.5
    assert run.ranked["q"][:3] == [last, second, chunks[0].id]
    assert len(run.ranked["q"]) == POOL
    assert len(run.cosines["q"]) == POOL + 1
    assert run.cosines["q"][last] == pytest.approx(np.cos(1.5), abs=1e-6)


def at_dims(**means: float) -> dict[int, dict[str, np.ndarray]]:
    return {int(dim[1:]): {GATE: np.array([mean, mean])} for dim, mean in means.items()}


def test_the_smallest_dimension_that_is_as_good_as_the_full_one_would_serve():
    chosen = serving_dim(at_dims(d384=0.600, d256=0.610, d128=0.596, d64=0.590))
    assert chosen.dim == 128
    assert chosen.reason == "ndcg@10 0.596 at 128 dimensions, 0.600 at 384: within 0.005, at 33% of the size"


def test_where_each_smaller_dimension_costs_more_the_full_one_serves():
    chosen = serving_dim(at_dims(d384=0.600, d128=0.590))
    assert chosen.dim == 384
    assert chosen.reason == "ndcg@10 0.600 at 384 dimensions, and every smaller one costs more than 0.005"


def test_a_serving_model_and_a_new_one_are_scored_alike(settings: Settings) -> None:
    index(settings)
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    chunks = corpus_chunks(store, corpus.id)[::-1]  # any order but the table's
    embedder = load_embedder(settings.start_model, settings)
    qrels = Qrels({"the cat drinks milk": frozenset({chunks[0].id})})
    ours = serving(replace(open_context(settings, store), chunks=chunks), "served", embedder, qrels)
    made = challenger_candidates(
        *(Challenger(embedder, [], {}, lambda folder: None), "new", chunks),
        *(lambda what: lambda done, total: None, settings.cache),
    )
    fresh = made.on(qrels)
    assert ours.dim == embedder.dim
    np.testing.assert_allclose(ours.chunks, fresh.chunks, atol=1e-5)
    np.testing.assert_allclose(ours.queries, fresh.queries, atol=1e-5)


def test_a_table_that_lags_behind_the_documents_is_brought_level_first(settings: Settings) -> None:
    index(settings)
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    chunks = corpus_chunks(store, corpus.id)
    embedder = load_embedder(settings.start_model, settings)
    store.chunks.delete(store.chunks.table_name(corpus.id, embedder.fingerprint), [chunks[0].id])
    contender = serving(open_context(settings, store), "served", embedder, Qrels({"q": frozenset()}))
    np.testing.assert_allclose(contender.chunks, embedder.embed_documents([c.embedded for c in chunks]), atol=1e-5)
