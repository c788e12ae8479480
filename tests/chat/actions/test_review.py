"""The review queue in the chat: what is said there is stored by the rules of the card, and can be taken back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from chainlit.element import ElementDict

from chat.actions import review
from chat.actions.review import PAGE, REVIEW
from chat.elements.live import LiveElement
from chat.session.context import AppState, RequestContext, SessionState
from chat.session.thread_store import ThreadStore
from fakes import NOON, make_answer
from rag.answering.service import open_service
from rag.errors import BadRating
from rag.feedback.ratings import mark_source, rate_answer, teach
from rag.history import history_of
from rag.indexing.indexer import index
from rag.records import Answer, Chunk, Hit, Label, Rating
from rag.settings import Settings


async def discard(element: ElementDict) -> None:
    """Save nothing."""


@pytest.fixture
def context(settings: Settings) -> Iterator[RequestContext]:
    """Return the context of rater ann, who has an empty queue open."""
    index(settings)
    serving = open_service(settings)
    context = RequestContext(AppState(settings, serving, ThreadStore(history_of(settings))), SessionState(), "ann")
    context.session.elements.append(LiveElement(REVIEW, discard, "t1", "m1", props={"key": "k", "items": []}))
    yield context
    serving.close()


def chunks(context: RequestContext) -> list[Chunk]:
    serving = context.app.serving
    table = serving.served("base").table
    return sorted(serving.store.chunks.get(table, serving.store.chunks.ids(table)), key=lambda chunk: chunk.text)


def put_answer(context: RequestContext, id: str = "a1", query: str = "why?", hour: int = 0, **changes: Any) -> Answer:
    hits = [Hit(chunk, rank, 0.123456) for rank, chunk in enumerate(chunks(context)[:2], start=1)]
    answer = replace(make_answer(hits, cited=(1,), query=query, id=id), duel=f"duel of {id}", **changes)
    answer = replace(answer, at=NOON + timedelta(hours=hour), text=f"{id}. {answer.text}")
    context.app.serving.store.feedback.put_answer(answer)
    return answer


async def opened(context: RequestContext) -> list[dict[str, Any]]:
    """Read the queue again, and return its items."""
    (live,) = context.session.elements
    await review.more(context, {"review": live.props["key"]})
    return items(context)


def items(context: RequestContext) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = context.session.elements[0].props["items"]
    return found


async def say(context: RequestContext, item: dict[str, Any], value: object) -> str:
    key = context.session.elements[0].props["key"]
    done = await review.judge(context, {"review": key, "item": item["id"], "value": value})
    return str(done["taught"])


def stored(context: RequestContext, rater: str = "ann") -> list[Rating]:
    return [rating for rating in context.app.serving.store.feedback.ratings() if rating.rater == rater]


async def test_an_answer_rated_in_the_queue_is_blind_and_a_change_of_it_is_not(context: RequestContext) -> None:
    put_answer(context)
    (item,) = await opened(context)
    assert await say(context, item, 1) == "It makes 1 training pair."
    assert [(each.target_id, each.value, each.blind) for each in stored(context)] == [("a1", 1, True)]
    assert items(context)[0]["said"] == 1
    await say(context, item, -1)
    assert [(each.value, each.blind) for each in stored(context)] == [(-1, False)]
    assert await say(context, item, 0) == "Taken back: it teaches nothing now."
    assert [each.value for each in stored(context)] == [0]
    assert items(context)[0]["said"] is None
    assert len(await opened(context)) == 1


async def test_nothing_of_the_queue_tells_who_wrote_or_rated_what(context: RequestContext) -> None:
    answer = put_answer(context, model="model-x")
    put_answer(context, "a2", "how?")
    store = context.app.serving.store
    rate_answer(store, rater="rater-bob", answer_id="a2", value=-1, blind=True, comment="a private remark")
    teach(store, rater="rater-bob", query="when?", chunk=chunks(context)[2])
    assert {item["kind"] for item in await opened(context)} == {"teach", "confirm", "unrated"}
    sent = json.dumps(context.session.elements[0].props)
    for telling in ("rater-bob", "a private remark", "model-x", "0.123", "base", "tuned", answer.duel):
        assert telling not in sent


async def test_a_taught_passage_is_confirmed_or_refused_by_another_rater(context: RequestContext) -> None:
    store, chunk = context.app.serving.store, chunks(context)[2]
    teach(store, rater="bob", query="when?", chunk=chunk)
    (item,) = await opened(context)
    assert (item["kind"], item["passage"]["text"]) == ("confirm", chunk.text)
    await say(context, item, 1)
    assert [(each.kind, each.query, each.chunk_id, each.value) for each in stored(context)] == [
        ("taught", "when?", chunk.id, 1)
    ]
    assert {label.label for label in store.feedback.labels() if label.chunk_id == chunk.id} == {1}
    await say(context, item, -1)
    assert {label.rater: label.label for label in store.feedback.labels()} == {"bob": 1, "ann": -1}
    await say(context, item, 0)
    assert [each.value for each in stored(context)] == [0]


async def test_taking_back_brings_back_what_stood_before_as_old_as_it_was(context: RequestContext) -> None:
    store = context.app.serving.store
    put_answer(context)
    before = rate_answer(
        store, rater="ann", answer_id="a1", value=-1, blind=True, reason="made up", comment="no", at=NOON
    )
    rate_answer(store, rater="bob", answer_id="a1", value=1, blind=True, at=NOON + timedelta(hours=1))
    (item,) = await opened(context)
    assert item["kind"] == "conflict"
    await say(context, item, 1)
    await say(context, item, 0)
    assert stored(context) == [before]
    assert [each["kind"] for each in await opened(context)] == ["conflict"]
    await say(context, item_of(context), -1)  # she insists
    (after,) = stored(context)
    assert replace(after, at=NOON) == before
    assert await opened(context) == []


def item_of(context: RequestContext) -> dict[str, Any]:
    return items(context)[0]


async def test_a_rater_who_marked_the_passage_changes_the_mark(context: RequestContext) -> None:
    store = context.app.serving.store
    answer = put_answer(context)
    rate_answer(store, rater="bob", answer_id="a1", value=1, blind=True)
    mark_source(store, rater="ann", answer_id="a1", rank=2, value=1, blind=False, at=NOON)
    disputed = answer.hits[1].chunk
    teach(store, rater="bob", query="why?", chunk=disputed, value=-1, at=NOON + timedelta(hours=1))
    (item,) = await opened(context)
    assert (item["kind"], item["passage"]["chunk"]) == ("conflict", disputed.id)
    await say(context, item, -1)
    assert [(each.kind, each.value) for each in stored(context)] == [("source", -1)]
    await say(context, item, 0)
    assert [(each.kind, each.value, each.at) for each in stored(context)] == [("source", 1, NOON)]


async def test_a_failed_question_is_taught_in_place_with_its_own_query(context: RequestContext) -> None:
    put_answer(context, query="Why so?")
    rate_answer(context.app.serving.store, rater="bob", answer_id="a1", value=-1, blind=True)
    (item,) = await opened(context)
    address = {"review": context.session.elements[0].props["key"], "item": item["id"]}
    found = (await review.find(context, {**address, "query": "bone"}))["passages"]
    assert {each["chunk"] for each in found if each["shown"]} == {chunk.id for chunk in chunks(context)[:2]}
    chosen = next(each for each in found if not each["shown"])
    await review.teach(context, {**address, "query": "bone", "chunk": chosen["chunk"], "value": 1})
    assert [(each.query, each.chunk_id) for each in stored(context)] == [("Why so?", chosen["chunk"])]
    assert (item_of(context)["said"], len(item_of(context)["taught"])) == (1, 1)
    await review.teach(context, {**address, "chunk": chosen["chunk"], "value": 0})
    assert (item_of(context)["said"], item_of(context)["taught"]) == (None, [])


async def test_what_a_browser_may_not_say_stores_nothing(context: RequestContext) -> None:
    put_answer(context)
    (item,) = await opened(context)
    key = context.session.elements[0].props["key"]
    wrong: list[dict[str, Any]] = [{"review": "other"}, {"item": "other"}, {"item": None}, {"value": 2}]
    wrong += [{"value": True}, {"value": None}, {"value": 0}, {"value": [1]}, {"review": ["k"]}, {"review": None}]
    wrong += [{"item": {"id": item["id"]}}, {"item": "x" * 1_000_000}]
    for each in wrong:
        with pytest.raises(BadRating):
            await review.judge(context, {"review": key, "item": item["id"], "value": 1, **each})
    for act in (review.judge, review.more, review.find, review.teach):
        for forged in ({}, {"review": None, "item": None, "query": "x", "chunk": "c", "value": 1}):
            with pytest.raises(BadRating):
                await act(context, forged)
    assert stored(context) == []


async def test_a_question_without_a_passage_cannot_be_called_right_or_wrong(context: RequestContext) -> None:
    put_answer(context)
    rate_answer(context.app.serving.store, rater="bob", answer_id="a1", value=-1, blind=True)
    (item,) = await opened(context)
    with pytest.raises(BadRating):
        await say(context, item, 1)


async def test_a_long_queue_is_sent_in_pages_and_counted_whole(context: RequestContext) -> None:
    for n in range(PAGE + 5):
        put_answer(context, f"a{n}", f"question {n}", hour=n)
    assert len(await opened(context)) == PAGE
    assert context.session.elements[0].props["left"] == {"teach": 0, "conflict": 0, "confirm": 0, "unrated": PAGE + 5}
    for item in items(context):
        value: Label = 1
        await say(context, item, value)
    assert [each["query"] for each in await opened(context)] == [f"question {n}" for n in (4, 3, 2, 1, 0)]


async def test_what_was_said_can_be_taken_back_after_a_reload(context: RequestContext) -> None:
    put_answer(context, "a1", "first?")
    put_answer(context, "a2", "second?", hour=1)
    item = next(each for each in await opened(context) if each["query"] == "first?")
    await say(context, item, 1)
    (live,) = context.session.elements
    kept = json.loads(json.dumps(live.props))
    assert context.app.queues["ann"] == live.props  # for the next time she opens it
    live.props = await review.revive(context, kept)
    assert [(each["query"], each["said"]) for each in items(context)] == [("first?", 1), ("second?", None)]
    assert live.props["left"]["unrated"] == 2  # the page takes off what was said
    await say(context, items(context)[0], 0)
    assert [(rating.target_id, rating.value) for rating in context.app.serving.store.feedback.ratings()] == [("a1", 0)]
    assert [each["query"] for each in await opened(context)] == ["second?", "first?"]


async def test_an_empty_queue_is_empty(context: RequestContext) -> None:
    assert await opened(context) == []
    assert (await review.revive(context, {"items": ["whatever a browser wrote"]}))["items"] == []
