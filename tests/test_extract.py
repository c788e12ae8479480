"""What the answerer without an LLM quotes, and when it says nothing."""

from __future__ import annotations

import pytest
from fakes import make_hits

from rag.extract import MARGIN, MAX_QUOTES, THRESHOLD, best_quotes, quote, sentences


def scores(**table: float):
    """Return a scorer: the highest score of the words that a text has, else 0."""

    def score(query: str, texts: list[str]) -> list[float]:
        return [max((value for word, value in table.items() if word in text), default=0.0) for text in texts]

    return score


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("One is here. Two is\nthere!", ["One is here.", "Two is there!"]),
        ("## Heading\n\nSome text.", ["Some text."]),
        ("- first item\n- second item\n  goes on", ["first item", "second item goes on"]),
        ("1. one\n2. two", ["one", "two"]),
        ("| a | b |\n|---|---|\n| 1 | 2 |", ["| a | b |", "| 1 | 2 |"]),
        ("```bash\nmake chat\n```", ["make chat"]),
        ("Use e.g. this. Version 3.5 too.", ["Use e.g. this.", "Version 3.5 too."]),
        ("", []),
    ],
)
def test_what_can_be_quoted_from_a_chunk(text: str, said: list[str]) -> None:
    assert sentences(text) == said


def test_the_best_sentences_are_quoted_in_the_order_of_the_hits() -> None:
    hits = make_hits("Beta is here. Noise.", "Alpha is there.")
    assert quote("q", hits, scores(Alpha=0.9, Beta=0.85)) == "Beta is here. [1]\n\nAlpha is there. [2]"


def test_a_sentence_far_below_the_best_one_is_left_out() -> None:
    hits = make_hits("Alpha. Beta.")
    assert quote("q", hits, scores(Alpha=0.95, Beta=0.95 - MARGIN - 0.01)) == "Alpha. [1]"


def test_no_more_than_the_most_are_quoted_and_none_twice() -> None:
    hits = make_hits(*["Alpha. Beta. Gamma. Delta."] * 2)
    quotes = best_quotes("q", hits, scores(Alpha=0.9, Beta=0.9, Gamma=0.9, Delta=0.9))
    assert len(quotes) == MAX_QUOTES
    assert len({found.text for found in quotes}) == MAX_QUOTES


def test_below_the_threshold_nothing_is_said() -> None:
    hits = make_hits("Alpha.")
    assert quote("q", hits, scores(Alpha=THRESHOLD - 0.01)) == ""
    assert quote("q", hits, scores(Alpha=THRESHOLD)) != ""
    assert quote("q", (), scores()) == ""
