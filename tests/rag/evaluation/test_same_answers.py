"""When two answers count as one: the same text, nearly the same, or two that decline; and what always tells apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fakes import make_answer
from rag.evaluation.same_answers import sameness

TWENTY = "Bees leave the hive in warm weather once the first flowers open and the nights stay above the freezing mark"


def kind(text: str, other: str) -> str:
    return sameness(replace(make_answer(), text=text), replace(make_answer(arm="tuned"), text=other))


@pytest.mark.parametrize(
    "other",
    [
        "Bees swarm in May [2].\n",
        "bees  swarm\nin May.",
        "**Bees** swarm in May [1][3].",
        "Bees swarm [1, 2] in May",
    ],
)
def test_white_space_case_markup_and_citation_numbers_do_not_count(other: str) -> None:
    assert kind("Bees swarm in May [1].", other) == "same"


def test_sentences_in_another_order_are_nearly_the_same() -> None:
    assert kind("Bees swarm. Wasps do not.", "Wasps do not. Bees swarm.") == "near"


def test_one_word_of_twenty_is_nearly_the_same_and_two_are_not() -> None:
    assert kind(TWENTY, TWENTY.replace("warm", "mild")) == "near"
    assert kind(TWENTY, TWENTY.replace("warm", "mild").replace("first", "early")) == ""


@pytest.mark.parametrize(
    "other",
    [
        TWENTY.replace("leave", "never leave"),
        TWENTY.replace("leave", "do not leave"),
        TWENTY.replace("first", "3"),
        f"{TWENTY} `bees --fly`",
    ],
)
def test_a_negation_a_number_or_code_always_tells_answers_apart(other: str) -> None:
    assert kind(TWENTY, other) == ""


def test_in_code_signs_and_indices_count() -> None:
    assert kind("Use `x[1] + y`.", "Use `x[1] - y`.") == ""
    assert kind("Use `x[1]`.", "Use `x[2]`.") == ""
    assert kind("It is 5 degrees", "It is -5 degrees") == ""


def test_two_answers_that_decline_are_the_same_whatever_they_say_and_one_is_not() -> None:
    declined = replace(make_answer(), text="I do not know.", abstained=True)
    other = replace(declined, text="The passages found do not answer this.")
    assert sameness(declined, other) == "abstained"
    assert sameness(declined, replace(declined, abstained=False)) == ""
