"""Search options, explore slots and hybrid search; each arm searches its own model's table and follows the registry."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import NOON, make_hits
from rag.errors import BadModel, NotIndexed
from rag.indexing.indexer import index
from rag.indexing.update import update_vectors
from rag.ingest.corpus import load_corpus
from rag.models.arms import Arms
from rag.models.embedder import load_embedder
from rag.models.registry import START_WEIGHTS, Registry, Version
from rag.models.weights import FUSION, read_dense_weight, write_dense_weight
from rag.records import ARMS, Hit
from rag.retrieval.rerank import Reranker
from rag.retrieval.search import DEPTH, SearchOptions, build_options, hybrid, rerank, retrieve, with_explore
from rag.settings import Settings
from rag.store.filters import DocumentFilter
from rag.store.store import Store, open_store


def add_version(settings: Settings, model: Path, *, indexed: bool = True) -> Version:
    registry, corpus = Registry(settings.models), load_corpus(settings)
    name = registry.next_name()
    shutil.copytree(model, settings.models / name)
    embedder = load_embedder(str(settings.models / name), settings)
    if indexed:
        update_vectors(open_store(settings.lancedb), corpus.id, embedder)
    version = Version(name, corpus.folders_id, embedder.fingerprint, "start", "ratings", "promote", "VERDICT", NOON)
    registry.add(version)
    return version


@pytest.fixture
def arms(settings: Settings) -> Arms:
    index(settings)
    return Arms(settings, open_store(settings.lancedb), load_corpus(settings))


def test_the_chunk_with_the_querys_words_comes_first(settings: Settings, arms: Arms) -> None:
    hits = retrieve(
        open_store(settings.lancedb),
        arms.current("base"),
        "# Dogs The dog keeps one bone in the garden.",
        SearchOptions(3, explore=0),
    )
    assert [hit.rank for hit in hits] == [1, 2, 3]
    assert hits[0].chunk.source == "dogs.md"
    assert hits[0].score > hits[1].score


def lexical(*texts: str) -> list[Hit]:
    return [replace(hit, origin="explore") for hit in make_hits(*texts)]


def summary(hits: list[Hit]) -> list[tuple[int, str, str]]:
    return [(hit.rank, hit.chunk.text, hit.origin) for hit in hits]


DENSE = make_hits("one", "two", "three", "four")


def test_the_last_place_goes_to_the_best_chunk_that_only_bm25_found() -> None:
    hits = with_explore(DENSE[:3], lexical("new", "newer"), 3, 1)
    assert summary(hits) == [(1, "one", "dense"), (2, "two", "dense"), (3, "new", "explore")]
    assert summary(with_explore(DENSE, lexical("new", "newer"), 4, 2))[2:] == [
        (3, "new", "explore"),
        (4, "newer", "explore"),
    ]


def test_a_lexical_hit_among_the_first_dense_hits_takes_no_explore_slot() -> None:
    assert summary(with_explore(DENSE[:3], lexical("two", "one", "new"), 3, 1))[2] == (3, "new", "explore")


def test_a_chunk_that_dense_search_shows_anyway_stays_a_dense_hit_at_its_rank() -> None:
    assert with_explore(DENSE[:3], lexical("three", "new"), 3, 1) == list(DENSE[:3])
    assert summary(with_explore(DENSE, lexical("four", "new"), 4, 2)) == [
        (1, "one", "dense"),
        (2, "two", "dense"),
        (3, "three", "dense"),
        (4, "new", "explore"),
    ]


def test_without_lexical_hits_or_explore_slots_all_hits_are_dense() -> None:
    assert with_explore(DENSE, [], 4, 1) == list(DENSE)
    assert with_explore(DENSE, lexical("new"), 4, 0) == list(DENSE)


texts = st.lists(st.sampled_from([str(n) for n in range(9)]), unique=True)


@given(texts, texts, st.integers(1, 5), st.integers(0, 4))
def test_dense_hits_keep_their_rank_and_explored_ones_come_last(
    dense: list[str], words: list[str], k: int, explore: int
) -> None:
    own = list(make_hits(*dense[:k]))
    hits = with_explore(own, lexical(*words[:k]), k, min(explore, k - 1))
    new = [hit for hit in hits if hit.origin == "explore"]
    assert hits[: len(hits) - len(new)] == own[: len(hits) - len(new)]
    assert {hit.chunk.id for hit in new}.isdisjoint(hit.chunk.id for hit in own)
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    assert len(new) <= min(explore, k - 1)
    assert len(own) <= len(hits) <= k


def test_a_rare_word_finds_its_chunk_in_both_arms(settings: Settings, other_tiny_model: Path) -> None:
    codes = [f"ERR-{n:02}" for n in range(20)]
    (settings.docs[0] / "codes.md").write_text("\n\n".join(f"# Code {code}\n\nThe cat eats fish." for code in codes))
    settings = settings.model_copy(update={"base_model": str(other_tiny_model)})
    index(settings)
    store = open_store(settings.lancedb)
    arms = Arms(settings, store, load_corpus(settings))
    explored = 0
    for arm in ARMS:
        for code in codes:
            hits = retrieve(store, arms.current(arm), f"what is err-{code[-2:]}?", SearchOptions(3))
            assert any(code in hit.chunk.text for hit in hits)
            assert [hit.origin for hit in hits[:2]] == ["dense"] * 2
            explored += hits[2].origin == "explore"
    assert explored


def test_hybrid_search_adds_cosine_and_bm25_and_marks_what_dense_search_would_not_show() -> None:
    new = replace(lexical("new")[0], score=0.52)
    found = [(DENSE[1], 10.0), (DENSE[3], 8.0), (new, 5.0)]  # of these dense search has two at place 2, four at 4
    best = hybrid(DENSE, found, 2)
    # 0.7 * (1 + cosine) / 1.9 + 0.3 * BM25 / 10: two 0.963, four 0.829, one 0.7, new 0.71, three 0.626
    hits = [hit for hit, _ in best]
    assert summary(hits) == [
        (1, "two", "dense"),
        (2, "four", "words"),  # dense search alone would have shown one and two
        (3, "new", "words"),
        (4, "one", "dense"),  # no word found it
        (5, "three", "dense"),
    ]
    assert [hit.score for hit in hits] == [0.8, 0.6, 0.52, 0.9, 0.7]  # the cosine, whatever ranked it
    assert [round(score, 3) for _, score in best] == [0.963, 0.829, 0.71, 0.7, 0.626]


def test_a_learnt_weight_decides_what_the_cosine_counts() -> None:
    found = [(DENSE[2], 10.0)]
    assert [hit.chunk.text for hit, _ in hybrid(DENSE, found, 4)] == ["three", "one", "two", "four"]
    assert [hit.chunk.text for hit, _ in hybrid(DENSE, found, 4, 0.99)] == ["one", "two", "three", "four"]


def test_the_weight_lies_in_the_folder_of_the_version_and_a_damaged_one_is_named(
    settings: Settings, tiny_model: Path
) -> None:
    index(settings)
    version = add_version(settings, tiny_model)
    folder = settings.models / version.name
    write_dense_weight(folder, 0.8)
    Registry(settings.models).promote(version.folders, version.name)
    arms = Arms(settings, open_store(settings.lancedb), load_corpus(settings))
    assert [arms.current(arm).dense_weight for arm in ARMS] == [None, 0.8]
    for text in ("{", "[]", '{"dense_weight": 1.5}', '{"dense_weight": true}', '{"dense_weight": NaN}'):
        (folder / FUSION).write_text(text)
        with pytest.raises(BadModel, match=FUSION):
            read_dense_weight(str(folder))


def test_a_reranker_decides_the_order_and_ties_keep_theirs() -> None:
    longest = Reranker("longest", lambda query, texts: [float(len(text)) for text in texts])
    best = rerank(longest, "q", [(hit, hit.score) for hit in DENSE])
    assert [(hit.chunk.text, score) for hit, score in best] == [("three", 5), ("four", 4), ("one", 3), ("two", 3)]
    assert rerank(longest, "q", []) == []


@pytest.fixture
def codes(settings: Settings, other_tiny_model: Path) -> tuple[Store, Arms, list[str]]:
    """Return documents that each have a unique word, and two arms with different random weights."""
    words = [f"err-{n:02}" for n in range(60)]
    for word in words:
        (settings.docs[0] / f"{word}.md").write_text(f"# Code\n\nThe cat eats fish. {word}")
    settings = settings.model_copy(update={"base_model": str(other_tiny_model)})
    index(settings)
    store = open_store(settings.lancedb)
    return store, Arms(settings, store, load_corpus(settings)), words


backwards = Reranker("backwards", lambda query, texts: [-float("err" in text) for text in texts])
ALL_OPTIONS = [
    SearchOptions(3),
    SearchOptions(3, 1, "hybrid"),
    SearchOptions(3, 1, "dense", 0.5),
    SearchOptions(3, 1, "hybrid", 0.5),
    SearchOptions(3, 1, "hybrid", 1, backwards),
]


@pytest.mark.parametrize("options", ALL_OPTIONS, ids=SearchOptions.summary)
def test_bm25s_first_chunk_is_among_the_hits_of_both_arms_with_all_options(
    codes: tuple[Store, Arms, list[str]], options: SearchOptions
) -> None:
    store, arms, words = codes
    for arm in ARMS:
        served = arms.current(arm)
        for word in words[::7]:
            hits = retrieve(store, served, f"what is {word}?", options)
            (first,) = store.chunks.search_text(
                served.table, f"what is {word}?", np.zeros(served.embedder.dim, np.float32), 1
            )
            assert first.chunk.id in {hit.chunk.id for hit in hits}
            assert [hit.rank for hit in hits] == [1, 2, 3]
            assert len({hit.chunk.id for hit in hits}) == 3


def test_hybrid_search_ranks_a_rare_words_chunk_first_and_the_score_is_the_cosine(
    codes: tuple[Store, Arms, list[str]],
) -> None:
    store, arms, words = codes
    served = arms.current("tuned")
    origins = set()
    for word in words[::7]:
        hits = retrieve(store, served, word, SearchOptions(3, 0, "hybrid"))
        assert hits[0].chunk.source == f"{word}.md"
        (vector,) = served.embedder.embed_queries([word])
        cosines = {hit.chunk.id: hit.score for hit in store.chunks.search(served.table, vector, 100)}
        assert [hit.score for hit in hits] == pytest.approx([cosines[hit.chunk.id] for hit in hits], abs=1e-5)
        origins |= {hit.origin for hit in hits}
    assert origins == {"dense", "words"}


def test_a_reranker_reads_more_candidates_than_are_shown(codes: tuple[Store, Arms, list[str]]) -> None:
    store, arms, _ = codes
    read: list[int] = []
    reranker = Reranker("counts", lambda query, texts: [read.append(len(texts)) or 0.0 for _ in texts])
    plain, reranked = (
        [hit.chunk.id for hit in retrieve(store, arms.current("base"), "the cat", options)]
        for options in (SearchOptions(3, 0), SearchOptions(3, 0, reranker=reranker))
    )
    assert reranked == plain  # all are equal
    assert read[0] == 20


def test_near_duplicates_are_not_shown_together(settings: Settings) -> None:
    for n in range(8):
        (settings.docs[0] / f"copy{n}.md").write_text("The cat drinks warm milk at night, every day.\n")
    index(settings)
    store = open_store(settings.lancedb)
    served = Arms(settings, store, load_corpus(settings)).current("base")
    query = "the cat drinks warm milk at night, every day"
    alike = retrieve(store, served, query, SearchOptions(3, 0))
    apart = retrieve(store, served, query, SearchOptions(3, 0, mmr=0.4))
    assert len({hit.chunk.text for hit in alike}) == 1
    assert len({hit.chunk.text for hit in apart}) == 3
    assert apart[0].chunk.text == alike[0].chunk.text


def test_a_filter_holds_with_all_options(codes: tuple[Store, Arms, list[str]]) -> None:
    store, arms, _ = codes
    for options in ALL_OPTIONS:
        for arm in ARMS:
            hits = retrieve(
                store, arms.current(arm), "err-07 err-08 cat", options, DocumentFilter(("dogs.md", "err-08.md"))
            )
            assert {hit.chunk.source for hit in hits} == {"dogs.md", "err-08.md"}


def test_the_summary_names_what_is_switched_on() -> None:
    assert SearchOptions().summary() == "5, by meaning, the last one may be a keyword match"
    assert SearchOptions(4, 2).summary() == "4, by meaning, the last 2 may be keyword matches"
    assert SearchOptions(5, 0).summary() == "5, by meaning"
    assert SearchOptions(5, 0, "hybrid").summary() == "5, by meaning and by keywords"
    assert (
        SearchOptions(5, 1, "hybrid").summary() == "5, by meaning and by keywords, the last one may be a keyword match"
    )
    full = SearchOptions(5, 0, "dense", 0.7, backwards)
    assert full.summary() == "5, by meaning, reordered by backwards, near-duplicates demoted (MMR 0.7)"


def test_the_options_are_those_of_the_settings(settings: Settings) -> None:
    assert build_options(settings) == SearchOptions()
    given = {"k": 7, "explore": 0, "search": "hybrid", "mmr": 0.5}
    assert build_options(settings.model_copy(update=given)) == SearchOptions(7, 0, "hybrid", 0.5)
    with pytest.raises(BadModel, match="no such model folder"):
        build_options(settings.model_copy(update={"rerank": "./nowhere"}))


def test_only_options_that_reorder_retrieve_more_than_k() -> None:
    all_options = [SearchOptions(), SearchOptions(9), SearchOptions(mmr=0.5), SearchOptions(search="hybrid")]
    assert [options.depth for options in all_options] == [5, 9, DEPTH, DEPTH]


def test_a_table_of_an_earlier_release_gets_a_full_text_index_when_it_is_served(settings: Settings, arms: Arms) -> None:
    store = open_store(settings.lancedb)
    store.tables.open(arms.current("base").table).drop_index("text_idx")
    served = Arms(settings, store, load_corpus(settings)).current("base")
    assert len(retrieve(store, served, "bone", SearchOptions(2))) == 2


def test_before_any_promotion_both_arms_share_one_loaded_model(arms: Arms) -> None:
    assert arms.current("tuned").model == START_WEIGHTS
    assert arms.current("tuned").embedder is arms.current("base").embedder


def test_the_error_for_documents_that_were_never_indexed_names_the_next_step(settings: Settings) -> None:
    with pytest.raises(NotIndexed, match="python -m rag index"):
        Arms(settings, open_store(settings.lancedb), load_corpus(settings))


def test_a_promotion_and_a_rollback_are_followed(settings: Settings, arms: Arms, other_tiny_model: Path) -> None:
    version = add_version(settings, other_tiny_model)
    held = arms.current("tuned")
    assert not arms.refresh()  # there is a new version, but it does not serve yet
    registry, folders = Registry(settings.models), load_corpus(settings).folders_id
    registry.promote(folders, version.name)
    assert arms.refresh()
    assert arms.current("tuned").model == version.name
    assert arms.current("tuned").table != held.table
    assert retrieve(open_store(settings.lancedb), held, "cat", SearchOptions(1, 0))  # a running query keeps its model
    registry.rollback(folders)
    assert arms.refresh()
    assert arms.current("tuned").model == START_WEIGHTS
    assert not arms.refresh()


def test_a_champion_has_its_own_abstention_threshold(settings: Settings, arms: Arms, other_tiny_model: Path) -> None:
    version, corpus = add_version(settings, other_tiny_model), load_corpus(settings)
    registry, start = Registry(settings.models), arms.current("tuned").embedder.query_fingerprint
    learnt = load_embedder(str(other_tiny_model), settings).query_fingerprint
    registry.set_abstain_below(corpus.id, {start: 0.3, learnt: 0.6})
    assert arms.current("tuned").abstain_below is None
    assert not arms.refresh()  # no arm's model changed, but its threshold did
    assert [arms.current(arm).abstain_below for arm in ARMS] == [0.3, 0.3]
    registry.promote(corpus.folders_id, version.name)
    arms.refresh()
    assert [arms.current(arm).abstain_below for arm in ARMS] == [0.3, 0.6]
    registry.rollback(corpus.folders_id)
    arms.refresh()
    assert arms.current("tuned").abstain_below == 0.3


def test_a_champion_without_a_table_does_not_serve(settings: Settings, arms: Arms, other_tiny_model: Path) -> None:
    version = add_version(settings, other_tiny_model, indexed=False)
    Registry(settings.models).promote(load_corpus(settings).folders_id, version.name)
    assert not arms.refresh()
    assert arms.current("tuned").model == START_WEIGHTS
    assert "no index of these documents" in arms.trouble
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    learnt = load_embedder(str(settings.models / version.name), settings)
    table = store.chunks.table_name(corpus.id, learnt.fingerprint)
    store.chunks.put(table, [], learnt.embed_documents([]))
    assert not arms.refresh()  # `rag index` has begun
    update_vectors(store, corpus.id, learnt)
    assert arms.refresh()  # noticed without a restart
    assert (arms.current("tuned").model, arms.trouble) == (version.name, "")


def test_a_champion_whose_weights_are_missing_does_not_replace_the_former_one(
    settings: Settings, arms: Arms, other_tiny_model: Path
) -> None:
    version = add_version(settings, other_tiny_model)
    shutil.rmtree(settings.models / version.name)
    Registry(settings.models).promote(load_corpus(settings).folders_id, version.name)
    assert not arms.refresh()
    assert arms.current("tuned").model == START_WEIGHTS
    assert "no such model folder" in arms.trouble


def test_a_champion_of_other_documents_is_not_used(settings: Settings, arms: Arms, other_tiny_model: Path) -> None:
    version = add_version(settings, other_tiny_model)
    Registry(settings.models).promote("other documents", replace(version).name)
    arms.refresh()
    assert arms.current("tuned").model == START_WEIGHTS
