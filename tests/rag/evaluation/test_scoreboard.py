"""The scoreboard's numbers for a few duels that can be counted by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest

from boards import board
from fakes import NOON, make_answer, make_chunk
from rag.evaluation.duel_columns import Winner
from rag.evaluation.scoreboard import GROUPS, LEAST, topics_of
from rag.records import Answer, Arm, Chunk, Hit, Rating, Side


def chunk(name: str, source: str = "a.md", heading: str = "") -> Chunk:
    return make_chunk(name, source, heading)


def answer(
    n: int, arm: Arm, side: Side, *chunks: Chunk, text: str = "same", model: str = "", query: str = ""
) -> Answer:
    hits = [Hit(each, rank, 0.5) for rank, each in enumerate(chunks, start=1)]
    made = make_answer(hits, arm=arm, id=f"{arm}{n}", query=query or f"question {n}?")
    model = model or ("builtin" if arm == "base" else "v1")
    return replace(made, duel=f"duel{n}", side=side, text=text, cited=(1,) if hits else (), model=model)


def duel_answers(
    n: int, base: str = "one", tuned: str = "two", *, tuned_side: Side = "B", model: str = "v1"
) -> list[Answer]:
    """Return the two answers of a duel, each from one chunk, whose name is also its text."""
    base_side: Side = "A" if tuned_side == "B" else "B"
    return [
        answer(n, "base", base_side, chunk(base), text=base),
        answer(n, "tuned", tuned_side, chunk(tuned), text=tuned, model=model),
    ]


def preference(n: int, choice: Winner, rater: str = "ann", at: datetime = NOON) -> Rating:
    return Rating(rater, f"duel{n}", 1, True, at, kind="preference", choice=choice)


def test_an_empty_home_has_an_empty_board():
    found = board([], [])
    assert (found.sizes.duels, found.overall.n, found.trend, found.documents.shown) == (0, 0, (), ())
    assert found.biases.side_a.n == 0
    assert not any(each.targets for each in found.agreements.values())


def test_the_sizes_count_duels_that_no_one_can_win():
    answers = [*duel_answers(0), *duel_answers(1, "one", "one"), answer(2, "base", "A", chunk("one"))]
    ratings = [preference(0, "tuned"), preference(1, "tuned", "bob"), Rating("eve", "base0", 0, True, NOON)]
    sizes = board(ratings, answers).sizes
    assert (sizes.duels, sizes.same, sizes.decided, sizes.ratings, sizes.raters) == (2, 1, 1, 2, 2)


def test_the_serving_version_has_its_own_win_rate():
    answers = [*duel_answers(0), *duel_answers(1, model="v0"), *duel_answers(2), *duel_answers(3)]
    ratings = [preference(0, "tuned"), preference(1, "base"), preference(2, "tie"), preference(3, "both bad")]
    found = board(ratings, answers)
    assert (found.current.won, found.current.lost, found.current.ties, found.current.both_bad) == (1, 0, 1, 1)
    assert (found.overall.won, found.overall.lost) == (1, 1)
    assert {model: rate.n for model, rate in found.versions.items()} == {"v0": 1, "v1": 1}


def test_the_ranking_names_each_base_model():
    answers = [*duel_answers(0), *duel_answers(1, model="v2")]
    answers[2] = replace(answers[2], model="other base")
    ranking = board([preference(0, "tuned"), preference(1, "tuned")], answers).ranking
    assert {each.model for each in ranking.models} == {"builtin", "v1", "other base", "v2"}
    assert [each.model for each in ranking.models if each.chance is None] == ["other base", "v2"]


def test_if_the_current_base_has_no_duels_another_base_is_the_reference():
    answers = [replace(each, model=each.model.replace("builtin", "other base")) for each in duel_answers(0)]
    assert board([preference(0, "tuned")], answers).ranking.reference == "other base"


def test_the_trend_has_each_day_and_the_cumulative_win_rate():
    answers = [each for n in range(3) for each in duel_answers(n)]
    days = [NOON, NOON, NOON + timedelta(days=3)]
    ratings = [
        preference(n, winner, at=at)
        for n, (winner, at) in enumerate(zip(("tuned", "base", "tuned"), days, strict=True))
    ]
    first, second = board(ratings, answers).trend
    assert (first.start, first.rate.won, first.rate.n) == (date(2026, 1, 2), 1, 2)
    assert (second.start, second.rate.n, second.so_far.won, second.so_far.n) == (date(2026, 1, 5), 1, 2, 3)
    assert second.models == ("v1",)


def test_a_long_history_is_grouped_by_weeks_from_monday():
    answers = [each for n in range(3) for each in duel_answers(n)]
    days = [0, 2, 50]  # a Friday, the Sunday after it, and a Saturday
    ratings = [preference(n, "tuned", at=NOON + timedelta(days=day)) for n, day in enumerate(days)]
    found = board(ratings, answers)
    assert found.by_week
    assert [(period.start, period.rate.n) for period in found.trend] == [
        (date(2025, 12, 29), 2),
        (date(2026, 2, 16), 1),
    ]


def test_a_duel_counts_in_each_document_that_one_of_its_answers_cited():
    answers = [
        answer(0, "base", "A", chunk("one", "a.md"), chunk("never cited", "z.md")),
        answer(0, "tuned", "B", chunk("two", "b.md")),
        answer(1, "base", "A", chunk("one", "a.md")),
        answer(1, "tuned", "B", chunk("three", "a.md")),
    ]
    answers = [replace(each, text=f"Text {n}.") for n, each in enumerate(answers)]
    found = board([preference(0, "tuned"), preference(1, "base")], answers).documents
    assert [(each.name, each.rate.won, each.rate.n, each.is_small) for each in found.shown] == [
        ("a.md", 1, 2, True),
        ("b.md", 1, 1, True),
    ]


def test_a_group_is_small_below_the_minimum_of_decided_duels():
    answers = [each for n in range(LEAST + 1) for each in duel_answers(n)]
    ratings = [preference(n, "tuned") for n in range(LEAST - 1)] + [preference(LEAST - 1, "tie")]
    (small,) = board(ratings, answers).documents.shown
    assert small.is_small
    (enough,) = board([*ratings, preference(LEAST, "base")], answers).documents.shown
    assert not enough.is_small


def test_the_largest_groups_are_shown_and_the_others_counted():
    answers = [
        each
        for n in range(GROUPS + 3)
        for each in (
            answer(n, "base", "A", chunk("one", "base"), text="one"),
            answer(n, "tuned", "B", chunk("two", f"document {n}"), text="two"),
        )
    ]
    found = board([preference(n, "tuned") for n in range(GROUPS + 3)], answers).documents
    assert (len(found.shown), found.others, found.shown[0].name) == (GROUPS, 4, "base")


def test_a_topic_is_the_first_level_at_which_a_documents_headings_differ():
    titled = [
        chunk("1", "t.md", "Bees"),
        chunk("2", "t.md", "Bees > Swarming > When"),
        chunk("3", "t.md", "Bees > Mites"),
    ]
    plain = [chunk("4", "p.md", "Chapter 1 > Start"), chunk("5", "p.md", "Chapter 2"), chunk("6", "p.md")]
    single = [chunk("7", "s.md", "Only > One > Path")]
    topic = topics_of([*titled, *plain, *single])
    assert [topic(each) for each in titled] == ["t.md", "t.md: Swarming", "t.md: Mites"]
    assert [topic(each) for each in plain] == ["p.md: Chapter 1", "p.md: Chapter 2", "p.md"]
    assert topic(single[0]) == "s.md"


def test_raters_are_compared_by_the_same_answer_to_the_same_question():
    texts = ["one text", "one text", "another text"]
    answers = [
        replace(make_answer(id=f"a{n}", query=query), text=text)
        for n, (query, text) in enumerate(zip(("Why?", "why", "why?"), texts, strict=True))
    ]
    ratings = [Rating(rater, f"a{n}", 1, True, NOON) for n, rater in enumerate(("ann", "bob", "eve"))]
    found = board(ratings, answers).agreements["answers"]
    assert (found.targets, found.raters, found.judgements) == (1, 2, 2)


def test_raters_are_compared_by_marks_on_the_same_passage():
    marks = [
        Rating(rater, f"a{n}", value, False, NOON, kind="source", chunk_id=chunk_id, query="Why?")
        for n, (rater, value, chunk_id) in enumerate([("ann", 1, "x"), ("bob", -1, "x"), ("eve", 1, "y")])
    ]
    taught = Rating("eve", "taught:q", 1, False, NOON, kind="taught", chunk_id="x", query="why")
    withdrawn = replace(marks[0], rater="joe", value=0)
    found = board([*marks, taught, withdrawn], []).agreements["passages"]
    assert (found.targets, found.raters, found.judgements) == (1, 3, 3)


def test_raters_are_compared_by_duels_with_the_same_passages_on_both_sides():
    answers = [*duel_answers(0), *duel_answers(1, tuned_side="A"), *duel_answers(2, "one", "three")]
    answers = [replace(each, query="Why?") for each in answers]
    ratings = [preference(0, "tuned", "ann"), preference(1, "tuned", "bob"), preference(2, "tuned", "eve")]
    found = board(ratings, answers).agreements["duels"]
    assert (found.targets, found.raters, found.same) == (1, 2, 1.0)


def test_biases_count_duels_with_a_winner():
    answers = [
        *duel_answers(0, "long text", "short"),  # base on A
        *duel_answers(1, "long text", "short", tuned_side="A"),
        *duel_answers(2, "short", "long text"),
        *duel_answers(3, "equal", "alike", tuned_side="A"),
        *duel_answers(4),
    ]
    winners: list[Winner] = ["base", "tuned", "tuned", "tuned", "tie"]
    found = board([preference(n, winner) for n, winner in enumerate(winners)], answers).biases
    assert (found.side_a.won, found.side_a.n) == (3, 4)
    assert (found.longer.won, found.longer.n) == (2, 3)
    assert (found.tuned_longer.won, found.tuned_longer.n) == (1, 1)
    assert (found.tuned_shorter.won, found.tuned_shorter.n) == (1, 2)
    assert found.side_a.share.mean == pytest.approx(0.75)
