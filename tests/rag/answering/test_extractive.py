"""The extractive answerer: which sentences it quotes, and when it abstains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fakes import make_hits
from rag.answering.extractive import (
    MARGIN,
    MAX_HITS,
    MAX_PER_HIT,
    THRESHOLD,
    best_quotes,
    cache_embeddings,
    quote,
    sentences,
)
from rag.records import Hit


def scores(**table: float):
    """Return a scorer that gives a text the highest score of its words, else 0."""

    def score(query: str, texts: list[str]) -> list[float]:
        return [max((value for word, value in table.items() if word in text), default=0.0) for text in texts]

    return score


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("One is here. Two is\nthere!", ["One is here.", "Two is there!"]),
        ("## Heading\n\nSome text.", ["Some text."]),
        ("- first item\n- second item\n  goes on", ["first item", "second item goes on"]),
        ("1. one\n2. two", ["one", "two"]),
        ("| a | b |\n|---|---|\n| 1 | 2 |", ["| a | b |", "| 1 | 2 |"]),
        ("```bash\nmake chat\n```", ["make chat"]),
        ("So it looks.\n\n![A picture of it](../images/it.svg)", ["So it looks."]),
        ("Which one? The second.", ["The second."]),
        ("Use e.g. this. Version 3.5 too.", ["Use e.g. this.", "Version 3.5 too."]),
        ("", []),
    ],
)
def test_sentences_items_and_rows_of_a_chunk_can_be_quoted(text: str, units: list[str]) -> None:
    assert sentences(text) == units


def test_the_best_hit_comes_first_and_its_sentences_keep_their_order() -> None:
    hits = make_hits("Beta is here. Noise.", "Gamma leads up. Alpha is there.")
    answer = quote("q", hits, scores(Alpha=0.9, Beta=0.88, Gamma=0.86))
    assert answer == "Gamma leads up. [2]\n\nAlpha is there. [2]\n\nBeta is here. [1]"


def test_a_sentence_far_below_the_best_one_is_left_out() -> None:
    hits = make_hits("Alpha. Beta.")
    assert quote("q", hits, scores(Alpha=0.95, Beta=0.95 - MARGIN - 0.01)) == "Alpha. [1]"


def test_few_hits_and_few_sentences_of_each_are_quoted_without_duplicates() -> None:
    texts = [f"Alpha {n}. Beta {n}. Gamma {n}." for n in range(MAX_HITS + 1)]
    quotes = best_quotes("q", make_hits(*texts, texts[0]), scores(Alpha=0.9, Beta=0.9, Gamma=0.9))
    assert len({found.rank for found in quotes}) == MAX_HITS
    assert len(quotes) == MAX_HITS * MAX_PER_HIT == len({found.text for found in quotes})


def test_a_sentence_is_scored_together_with_its_heading() -> None:
    (hit,) = make_hits("After a year.")
    headed = Hit(replace(hit.chunk, heading="Guide > Expiry"), 1, 0.9)
    assert quote("q", [headed], scores(Expiry=0.9)) == "After a year. [1]"
    assert quote("q", [headed], scores(Guide=0.9)) == ""


def test_nothing_is_quoted_below_the_threshold() -> None:
    hits = make_hits("Alpha.")
    assert quote("q", hits, scores(Alpha=THRESHOLD - 0.01)) == ""
    assert quote("q", hits, scores(Alpha=THRESHOLD)) != ""
    assert quote("q", (), scores()) == ""


def test_a_cached_sentence_is_not_embedded_again():
    asked: list[list[str]] = []

    def embed(texts: list[str]) -> np.ndarray:
        asked.append(texts)
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)

    cached = cache_embeddings(embed, most=2)
    assert cached(["a", "bb", "a"]).tolist() == [[1, 1], [2, 1], [1, 1]]
    assert cached(["bb", "ccc"]).tolist() == [[2, 1], [3, 1]]
    assert cached(["a"]).tolist() == [[1, 1]]  # evicted: the cache holds two
    assert asked == [["a", "bb"], ["ccc"], ["a"]]
