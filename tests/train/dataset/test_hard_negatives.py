"""Hard negative mining by hand: unit vectors in the plane, whose cosines one can read off."""

from dataclasses import replace

import numpy as np

from fakes import make_chunk
from rag.feedback.pairs import alike
from rag.records import Pair
from train.dataset.hard_negatives import MINING_DEPTH, add_negatives


def at(*degrees: float) -> np.ndarray:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


TEXTS = ["the right chunk about apples", "nearly as good on pears", "a hard one about plums", "far off: on fish"]
CHUNKS = [make_chunk(text) for text in TEXTS]
QUERY = at(0)
VECTORS = at(40, 42, 50, 90)  # cosines 0.77, 0.74, 0.64, 0


def pair(query: str = "q", chunk: int = 0, negatives: tuple[str, ...] = ()) -> Pair:
    return Pair(query, CHUNKS[chunk].id, CHUNKS[chunk].text, negatives)


def test_a_passage_rated_wrong_is_the_negative():
    (made,) = add_negatives([pair(negatives=("said no", "also no"))], QUERY, CHUNKS, VECTORS, alike)
    assert made.negatives == ("said no",)


def test_the_best_ranked_wrong_chunk_below_the_margin_is_mined():
    (made,) = add_negatives([pair()], QUERY, CHUNKS, VECTORS, alike)
    assert made.negatives == (TEXTS[2],)  # pears score 0.97 of the positive: perhaps right, so passed over


def test_a_chunk_that_is_right_for_the_same_query_is_never_mined():
    pairs = [pair("Q?", 0), pair("q", 2)]
    first, second = add_negatives(pairs, at(0, 0), CHUNKS, VECTORS, alike)
    assert first.negatives == (TEXTS[3],)
    assert second.negatives == (TEXTS[3],)


def test_a_chunk_on_which_raters_are_split_is_never_mined():
    (made,) = add_negatives([replace(pair(), unsure=(CHUNKS[2].id,))], QUERY, CHUNKS, VECTORS, alike)
    assert made.negatives == (TEXTS[3],)


def test_a_near_copy_of_the_positive_is_never_mined():
    copy = make_chunk("the right chunk about apples, again", "copy.md")
    chunks, vectors = [*CHUNKS, copy], at(40, 42, 50, 90, 45)
    (made,) = add_negatives([pair()], QUERY, chunks, vectors, alike)
    assert made.negatives == (TEXTS[2],)


def test_where_every_chunk_is_within_the_margin_the_least_similar_one_is_taken():
    (made,) = add_negatives([pair()], QUERY, CHUNKS, at(40, 40.5, 41, 41.5), alike)
    assert made.negatives == (TEXTS[3],)


def test_a_pair_that_there_is_nothing_to_tell_from_is_left_out():
    assert add_negatives([pair()], QUERY, CHUNKS[:1], VECTORS[:1], alike) == []


def test_a_chunk_far_down_the_ranking_is_not_hard():
    many = [*CHUNKS[:1], *(make_chunk(f"number {n} and {n + 1}") for n in range(MINING_DEPTH + 20))]
    angles = [40, *np.linspace(10, 41, MINING_DEPTH + 5), *np.linspace(50, 80, 15)]
    (made,) = add_negatives([pair()], QUERY, many, at(*angles), alike)
    assert made.negatives == (many[-1].text,)
