"""Which question helps most: unrated, worded as people ask, and one on which the arms disagree."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from fakes import NOON, make_answer, make_hits
from rag.answering.service import QueryService, open_service
from rag.feedback.ratings import rate_answer, teach
from rag.feedback.suggestions import disagreement, rated_queries, readable, suggest, unrated
from rag.indexing.indexer import index
from rag.records import ARMS, Rating, SyntheticPair
from rag.settings import Settings

HITS = make_hits("one", "two")


@pytest.fixture
def serving(settings: Settings, other_tiny_model: Path) -> QueryService:
    """Return two arms of different models over 40 almost equal passages."""
    texts = [f"# Code ERR-{n:02}\n\nThe cat eats fish." for n in range(40)]
    (settings.docs[0] / "codes.md").write_text("\n\n".join(texts))
    settings = settings.model_copy(update={"base_model": str(other_tiny_model), "k": 3})
    index(settings)
    return open_service(settings)


def put_questions(serving: QueryService, *queries: str) -> None:
    chunk_id = min(serving.store.chunks.ids(serving.served("base").table))
    serving.store.feedback.put_synthetic([SyntheticPair(query, chunk_id, "text", "questions") for query in queries])


def shown(serving: QueryService, query: str) -> list[list[str]]:
    arms = [serving.served(arm) for arm in ARMS]
    vectors = [arm.embedder.embed_queries([query])[0] for arm in arms]
    found = [serving.store.chunks.search(arm.table, vector, 3) for arm, vector in zip(arms, vectors, strict=True)]
    return [[hit.chunk.id for hit in hits] for hits in found]


def test_disagreement_is_one_minus_the_average_overlap() -> None:
    assert disagreement("abc", "abc") == 0
    assert disagreement("abc", "xyz") == 1
    assert disagreement("ab", "ba") == pytest.approx(1 - (0 / 1 + 2 / 2) / 2)
    assert disagreement("abc", "abx") == pytest.approx(1 - (1 + 1 + 2 / 3) / 3)
    assert disagreement("abc", "xbc") > disagreement("abc", "abx")  # the first place counts the most
    assert disagreement("", "") == 0


def test_the_question_that_divides_the_arms_the_most_comes_first(serving: QueryService) -> None:
    queries = ["what is err-07", "does the dog drink", "how warm is the night", "who keeps one bone"]
    put_questions(serving, *queries)
    apart = {query: disagreement(*shown(serving, query)) for query in queries}
    suggested = suggest(serving, 4)
    assert sorted(suggested) == sorted(query for query in queries if apart[query])
    assert [apart[query] for query in suggested] == sorted((apart[query] for query in suggested), reverse=True)
    assert suggest(serving, 1) == suggested[:1]
    assert suggest(serving, 4, without=[suggested[0].upper() + "?"]) == suggested[1:]


def test_a_heading_comes_after_whatever_people_would_ask(serving: QueryService) -> None:
    put_questions(serving, "what is err-07", "who keeps one bone")
    (chunk_id, *_) = serving.store.chunks.ids(serving.served("base").table)
    headings = [f"Code ERR-{n:02}" for n in range(9)]
    serving.store.feedback.put_synthetic([SyntheticPair(query, chunk_id, "text", "heading") for query in headings])
    apart = [disagreement(*shown(serving, query)) for query in (*headings, "what is err-07", "who keeps one bone")]
    assert min(apart[-2:]) < max(apart[:-2])  # by disagreement alone a heading would come before one of them
    suggested = suggest(serving, 20)
    assert {*suggested[:2]} == {"what is err-07", "who keeps one bone"}
    assert {*suggested[2:]} <= {*headings}


def test_arms_of_the_same_weights_have_nothing_to_disagree_about(settings: Settings) -> None:
    index(settings)
    serving = open_service(settings)
    put_questions(serving, "what is a cat")
    assert suggest(serving, 3) == []


def test_a_question_leaves_when_it_is_rated_and_what_was_compared_is_not_compared_again(serving: QueryService) -> None:
    put_questions(serving, "what is err-07", "who keeps one bone", "how warm is the night")
    before = suggest(serving, 3)
    asked = serving.served("base").embedder
    calls: list[list[str]] = []
    embed = asked.embed_queries
    asked.embed_queries = lambda texts: calls.append(texts) or embed(texts)  # type: ignore[method-assign, func-returns-value]
    (chunk,) = serving.store.chunks.get(serving.served("base").table, [min(shown(serving, before[0])[0])])
    calls.clear()
    answer = make_answer([replace(hit, chunk=chunk) for hit in make_hits("x")], cited=(1,), query=before[0])
    serving.store.feedback.put_answer(answer)
    rate_answer(serving.store, rater="ann", answer_id=answer.id, value=1, blind=True)
    assert suggest(serving, 3, share=1e-6) == before  # that was read a moment ago
    assert suggest(serving, 3) == before[1:]
    put_questions(serving, "does the dog sleep")
    suggest(serving, 3)
    assert [query for texts in calls for query in texts] == ["does the dog sleep"]


def test_past_questions_count_until_somebody_has_said_anything_of_them() -> None:
    answers = [
        make_answer(HITS, cited=(1,), query=query, id=query)
        for query in ("thumb", "mark", "taught", "withdrawn", "new")
    ]
    answers = [replace(a, duel=f"duel of {a.id}", at=NOON + timedelta(hours=n)) for n, a in enumerate(answers)]
    answers.append(replace(answers[4], id="preferred", query="preferred", duel="d9"))
    ratings = [
        Rating("ann", "thumb", -1, True, NOON),
        Rating("ann", "mark", 1, True, NOON, "source", chunk_id="c", query="mark"),
        Rating("ann", "taught:1", 1, False, NOON, "taught", chunk_id="c", query="Taught?"),
        Rating("ann", "withdrawn", 0, True, NOON),
        Rating("ann", "d9", 1, True, NOON, "preference", choice="tie"),
    ]
    assert unrated(answers, rated_queries(answers, ratings)) == ["new", "withdrawn"]


def test_a_question_to_which_no_answer_cited_anything_is_not_asked_of_others() -> None:
    nonsense = make_answer(HITS, query="asdf", id="1")
    assert unrated([nonsense, make_answer(HITS, cited=(2,), query="Why?", id="2")], ()) == ["Why?"]


def test_made_queries_read_like_questions_and_belong_to_these_documents() -> None:
    pairs = [
        SyntheticPair("The cat drinks milk at night.", "c1", "t", "cloze"),
        SyntheticPair("Cats: Food", "c1", "t", "heading"),
        SyntheticPair("what is a cat", "c1", "t", "definition"),
        SyntheticPair("milk", "c1", "t", "definition"),
        SyntheticPair("when do cats drink", "c1", "t", "questions"),
        SyntheticPair("when do cats drink?", "c2", "t", "llm"),
        SyntheticPair("what of other documents", "c3", "t", "questions"),
    ]
    assert readable(pairs, {"c1", "c2"}) == ["when do cats drink", "what is a cat", "Cats: Food"]


def test_a_passage_taught_for_a_question_is_a_rating_of_it(serving: QueryService) -> None:
    put_questions(serving, "what is err-07", "who keeps one bone", "how warm is the night")
    first, *others = suggest(serving, 3)
    chunk_id = shown(serving, first)[0][0]
    (chunk,) = serving.store.chunks.get(serving.served("base").table, [chunk_id])
    teach(serving.store, rater="ann", query=first, chunk=chunk)
    assert suggest(serving, 3) == others
