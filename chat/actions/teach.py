"""Teach the passage that answers a question, and suggest the questions whose ratings help training most.

Why: text typed into the search is never stored. The label has the card's own query, as both arms were asked, and the
chosen chunk; the browser only names an answer of its chat and a chunk id.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypedDict, cast

import chainlit as cl

from chat.actions.payloads import Search, Teach
from chat.actions.rate import taught
from chat.elements.live import LiveCard, LiveElement
from chat.elements.marks import Form, fence_of, form_of
from chat.language import Phrase
from chat.session.context import Action, RequestContext, in_background
from rag.answering.service import QueryService, check_query
from rag.errors import BadRating, ThumbtuneError
from rag.feedback.ratings import TAUGHT
from rag.feedback.ratings import teach as store_taught
from rag.feedback.starters import starters
from rag.feedback.suggestions import suggest
from rag.heading_path import plain_headings
from rag.records import ARMS, Chunk, Label, Rating, content_id, normalise_query
from rag.retrieval.passage_search import search_passages

TEACH = "Teach"  # public/elements/Teach.jsx
CHIPS = 3
PATIENCE = 0.5  # seconds that the first page waits for questions; with a large model comparing them takes longer
SHARE = (
    0.05  # of a core, for keeping suggestions up to date: each rating changes them a little, and all tables are read
)
GONE = Phrase("teach.gone")
# A thread of its own: a comparison may take a minute, and must not occupy the threads that answer.
_comparing = ThreadPoolExecutor(1, "comparing")
log = logging.getLogger("thumbtune")


class Passage(TypedDict):
    """A passage to choose from. No score and no origin: they would give the retrievers away."""

    chunk: str
    title: str
    heading: str
    page: str  # or pages, such as 3–4
    text: str
    form: Form
    fence: str  # that its text lacks at its begin
    shown: bool


class Props(TypedDict):
    """Props of Teach.jsx. `good`: an answer above has a thumb up; `questions`: those whose ratings would help most."""

    answers: list[str]
    query: str
    taught: list[Passage]
    good: bool
    questions: list[str]


async def offer(context: RequestContext, live: LiveCard, message: cl.Message) -> None:
    """Show the teach element under a complete card; show nothing if no answer is stored."""
    if answer_ids := _answer_ids(live):
        await context.show_element(TEACH, await props(context, answer_ids), under=message)


async def props(context: RequestContext, answer_ids: Iterable[str]) -> Mapping[str, Any]:
    """Return the teach element's props for a card with these answers. Raises BadRating if none is stored."""
    return cast(Mapping[str, Any], await asyncio.to_thread(_props, context, list(answer_ids)))


async def revive(context: RequestContext, kept: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return current props for an element that was read from the history."""
    try:
        return await props(context, kept.get("answers") or [])
    except BadRating:
        return {}  # its answers are gone, or it never had any: Teach.jsx draws nothing


async def find(context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return passages of the corpus for text typed under a card. Raises BadRating and BadQuery."""
    sent = Search.read(payload)
    live = context.session.card_with(sent.answer)
    return {"passages": await asyncio.to_thread(search, context.app.serving, sent.query, _answer_ids(live))}


async def teach(context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Store that a passage answers a card's query, or withdraw it, and show it."""
    sent = Teach.read(payload)
    live = context.session.card_with(sent.answer)
    async with live.lock:
        query = await asyncio.to_thread(_query, context.app.serving, _answer_ids(live))
        rating = await asyncio.to_thread(store_passage, context, query, sent.chunk, sent.value)
    await show_taught(context, query)
    return await taught(context, rating)


async def show_taught(context: RequestContext, query: str) -> None:
    """Show which passages this rater has taught for a query, under each of its cards in this session."""
    for element in context.session.elements:
        if element.name == TEACH and normalise_query(element.props.get("query", "")) == normalise_query(query):
            await _show(element, {"taught": await asyncio.to_thread(taught_by, context, query)})


async def most_helpful(
    serving: QueryService, n: int, without: Collection[str] = (), wait: float | None = None
) -> list[str]:
    """Return the `n` questions whose ratings help most; none on an error or after `wait` seconds."""
    found = asyncio.get_running_loop().run_in_executor(_comparing, partial(suggest, serving, n, without, SHARE))
    try:
        return await asyncio.wait_for(found, wait)
    except TimeoutError:  # the comparison continues in its thread; the next page gets its result
        return []
    except ThumbtuneError as error:
        log.warning("no question can be suggested: %s", error)
        return []


async def examples(serving: QueryService, n: int, wait: float | None = None) -> list[str]:
    """Return n checked starters; none on an error or after `wait` seconds."""
    found = asyncio.get_running_loop().run_in_executor(_comparing, starters, serving, n)
    try:
        return await asyncio.wait_for(found, wait)
    except TimeoutError:  # as above
        return []
    except ThumbtuneError as error:
        log.warning("no example question can be chosen: %s", error)
        return []


def then_suggest(rate: Action) -> Action:
    """Return an action that rates, then updates the suggested questions under the newest card."""

    async def act(context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
        done = await rate(context, payload)
        in_background(_suggest(context))  # the rating is acknowledged at once
        return done

    return act


def search(serving: QueryService, typed: str, answer_ids: Collection[str]) -> list[Passage]:
    """Return passages for a typed text; `shown` marks those that one of these answers has shown. Raises BadQuery."""
    shown = {hit.chunk.id for answer in serving.store.feedback.answers(answer_ids) for hit in answer.hits}
    found = search_passages(serving.store, [serving.served(arm) for arm in ARMS], check_query(typed))
    return [as_passage(chunk, shown) for chunk in found]


def store_passage(context: RequestContext, query: str, chunk_id: str, value: Label) -> Rating:
    """Store that a chunk answers a query (1), or withdraw that (0). Raises BadRating for an unknown chunk."""
    serving = context.app.serving
    if value == 0:
        mine = next((each for each in _taught(context, query) if each.chunk_id == chunk_id), None)
        if mine is None:
            raise BadRating(Phrase("error.not_marked"))
        chunk: Chunk | None = _as_it_was(mine)
    else:
        chunk = next(iter(serving.store.chunks.get(serving.served("base").table, [chunk_id])), None)
    if chunk is None:
        raise BadRating(Phrase("error.passage_gone", chunk=repr(chunk_id[:40])))
    return store_taught(serving.store, rater=context.rater, query=query, chunk=chunk, value=value)


def taught_by(context: RequestContext, query: str) -> list[Passage]:
    """Return the passages that this rater has taught for a query, including those no longer in the documents."""
    serving, given = context.app.serving, _taught(context, query)
    stored = serving.store.chunks.get(serving.served("base").table, [each.chunk_id for each in given]) if given else []
    indexed = {chunk.id: chunk for chunk in stored}
    return [as_passage(indexed.get(each.chunk_id) or _as_it_was(each), ()) for each in given]


def as_passage(chunk: Chunk, shown: Collection[str]) -> Passage:
    """Return a chunk as it is sent to the browser."""
    return {
        "chunk": chunk.id,
        "title": chunk.name,
        "heading": GONE if chunk.section == GONE else plain_headings(chunk.section),
        "page": chunk.pages,
        "text": chunk.shown,
        "form": form_of(chunk.source),
        "fence": fence_of(chunk.shown, chunk.source),
        "shown": chunk.id in shown,
    }


async def _suggest(context: RequestContext) -> None:
    """Update `good` under each card, and the suggested questions under the newest."""
    offers = [element for element in context.session.elements if element.name == TEACH and element.props.get("answers")]
    views = [view for live in context.session.cards for view in live.card.props["sides"]]
    liked = {view["answer"] for view in views if view["vote"] == 1}
    for element in offers:
        good = not liked.isdisjoint(element.props["answers"])
        if good != element.props["good"]:
            await _show(element, {"good": good})
    for element in offers[:-1]:
        if element.props["questions"]:  # only the newest card suggests questions
            await _show(element, {"questions": []})
    for element in offers[-1:]:
        asked = [each.props["query"] for each in offers]
        questions = await most_helpful(context.app.serving, CHIPS, asked)
        if questions != element.props["questions"]:
            await _show(element, {"questions": questions})


async def _show(element: LiveElement, change: Mapping[str, Any]) -> None:
    """Change props and show them. They are not saved: `revive` reads the tables."""
    element.props = {**element.props, **change}
    await element.show()


def _props(context: RequestContext, answer_ids: Sequence[str]) -> Props:
    query = _query(context.app.serving, answer_ids)
    mine = context.app.serving.store.feedback.ratings(context.rater)
    good = any(each.kind == "answer" and each.value == 1 and each.target_id in answer_ids for each in mine)
    passages = taught_by(context, query)
    return {"answers": list(answer_ids), "query": query, "taught": passages, "good": good, "questions": []}


def _query(serving: QueryService, answer_ids: Collection[str]) -> str:
    """Return the query of these stored answers. Raises BadRating if none is stored."""
    for answer in serving.store.feedback.answers(answer_ids):
        return answer.query
    raise BadRating(Phrase("error.no_answer_stored"))


def _taught(context: RequestContext, query: str) -> list[Rating]:
    target = TAUGHT + content_id(normalise_query(query))
    mine = context.app.serving.store.feedback.ratings(context.rater)
    return sorted((each for each in mine if each.target_id == target and each.value == 1), key=lambda each: each.at)


def _as_it_was(rating: Rating) -> Chunk:
    """Return the chunk of a taught passage as the rating keeps it."""
    return Chunk(rating.chunk_id, "", "", GONE, "", None, rating.text, 0, len(rating.text))


def _answer_ids(live: LiveCard) -> list[str]:
    return list(live.card.answer_ids.values())
