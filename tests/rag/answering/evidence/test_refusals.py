"""A refusal is recognised in whatever words, and stays one whatever stands around it."""

from __future__ import annotations

import pytest

from fakes import make_hits
from rag.answering.evidence.refusals import DONT_KNOW, is_abstention, without_citations

HITS = make_hits("The model was trained for a week.", "The store does not contain personal data.")


@pytest.mark.parametrize(
    "text",
    [
        DONT_KNOW,
        "I don't know. The passages are silent.",
        "i do not know",
        "[1] The passages found do not answer this.",
        "The passages found do not answer this [1][2].",
        "**I do not know**: the passages found do not answer this.",
        "Passage 1 is about training [1]. I do not know: the passages found do not answer this.",
        "The provided passages do not contain information about the price.",
        "The passages don't mention who wrote it.",
        "None of the passages mention the price of the model.",
        "There is no information in the passages about this.",
        "I'm sorry, but I cannot find the answer in the passages.",
        "Unfortunately, the given context does not specify the number.",
        "The price is not mentioned in the passages.",
        "Based on the provided passages, I cannot determine the price.",
        "Ich weiß es nicht.",
        "Los pasajes no contienen esta información.",
    ],
)
def test_a_refusal_is_an_abstention(text: str) -> None:
    assert is_abstention(text, HITS)


@pytest.mark.parametrize(
    "text",
    [
        "I do not know the date, but it was cold [1].",
        "The store does not contain personal data.",
        "Not mentioned before, the model was trained for a week [1].",
        "The reply is then “I do not know: the passages found do not answer this.”",
        "It does not need a GPU.",
    ],
)
def test_an_answer_is_none(text: str) -> None:
    assert not is_abstention(text, HITS)


def test_an_answer_that_also_says_what_is_missing_is_none() -> None:
    text = "The model was trained for a week. The passages do not mention the price."
    assert is_abstention(text, HITS)
    assert not is_abstention(text, HITS, informative={0})


def test_a_refusal_shows_no_passage_that_it_cites_for_nothing() -> None:
    assert (
        without_citations("[1] The passages found do not answer this [2].") == "The passages found do not answer this."
    )
