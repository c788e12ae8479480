"""What to look at next: only what is open, the most telling first, and nothing that somebody has decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from fakes import NOON, make_answer, make_hits
from rag.feedback.ratings import TAUGHT
from rag.feedback.review_queue import ReviewItem, review_queue
from rag.records import Answer, Label, Rating, content_id, normalise_query

HITS = make_hits("one", "two", "three")
CHUNKS = {hit.chunk.id for hit in HITS}
ONE, TWO, _ = (hit.chunk.id for hit in HITS)


def answer(id: str, query: str = "why?", hour: int = 0, duel: str = "") -> Answer:
    made = make_answer(HITS, cited=(1,), query=query, id=id)
    return replace(made, at=NOON + timedelta(hours=hour), duel=duel or f"duel of {id}", text=f"{id}: One [1].")


def thumb(rater: str, answer_id: str, value: Label, minute: int = 0) -> Rating:
    return Rating(rater, answer_id, value, True, NOON + timedelta(minutes=minute))


def mark(rater: str, answer_id: str, chunk_id: str, value: Label, minute: int = 0) -> Rating:
    at = NOON + timedelta(minutes=minute)
    return Rating(rater, answer_id, value, True, at, "source", chunk_id=chunk_id, query="why?")


def taught(rater: str, query: str, chunk_id: str, value: Label = 1, minute: int = 0) -> Rating:
    target = TAUGHT + content_id(normalise_query(query))
    at = NOON + timedelta(minutes=minute)
    return Rating(rater, target, value, False, at, "taught", chunk_id=chunk_id, query=query, text="t")


def shown(items: Sequence[ReviewItem]) -> list[tuple[str, str, str]]:
    return [(each.kind, each.query, each.chunk_id or " ".join(a.id for a in each.answers)) for each in items]


def test_a_question_whose_answers_failed_comes_first_with_both_of_them() -> None:
    answers = [answer("a1", "how?", 1, "d"), answer("a2", "how?", 1, "d"), answer("a3", "when?", 2)]
    ratings = [thumb("ann", "a1", -1), thumb("ann", "a2", -1)]
    assert shown(review_queue("bob", ratings, answers, CHUNKS)) == [
        ("teach", "how?", "a1 a2"),
        ("unrated", "when?", "a3"),
    ]


def test_a_question_leaves_when_a_right_passage_is_known() -> None:
    answers = [answer("a1", "how?")]
    ratings = [thumb("ann", "a1", -1), taught("bob", "How", ONE)]
    assert "teach" not in {item.kind for item in review_queue("bob", ratings, answers, CHUNKS)}


def test_raters_who_contradict_each_other_on_an_answer_make_a_conflict() -> None:
    answers = [answer("a1")]
    ratings = [thumb("ann", "a1", 1), thumb("bob", "a1", -1, minute=5)]
    assert shown(review_queue("cid", ratings, answers, CHUNKS)) == [("conflict", "why?", "a1")]
    assert shown(review_queue("ann", ratings, answers, CHUNKS)) == [("conflict", "why?", "a1")]  # bob has spoken since
    assert review_queue("bob", ratings, answers, CHUNKS) == []  # he has spoken last
    decided = [*ratings, thumb("cid", "a1", 1, minute=9)]
    assert [review_queue(rater, decided, answers, CHUNKS) for rater in ("ann", "bob", "dan")] == [[], [], []]


def test_one_rater_who_likes_both_sides_or_only_one_contradicts_nobody() -> None:
    answers = [answer("a1", duel="d"), answer("a2", duel="d")]
    for value in (1, -1):
        ratings = [thumb("ann", "a1", 1), thumb("ann", "a2", value)]  # type: ignore[arg-type]
        assert "conflict" not in {item.kind for item in review_queue("bob", ratings, answers, CHUNKS)}


def test_a_passage_is_in_conflict_between_raters_whatever_they_said_it_by() -> None:
    answers = [answer("a1")]
    ratings = [thumb("ann", "a1", 1), mark("ann", "a1", ONE, 1), taught("bob", "Why", ONE, -1, minute=5)]
    assert shown(review_queue("cid", ratings, answers, CHUNKS)) == [("conflict", "why?", ONE)]


def test_what_one_rater_says_last_of_a_passage_counts_and_contradicts_nobody() -> None:
    answers = [answer("a1", duel="d"), answer("a2", duel="d")]
    ratings = [thumb("ann", "a1", 1), thumb("ann", "a2", 1), mark("ann", "a1", ONE, 1), mark("ann", "a2", ONE, -1, 5)]
    assert review_queue("bob", ratings, answers, CHUNKS) == []


def test_a_taught_passage_waits_for_one_other_rater() -> None:
    ratings = [taught("ann", "how?", TWO)]
    assert shown(review_queue("bob", ratings, [], CHUNKS)) == [("confirm", "how?", TWO)]
    assert review_queue("ann", ratings, [], CHUNKS) == []
    assert review_queue("cid", [*ratings, taught("bob", "how", TWO)], [], CHUNKS) == []
    refused = [*ratings, taught("bob", "how", TWO, -1, minute=5)]
    assert shown(review_queue("cid", refused, [], CHUNKS)) == [("conflict", "how?", TWO)]
    assert shown(review_queue("ann", refused, [], CHUNKS)) == [("conflict", "how?", TWO)]


def test_a_withdrawn_word_is_none() -> None:
    answers = [answer("a1")]
    ratings = [thumb("ann", "a1", 0), taught("ann", "how?", TWO, 0)]
    assert shown(review_queue("bob", ratings, answers, CHUNKS)) == [("unrated", "why?", "a1")]


def test_unrated_answers_come_last_the_latest_first_and_twins_once() -> None:
    twins = [answer("a1", hour=1, duel="d1"), replace(answer("a2", hour=1, duel="d1"), text="a1: One [1].", side="B")]
    answers = [*twins, answer("a3", hour=2), answer("a4", hour=3), answer("a5", hour=4)]
    preferred = Rating("ann", "duel of a4", 1, True, NOON, "preference", choice="tie")
    ratings = [preferred, thumb("ann", "a5", 1)]
    assert [name for _, _, name in shown(review_queue("bob", ratings, answers, CHUNKS))] == ["a3", "a1"]
    assert review_queue("bob", [*ratings, thumb("bob", "a2", 1), thumb("bob", "a3", 1)], answers, CHUNKS) == []


def test_a_question_that_was_asked_again_brings_no_doubles() -> None:
    again = [replace(answer(f"a{n}", "How?" if n else "how", hour=n), text="Two [2].") for n in range(3)]
    assert shown(review_queue("bob", [], again, CHUNKS)) == [("unrated", "How?", "a2")]
    assert review_queue("bob", [thumb("ann", "a0", 1)], again, CHUNKS) == []
    down = [thumb("ann", each.id, -1) for each in again]
    assert shown(review_queue("bob", down, again, CHUNKS)) == [("teach", "how", "a2")]


def test_the_order_does_not_tell_which_answer_of_a_duel_was_complete_first() -> None:
    answers = [replace(answer("a1", hour=1, duel="d"), side="B"), replace(answer("a2", hour=2, duel="d"), side="A")]
    for hours in (0, 5):
        turned = [replace(each, at=NOON + timedelta(hours=hours - n)) for n, each in enumerate(answers)]
        assert [name for _, _, name in shown(review_queue("bob", [], turned, CHUNKS))] == ["a2", "a1"]
        answers = [replace(each, at=NOON + timedelta(hours=n)) for n, each in enumerate(answers)]


def test_other_documents_are_none_of_our_business() -> None:
    ratings = [thumb("ann", "a1", -1), taught("ann", "how?", TWO)]
    assert review_queue("bob", ratings, [answer("a1"), answer("a2")], {"elsewhere"}) == []


def test_an_item_has_the_same_id_for_everybody() -> None:
    ratings = [taught("ann", "how?", TWO)]
    bobs, cids = (review_queue(rater, ratings, [], CHUNKS)[0].id for rater in ("bob", "cid"))
    assert bobs == cids != ReviewItem("conflict", "how?", chunk_id=TWO).id
