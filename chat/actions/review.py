"""The review queue: what is worth a second look, one thing at a time, by keyboard. `/review` shows it.

The idea a reader would miss: whatever is said here is stored as if it had been said at the card, and by the same rules:
a thumb on an answer, a mark on a passage that an answer had, a passage taught. The queue is read anew each time it is
opened; what the server sent of it is what it believes an item to be, and a browser only names the item.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypedDict, cast

from chat.actions.teach import TEACH, Passage, as_passage, search, store_passage, taught_by
from chat.elements.live import LiveElement
from chat.elements.markdown import as_markdown
from chat.session.context import RequestContext, read_value, say
from rag.errors import BadRating, StoreFailed
from rag.feedback.ratings import mark_source, rate_answer
from rag.feedback.ratings import teach as store_taught
from rag.feedback.review_queue import KINDS, Kind, ReviewItem, review_queue
from rag.records import Answer, Chunk, Label, Rating, normalise_query
from rag.store.store import Store

REVIEW = "Review"  # public/elements/Review.jsx
PAGE = 20  # items sent at a time: a few minutes' work, and 80 kB
log = logging.getLogger("thumbtune")


class AnswerView(TypedDict):
    """An answer to judge, with the passages that it cites. No side, no model: the rater shall not know."""

    id: str
    text: str
    cited: list[tuple[int, Passage]]


class ItemView(TypedDict):
    """One thing to do. `said` is what this rater has said here, None for nothing; `before` what stood before that."""

    id: str
    kind: Kind
    query: str
    answers: list[AnswerView]
    passage: Passage | None
    taught: list[Passage]
    said: Label | None
    before: dict[str, Any]


class Props(TypedDict):
    """What Review.jsx draws. `key` tells this queue from others of the chat; `left` counts the items by kind. A
    `fresh` one was asked for just now, so it takes the keyboard.
    """

    key: str
    fresh: bool
    items: list[ItemView]
    left: dict[Kind, int]


async def show(visit: RequestContext, text: str) -> None:
    """Show the queue."""
    now = await asyncio.to_thread(_props, visit, True)
    message = await say("")
    # Draws nothing, and brings the search along: an element's file cannot import another's
    await visit.show_element(TEACH, {}, under=message)
    await visit.show_element(REVIEW, cast(Mapping[str, Any], now), under=message)


async def revive(visit: RequestContext, kept: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the queue as it is now, for an element that was read from the history; first what was said in it.

    That has left the queue, and could not be taken back otherwise.
    """
    now = await asyncio.to_thread(_props, visit, False)
    items = [cast(ItemView, each) for each in kept.get("items") or [] if isinstance(each, dict) and each.get("said")]
    said = {item["id"] for item in items}
    left = {kind: now["left"][kind] + sum(item["kind"] == kind for item in items) for kind in KINDS}
    items += [item for item in now["items"] if item["id"] not in said]
    return cast(Mapping[str, Any], {**now, "items": items, "left": left})


async def more(visit: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Show the queue as it is now, in the element that shows it."""
    live = _element(visit, payload)
    async with live.lock:
        live.props = cast(Mapping[str, Any], await asyncio.to_thread(_props, visit, False))
        await live.show()
    return {}


async def judge(visit: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Store that the answer or the passage of an item is right (1) or wrong (-1), or take that back (0)."""
    value = read_value(payload)
    live = _element(visit, payload)
    async with live.lock:
        item = _item(live, payload)
        if item["kind"] == "teach" or (value == 0 and item["said"] is None):
            raise BadRating("there is nothing to say yes or no to, or to take back, in this item")
        await asyncio.to_thread(_store, visit, item, value)
        _replace(live, {**item, "said": value or None})
        await _shown(live)
    return {}


async def find(visit: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return passages of the corpus for what a person typed under an item. Raises BadQuery."""
    item = _item(_element(visit, payload), payload)
    typed = payload.get("query")
    query = typed if isinstance(typed, str) else ""
    shown = [answer["id"] for answer in item["answers"]]
    return {"passages": await asyncio.to_thread(search, visit.house.serving, query, shown)}


async def teach(visit: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Store that a passage answers the query of an item, or withdraw it, and show it."""
    live = _element(visit, payload)
    async with live.lock:
        item = _item(live, payload)
        await asyncio.to_thread(store_passage, visit, item["query"], payload)
        taught = await asyncio.to_thread(taught_by, visit, item["query"])
        said: Label | None = (1 if taught else None) if item["kind"] == "teach" else item["said"]
        _replace(live, {**item, "taught": taught, "said": said})
        await _shown(live)
    return {}


async def _shown(live: LiveElement) -> None:
    """Show the queue, and keep what was said in it; where that fails the ratings are stored all the same."""
    await live.show()
    try:
        await live.keep()
    except StoreFailed as error:
        log.warning("what was said in a queue cannot be taken back after a reload: %s", error)


def _element(visit: RequestContext, payload: Mapping[str, Any]) -> LiveElement:
    """Return the queue that a browser speaks of. Raises BadRating."""
    for live in visit.room.elements:
        if live.name == REVIEW and live.props["key"] == payload.get("review"):
            return live
    raise BadRating("this queue is not open any more: type /review")


def _item(live: LiveElement, payload: Mapping[str, Any]) -> ItemView:
    """Return the item of this queue that a browser names. Raises BadRating."""
    for item in cast(Props, live.props)["items"]:
        if item["id"] == payload.get("item"):
            return item
    raise BadRating("this is not in the queue any more: type /review")


def _replace(live: LiveElement, item: ItemView) -> None:
    items = [item if each["id"] == item["id"] else each for each in cast(Props, live.props)["items"]]
    live.props = {**live.props, "items": items}


def _props(visit: RequestContext, fresh: bool) -> Props:
    store = visit.house.serving.store
    table = visit.house.serving.served("base").table
    ratings, answers = store.feedback.ratings(), store.feedback.answers()
    items = review_queue(visit.rater, ratings, answers, store.chunks.ids(table))
    first = items[:PAGE]
    wanted = {item.chunk_id for item in first if item.chunk_id}
    chunks = {chunk.id: chunk for chunk in store.chunks.get(table, wanted)} if wanted else {}
    return {
        "key": secrets.token_hex(8),
        "fresh": fresh,
        "items": [_view(visit.rater, item, chunks, ratings) for item in first],
        "left": {kind: sum(item.kind == kind for item in items) for kind in KINDS},
    }


def _view(rater: str, item: ReviewItem, chunks: Mapping[str, Chunk], ratings: Sequence[Rating]) -> ItemView:
    return {
        "id": item.id,
        "kind": item.kind,
        "query": item.query,
        "answers": [_answer_view(answer) for answer in item.answers],
        "passage": as_passage(chunks[item.chunk_id], ()) if item.chunk_id else None,
        "taught": [],
        "said": None,
        "before": _before(rater, item, ratings),
    }


def _answer_view(answer: Answer) -> AnswerView:
    cited = [(hit.rank, as_passage(hit.chunk, ())) for hit in answer.hits if hit.rank in answer.cited]
    return {"id": answer.id, "text": as_markdown(answer.text, 0), "cited": cited}


def _before(rater: str, item: ReviewItem, ratings: Iterable[Rating]) -> dict[str, Any]:
    """Return what this rater says of an item when the queue is opened: what a word that is taken back leaves."""
    for each in ratings:
        if each.rater == rater and each.kind == "answer" and each.target_id in {answer.id for answer in item.answers}:
            said = {"value": each.value, "reason": each.reason, "comment": each.comment, "blind": each.blind}
            return {**said, "at": each.at.isoformat()}
    for each in reversed(_words(rater, item.query, item.chunk_id, ratings)):
        return {"value": each.value, "at": each.at.isoformat()}
    return {"value": 0}


def _words(rater: str, query: str, chunk_id: str, ratings: Iterable[Rating]) -> list[Rating]:
    """Return what a rater says of a chunk for a query, in marks or as taught, the latest last."""
    of_chunk = [each for each in ratings if each.rater == rater and each.chunk_id == chunk_id != ""]
    found = [each for each in of_chunk if each.value and normalise_query(each.query) == normalise_query(query)]
    return sorted(found, key=lambda each: each.at)


def _store(visit: RequestContext, item: ItemView, value: Label) -> None:
    """Store a word on an answer or a passage; 0 brings back what stood before it, as old as it was."""
    word: dict[str, Any] = {**item["before"]} if value in (0, item["before"]["value"]) else {"value": value}
    said_at = word.pop("at", None)
    word["at"] = datetime.fromisoformat(said_at) if said_at and value == 0 else datetime.now(UTC)
    if item["passage"]:
        _store_on_passage(visit, item, word["value"], word["at"])
        return
    store, answer_id = visit.house.serving.store, item["answers"][0]["id"]
    blind = not _has_seen(visit.rater, answer_id, store)
    rate_answer(store, rater=visit.rater, answer_id=answer_id, **{"blind": blind, **word})


def _store_on_passage(visit: RequestContext, item: ItemView, value: Label, at: datetime) -> None:
    """Change the marks that this rater has put on the passage; where there are none, say it as one teaches."""
    store, passage = visit.house.serving.store, cast(Passage, item["passage"])
    said = _words(visit.rater, item["query"], passage["chunk"], store.feedback.ratings(visit.rater))
    marked = [each.target_id for each in said if each.kind == "source"]
    for answer in store.feedback.answers(marked):
        (rank,) = (hit.rank for hit in answer.hits if hit.chunk.id == passage["chunk"])
        mark_source(store, rater=visit.rater, answer_id=answer.id, rank=rank, value=value, blind=False, at=at)
    if not marked or any(each.kind == "taught" for each in said):
        text = passage["text"]
        chunk = Chunk(passage["chunk"], "", "", "", "", None, text, 0, len(text))  # the rating keeps id and text
        store_taught(store, rater=visit.rater, query=item["query"], chunk=chunk, value=value, at=at)


def _has_seen(rater: str, answer_id: str, store: Store) -> bool:
    """Return whether a rater may know who wrote an answer: a thumb or preference unveils both of a duel."""
    kinds = ("answer", "preference")
    rated = {each.target_id for each in store.feedback.ratings(rater) if each.kind in kinds}
    unveiled = rated | {answer.duel for answer in store.feedback.answers(rated)}
    return any(answer.duel in unveiled for answer in store.feedback.answers([answer_id]))
