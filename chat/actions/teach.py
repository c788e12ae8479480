"""What a person can do beyond rating: show the passage that answers a question, and hear which question helps most.

The idea a reader would miss: what is typed into the search only searches. What is stored is the card's own query, as
both arms were asked, with the passage; the browser names an answer of its chat and a chunk, and nothing else of it
counts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypedDict, cast

import chainlit as cl

from chat.elements.live import LiveCard, LiveElement
from chat.session.context import Action, RequestContext, in_background, read_value
from rag.answering.service import QueryService, check_query
from rag.errors import BadRating, ThumbtuneError
from rag.feedback.ratings import TAUGHT
from rag.feedback.ratings import teach as store_taught
from rag.feedback.suggestions import suggest
from rag.records import ARMS, Chunk, Rating, content_id, normalise_query
from rag.retrieval.passage_search import search_passages

TEACH = "Teach"  # public/elements/Teach.jsx
CHIPS = 3
PATIENCE = 0.5  # seconds that the first page waits for questions; with a large model comparing them takes longer
GONE = "no longer in the documents"
# A thread of its own: a comparison may take a minute, and who waits for it must not hold the threads that answer.
_comparing = ThreadPoolExecutor(1, "comparing")
log = logging.getLogger("thumbtune")


class Passage(TypedDict):
    """A passage to read and to choose. No score and no origin: they would tell the retrievers apart."""

    chunk: str
    title: str
    heading: str
    page: int | None
    text: str
    shown: bool


class Props(TypedDict):
    """What Teach.jsx draws. `good`: an answer above was found good; `questions`: those that would help most now."""

    answers: list[str]
    query: str
    taught: list[Passage]
    good: bool
    questions: list[str]


async def offer(visit: RequestContext, live: LiveCard, message: cl.Message) -> None:
    """Show under a card that is complete what can be done with it beyond rating; nothing where no answer is stored."""
    if answer_ids := _answer_ids(live):
        await visit.show_element(TEACH, await props(visit, answer_ids), under=message)


async def props(visit: RequestContext, answer_ids: Iterable[str]) -> Mapping[str, Any]:
    """Return what is shown under a card with these answers. Raises BadRating where none is stored."""
    return cast(Mapping[str, Any], await asyncio.to_thread(_props, visit, list(answer_ids)))


async def revive(visit: RequestContext, kept: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the props of an element that was read from the history, from what is stored now."""
    try:
        return await props(visit, kept.get("answers") or [])
    except BadRating:
        return {}  # its answers are gone, or it never had any: nothing is drawn


async def find(visit: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return passages of the corpus for what a person typed under a card. Raises BadQuery."""
    live = visit.room.card_with(payload.get("answer"))
    return {"passages": await asyncio.to_thread(search, visit.house.serving, _typed(payload), _answer_ids(live))}


async def teach(visit: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Store that a passage answers a card's query, or withdraw it, and show it."""
    live = visit.room.card_with(payload.get("answer"))
    async with live.lock:
        query = await asyncio.to_thread(_query, visit.house.serving, _answer_ids(live))
        await asyncio.to_thread(store_passage, visit, query, payload)
    for element in visit.room.elements:
        if element.name == TEACH and normalise_query(element.props.get("query", "")) == normalise_query(query):
            taught = await asyncio.to_thread(taught_by, visit, query)
            await _show(element, {"taught": taught})
    return {}


async def most_helpful(
    serving: QueryService, n: int, without: Collection[str] = (), wait: float | None = None
) -> list[str]:
    """Return the questions that would help most; none where that fails, or takes longer than `wait` in seconds."""
    found = asyncio.get_running_loop().run_in_executor(_comparing, partial(suggest, serving, n, without))
    try:
        return await asyncio.wait_for(found, wait)
    except TimeoutError:  # a comparison that has begun goes on, and the next page has them
        return []
    except ThumbtuneError as error:
        log.warning("no question can be suggested: %s", error)
        return []


def then_suggest(rate: Action) -> Action:
    """Return an action that rates, and then shows under the newest card which questions help most."""

    async def act(visit: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
        done = await rate(visit, payload)
        in_background(_suggest(visit))  # the rating is acknowledged at once
        return done

    return act


def search(serving: QueryService, typed: str, answer_ids: Collection[str]) -> list[Passage]:
    """Return passages for what a person typed, those marked that one of these answers has shown. Raises BadQuery."""
    shown = {hit.chunk.id for answer in serving.store.feedback.answers(answer_ids) for hit in answer.hits}
    found = search_passages(serving.store, [serving.served(arm) for arm in ARMS], check_query(typed))
    return [as_passage(chunk, shown) for chunk in found]


def store_passage(visit: RequestContext, query: str, payload: Mapping[str, Any]) -> None:
    """Store what a browser says of a chunk for a query: 1 it answers, 0 taken back. Raises BadRating."""
    serving, chunk_id, value = visit.house.serving, payload.get("chunk"), read_value(payload)
    if not isinstance(chunk_id, str) or value == -1:
        raise BadRating(f"{str(payload)[:80]} teaches nothing: reload the page, then choose a passage")
    if value == 0:
        mine = next((each for each in _taught(visit, query) if each.chunk_id == chunk_id), None)
        if mine is None:
            raise BadRating("there is no passage to take back: reload the page")
        chunk: Chunk | None = _as_it_was(mine)
    else:
        chunk = next(iter(serving.store.chunks.get(serving.served("base").table, [chunk_id])), None)
    if chunk is None:
        raise BadRating(f"passage {chunk_id[:40]!r} is not in the documents any more: search again")
    store_taught(serving.store, rater=visit.rater, query=query, chunk=chunk, value=value)


def taught_by(visit: RequestContext, query: str) -> list[Passage]:
    """Return the passages that this rater has taught for a query, also one that has left the documents since."""
    serving, given = visit.house.serving, _taught(visit, query)
    stored = serving.store.chunks.get(serving.served("base").table, [each.chunk_id for each in given]) if given else []
    there = {chunk.id: chunk for chunk in stored}
    return [as_passage(there.get(each.chunk_id) or _as_it_was(each), ()) for each in given]


def as_passage(chunk: Chunk, shown: Collection[str]) -> Passage:
    """Return a chunk as the browser is sent it."""
    return {
        "chunk": chunk.id,
        "title": chunk.name,
        "heading": chunk.section,
        "page": chunk.page,
        "text": chunk.text,
        "shown": chunk.id in shown,
    }


async def _suggest(visit: RequestContext) -> None:
    """Say under each card whether an answer was found good, and under the newest what to ask next."""
    offers = [element for element in visit.room.elements if element.name == TEACH and element.props.get("answers")]
    views = [view for live in visit.room.cards for view in live.card.props["sides"]]
    liked = {view["answer"] for view in views if view["vote"] == 1}
    for element in offers:
        good = not liked.isdisjoint(element.props["answers"])
        if good != element.props["good"]:
            await _show(element, {"good": good})
    for element in offers[:-1]:
        if element.props["questions"]:  # they help most where somebody is about to ask
            await _show(element, {"questions": []})
    for element in offers[-1:]:
        asked = [each.props["query"] for each in offers]
        questions = await most_helpful(visit.house.serving, CHIPS, asked)
        if questions != element.props["questions"]:
            await _show(element, {"questions": questions})


async def _show(element: LiveElement, change: Mapping[str, Any]) -> None:
    """Change props and show them. The history need not know: `revive` reads the tables."""
    element.props = {**element.props, **change}
    await element.show()


def _props(visit: RequestContext, answer_ids: Sequence[str]) -> Props:
    query = _query(visit.house.serving, answer_ids)
    mine = visit.house.serving.store.feedback.ratings(visit.rater)
    good = any(each.kind == "answer" and each.value == 1 and each.target_id in answer_ids for each in mine)
    taught = taught_by(visit, query)
    return {"answers": list(answer_ids), "query": query, "taught": taught, "good": good, "questions": []}


def _query(serving: QueryService, answer_ids: Collection[str]) -> str:
    """Return the query to which these are the stored answers. Raises BadRating where none is stored."""
    for answer in serving.store.feedback.answers(answer_ids):
        return answer.query
    raise BadRating("neither answer is stored here: ask the question again, then show the passage")


def _taught(visit: RequestContext, query: str) -> list[Rating]:
    target = TAUGHT + content_id(normalise_query(query))
    mine = visit.house.serving.store.feedback.ratings(visit.rater)
    return sorted((each for each in mine if each.target_id == target and each.value == 1), key=lambda each: each.at)


def _as_it_was(rating: Rating) -> Chunk:
    """Return the chunk of a taught passage as the rating keeps it."""
    return Chunk(rating.chunk_id, "", "", GONE, "", None, rating.text, 0, len(rating.text))


def _answer_ids(live: LiveCard) -> list[str]:
    return list(live.card.answer_ids.values())


def _typed(payload: Mapping[str, Any]) -> str:
    typed = payload.get("query")
    return typed if isinstance(typed, str) else ""
