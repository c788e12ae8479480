"""Which labels a rating makes, and that no double click, change of mind or crash can spoil it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fakes import NOON, make_answer, make_chunk, make_hits
from rag.errors import BadRating
from rag.feedback.ratings import (
    MARK_WEIGHT,
    TAUGHT_WEIGHT,
    derive_labels,
    mark_source,
    prefer,
    rate_answer,
    repair,
    teach,
    to_teach,
)
from rag.records import Label, Rating, Reason
from rag.store.store import Store, open_store

HITS = make_hits("first", "second", "third")
UP = Rating("ann", "answer-1", 1, True, NOON)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    store.feedback.put_answer(make_answer(HITS, cited=(2,)))
    yield store
    store.close()


def labels(value: Label, cited: tuple[int, ...]) -> list[int]:
    return [label.label for label in derive_labels(replace(UP, value=value), make_answer(HITS, cited=cited))]


def test_a_thumb_up_makes_a_positive_of_the_cited_chunk_and_a_negative_of_the_best_uncited_one() -> None:
    assert labels(1, cited=(2,)) == [-1, 1, 0]


def test_a_thumb_down_never_makes_a_positive() -> None:
    assert labels(-1, cited=(1, 2)) == [-1, -1, 0]


def test_a_withdrawn_vote_says_nothing_of_any_chunk() -> None:
    assert labels(0, cited=(1,)) == [0, 0, 0]


def test_an_upvoted_answer_that_cites_nothing_makes_no_label() -> None:
    assert labels(1, cited=()) == [0, 0, 0]


def test_an_answer_that_cites_all_it_was_shown_has_no_negative() -> None:
    assert labels(1, cited=(1, 2, 3)) == [1, 1, 1]


def test_a_citation_without_support_is_neither_a_positive_nor_the_unused_negative() -> None:
    answer = replace(make_answer(HITS, cited=(1, 2)), text="Sunny tomorrow [1]. Second [2].")
    assert [label.label for label in derive_labels(UP, answer)] == [0, 1, -1]


def test_the_shares_of_a_thumb_sum_to_one_and_halve_in_the_order_of_use() -> None:
    rows = derive_labels(UP, make_answer(HITS, cited=(3, 1, 2)))
    assert [row.weight for row in rows] == pytest.approx([2 / 7, 1 / 7, 4 / 7])


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("", [-1, 0, 0]),
        ("wrong source", [-1, 0, 0]),
        ("incomplete", [-1, 0, 0]),
        ("not in the documents", [0, 0, 0]),
        ("made up", [0, 0, 0]),
    ],
)
def test_a_thumb_down_blames_the_chunks_unless_its_reason_blames_the_writer(reason: Reason, expected: list) -> None:
    rows = derive_labels(replace(UP, value=-1, reason=reason), make_answer(HITS, cited=(1,)))
    assert [row.label for row in rows] == expected


def test_an_answer_without_hits_can_be_rated_and_makes_no_pair(store: Store) -> None:
    store.feedback.put_answer(make_answer(id="empty"))
    rate_answer(store, rater="ann", answer_id="empty", value=1, blind=True)
    assert [rating.target_id for rating in store.feedback.ratings()] == ["empty"]
    assert store.feedback.labels() == []


def test_clicking_twice_leaves_one_rating_and_one_row_for_each_hit(store: Store) -> None:
    for _ in range(2):
        rate_answer(store, rater="ann", answer_id="answer-1", value=1, blind=True)
    assert len(store.feedback.ratings()) == 1
    assert sorted(label.label for label in store.feedback.labels()) == [-1, 0, 1]


def test_a_changed_mind_overwrites_all_that_the_former_vote_said(store: Store) -> None:
    rate_answer(store, rater="ann", answer_id="answer-1", value=1, blind=True)
    rate_answer(store, rater="ann", answer_id="answer-1", value=-1, blind=False)
    assert sorted(label.label for label in store.feedback.labels()) == [-1, 0, 0]
    rate_answer(store, rater="ann", answer_id="answer-1", value=0, blind=False)
    assert {label.label for label in store.feedback.labels()} == {0}
    assert len(store.feedback.labels()) == 3


def test_what_was_said_before_the_reveal_outlives_a_changed_mind_and_ends_with_a_withdrawal(store: Store) -> None:
    def said(value: Label, reason: Reason = "") -> tuple[Label, bool, str]:
        rate_answer(
            store, rater="ann", answer_id="answer-1", value=value, blind=not store.feedback.ratings(), reason=reason
        )
        (rating,) = store.feedback.ratings()
        return rating.value, rating.blind, rating.first

    assert said(-1) == (-1, True, "")
    assert said(-1, "incomplete") == (-1, False, "-1")  # a reason comes after the thumb that revealed the card
    assert said(1) == (1, False, "-1")
    assert said(-1) == (-1, False, "-1")
    assert said(0) == (0, False, "")
    assert said(1) == (1, False, "")


def test_a_mark_or_a_taught_passage_decides_no_duel_and_keeps_no_first_word(store: Store) -> None:
    mark_source(store, rater="ann", answer_id="answer-1", rank=1, value=-1, blind=True)
    mark_source(store, rater="ann", answer_id="answer-1", rank=1, value=1, blind=False)
    assert [each.first for each in store.feedback.ratings()] == [""]


def test_a_preference_that_is_changed_after_the_reveal_keeps_its_first_word(store: Store) -> None:
    prefer(store, rater="ann", duel_id="duel", choice="base", blind=True)
    prefer(store, rater="ann", duel_id="duel", choice="tuned", blind=False)
    prefer(store, rater="bob", duel_id="duel", choice="tuned", blind=False)  # nothing was said before
    assert {(each.rater, each.choice, each.first) for each in store.feedback.ratings()} == {
        ("ann", "tuned", "base"),
        ("bob", "tuned", ""),
    }


def test_two_raters_do_not_overwrite_each_other(store: Store) -> None:
    rate_answer(store, rater="ann", answer_id="answer-1", value=1, blind=True)
    rate_answer(store, rater="bob", answer_id="answer-1", value=-1, blind=True)
    assert {(rating.rater, rating.value) for rating in store.feedback.ratings()} == {("ann", 1), ("bob", -1)}
    assert len(store.feedback.labels()) == 6


def test_a_label_carries_where_it_came_from(store: Store) -> None:
    rate_answer(store, rater="ann", answer_id="answer-1", value=1, blind=True)
    (positive,) = (label for label in store.feedback.labels() if label.label == 1)
    assert (positive.text, positive.rank, positive.cited, positive.arm, positive.model, positive.blind) == (
        "second", 2, True, "base", "builtin", True,
    )  # fmt: skip


def test_pairs_that_a_crash_left_out_are_made_again_once(store: Store) -> None:
    store.feedback.put_ratings([UP])  # and then the process dies, before the pairs
    assert repair(store) == 3
    assert sorted(label.label for label in store.feedback.labels()) == [-1, 0, 1]
    assert repair(store) == 0


def test_pairs_of_a_vote_that_was_changed_before_the_crash_are_mended(store: Store) -> None:
    rate_answer(store, rater="ann", answer_id="answer-1", value=1, blind=True, at=NOON)
    store.feedback.put_ratings([replace(UP, value=0, at=NOON.replace(hour=13))])
    repair(store)
    assert {label.label for label in store.feedback.labels()} == {0}


def test_a_thumb_that_an_earlier_release_weighed_differently_is_weighed_anew(store: Store) -> None:
    rate_answer(store, rater="ann", answer_id="answer-1", value=1, blind=True, at=NOON)
    store.feedback.put_labels([replace(label, weight=0.25) for label in store.feedback.labels() if label.label == 1])
    assert repair(store) == 1
    assert {label.weight for label in store.feedback.labels()} == {1.0}


def test_an_unknown_answer_or_value_is_refused_and_nothing_is_written(store: Store) -> None:
    with pytest.raises(BadRating, match="'nope' is not stored"):
        rate_answer(store, rater="ann", answer_id="nope", value=1, blind=True)
    with pytest.raises(BadRating, match="5 is no rating"):
        rate_answer(store, rater="ann", answer_id="answer-1", value=5, blind=True)  # type: ignore[arg-type]
    with pytest.raises(BadRating, match="'too long' is no reason: give one of wrong source, incomplete, "):
        rate_answer(store, rater="ann", answer_id="answer-1", value=-1, blind=True, reason="too long")  # type: ignore[arg-type]
    with pytest.raises(BadRating, match="rank 4 is no source of this answer: it has 3"):
        mark_source(store, rater="ann", answer_id="answer-1", rank=4, value=1, blind=True)
    with pytest.raises(BadRating, match="is no label"):
        teach(store, rater="ann", query=" ?", chunk=HITS[0].chunk)
    with pytest.raises(BadRating, match="'left' is no preference"):
        prefer(store, rater="ann", duel_id="duel", choice="left", blind=True)  # type: ignore[arg-type]
    assert store.feedback.ratings() == []


def test_a_mark_says_something_of_its_source_alone_and_stands_beside_the_thumb(store: Store) -> None:
    rate_answer(store, rater="ann", answer_id="answer-1", value=1, blind=True)
    mark_source(store, rater="ann", answer_id="answer-1", rank=3, value=1, blind=True)
    mark_source(store, rater="ann", answer_id="answer-1", rank=1, value=-1, blind=True)
    marks = {label.text: (label.label, label.weight) for label in store.feedback.labels() if label.origin == "mark"}
    assert marks == {"third": (1, MARK_WEIGHT), "first": (-1, MARK_WEIGHT)}
    assert len(store.feedback.ratings()) == 3
    assert sorted(label.label for label in store.feedback.labels() if label.origin == "rating") == [-1, 0, 1]


def test_a_mark_that_is_changed_or_withdrawn_leaves_one_row(store: Store) -> None:
    values: list[Label] = [1, -1, 0]
    for value in values:
        mark_source(store, rater="ann", answer_id="answer-1", rank=2, value=value, blind=True)
        assert [label.label for label in store.feedback.labels()] == [value]
    assert len(store.feedback.ratings()) == 1


def test_a_taught_passage_is_remembered_with_its_text_for_all_spellings_of_the_query(store: Store) -> None:
    chunk = make_chunk("what nobody had shown")
    teach(store, rater="ann", query="Why?", chunk=chunk)
    teach(store, rater="ann", query="why", chunk=chunk)
    (label,) = store.feedback.labels()
    assert (label.chunk_id, label.text, label.label, label.origin, label.weight) == (
        chunk.id, "what nobody had shown", 1, "taught", TAUGHT_WEIGHT,
    )  # fmt: skip
    teach(store, rater="ann", query="why", chunk=chunk, value=0)
    assert [label.label for label in store.feedback.labels()] == [0]


def test_a_query_may_be_taught_two_passages(store: Store) -> None:
    for text in ("one half", "other half"):
        teach(store, rater="ann", query="why?", chunk=make_chunk(text))
    assert {label.text for label in store.feedback.labels()} == {"one half", "other half"}


def test_a_preference_is_kept_and_makes_no_pair(store: Store) -> None:
    prefer(store, rater="ann", duel_id="duel", choice="tuned", blind=True)
    prefer(store, rater="ann", duel_id="duel", choice="", blind=True)
    (rating,) = store.feedback.ratings()
    assert (rating.kind, rating.target_id, rating.choice, rating.value) == ("preference", "duel", "", 0)
    assert store.feedback.labels() == []
    assert repair(store) == 0


def test_marks_and_taught_passages_are_derived_again_after_a_crash_too(store: Store) -> None:
    mark_source(store, rater="ann", answer_id="answer-1", rank=3, value=1, blind=True)
    teach(store, rater="ann", query="why?", chunk=make_chunk("what nobody had shown"))
    ratings, expected = store.feedback.ratings(), {label.id for label in store.feedback.labels()}
    store.feedback.delete_rater("ann")
    store.feedback.put_ratings(ratings)
    assert repair(store) == 2
    assert {label.id for label in store.feedback.labels()} == expected


def test_a_rating_of_an_answer_that_is_not_stored_makes_no_pair() -> None:
    assert derive_labels(UP, None) == []


# --- what to look for ------------------------------------------------------------------------------------------------

ANSWERS = {
    f"answer-{n}": make_answer(HITS, cited=(1,), query=query, id=f"answer-{n}")
    for n, query in enumerate(["first?", "second?", "third?"])
}


def down(answer: str, hour: int, **given: str) -> Rating:
    return replace(UP, target_id=answer, value=-1, at=NOON.replace(hour=hour), **given)  # type: ignore[arg-type]


def test_queries_voted_down_without_a_positive_are_to_be_taught_latest_first() -> None:
    ratings = [down("answer-0", 8), down("answer-1", 9), replace(UP, target_id="answer-2")]
    assert to_teach(ratings, ANSWERS) == ["second?", "first?"]
    assert to_teach([*ratings, down("answer-0", 10, rater="bob")], ANSWERS) == ["first?", "second?"]


def test_a_query_for_which_somebody_knows_a_right_chunk_is_solved() -> None:
    ratings = [down("answer-0", 8), down("answer-1", 9), down("answer-2", 10)]
    up = replace(UP, rater="bob", target_id="answer-0")
    marked = replace(UP, target_id="answer-1", kind="source", chunk_id=HITS[2].chunk.id, query="second?")
    taught = replace(UP, target_id="taught:x", kind="taught", chunk_id="c", query="THIRD", text="it")
    assert to_teach([*ratings, up, marked, taught], ANSWERS) == []
    assert to_teach([*ratings, up, replace(marked, value=-1), replace(taught, value=0)], ANSWERS) == [
        "third?",
        "second?",
    ]


def test_a_vote_that_was_withdrawn_asks_for_nothing() -> None:
    assert to_teach([replace(UP, target_id="answer-0", value=0)], ANSWERS) == []


def test_what_was_said_last_counts_though_the_clock_was_set_back(store: Store) -> None:
    rate_answer(store, rater="ann", answer_id="answer-1", value=1, blind=True, at=NOON.replace(year=2099))
    rate_answer(store, rater="ann", answer_id="answer-1", value=-1, blind=True, at=NOON)
    assert [rating.value for rating in store.feedback.ratings()] == [-1]
    assert repair(store) == 0
    assert {label.label for label in store.feedback.labels()} == {-1, 0}


@pytest.mark.parametrize(
    "comment",
    ["<script>alert(1)</script>", "\x00\x1b[2J\u202e\ufeff", "=HYPERLINK('x')\t\r\n\"';--", "x" * 1_000],
)
def test_a_hostile_comment_is_stored_as_it_is_and_teaches_nothing(store: Store, comment: str) -> None:
    rate_answer(store, rater="eve", answer_id="answer-1", value=-1, blind=True, comment=comment)
    assert [rating.comment for rating in store.feedback.ratings()] == [comment]
    assert not [label for label in store.feedback.labels() if comment in (label.query, label.text)]
