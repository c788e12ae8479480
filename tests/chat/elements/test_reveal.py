"""A reveal says who wrote what, what only one arm showed, and where the other one ranks it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chat.elements.reveal import make_reveal
from fakes import make_answer, make_chunk, make_hits
from rag.records import Answer, Side

HITS = make_hits("one", "two", "three")


def ranked(**ranks: int) -> dict[str, int]:
    """Return chunk id -> rank."""
    return {make_chunk(text).id: rank for text, rank in ranks.items()}


def test_a_reveal_names_both_and_marks_what_only_one_found() -> None:
    base = make_answer(make_hits("one", "two", "three"), arm="base")
    tuned = replace(make_answer(make_hits("four", "two", "five"), arm="tuned"), model="v3", total_s=2.34)
    reveal = make_reveal(
        {"A": tuned, "B": base}, ["a note"], {"base": ranked(four=12), "tuned": ranked(one=2, two=1, three=50)}
    )
    assert reveal == {
        "summary": "Both found 1 of the same passages; each found 2 the other missed.",
        "notes": ["a note"],
        "sides": {
            "A": {
                "arm": "tuned",
                "model": "v3",
                "times": "answered in 2.3 s",
                "scores": ["0.90", "0.80", "0.70"],
                "alone": [True, False, True],
                "words": [False, False, False],
                "elsewhere": [12, 0, 0],
            },
            "B": {
                "arm": "base",
                "model": "builtin",
                "times": "answered in 0.2 s",
                "scores": ["0.90", "0.80", "0.70"],
                "alone": [True, False, True],
                "words": [False, False, False],
                "elsewhere": [2, 1, 50],
            },
        },
    }


def test_a_reveal_with_one_answer_names_the_other_arm_and_claims_no_difference() -> None:
    reveal = make_reveal({"B": make_answer(HITS, arm="tuned")}, [], {})
    assert {side: shown["arm"] for side, shown in reveal["sides"].items()} == {"A": "base", "B": "tuned"}
    assert (reveal["summary"], reveal["sides"]["B"]["alone"]) == ("", [False] * 3)


@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
def test_a_duel_over_the_same_passages_says_that_it_does_not_count(order: tuple[str, str]) -> None:
    answers: dict[Side, Answer] = {
        "A": make_answer(make_hits("one", "two"), arm="base"),
        "B": make_answer(make_hits(*order), arm="tuned"),
    }
    assert "so this comparison does not count in the scores." in make_reveal(answers, [], {})["summary"]


def test_a_reveal_says_how_many_passages_each_arm_found_alone() -> None:
    answers: dict[Side, Answer] = {
        "A": make_answer(make_hits("one", "two", "three"), arm="base"),
        "B": make_answer(make_hits("one", "four"), arm="tuned"),
    }
    summary = make_reveal(answers, [], {})["summary"]
    assert summary == "Both found 1 of the same passages; base found 2 more, tuned 1."


def test_where_another_model_serves_by_now_the_other_arms_rank_is_not_known() -> None:
    assert make_reveal({"A": make_answer(HITS, arm="base")}, [], {})["sides"]["A"]["elsewhere"] == [None] * 3
