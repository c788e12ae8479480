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
from rag.indexing.indexer import index
from rag.records import Answer, Chunk, Hit, Label, Rating
from rag.settings import Settings


async def discard(element: ElementDict) -> None:
    """Save nothing."""


@pytest.fixture
def visit(settings: Settings) -> Iterator[RequestContext]:
    """Return the visit of ann, on whose table lies an empty queue."""
    index(settings)
    serving = open_service(settings)
    visit = RequestContext(AppState(settings, serving, ThreadStore(settings.chat_db)), SessionState(), "ann")
    visit.room.elements.append(LiveElement(REVIEW, discard, "t1", "m1", props={"key": "k", "items": []}))
    yield visit
    serving.close()


def chunks(visit: RequestContext) -> list[Chunk]:
    serving = visit.house.serving
    table = serving.served("base").table
    return sorted(serving.store.chunks.get(table, serving.store.chunks.ids(table)), key=lambda chunk: chunk.text)


def put_answer(visit: RequestContext, id: str = "a1", query: str = "why?", hour: int = 0, **changes: Any) -> Answer:
    hits = [Hit(chunk, rank, 0.123456) for rank, chunk in enumerate(chunks(visit)[:2], start=1)]
    answer = replace(make_answer(hits, cited=(1,), query=query, id=id), duel=f"duel of {id}", **changes)
    answer = replace(answer, at=NOON + timedelta(hours=hour), text=f"{id}. {answer.text}")
    visit.house.serving.store.feedback.put_answer(answer)
    return answer


async def opened(visit: RequestContext) -> list[dict[str, Any]]:
    """Read the queue anew, and return its items."""
    (live,) = visit.room.elements
    await review.more(visit, {"review": live.props["key"]})
    return items(visit)


def items(visit: RequestContext) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = visit.room.elements[0].props["items"]
    return found


async def say(visit: RequestContext, item: dict[str, Any], value: object) -> None:
    await review.judge(visit, {"review": visit.room.elements[0].props["key"], "item": item["id"], "value": value})


def stored(visit: RequestContext, rater: str = "ann") -> list[Rating]:
    return [rating for rating in visit.house.serving.store.feedback.ratings() if rating.rater == rater]


async def test_an_unrated_answer_is_rated_in_the_queue_and_the_second_word_is_not_blind(visit: RequestContext) -> None:
    put_answer(visit)
    (item,) = await opened(visit)
    await say(visit, item, 1)
    assert [(each.target_id, each.value, each.blind) for each in stored(visit)] == [("a1", 1, True)]
    assert items(visit)[0]["said"] == 1
    await say(visit, item, -1)
    assert [(each.value, each.blind) for each in stored(visit)] == [(-1, False)]
    await say(visit, item, 0)
    assert [each.value for each in stored(visit)] == [0]
    assert items(visit)[0]["said"] is None
    assert len(await opened(visit)) == 1


async def test_nothing_of_the_queue_tells_who_wrote_or_rated_what(visit: RequestContext) -> None:
    answer = put_answer(visit, model="model-x")
    put_answer(visit, "a2", "how?")
    store = visit.house.serving.store
    rate_answer(store, rater="rater-bob", answer_id="a2", value=-1, blind=True, comment="a private remark")
    teach(store, rater="rater-bob", query="when?", chunk=chunks(visit)[2])
    assert {item["kind"] for item in await opened(visit)} == {"teach", "confirm", "unrated"}
    sent = json.dumps(visit.room.elements[0].props)
    for telling in ("rater-bob", "a private remark", "model-x", "0.123", "base", "tuned", answer.duel):
        assert telling not in sent


async def test_a_taught_passage_is_confirmed_or_refused_by_another_rater(visit: RequestContext) -> None:
    store, chunk = visit.house.serving.store, chunks(visit)[2]
    teach(store, rater="bob", query="when?", chunk=chunk)
    (item,) = await opened(visit)
    assert (item["kind"], item["passage"]["text"]) == ("confirm", chunk.text)
    await say(visit, item, 1)
    assert [(each.kind, each.query, each.chunk_id, each.value) for each in stored(visit)] == [
        ("taught", "when?", chunk.id, 1)
    ]
    assert {label.label for label in store.feedback.labels() if label.chunk_id == chunk.id} == {1}
    await say(visit, item, -1)
    assert {label.rater: label.label for label in store.feedback.labels()} == {"bob": 1, "ann": -1}
    await say(visit, item, 0)
    assert [each.value for each in stored(visit)] == [0]


async def test_taking_back_brings_back_what_stood_before_as_old_as_it_was(visit: RequestContext) -> None:
    store = visit.house.serving.store
    put_answer(visit)
    before = rate_answer(
        store, rater="ann", answer_id="a1", value=-1, blind=True, reason="made up", comment="no", at=NOON
    )
    rate_answer(store, rater="bob", answer_id="a1", value=1, blind=True, at=NOON + timedelta(hours=1))
    (item,) = await opened(visit)
    assert item["kind"] == "conflict"
    await say(visit, item, 1)
    await say(visit, item, 0)
    assert stored(visit) == [before]
    assert [each["kind"] for each in await opened(visit)] == ["conflict"]
    await say(visit, item_of(visit), -1)  # she insists
    (after,) = stored(visit)
    assert replace(after, at=NOON) == before
    assert await opened(visit) == []


def item_of(visit: RequestContext) -> dict[str, Any]:
    return items(visit)[0]


async def test_a_rater_who_marked_the_passage_changes_the_mark(visit: RequestContext) -> None:
    store = visit.house.serving.store
    answer = put_answer(visit)
    rate_answer(store, rater="bob", answer_id="a1", value=1, blind=True)
    mark_source(store, rater="ann", answer_id="a1", rank=2, value=1, blind=False, at=NOON)
    disputed = answer.hits[1].chunk
    teach(store, rater="bob", query="why?", chunk=disputed, value=-1, at=NOON + timedelta(hours=1))
    (item,) = await opened(visit)
    assert (item["kind"], item["passage"]["chunk"]) == ("conflict", disputed.id)
    await say(visit, item, -1)
    assert [(each.kind, each.value) for each in stored(visit)] == [("source", -1)]
    await say(visit, item, 0)
    assert [(each.kind, each.value, each.at) for each in stored(visit)] == [("source", 1, NOON)]


async def test_a_failed_question_is_taught_in_place_with_its_own_query(visit: RequestContext) -> None:
    put_answer(visit, query="Why so?")
    rate_answer(visit.house.serving.store, rater="bob", answer_id="a1", value=-1, blind=True)
    (item,) = await opened(visit)
    address = {"review": visit.room.elements[0].props["key"], "item": item["id"]}
    found = (await review.find(visit, {**address, "query": "bone"}))["passages"]
    assert {each["chunk"] for each in found if each["shown"]} == {chunk.id for chunk in chunks(visit)[:2]}
    chosen = next(each for each in found if not each["shown"])
    await review.teach(visit, {**address, "query": "bone", "chunk": chosen["chunk"], "value": 1})
    assert [(each.query, each.chunk_id) for each in stored(visit)] == [("Why so?", chosen["chunk"])]
    assert (item_of(visit)["said"], len(item_of(visit)["taught"])) == (1, 1)
    await review.teach(visit, {**address, "chunk": chosen["chunk"], "value": 0})
    assert (item_of(visit)["said"], item_of(visit)["taught"]) == (None, [])


async def test_what_a_browser_may_not_say_stores_nothing(visit: RequestContext) -> None:
    put_answer(visit)
    (item,) = await opened(visit)
    key = visit.room.elements[0].props["key"]
    wrong: list[dict[str, Any]] = [{"review": "other"}, {"item": "other"}, {"item": None}, {"value": 2}]
    wrong += [{"value": True}, {"value": None}, {"value": 0}]
    for each in wrong:
        with pytest.raises(BadRating):
            await review.judge(visit, {"review": key, "item": item["id"], "value": 1, **each})
    assert stored(visit) == []


async def test_a_question_without_a_passage_cannot_be_called_right_or_wrong(visit: RequestContext) -> None:
    put_answer(visit)
    rate_answer(visit.house.serving.store, rater="bob", answer_id="a1", value=-1, blind=True)
    (item,) = await opened(visit)
    with pytest.raises(BadRating):
        await say(visit, item, 1)


async def test_a_long_queue_is_sent_in_pages_and_counted_whole(visit: RequestContext) -> None:
    for n in range(PAGE + 5):
        put_answer(visit, f"a{n}", f"question {n}", hour=n)
    assert len(await opened(visit)) == PAGE
    assert visit.room.elements[0].props["left"] == {"teach": 0, "conflict": 0, "confirm": 0, "unrated": PAGE + 5}
    for item in items(visit):
        value: Label = 1
        await say(visit, item, value)
    assert [each["query"] for each in await opened(visit)] == [f"question {n}" for n in (4, 3, 2, 1, 0)]


async def test_what_was_said_can_be_taken_back_after_a_reload(visit: RequestContext) -> None:
    put_answer(visit, "a1", "first?")
    put_answer(visit, "a2", "second?", hour=1)
    item = next(each for each in await opened(visit) if each["query"] == "first?")
    await say(visit, item, 1)
    (live,) = visit.room.elements
    kept = json.loads(json.dumps(live.props))
    live.props = await review.revive(visit, kept)
    assert [(each["query"], each["said"]) for each in items(visit)] == [("first?", 1), ("second?", None)]
    assert live.props["left"]["unrated"] == 2  # the page takes off what was said
    await say(visit, items(visit)[0], 0)
    assert [(rating.target_id, rating.value) for rating in visit.house.serving.store.feedback.ratings()] == [("a1", 0)]
    assert [each["query"] for each in await opened(visit)] == ["second?", "first?"]


async def test_an_empty_queue_is_empty(visit: RequestContext) -> None:
    assert await opened(visit) == []
    assert (await review.revive(visit, {"items": ["whatever a browser wrote"]}))["items"] == []
