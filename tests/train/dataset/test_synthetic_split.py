"""Which queries made from documents judge a bootstrap, and which are trained on."""

from __future__ import annotations

import pytest

from fakes import make_chunk
from rag.records import Chunk, SyntheticPair, normalise_query
from train.dataset.held_out import is_held_out
from train.dataset.synthetic_split import JUDGING_SHARE, MOST_PASSAGES, SyntheticSplit, divide
from train.synthetic.from_documents import MOST_MADE

CHUNKS = [make_chunk(f"text number {n}", f"{n}.md") for n in range(1500)]


def headings(chunks: list[Chunk]) -> list[SyntheticPair]:
    return [SyntheticPair(f"heading {chunk.source}", chunk.id, chunk.text, "heading") for chunk in chunks]


def sentences(chunks: list[Chunk], each: int = 3) -> list[SyntheticPair]:
    """Return the first sentence of every chunk before any second."""
    return [
        SyntheticPair(f"sentence {nth} of {chunk.source}", chunk.id, f"rest {nth} of {chunk.text}", "cloze")
        for nth in range(each)
        for chunk in chunks
    ]


def trained_on(parts: SyntheticSplit) -> list[SyntheticPair]:
    return [pair for kind in parts.training for pair in kind]


@pytest.mark.parametrize("n", [60, 200, 1000, 1500])
def test_passages_judge_or_teach_and_none_does_both(n: int) -> None:
    parts = divide([], [headings(CHUNKS[: n // 2]), [], sentences(CHUNKS[:n])])
    judged, taught = ({pair.chunk_id for pair in pairs} for pairs in (parts.judging, trained_on(parts)))
    assert len(parts.queries) == len(judged) == min(MOST_PASSAGES, JUDGING_SHARE * n)
    assert not judged & taught
    assert max(map(len, parts.training)) <= MOST_MADE
    assert len(taught) >= 0.45 * min(n, 2 * MOST_MADE)


def test_what_its_own_hash_holds_out_judges_first_and_is_never_trained_on() -> None:
    parts = divide([], [headings(CHUNKS[:400])])
    held = {normalise_query(pair.query) for pair in headings(CHUNKS[:400]) if is_held_out(pair.query)}
    assert held < parts.queries
    assert not any(is_held_out(pair.query) for pair in trained_on(parts))


def test_a_passage_judges_by_its_best_kind_of_query() -> None:
    parts = divide([], [headings(CHUNKS[:100]), sentences(CHUNKS[:200])])
    headed = {chunk.id for chunk in CHUNKS[:100]}
    assert {pair.origin for pair in parts.judging if pair.chunk_id in headed} == {"heading"}
    assert {pair.origin for pair in parts.judging if pair.chunk_id not in headed} == {"cloze"}


def test_all_passages_of_a_heading_that_judges_are_relevant_and_untrained() -> None:
    same = [SyntheticPair("Examples", chunk.id, chunk.text, "heading") for chunk in CHUNKS[:40]]
    parts = divide([], [same, sentences(CHUNKS[:100])])
    examples = [pair for pair in parts.judging if pair.query == "Examples"]
    assert examples == same
    assert not {chunk.id for chunk in CHUNKS[:40]} & {pair.chunk_id for pair in trained_on(parts)}


def test_questions_that_somebody_wrote_judge_by_their_own_hash() -> None:
    asked = [SyntheticPair(f"what is said in {n}?", CHUNKS[n].id, CHUNKS[n].text, "questions") for n in range(60)]
    held = {normalise_query(pair.query) for pair in asked if is_held_out(pair.query)}
    assert divide(asked, []) == SyntheticSplit([], [], frozenset(held))
    assert held < divide(asked, [headings(CHUNKS[100:200])]).queries


def test_the_same_documents_are_divided_alike_in_any_order() -> None:
    kinds = [headings(CHUNKS[:300]), sentences(CHUNKS[:300])]
    again = [kind[::-1] for kind in kinds]
    assert divide([], kinds).queries == divide([], again).queries
