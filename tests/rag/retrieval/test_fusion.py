"""Hybrid search adds scaled scores, rank fusion uses ranks only; MMR demotes near-duplicates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import make_hits
from rag.retrieval.fusion import SMOOTHING, combine, fuse, mmr


def ids(*texts: str) -> list[str]:
    return [hit.chunk.id for hit in make_hits(*texts)]


def test_cosine_and_bm25_are_scaled_by_the_greatest_of_the_query_and_added() -> None:
    scores = combine({"a": 0.6, "b": 0.2, "c": -1.0}, {"b": 20.0, "c": 5.0}, 0.5)
    assert scores == pytest.approx({"b": 0.5 * 1.2 / 1.6 + 0.5, "a": 0.5, "c": 0.5 * 5 / 20})
    assert list(scores) == ["b", "a", "c"]


@pytest.mark.parametrize(("weight", "order"), [(0.0, "bca"), (1.0, "abc")])
def test_with_all_the_weight_on_one_search_its_order_remains(weight: float, order: str) -> None:
    assert "".join(combine({"a": 0.6, "b": 0.2, "c": -0.5}, {"b": 20.0, "c": 5.0}, weight)) == order


def test_without_a_common_word_the_cosine_decides() -> None:
    assert list(combine({"b": 0.2, "a": 0.6}, {})) == ["a", "b"]
    assert combine({}, {}) == {}
    assert list(combine({"b": -1.0, "a": -1.0}, {})) == ["a", "b"]  # nothing to scale by: ties go by id


def test_a_cosine_that_differs_in_its_last_bit_is_a_tie() -> None:
    assert list(combine({"b": 0.3 + 1e-8, "a": 0.3}, {"a": 2.0, "b": 2.0})) == ["a", "b"]


def test_a_chunk_scores_one_over_smoothing_plus_rank_in_each_list() -> None:
    fused = fuse([(1.0, make_hits("a", "b")), (1.0, make_hits("b", "c"))])
    a, b, c = ids("a", "b", "c")
    assert fused == pytest.approx(
        {b: 1 / (SMOOTHING + 2) + 1 / (SMOOTHING + 1), a: 1 / (SMOOTHING + 1), c: 1 / (SMOOTHING + 2)}
    )
    assert list(fused) == [b, a, c]  # found by both, then by rank


def test_a_list_counts_by_its_weight() -> None:
    a, b = ids("a", "b")
    assert list(fuse([(1.0, make_hits("a")), (0.5, make_hits("b"))])) == [a, b]
    assert list(fuse([(0.5, make_hits("a")), (1.0, make_hits("b"))])) == [b, a]


def test_ties_are_ordered_by_id_whatever_the_order_of_the_lists() -> None:
    one, other = make_hits("a"), make_hits("b")
    assert list(fuse([(1.0, one), (1.0, other)])) == list(fuse([(1.0, other), (1.0, one)])) == sorted(ids("a", "b"))


@given(st.permutations("abcdef"), st.permutations("abcdefgh"))
def test_a_chunk_ranked_higher_in_both_lists_stays_higher(one: list[str], other: list[str]) -> None:
    place = {chunk_id: n for n, chunk_id in enumerate(fuse([(1.0, make_hits(*one)), (1.0, make_hits(*other))]))}
    named = dict(zip("abcdefgh", ids(*"abcdefgh"), strict=True))
    for a in one:
        for b in one:
            if one.index(a) < one.index(b) and other.index(a) < other.index(b):
                assert place[named[a]] < place[named[b]]


def test_mmr_prefers_a_new_chunk_to_a_near_duplicate() -> None:
    # rows 0 and 1 say the same, row 2 is new; scaled relevance 1, 0.9 and 0
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    relevance = [0.90, 0.89, 0.80]
    assert mmr(relevance, vectors, 2, 1.0) == [0, 1]
    assert mmr(relevance, vectors, 2, 0.6) == [0, 1]  # 0.6 * 0.9 - 0.4 = 0.14 against 0
    assert mmr(relevance, vectors, 2, 0.5) == [0, 2]  # 0.5 * 0.9 - 0.5 = -0.05 against 0


def test_mmr_compares_with_all_chosen_hits_and_not_only_the_last() -> None:
    vectors = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    assert mmr([3.0, 2.9, 2.8], vectors, 3, 0.3) == [0, 1, 2]
    more = np.vstack([vectors, [[-1, 0]]]).astype(np.float32)
    assert mmr([3.0, 2.9, 2.8, 2.0], more, 3, 0.3) == [0, 3, 1]


def test_mmr_does_not_depend_on_the_models_cosine_scale() -> None:
    narrow = np.array([[1, 0], [1, 0], [0.8, 0.6]], np.float32)  # as above, all cosines at least 0.8
    assert mmr([0.90, 0.89, 0.80], narrow, 2, 0.6) == [0, 1]
    assert mmr([0.90, 0.89, 0.80], narrow, 2, 0.5) == [0, 2]


def test_mmr_of_equal_or_no_candidates() -> None:
    assert mmr([0.5, 0.5], np.eye(2, dtype=np.float32), 2, 0.5) == [0, 1]
    assert mmr([], np.zeros((0, 2), np.float32), 3, 0.5) == []


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=8), st.floats(0.01, 1), st.integers(0, 9))
def test_the_scale_of_relevance_does_not_matter(values: list[float], trade: float, seed: int) -> None:
    relevance = [round(value, 3) for value in values]
    vectors = np.random.default_rng(seed).normal(size=(len(values), 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    shown = mmr(relevance, vectors, 5, trade)
    assert len(shown) == len(set(shown)) == min(5, len(values))
    assert relevance[shown[0]] == max(relevance)
    if len(set(relevance)) == len(relevance):
        assert mmr([value * 8 + 16 for value in relevance], vectors, 5, 1.0) == mmr(relevance, vectors, 5, 1.0)
