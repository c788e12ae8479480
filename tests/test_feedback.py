"""What a thumb credits, and that no double click, change of mind or crash can spoil it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fakes import NOON, make_answer, make_hits
from rag.errors import BadRating
from rag.feedback import derive_labels, rate_answer, repair
from rag.records import Label, Rating
from rag.store import Store, open_store

HITS = make_hits("first", "second", "third")
UP = Rating("ann", "answer-1", 1, True, NOON)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    store.put_answer(make_answer(HITS, cited=(2,)))
    yield store
    store.close()


def labels(value: Label, cited: tuple[int, ...]) -> list[int]:
    return [label.label for label in derive_labels(replace(UP, value=value), make_answer(HITS, cited=cited))]


def test_a_thumb_up_credits_the_cited_chunk_and_blames_the_best_uncited_one() -> None:
    assert labels(1, cited=(2,)) == [-1, 1, 0]


def test_a_thumb_down_never_makes_a_positive() -> None:
    assert labels(-1, cited=(1, 2)) == [-1, -1, 0]


def test_a_withdrawn_vote_says_nothing_of_any_chunk() -> None:
    assert labels(0, cited=(1,)) == [0, 0, 0]


def test_an_upvoted_answer_that_cites_nothing_makes_no_label() -> None:
    assert labels(1, cited=()) == [0, 0, 0]


def test_an_answer_that_cites_all_it_was_shown_has_no_negative() -> None:
    assert labels(1, cited=(1, 2, 3)) == [1, 1, 1]


def test_an_answer_without_hits_can_be_rated_and_makes_no_pair(store: Store) -> None:
    store.put_answer(make_answer(id="empty"))
    rate_answer(store, rater="ann", answer_id="empty", value=1, blind=True)
    assert [rating.answer_id for rating in store.ratings()] == ["empty"]
    assert store.labels() == []


def test_clicking_twice_leaves_one_rating_and_one_row_for_each_hit(store: Store) -> None:
    for _ in range(2):
        rate_answer(store, rater="ann", answer_id="answer-1", value=1, blind=True)
    assert len(store.ratings()) == 1
    assert sorted(label.label for label in store.labels()) == [-1, 0, 1]


def test_a_changed_mind_overwrites_all_that_the_former_vote_said(store: Store) -> None:
    rate_answer(store, rater="ann", answer_id="answer-1", value=1, blind=True)
    rate_answer(store, rater="ann", answer_id="answer-1", value=-1, blind=False)
    assert sorted(label.label for label in store.labels()) == [-1, 0, 0]
    rate_answer(store, rater="ann", answer_id="answer-1", value=0, blind=False)
    assert {label.label for label in store.labels()} == {0}
    assert len(store.labels()) == 3


def test_two_raters_do_not_overwrite_each_other(store: Store) -> None:
    rate_answer(store, rater="ann", answer_id="answer-1", value=1, blind=True)
    rate_answer(store, rater="bob", answer_id="answer-1", value=-1, blind=True)
    assert {(rating.rater, rating.value) for rating in store.ratings()} == {("ann", 1), ("bob", -1)}
    assert len(store.labels()) == 6


def test_a_label_carries_where_it_came_from(store: Store) -> None:
    rate_answer(store, rater="ann", answer_id="answer-1", value=1, blind=True)
    (positive,) = (label for label in store.labels() if label.label == 1)
    assert (positive.text, positive.rank, positive.cited, positive.arm, positive.model, positive.blind) == (
        "second", 2, True, "base", "builtin", True,
    )  # fmt: skip


def test_pairs_that_a_crash_left_out_are_made_again_once(store: Store) -> None:
    store.put_ratings([UP])  # and then the process dies, before the pairs
    assert repair(store) == 3
    assert sorted(label.label for label in store.labels()) == [-1, 0, 1]
    assert repair(store) == 0


def test_pairs_of_a_vote_that_was_changed_before_the_crash_are_mended(store: Store) -> None:
    rate_answer(store, rater="ann", answer_id="answer-1", value=1, blind=True, at=NOON)
    store.put_ratings([replace(UP, value=0, at=NOON.replace(hour=13))])
    repair(store)
    assert {label.label for label in store.labels()} == {0}


def test_an_unknown_answer_or_value_is_refused_and_nothing_is_written(store: Store) -> None:
    with pytest.raises(BadRating, match="'nope' is not stored"):
        rate_answer(store, rater="ann", answer_id="nope", value=1, blind=True)
    with pytest.raises(BadRating, match="5 is no rating"):
        rate_answer(store, rater="ann", answer_id="answer-1", value=5, blind=True)  # type: ignore[arg-type]
    assert store.ratings() == []
