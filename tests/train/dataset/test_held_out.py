"""Queries are held out by groups that share a passage: what a version has seen keeps its side for ever."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import make_chunk
from rag.evaluation.intervals import paired_bootstrap
from rag.records import Chunk, Pair, Qrels, normalise_query
from train.dataset.folds import groups_of, plan_splits
from train.dataset.held_out import HELD_OUT_SHARE, HeldOut, Known, hold_out_groups, is_held_out, key_of
from train.dataset.split import split

NUMBERS = "one two three four five six seven eight nine ten".split()


def passage(n: int) -> Chunk:
    """Return a chunk whose text shares no three words with that of another number."""
    return make_chunk(" ".join(f"{word}{n}" for word in NUMBERS), f"{n}.md")


def pair(query: str, chunk: Chunk) -> Pair:
    return Pair(query, chunk.id, chunk.text)


CHUNKS = [passage(n) for n in range(240)]
LIKE_XQUAD = [pair(f"question {q} on {n}", chunk) for n, chunk in enumerate(CHUNKS) for q in range(5)]


def first(*, held: bool) -> str:
    """Return a query that its own hash holds out, or not."""
    return next(query for n in range(99) if is_held_out(query := f"first {n}") == held)


def sides(held_out: HeldOut, pairs: Sequence[Pair]) -> set[str]:
    return {pair.query for pair in pairs if pair.query in held_out}


def test_with_five_queries_on_a_passage_nothing_leaks_and_seven_in_ten_labels_are_trained_on():
    shuffled = random.Random(0).sample(LIKE_XQUAD, len(LIKE_XQUAD))
    for pairs in (LIKE_XQUAD, shuffled):
        main = split(pairs, [], CHUNKS, hold_out_groups(pairs))
        assert main.leaks == 0
        assert len(main.train) >= 0.7 * len(pairs)
        assert len(main.train) + len(main.held_out) == len(pairs)
        assert len(main.held_out) == pytest.approx(HELD_OUT_SHARE * len(pairs), rel=0.25)


def test_holding_out_single_queries_would_have_lost_more_than_half_of_these_labels():
    alone = HeldOut(frozenset(normalise_query(each.query) for each in LIKE_XQUAD if is_held_out(each.query)))
    assert len(split(LIKE_XQUAD, [], CHUNKS, alone).train) < 0.4 * len(LIKE_XQUAD)


queries = st.integers(0, 40).map(lambda n: f"which {n}")
COPIES = [make_chunk(f"{chunk.text} today", f"copy-{n}.md") for n, chunk in enumerate(CHUNKS[:6])]
labels = st.lists(st.tuples(queries, st.sampled_from([*CHUNKS[:12], *COPIES])), min_size=2, max_size=80)


@settings(max_examples=200)
@given(labels, st.integers(1, 79))
def test_no_label_of_another_query_changes_the_side_of_a_query(asked: list[tuple[str, Chunk]], so_far: int):
    before, after = (
        [pair(query, chunk) for query, chunk in asked[:so_far]],
        [pair(query, chunk) for query, chunk in asked],
    )
    settled = sides(hold_out_groups(before), before)
    unfinished = (
        {after[so_far - 1].query} if so_far < len(after) and after[so_far - 1].query == after[so_far].query else set()
    )
    assert sides(hold_out_groups(after), before) - unfinished == settled - unfinished


@settings(max_examples=200)
@given(labels, st.integers(1, 79))
def test_no_label_at_all_changes_the_side_of_a_query_that_a_version_has_seen(
    asked: list[tuple[str, Chunk]], so_far: int
):
    before, after = (
        [pair(query, chunk) for query, chunk in asked[:so_far]],
        [pair(query, chunk) for query, chunk in asked],
    )
    held_out = hold_out_groups(before)
    trained: dict[str, frozenset[str]] = {}
    for each in before:
        if each.query not in held_out:
            trained[key_of(each.query)] = trained.get(key_of(each.query), frozenset()) | {each.positive_id}
    known = Known(trained, frozenset(map(key_of, held_out.judge | held_out.aside)))
    assert sides(hold_out_groups(after, known), before) == sides(held_out, before)


def test_labels_that_a_query_gets_in_a_row_count_as_one():
    held, free = first(held=True), first(held=False)
    others = [pair(free, CHUNKS[1])]
    assert held in hold_out_groups([*others, pair(held, CHUNKS[0])])
    assert held not in hold_out_groups([*others, pair(held, CHUNKS[0]), pair(held, CHUNKS[1])])


def test_where_documents_are_cut_differently_and_labels_come_and_go_settled_queries_keep_their_sides():
    before = hold_out_groups(LIKE_XQUAD)
    trained = {key_of(each.query): frozenset({each.positive_id}) for each in LIKE_XQUAD if each.query not in before}
    known = Known(trained, frozenset(map(key_of, before.judge)))
    smaller = [passage(n) for n in range(1000, 1600)]
    draw = random.Random(1)
    recut = [pair(each.query, draw.choice(smaller)) for each in LIKE_XQUAD if draw.random() < 0.9]
    draw.shuffle(recut)
    new = [pair(f"new {n}", draw.choice(smaller)) for n in range(400)]
    pairs = [*recut, *new]
    after = hold_out_groups(pairs, known)
    assert sides(after, recut) == sides(before, recut)
    main = split(pairs, [], smaller, after)
    assert not any(each.query in before for each in main.train)
    assert not any(key_of(query) in trained for query in main.held_out.relevant)
    learnt = {each.positive_id for each in recut if each.query not in before}
    assert all(learnt.isdisjoint(relevant) for relevant in main.held_out.relevant.values())


def test_a_new_query_on_a_passage_that_an_earlier_release_trained_on_does_not_judge():
    old, new = first(held=False), first(held=True)
    known = Known({key_of(old): frozenset({CHUNKS[0].id})})
    assert not sides(hold_out_groups([pair(new, CHUNKS[0]), pair(old, CHUNKS[0])], known), [pair(new, CHUNKS[0])])
    assert new in hold_out_groups([pair(new, CHUNKS[0]), pair(old, CHUNKS[0])])


def test_a_held_out_query_that_gets_a_trained_passage_is_put_aside_and_tested_by_a_fold():
    held, free = first(held=True), first(held=False)
    others = [pair(f"other {n}", CHUNKS[n + 2]) for n in range(60)]
    pairs = [pair(held, CHUNKS[0]), pair(free, CHUNKS[1]), *others, pair(held, CHUNKS[1])]
    held_out = hold_out_groups(pairs)
    assert held_out.aside == {normalise_query(held)}
    evaluation = plan_splits(pairs, [], CHUNKS)
    assert not any(each.query == held for part in evaluation.splits for each in part.train)
    assert [held in part.held_out.relevant for part in evaluation.splits].count(True) == 1
    assert held not in evaluation.main.held_out.relevant


def test_a_chain_of_near_duplicates_is_not_held_out_as_a_whole():
    words = [f"word{n}" for n in range(400)]
    chain = [make_chunk(" ".join(words[n : n + 12]), f"{n}.md") for n in range(300)]  # each like the next three
    pairs = [pair(first(held=True), chain[0]), *(pair(f"link {n}", chunk) for n, chunk in enumerate(chain))]
    held_out = hold_out_groups(pairs)
    assert len(held_out.judge) < len(pairs) / 2
    assert len(split(pairs, [], chain, held_out).train) > len(pairs) / 3


def test_a_passage_that_everybody_asks_about_stays_on_one_side():
    for held in (True, False):
        pairs = [pair(first(held=held), CHUNKS[0]), *(pair(f"same {n}", CHUNKS[0]) for n in range(30))]
        assert len(hold_out_groups(pairs).judge) == (len(pairs) if held else 0)


def test_intervals_that_resample_groups_are_honest_where_those_that_resample_queries_are_not():
    draw = np.random.default_rng(0)
    chunks = CHUNKS[:40]
    qrels = Qrels({f"{q} on {n}": frozenset({chunk.id}) for n, chunk in enumerate(chunks) for q in range(5)})
    groups = groups_of(qrels, chunks)
    assert len(set(groups)) == 40
    wrong = {"groups": 0, "queries": 0}
    for _ in range(400):  # a new model is luckier with some passages, and all queries on a passage feel it
        luck = draw.normal(0, 0.25, 40)[groups] + draw.normal(0, 0.15, 200)
        for name, numbers in (("groups", groups), ("queries", None)):
            interval = paired_bootstrap(luck, np.zeros(200), groups=numbers, resamples=500)
            wrong[name] += not interval.low <= 0 <= interval.high
    assert wrong["groups"] <= 0.1 * 400  # 7% in 1,500 trials: a percentile interval of 40 groups is a little narrow
    assert wrong["queries"] >= 0.25 * 400  # 34%
