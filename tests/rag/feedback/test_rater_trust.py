"""Trust in a rater: how agreement with others weighs labels. Labels are fakes, the chunks are read by eye."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fruit import (
    CHUNKS,
    TEXTS,
    first_alone,
    label,
    made_of,
    mark,
    thumb,
    unused,
)
from rag.feedback.pairs import TRUSTED, agreement, alike, make_pairs
from rag.records import Label, LabelledPair


def test_raters_are_compared_by_all_that_an_answer_drew_on_whatever_share_each_chunk_gets() -> None:
    two = f"{TEXTS['plums']} [3] {TEXTS['apples']} [1]"
    labels = [*thumb(1, two, (3, 1)), *(replace(each, rater="bob") for each in thumb(-1, two, (3, 1)))]

    trust = make_pairs(labels, CHUNKS, alike, first_alone).trust
    assert trust == made_of(*labels).trust
    assert trust["bob"] < 2 * TRUSTED - 1  # what he had if he had been compared with nobody


HONEST = ("ann", "bob", "cy", "dee")


def shared(n: int, spiteful: str = "eve") -> list[LabelledPair]:
    """Return n queries on which four raters say what is so, and one says the contrary."""
    values: dict[str, Label] = {**dict.fromkeys(HONEST, 1), spiteful: -1}
    return [
        label("apples", value, query=f"q{i}", rater=rater, answer=f"a{i}")
        for i in range(n)
        for rater, value in values.items()
    ]


def test_a_rater_whom_nobody_contradicts_is_mostly_believed() -> None:
    assert agreement([label("apples", 1)]) == pytest.approx({"ann": 0.8})


def test_a_rater_who_says_the_opposite_of_all_others_loses_his_weight() -> None:
    trust = agreement(shared(10))
    assert trust["eve"] == 0
    assert min(trust[name] for name in HONEST) > 0.6


def test_a_spiteful_rater_does_not_flip_a_chunk_nor_make_a_draw_of_it() -> None:
    contested = [
        label("pears", 1, query="new", rater="ann"),
        label("pears", -1, query="new", rater="eve"),
        label("plums", 1, query="new", rater="eve"),
    ]
    new = [pair for pair in made_of(*shared(10), *contested).pairs if pair.query == "new"]
    assert [(pair.positive_id, pair.negatives) for pair in new] == [("pears", ())]


def test_a_thumb_on_an_answer_of_three_chunks_is_one_comparison_not_three() -> None:
    names: list[tuple[str, Label]] = [("ann", 1), ("bob", -1)]
    three = [label(i, value, rater=name) for name, value in names for i in ("apples", "pears", "plums")]
    one = [label("apples", value, rater=name) for name, value in names]
    assert agreement(three) == agreement(one)


@pytest.mark.parametrize("order", [1, -1])
def test_raters_who_mark_the_same_chunks_alike_agree_in_whatever_order_their_rows_come(order: int) -> None:
    marks = [mark("apples", 1), mark("pears", -1)]
    others = [replace(each, rater="bob") for each in marks[::order]]
    trust = agreement([*marks, *others])
    assert trust["ann"] == trust["bob"] > 0.8  # of two comparisons both agree


def test_a_guess_from_an_unused_chunk_is_no_opinion_to_agree_or_disagree_with() -> None:
    assert agreement([unused("apples"), label("apples", 1, rater="bob", answer="a2")]) == pytest.approx(
        {"ann": 0.8, "bob": 0.8}
    )


def test_raters_of_the_old_and_the_new_cut_of_a_chunk_are_compared() -> None:
    old = [replace(each, chunk_id="old-id") for each in shared(10) if each.rater == "eve"]
    new = [each for each in shared(10) if each.rater != "eve"]
    assert made_of(*old, *new).trust["eve"] == 0
