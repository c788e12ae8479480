"""What the documents lack: questions without a good answer, grouped by subject, most wanted first."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from fakes import NOON, make_answer, make_chunk, make_hits
from rag.columns import AnswerColumns, RatingColumns
from rag.evaluation import gaps
from rag.evaluation.gaps import AGAIN, DOWN, NOT_THERE, REFUSED, Gap
from rag.records import Answer, Hit, Rating, Reason

PARKING = (Hit(make_chunk("cars and bicycles", "site.md", "Site > Traffic"), 1, 0.4), *make_hits("the gate"))
HOLIDAYS = (Hit(make_chunk("calendar of the year", "hr.md", "HR"), 1, 0.4), *make_hits("the office"))


def asked(query: str, hits: tuple[Hit, ...], n: int, *, abstained: bool = False) -> list[Answer]:
    """Return both answers of a duel."""
    made = [replace(make_answer(hits, query=query, id=f"{arm}{n}"), arm=arm) for arm in ("base", "tuned")]
    at = NOON + timedelta(hours=n)
    return [replace(each, duel=f"duel{n}", at=at, abstained=abstained) for each in made]


def find_gaps(answers: list[Answer], ratings: list[Rating], solved: list[str]) -> list[Gap]:
    return gaps.find_gaps(AnswerColumns.of(answers), RatingColumns.of(ratings), solved)


def rated(n: int, value: int, reason: Reason = "") -> Rating:
    return Rating("ann", f"base{n}", value, True, NOON, reason=reason)  # type: ignore[arg-type]


def test_questions_on_one_subject_are_one_gap_and_the_most_wanted_comes_first():
    answers = [
        *asked("how many days of holiday do I get", HOLIDAYS, 1, abstained=True),
        *asked("where may I park my car", PARKING, 2, abstained=True),
        *asked("is there parking for visitors", PARKING, 3, abstained=True),
        *asked("may I park my bike", PARKING, 4),
        *asked("who opens the door", make_hits("the door"), 5),
    ]
    parking, holidays = find_gaps(answers, [rated(4, -1, "not in the documents")], [])
    assert set(parking.questions) == {"where may I park my car", "is there parking for visitors", "may I park my bike"}
    assert parking.signals == {REFUSED: 2, NOT_THERE: 1}
    assert (parking.near, parking.weight) == ("site.md: Site > Traffic", 4.0)
    assert (holidays.questions, holidays.signals) == (("how many days of holiday do I get",), {REFUSED: 1})


def test_a_question_that_was_answered_or_has_a_known_passage_is_no_gap():
    answers = [*asked("one", PARKING, 1, abstained=True), *asked("two", HOLIDAYS, 2)]
    assert len(find_gaps(answers, [rated(2, -1)], [])) == 2
    assert find_gaps(answers, [rated(2, 1)], ["One?"]) == []


def test_an_answered_question_on_the_subject_takes_something_off():
    answers = [*asked("where may I park my car", PARKING, 1, abstained=True), *asked("may I park my bike", PARKING, 2)]
    assert find_gaps(answers, [rated(2, 1)], [])[0].weight < find_gaps(answers, [], [])[0].weight


def test_a_question_asked_again_after_a_thumb_down_counts_more_and_spellings_are_one():
    answers = [*asked("May I park?", PARKING, 1), *asked("may i park", PARKING, 2)]
    (gap,) = find_gaps(answers, [rated(1, -1, "wrong source")], [])
    assert (gap.questions, gap.signals) == (("may i park",), {DOWN: 1, AGAIN: 1})


def test_a_refusal_by_one_arm_alone_says_nothing():
    base, tuned = asked("one", PARKING, 1, abstained=True)
    assert find_gaps([base, replace(tuned, abstained=False)], [], []) == []
    assert find_gaps([], [], []) == []


def test_answers_without_any_passage_are_grouped_by_their_words():
    answers = [*asked("free lunch today", (), 1, abstained=True), *asked("free lunch", (), 2, abstained=True)]
    (gap, *rest) = find_gaps([*answers, *asked("?", (), 3, abstained=True)], [], [])
    assert gap.near == ""
    assert len(gap.questions) + sum(len(each.questions) for each in rest) == 3
