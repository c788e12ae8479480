"""The abstention threshold: capped by answerable questions, and none where the cosine does not help."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fakes import NOON, make_answer, make_chunk
from rag.evaluation.intervals import share_interval
from rag.feedback.pairs import alike
from rag.records import Answer, Label, Rating, Reason
from train.dataset.unanswerable import FOREIGN, VOTED, WRITTEN, voted_unanswerable
from train.judging.abstention import (
    FOUND,
    LEFT_OUT,
    MIN_FOUND,
    MISSED,
    MOST_DECLINED,
    NearestScores,
    best_cosines,
    cross_validated,
    fit,
    fit_threshold,
    join_scores,
    nearest_scores,
)

CHUNKS = [
    make_chunk("cats drink warm milk at night in the garden"),
    make_chunk("cats drink warm milk at night in the garden house"),  # a near copy of the first
    make_chunk("dogs keep one bone under the green tree"),
    make_chunk("fish sleep in cold blue water"),
]
VECTORS = np.eye(4, dtype=np.float32)
QUERIES = np.array([[0.8, 0.6, 0.0, 0.0], [0.0, 0.0, 0.6, 0.8]], np.float32)


def right(*rows: int) -> frozenset[str]:
    return frozenset(CHUNKS[row].id for row in rows)


def looked(found: list[float], left_out: list[float] | None = None, missed: list[float] | None = None) -> NearestScores:
    missed = missed or []
    return NearestScores(
        np.array([*found, *missed]),
        np.array([*(left_out or found), *missed]),
        np.array([True] * len(found) + [False] * len(missed)),
    )


# --- how near chunks are ---------------------------------------------------------------------------------------------


def test_the_best_cosine_is_that_of_the_nearest_chunk() -> None:
    scores = nearest_scores(QUERIES, VECTORS, [right(0), right(2)], CHUNKS, 1, alike)
    assert scores.best.tolist() == pytest.approx([0.8, 0.8])
    assert best_cosines(QUERIES, VECTORS).tolist() == pytest.approx([0.8, 0.8])
    assert best_cosines(QUERIES[:0], VECTORS).size == 0


def test_a_query_is_found_where_a_right_chunk_is_among_the_first_k() -> None:
    judged = [right(0), right(2)]
    assert nearest_scores(QUERIES, VECTORS, judged, CHUNKS, 1, alike).found.tolist() == [True, False]
    assert nearest_scores(QUERIES, VECTORS, judged, CHUNKS, 2, alike).found.tolist() == [True, True]


def test_with_a_right_chunk_its_near_copies_are_taken_out() -> None:
    scores = nearest_scores(QUERIES, VECTORS, [right(0), right(3)], CHUNKS, 2, alike)
    assert alike(CHUNKS[0].text, CHUNKS[1].text)
    assert scores.left_out.tolist() == pytest.approx([0.0, 0.6])  # not 0.6: that chunk says the same


def test_scores_of_several_splits_are_concatenated() -> None:
    both = join_scores([looked([0.5]), looked([0.7], [0.6], [0.1])])
    assert both.best.tolist() == [0.5, 0.7, 0.1]
    assert both.left_out.tolist() == [0.5, 0.6, 0.1]
    assert both.found.tolist() == [True, True, False]


# --- the threshold ---------------------------------------------------------------------------------------------------

TENTHS = np.arange(1, 100) / 100  # 99 cosines: up to five thresholds are allowed, 0.01 to 0.05


def test_no_more_than_the_cap_is_declined_of_what_can_be_answered() -> None:
    low = np.full(50, 0.5)  # half of the range lies below: the cap alone stops
    threshold = fit(TENTHS, np.concatenate([low, np.arange(50) / 1000]))
    assert threshold == 0.05
    assert (threshold > TENTHS).mean() <= MOST_DECLINED
    assert (len(TENTHS) + 1) * MOST_DECLINED == 5  # of a hundred like these, five at most fall below the fifth


def test_where_less_declines_as_many_less_is_declined() -> None:
    assert fit(TENTHS, np.full(30, 0.001)) == 0.01
    assert fit(TENTHS, np.array([0.001] * 29 + [0.025])) == 0.03  # 1 in 30 more is worth 2 in 99
    assert fit(TENTHS, np.array([0.001] * 59 + [0.025])) == 0.01  # 1 in 60 more is not


def test_too_few_cosines_make_no_threshold() -> None:
    assert fit(TENTHS[:18], np.zeros(30)) is None
    assert fit(TENTHS[:19], np.zeros(30)) == 0.01


def test_each_question_is_measured_by_a_threshold_it_had_no_part_in() -> None:
    """The lowest of 24 stands alone below the others: fitted with it, the threshold would be it, and decline none."""
    found = np.array([0.1] + [0.8] * 23)
    declined = cross_validated(found, np.full(20, 0.3), {FOUND: found, "absent": np.full(20, 0.3)})
    assert fit(found, np.full(20, 0.3)) == 0.1
    assert declined[FOUND].share.mean == pytest.approx(1 / 24)
    # without it in four of five folds the threshold is 0.1, in one it is 0.8, and that fifth of the others falls
    assert declined["absent"].share.mean == pytest.approx(0.2)


def test_separable_questions_get_a_threshold_with_precision_and_recall() -> None:
    result = fit_threshold("f", looked([0.6] * 30), {WRITTEN: np.full(20, 0.2), VOTED: np.full(5, 0.3)})
    assert result.below == 0.6
    assert (result.recall.n, result.recall.share) == (25, share_interval(25, 25))
    assert result.precision == 1.0
    assert result.of[FOUND].share == share_interval(0, 30)
    assert result.summary().startswith(
        "declines below a cosine of 0.600: recall 100% of 25 [87%, 100%] questions without an"
    )


def test_precision_is_that_of_as_many_questions_without_an_answer_as_with_one() -> None:
    found = [0.1, *np.linspace(0.5, 0.9, 39)]  # one is declined by every threshold that was fitted without it
    result = fit_threshold("f", looked(found), {WRITTEN: np.full(400, 0.2)})
    recall, declined = result.recall.share.mean, result.of[FOUND].share.mean
    assert declined > 0
    assert result.precision == pytest.approx(recall / (recall + declined))


@pytest.mark.parametrize(
    ("given", "absent", "why"),
    [
        (looked([0.6] * (MIN_FOUND - 1)), {WRITTEN: np.zeros(30)}, "23 questions find their passage, need 24"),
        (looked([0.6] * 50), {}, "0 questions are known to have no answer, need 20"),
        (looked([0.6] * 50), {WRITTEN: np.zeros(19)}, "19 questions are known to have no answer, need 20"),
        (looked([0.6] * 50), {WRITTEN: np.full(30, 0.7)}, "the cosine does not help: it would decline 0% of 30"),
    ],
)
def test_without_a_threshold_it_is_said_why(given: NearestScores, absent: dict[str, np.ndarray], why: str) -> None:
    result = fit_threshold("f", given, absent)
    assert result.below is None
    assert result.summary().startswith(f"never declines by the cosine: {why}")


def test_cosines_that_are_the_same_with_and_without_an_answer_make_no_threshold() -> None:
    rng = np.random.default_rng(3)
    result = fit_threshold("f", looked(list(rng.normal(0.5, 0.1, 300))), {WRITTEN: rng.normal(0.5, 0.1, 60)})
    assert result.below is None


def test_a_passage_taken_out_is_measured_and_moves_no_threshold() -> None:
    absent = {WRITTEN: np.full(20, 0.2)}
    one = fit_threshold("f", looked([0.6] * 30, [0.1] * 30, [0.1] * 5), absent)
    other = fit_threshold("f", looked([0.6] * 30, [0.6] * 30), absent)
    assert one.below == other.below
    assert (one.of[LEFT_OUT].share.mean, one.of[MISSED].n) == (1.0, 5)
    assert other.of[LEFT_OUT].share.mean == 0.0


def test_the_summary_names_questions_about_other_documents() -> None:
    assert "questions about something else, precision" in (
        fit_threshold("f", looked([0.6] * 30), {FOREIGN: np.full(20, 0.2)}).summary()
    )


# --- what raters say is not there ------------------------------------------------------------------------------------


def rated(query: str, rater: str, value: Label = -1, reason: Reason = "not in the documents") -> tuple[Rating, Answer]:
    answer = make_answer(query=query, id=f"{rater} on {query} {value}")
    return Rating(rater, answer.id, value, True, NOON, reason=reason), answer


def said(*given: tuple[Rating, Answer], answered: tuple[str, ...] = ()) -> list[str]:
    return voted_unanswerable([rating for rating, _ in given], {answer.id: answer for _, answer in given}, answered)


def test_a_query_has_no_answer_where_most_raters_say_so() -> None:
    both = [rated("Who pays?", "ann"), rated("who pays", "bob", -1, "wrong source")]
    assert said(rated("Who pays?", "ann")) == ["Who pays?"]
    assert said(*both) == []
    assert said(*both, rated("who pays?", "cid")) == ["Who pays?"]


def test_one_raters_two_answers_are_one_voice() -> None:
    assert said(rated("who pays", "bob", -1, ""), rated("who pays", "bob", 1, ""), rated("who pays", "ann")) == []


def test_a_thumb_up_on_an_abstention_says_so_too_and_a_withdrawn_thumb_says_nothing() -> None:
    rating, answer = rated("who pays", "ann", 1, "")
    assert said((rating, answer)) == []
    assert said((rating, replace(answer, abstained=True))) == ["who pays"]
    assert said((replace(rating, value=0), replace(answer, abstained=True))) == []
    assert said((replace(rating, value=-1), replace(answer, abstained=True))) == []


def test_a_query_with_a_right_passage_has_an_answer_whatever_was_voted() -> None:
    assert said(rated("Who pays?", "ann"), answered=("who pays",)) == []
