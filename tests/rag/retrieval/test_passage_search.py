"""Passage search: finds what both arms miss, and the order does not reveal which arm found what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import make_chunk, make_hits
from rag.indexing.indexer import index
from rag.ingest.corpus import load_corpus
from rag.models.arms import Arms, ServedModel
from rag.records import ARMS, Hit
from rag.retrieval.passage_search import DEPTH, SHOWN, fuse_retrievers, search_passages
from rag.settings import Settings
from rag.store.store import Store, open_store

CODES = [f"ERR-{n:02}" for n in range(80)]


@pytest.fixture
def corpus(settings: Settings, other_tiny_model: Path) -> tuple[Store, list[ServedModel]]:
    """Return two arms with 80 almost equal passages, which each ranks in its own order."""
    texts = [f"# Code {code}\n\nThe cat eats fish." for code in CODES]
    (settings.docs[0] / "codes.md").write_text("\n\n".join(texts))
    settings = settings.model_copy(update={"base_model": str(other_tiny_model), "explore": 0})
    index(settings)
    store = open_store(settings.lancedb)
    arms = Arms(settings, store, load_corpus(settings))
    return store, [arms.current(arm) for arm in ARMS]


def test_a_passage_that_both_arms_miss_is_found_by_keyword(corpus: tuple[Store, list[ServedModel]]) -> None:
    store, arms = corpus
    missed = 0
    for code in CODES[::5]:
        query = f"what is {code.lower()}?"
        found = [chunk.text for chunk in search_passages(store, arms, query)]
        assert any(code in text for text in found[:7])
        vectors = [(arm.table, arm.embedder.embed_queries([query])[0]) for arm in arms]
        shown = [hit.chunk.text for table, vector in vectors for hit in store.chunks.search(table, vector, 5)]
        missed += not any(code in text for text in shown)
    assert missed


def test_the_order_is_the_same_whichever_arm_found_what(corpus: tuple[Store, list[ServedModel]]) -> None:
    store, arms = corpus
    for query in ("cat", "fish at night", "what is err-07", "bone"):
        assert search_passages(store, arms, query) == search_passages(store, arms[::-1], query)


def test_it_returns_many_more_passages_than_an_answer_uses(corpus: tuple[Store, list[ServedModel]]) -> None:
    store, arms = corpus
    found = search_passages(store, arms, "the cat eats fish")
    assert len(found) == SHOWN
    assert len({chunk.id for chunk in found}) == SHOWN


def test_a_missing_full_text_index_is_built(corpus: tuple[Store, list[ServedModel]]) -> None:
    store, arms = corpus
    for table in {arm.table for arm in arms}:
        store.tables.open(table).drop_index("text_idx")
    assert any("ERR-40" in chunk.text for chunk in search_passages(store, arms, "err-40")[:7])


def test_two_arms_with_the_same_weights_count_once(corpus: tuple[Store, list[ServedModel]]) -> None:
    store, (base, _) = corpus
    assert search_passages(store, [base, replace(base, arm="tuned")], "cat") == search_passages(store, [base], "cat")


def test_without_a_matching_word_the_embeddings_decide(corpus: tuple[Store, list[ServedModel]]) -> None:
    store, arms = corpus
    assert len(search_passages(store, arms, "zzz xyzzy")) == SHOWN


def test_the_first_hit_of_bm25_alone_is_at_worst_seventh() -> None:
    both = [f"both {n}" for n in range(1, DEPTH)]
    dense = list(make_hits(*both))
    lexical = [Hit(make_chunk("alone"), 1, 0.0), *(replace(hit, rank=51 - hit.rank) for hit in dense)]
    for shift in range(5, 12):  # whatever order BM25 gives the others
        turned = [replace(hit, rank=2 + (hit.rank - 2 + shift) % 49) for hit in lexical[1:]]
        best = [chunk.text for chunk in fuse_retrievers([[dense, dense], [[lexical[0], *turned]]], 50)]
        assert best.index("alone") <= 6


def test_a_group_of_two_lists_weighs_as_much_as_a_group_of_one() -> None:
    here, there = make_hits("dense"), make_hits("words")
    ids = [chunk.id for chunk in fuse_retrievers([[here, here], [there]], 2)]
    assert ids == sorted(ids)  # equally good


@given(st.lists(st.permutations("abcdef"), min_size=2, max_size=2), st.permutations("abcdef"))
def test_fusing_does_not_depend_on_the_order_of_the_arms(arms: list[list[str]], words: list[str]) -> None:
    one, other = (make_hits(*texts) for texts in arms)
    lexical = make_hits(*words)
    assert fuse_retrievers([[one, other], [lexical]], 6) == fuse_retrievers([[other, one], [lexical]], 6)
