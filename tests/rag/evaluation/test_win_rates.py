"""Outcomes and win rates of blind duels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from fakes import NOON, make_answer, make_hits
from rag.evaluation.intervals import Interval
from rag.evaluation.win_rates import Outcome, drawn_thumbs, outcomes, win_rate
from rag.records import Answer, Choice, Label, Rating

BASE = replace(make_answer(make_hits("one", "two"), cited=(1,), arm="base", id="b"), model="builtin")
TUNED = replace(make_answer(make_hits("two", "three"), cited=(1,), arm="tuned", id="t"), model="v1")


def thumb(answer: Answer, value: Label, *, blind: bool = True, rater: str = "ann") -> Rating:
    return Rating(rater, answer.id, value, blind, NOON)


def preference(choice: Choice, *, blind: bool = True, rater: str = "ann") -> Rating:
    return Rating(rater, "duel", 0, blind, NOON, kind="preference", choice=choice)


def winners(ratings: Sequence[Rating], answers: Sequence[Answer] = (BASE, TUNED)) -> list[str]:
    return [outcome.winner for outcome in outcomes(ratings, answers)]


@pytest.mark.parametrize("choice", ["base", "tuned", "tie", "both bad"])
def test_a_blind_preference_decides(choice: Choice):
    assert winners([preference(choice), thumb(BASE, 1), thumb(TUNED, -1)]) == [choice]


def test_without_a_preference_a_thumb_up_beats_a_thumb_down():
    assert winners([thumb(BASE, -1), thumb(TUNED, 1)]) == ["tuned"]
    assert winners([thumb(BASE, 1), thumb(TUNED, -1)]) == ["base"]


def test_equal_thumbs_are_a_tie():
    assert winners([thumb(BASE, 1), thumb(TUNED, 1)]) == ["tie"]
    assert winners([thumb(BASE, -1), thumb(TUNED, -1)]) == ["tie"]


def test_a_thumb_on_one_side_only_does_not_count():
    assert winners([thumb(TUNED, 1)]) == []
    assert winners([thumb(TUNED, 1), thumb(BASE, 0)]) == []  # taken back


def test_ratings_after_the_reveal_do_not_count():
    assert winners([preference("tuned", blind=False)]) == []
    assert winners([thumb(TUNED, 1), thumb(BASE, -1, blind=False)]) == []


def test_of_a_rating_changed_after_the_reveal_the_first_counts():
    assert winners([replace(preference("tuned", blind=False), first="base")]) == ["base"]
    assert winners([thumb(TUNED, -1), replace(thumb(BASE, -1, blind=False), first="1")]) == ["base"]


def test_a_preference_taken_back_leaves_the_decision_to_the_thumbs():
    assert winners([preference(""), thumb(BASE, -1), thumb(TUNED, 1)]) == ["tuned"]


def test_a_duel_in_which_both_arms_showed_the_same_chunks_does_not_count():
    same = replace(TUNED, hits=BASE.hits[::-1])
    assert winners([preference("tuned")], [BASE, same]) == []


def test_a_duel_in_which_both_arms_say_the_same_does_not_count():
    copied = replace(TUNED, text=BASE.text.replace("[1]", "[2]"))
    assert winners([preference("tuned"), thumb(BASE, -1), thumb(copied, 1)], [BASE, copied]) == []
    declined = [replace(answer, abstained=True) for answer in (BASE, TUNED)]
    assert winners([preference("tuned")], declined) == []


def test_a_duel_with_one_answer_missing_does_not_count():
    assert winners([preference("tuned")], [TUNED]) == []


def test_a_mark_on_a_source_or_a_taught_passage_decides_no_duel():
    marks = [replace(thumb(answer, value), kind="source", chunk_id="c") for answer, value in ((BASE, -1), (TUNED, 1))]
    assert winners(marks) == []


def test_each_rater_has_an_outcome():
    ratings = [preference("tuned"), preference("base", rater="bob"), thumb(BASE, 1, rater="eve")]
    assert [(each.rater, each.winner) for each in outcomes(ratings, [BASE, TUNED])] == [
        ("ann", "tuned"),
        ("bob", "base"),
    ]


def test_an_outcome_has_the_tuned_version_and_the_time_of_the_last_rating():
    later = NOON + timedelta(hours=1)
    ratings = [thumb(BASE, -1), replace(thumb(TUNED, 1), at=later)]
    assert outcomes(ratings, [TUNED, BASE]) == [Outcome("duel", "ann", "tuned", "v1", later)]


def outcome(n: int, winner: str, model: str = "v1") -> Outcome:
    return Outcome(f"duel {n}", "ann", winner, model, NOON + timedelta(hours=n))


def test_ties_and_both_bad_are_reported_but_not_counted():
    found = [outcome(n, winner) for n, winner in enumerate(["tuned"] * 7 + ["base"] * 3 + ["tie", "tie", "both bad"])]
    rate = win_rate(found, "v1")
    assert (rate.n, rate.interval.mean) == (10, pytest.approx(0.7))
    assert str(rate) == "tuned won 7 of 10 duels (0.70 [0.40, 0.89]), 2 ties, 1 both bad"


def test_only_duels_of_the_model_since_the_moment_count():
    found = [outcome(0, "base"), outcome(2, "tuned"), outcome(3, "base", "v2")]
    assert win_rate(found, "v1").n == 2
    since = win_rate(found, "v1", NOON + timedelta(hours=1))
    assert (since.won, since.lost) == (1, 0)


def test_without_duels_the_interval_is_the_whole_range():
    assert win_rate([], "v1").interval == Interval(0.5, 0.0, 1.0)


def test_thumbs_on_drawn_answers_are_counted_by_arm_and_in_no_win_rate() -> None:
    drawn = [replace(TUNED, id=f"t{n}", duel=f"blind-{n}") for n in range(3)]
    chosen = replace(BASE, id="c", duel="open-0")
    ratings = [*(thumb(answer, value) for answer, value in zip(drawn, (1, 1, -1), strict=True)), thumb(chosen, 1)]
    found = drawn_thumbs([*ratings, thumb(BASE, 1)], [*drawn, chosen, BASE])
    assert {arm: (thumbs.up, thumbs.n) for arm, thumbs in found.items()} == {"tuned": (2, 3)}
    assert str(found["tuned"]).startswith("2 of 3 up (0.67 [")
    assert winners(ratings, [*drawn, chosen]) == []
