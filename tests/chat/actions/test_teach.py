"""Teaching: what is stored is the card's query and a chunk of the corpus, whatever the browser sends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from chainlit.element import ElementDict

from chat.actions import teach as teaching
from chat.actions.teach import TEACH, find, revive, teach, then_suggest
from chat.elements.live import LiveCard, LiveElement
from chat.session.context import AppState, RequestContext, SessionState, _running
from chat.session.thread_store import ThreadStore
from fakes import make_answer
from rag.answering.duel import Done
from rag.answering.service import open_service
from rag.errors import BadQuery, BadRating
from rag.history import history_of
from rag.indexing.indexer import index
from rag.records import Answer, SyntheticPair
from rag.settings import Settings

QUERY = "What does the cat drink?"
TIMEOUT = 20  # seconds; only what is wrong takes as long


async def discard(element: ElementDict) -> None:
    """Save nothing."""


def put_card(context: RequestContext, *answers: Answer) -> LiveCard:
    """Store these answers and put a card with them into the session."""
    live = LiveCard(discard, "t1", "m1")
    for answer in answers:
        live.card.take(answer.side, Done(answer.arm, answer))
        context.app.serving.store.feedback.put_answer(answer)
    context.session.elements.append(live)
    return live


@pytest.fixture
def context(settings: Settings) -> Iterator[RequestContext]:
    """Return the context of rater ann with one card: both sides show the first chunk of three."""
    with open_context(settings) as context:
        yield context


@contextmanager
def open_context(settings: Settings) -> Iterator[RequestContext]:
    index(settings)
    serving = open_service(settings)
    context = RequestContext(AppState(settings, serving, ThreadStore(history_of(settings))), SessionState(), "ann")
    hits = serving.store.chunks.search(
        serving.served("base").table, serving.served("base").embedder.embed_queries(["x"])[0], 1
    )
    put_card(
        context, *(make_answer(hits, cited=(1,), query=QUERY, arm=arm, id=f"of {arm}") for arm in ("base", "tuned"))
    )
    yield context
    serving.close()


async def put_offer(context: RequestContext) -> LiveElement:
    offer = LiveElement(TEACH, discard, "t1", "m1", props=await teaching.props(context, ["of base", "of tuned"]))
    context.session.elements.append(offer)
    return offer


def stored(context: RequestContext) -> list[tuple[str, str, int]]:
    """Return (query, chunk id, value) of what is taught."""
    ratings = context.app.serving.store.feedback.ratings()
    return [(each.query, each.chunk_id, each.value) for each in ratings if each.kind == "taught"]


async def passages(context: RequestContext, query: str = "bone") -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = (await find(context, {"answer": "of base", "query": query}))["passages"]
    return found


async def test_the_search_finds_what_was_not_shown_and_marks_what_was(context: RequestContext) -> None:
    found = await passages(context)
    assert any("bone" in each["text"] for each in found)
    (answer,) = context.app.serving.store.feedback.answers(["of base"])
    assert {each["chunk"] for each in found if each["shown"]} == {hit.chunk.id for hit in answer.hits}
    assert any(not each["shown"] for each in found)


async def test_nothing_of_a_passage_tells_who_found_it(context: RequestContext) -> None:
    for each in await passages(context):
        assert set(each) == {"chunk", "title", "heading", "page", "text", "form", "fence", "shown"}
    assert set((await put_offer(context)).props) == {"answers", "query", "taught", "good", "questions"}


async def test_what_is_stored_is_the_cards_query_not_what_was_typed(context: RequestContext) -> None:
    offer = await put_offer(context)
    chunk = (await passages(context))[0]["chunk"]
    done = await teach(context, {"answer": "of tuned", "query": "bone", "chunk": chunk, "value": 1})
    assert done == {"taught": "It makes 1 training pair."}
    assert stored(context) == [(QUERY, chunk, 1)]
    assert [each["chunk"] for each in offer.props["taught"]] == [chunk]
    (label,) = context.app.serving.store.feedback.labels()
    assert (label.origin, label.label, label.query) == ("taught", 1, QUERY)


async def test_undo_leaves_one_row_that_says_nothing(context: RequestContext) -> None:
    offer = await put_offer(context)
    chunk = (await passages(context))[0]["chunk"]
    for value in (1, 0):
        await teach(context, {"answer": "of base", "chunk": chunk, "value": value})
    assert stored(context) == [(QUERY, chunk, 0)]
    assert offer.props["taught"] == []


async def test_a_taught_passage_comes_back_for_its_rater_and_for_nobody_else(context: RequestContext) -> None:
    chunk = (await passages(context))[0]["chunk"]
    await teach(context, {"answer": "of base", "chunk": chunk, "value": 1})
    kept = {"answers": ["of base", "of tuned"], "taught": [], "query": "overwritten by a browser"}
    mine = await revive(context, kept)
    assert (mine["query"], [each["chunk"] for each in mine["taught"]]) == (QUERY, [chunk])
    other = RequestContext(context.app, context.session, "bob")
    assert (await revive(other, kept))["taught"] == []


async def test_a_passage_that_has_left_the_documents_can_still_be_taken_back(context: RequestContext) -> None:
    offer = await put_offer(context)
    chunk = (await passages(context))[0]["chunk"]
    await teach(context, {"answer": "of base", "chunk": chunk, "value": 1})
    serving = context.app.serving
    serving.store.chunks.delete(serving.served("base").table, [chunk])
    assert (await revive(context, offer.props))["taught"][0]["title"] == teaching.GONE
    await teach(context, {"answer": "of base", "chunk": chunk, "value": 0})
    assert stored(context) == [(QUERY, chunk, 0)]


async def test_what_a_browser_may_not_say_stores_nothing(context: RequestContext) -> None:
    chunk = (await passages(context))[0]["chunk"]
    wrong: list[dict[str, Any]] = [{"answer": "of another chat"}, {"answer": None}, {"chunk": "no such chunk"}]
    wrong += [{"chunk": 7}, {"value": -1}, {"value": True}, {"value": "1"}, {"value": None}, {"value": 1.0}]
    wrong += [{"chunk": None}, {"chunk": [chunk]}, {"chunk": {"id": [chunk]}}, {"chunk": "x" * 1_000_000}]
    wrong += [{"chunk": "\ud800"}, {"answer": "x" * 1_000_000}]
    wrong += [{"value": 0}]  # there is nothing to take back
    for each in wrong:
        with pytest.raises(BadRating):
            await teach(context, {"answer": "of base", "chunk": chunk, "value": 1, **each})
    assert stored(context) == []


async def test_a_search_for_nothing_or_too_much_is_refused_in_words(context: RequestContext) -> None:
    for typed in ("", "  ", "x" * 100_000):
        with pytest.raises(BadQuery):
            await find(context, {"answer": "of base", "query": typed})
    for forged in (None, 7, ["bone"], {"query": "bone"}, "\ud800"):
        with pytest.raises(BadRating, match=r"^query is .* not valid"):
            await find(context, {"answer": "of base", "query": forged})


async def test_an_element_whose_answers_are_gone_draws_nothing(context: RequestContext) -> None:
    assert await revive(context, {"answers": ["deleted"]}) == {}
    assert await revive(context, {}) == {}


async def test_a_rating_brings_questions_where_the_arms_differ_under_the_newest_card(
    settings: Settings, other_tiny_model: Path
) -> None:
    (settings.docs[0] / "codes.md").write_text("\n\n".join(f"# Code {n}\n\nThe cat eats fish." for n in range(20)))
    with open_context(settings.model_copy(update={"base_model": str(other_tiny_model)})) as context:
        older, newest = await put_offer(context), await put_offer(context)
        put_question(context)
        await rate_and_wait(context)
        assert (older.props["questions"], newest.props["questions"]) == ([], ["what is code 7"])


async def test_a_page_does_not_wait_for_questions_longer_than_it_says(
    settings: Settings, other_tiny_model: Path
) -> None:
    (settings.docs[0] / "codes.md").write_text("\n\n".join(f"# Code {n}\n\nThe cat eats fish." for n in range(20)))
    with open_context(settings.model_copy(update={"base_model": str(other_tiny_model)})) as context:
        put_question(context)
        assert await teaching.most_helpful(context.app.serving, 3, wait=0) == []
        assert await teaching.most_helpful(context.app.serving, 3, [QUERY]) == ["what is code 7"]
        assert await teaching.most_helpful(context.app.serving, 3, [QUERY, "What is code 7?"]) == []


async def test_pages_that_wait_for_a_comparison_hold_nobody_up(
    context: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = threading.Event()
    monkeypatch.setattr(teaching, "suggest", lambda *asked: [] if compared.wait(TIMEOUT) else ["never"])
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    pages = [asyncio.create_task(teaching.most_helpful(context.app.serving, 3)) for _ in range(3)]
    assert await teaching.most_helpful(context.app.serving, 3, wait=0.01) == []
    assert await asyncio.wait_for(asyncio.to_thread(lambda: "answered"), TIMEOUT) == "answered"
    compared.set()
    assert await asyncio.gather(*pages) == [[], [], []]


async def test_a_rating_brings_no_question_where_both_arms_have_the_same_weights(context: RequestContext) -> None:
    offer = await put_offer(context)
    put_question(context)
    await rate_and_wait(context)
    assert (offer.props["good"], offer.props["questions"]) == (True, [])


def put_question(context: RequestContext) -> None:
    serving = context.app.serving
    (chunk_id, *_) = serving.store.chunks.ids(serving.served("base").table)
    serving.store.feedback.put_synthetic([SyntheticPair("what is code 7", chunk_id, "t", "questions")])


async def rate_and_wait(context: RequestContext) -> None:
    """Rate the first answer good, and wait until what follows from it is shown."""

    async def rate(context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
        context.session.cards[0].card.vote("of base", 1)
        return {"done": True}

    assert await then_suggest(rate)(context, {}) == {"done": True}
    await asyncio.gather(*_running)
