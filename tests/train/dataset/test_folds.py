"""Cross-fitting: each query is tested once, by models not trained on it, its chunk or a near duplicate."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import make_chunk
from rag.errors import NotEnoughFeedback
from rag.feedback.pairs import alike
from rag.records import Chunk, Pair, normalise_query
from train.dataset.folds import ENOUGH_HELD_OUT, FOLDS, EvaluationSplits, assign_folds, plan_splits
from train.dataset.held_out import is_held_out

NUMBERS = "one two three four five six seven eight nine ten".split()


def sentence(n: int) -> str:
    """Return a text that shares no three words with that of another number."""
    return " ".join(f"{word}{n}" for word in NUMBERS)


CHUNKS = [make_chunk(sentence(n)) for n in range(40)]
COPIES = [make_chunk(f"{chunk.text} today", "copies.md") for chunk in CHUNKS[:20]]
ALL = [*CHUNKS, *COPIES]
TEXTS = {chunk.id: chunk.text for chunk in ALL}


def pair(query: str, chunk: Chunk, text: str = "") -> Pair:
    return Pair(query, chunk.id, text or chunk.text)


def each_its_chunk(n: int) -> tuple[list[Pair], list[Chunk]]:
    chunks = [make_chunk(sentence(number)) for number in range(n)]
    return [pair(f"what is {number}?", chunk) for number, chunk in enumerate(chunks)], chunks


def cloze(chunk: Chunk) -> str:
    """Return a chunk without the words that make its start, as inverse cloze cuts it."""
    return " ".join(chunk.text.split()[6:])


queries = st.integers(0, 60).map(lambda n: f"Which {n}" if n % 7 == 0 else f"which {n}")
links = st.lists(st.tuples(queries, st.sampled_from(ALL)), min_size=8, max_size=90)


def leaks(evaluation: EvaluationSplits) -> list[str]:
    """Describe what is in both the training and the test data of a split."""
    found = []
    for number, part in enumerate(evaluation.splits):
        judged = {normalise_query(query) for query in part.held_out.relevant}
        right = {TEXTS[chunk_id] for relevant in part.held_out.relevant.values() for chunk_id in relevant}
        for each in (*part.train, *part.extra):
            if normalise_query(each.query) in judged:
                found.append(f"split {number}: query {each.query!r}")
            if any(alike(text, TEXTS[each.positive_id]) or alike(text, each.positive) for text in right):
                found.append(f"split {number}: chunk of {each.query!r}")
    return found


@settings(max_examples=150)
@given(links, st.lists(st.tuples(queries, st.sampled_from(ALL)), max_size=30))
def test_no_split_trains_on_its_test_queries_or_chunks_and_each_query_is_tested_once(asked, made):
    pairs = [pair(query, chunk) for query, chunk in asked]
    try:
        evaluation = plan_splits(pairs, [pair(query, chunk, cloze(chunk)) for query, chunk in made], ALL)
    except NotEnoughFeedback:
        return  # so few chunks that all are test chunks: nothing was trained, nothing can leak
    assert leaks(evaluation) == []
    judged = Counter(normalise_query(query) for part in evaluation.splits for query in part.held_out.relevant)
    assert judged == Counter({normalise_query(query) for query, _ in asked})


@settings(max_examples=50)
@given(links)
def test_nothing_ever_learns_a_query_that_is_held_out(asked):
    pairs = [pair(query, chunk) for query, chunk in asked]
    try:
        evaluation = plan_splits(pairs, pairs, ALL)
    except NotEnoughFeedback:
        return
    never = evaluation.never_trained
    assert never.judge == set(map(normalise_query, evaluation.main.held_out.relevant))
    assert not any(each.query in never for part in evaluation.splits for each in (*part.train, *part.extra))


def test_the_search_for_leaks_finds_one_where_a_fold_learns_everything():
    pairs = [pair(f"which {n}", chunk) for n, chunk in enumerate(ALL)]
    evaluation = plan_splits(pairs, [], ALL)
    careless = EvaluationSplits(evaluation.kind, tuple(replace(part, train=tuple(pairs)) for part in evaluation.splits))
    assert leaks(evaluation) == []
    assert len(leaks(careless)) >= len(pairs)


def test_sixty_labels_are_sixty_test_queries():
    pairs, chunks = each_its_chunk(60)
    evaluation = plan_splits(pairs, [], chunks)
    assert evaluation.kind == "cross-fitted"
    assert len(evaluation.qrels) == 60
    assert len(evaluation.splits) == 1 + FOLDS


def test_each_recipe_learns_from_about_three_quarters_of_what_the_challenger_learns_from():
    pairs, chunks = each_its_chunk(80)
    evaluation = plan_splits(pairs, [], chunks)
    for fold in evaluation.splits[1:]:
        assert len(fold.train) == pytest.approx(len(evaluation.main.train) * 3 / 4, abs=1)
        assert set(fold.train) < set(evaluation.main.train)


def test_with_many_labels_the_held_out_queries_are_enough_and_nothing_is_retrained():
    pairs, chunks = each_its_chunk(6 * ENOUGH_HELD_OUT)
    evaluation = plan_splits(pairs, [], chunks)
    assert evaluation.kind == "held out"
    assert len(evaluation.splits) == 1
    assert len(evaluation.qrels) >= ENOUGH_HELD_OUT


def test_a_query_whose_pair_would_leak_is_tested_but_not_trained_on():
    pairs, chunks = each_its_chunk(60)
    held = next(each for each in pairs if is_held_out(each.query))
    asked = next(each.query for each in pairs if not is_held_out(each.query))
    before = next(each for each in pairs if each.query == asked)
    evaluation = plan_splits([*pairs, Pair(asked, held.positive_id, held.positive)], [], chunks)
    assert evaluation.main.leaks == 1
    assert {each for part in evaluation.splits for each in part.train if each.query == asked} == {before}
    assert [asked in part.held_out.relevant for part in evaluation.splits].count(True) == 1


def test_where_the_hash_holds_out_nothing_the_folds_judge():
    pairs, chunks = each_its_chunk(60)
    evaluation = plan_splits([each for each in pairs if not is_held_out(each.query)], [], chunks)
    assert len(evaluation.main.held_out) == 0
    assert len(evaluation.qrels) == len({each.query for each in evaluation.main.train})


def test_queries_that_share_a_chunk_or_a_copy_of_it_are_in_one_fold():
    pairs = [pair(f"{word} {n}", ALL[n]) for n in range(8) for word in ("what", "why")]
    pairs += [pair(f"how {n}", COPIES[n]) for n in range(8)]
    dealt = assign_folds(pairs)
    assert [len(fold) for fold in dealt] == [6] * FOLDS
    for n in range(8):
        assert sum(any(each.query.endswith(f" {n}") for each in fold) for fold in dealt) == 1


def test_a_query_with_two_right_chunks_ties_their_queries_together():
    pairs = [pair("both", CHUNKS[0]), pair("both", CHUNKS[1]), pair("first", CHUNKS[0]), pair("second", CHUNKS[1])]
    others = [pair(f"other {n}", CHUNKS[n + 2]) for n in range(9)]
    fold = next(fold for fold in assign_folds([*pairs, *others]) if pairs[0] in fold)
    assert set(pairs) <= set(fold)


def test_a_group_of_more_than_half_of_the_queries_is_dealt_out():
    pairs = [pair(f"which {n}", CHUNKS[0]) for n in range(20)] + [pair(f"other {n}", CHUNKS[n]) for n in range(1, 8)]
    assert sorted(len(fold) for fold in assign_folds(pairs)) == [6, 7, 7, 7]


def test_the_folds_do_not_depend_on_the_order_of_the_pairs():
    pairs, _ = each_its_chunk(30)
    assert [set(fold) for fold in assign_folds(pairs)] == [set(fold) for fold in assign_folds(pairs[::-1])]


def test_where_all_queries_lead_to_one_chunk_there_is_nothing_to_judge_by():
    free = [query for query in (f"which {n}" for n in range(99)) if not is_held_out(query)]
    with pytest.raises(NotEnoughFeedback, match="have a passage that answers a held-out query"):
        plan_splits([pair(query, CHUNKS[0]) for query in free[:20]], [], CHUNKS)
