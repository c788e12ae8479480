"""/review: the review queue, one item at a time, by keyboard.

Judgements are stored as the card stores them: a thumb on an answer, a mark on a passage of an answer, a taught passage.
The queue is computed from the tables each time it is opened; the browser only names an item, and the server's own copy
of it is what counts.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypedDict, cast

from chat.actions.payloads import Judge, Queue, QueueItem, QueueSearch, QueueTeach
from chat.actions.rate import taught
from chat.actions.teach import TEACH, Passage, as_passage, search, store_passage, taught_by
from chat.elements.live import LiveElement
from chat.elements.markdown import as_markdown
from chat.language import Phrase
from chat.session.context import RequestContext
from rag.answering.evidence.cleaning import clean_answer
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
    """An answer to judge, with the passages that it cites. No side and no model: the rater must not know them."""

    id: str
    text: str
    cited: list[tuple[int, Passage]]


class ItemView(TypedDict):
    """An item. `said`: this rater's judgement in this queue, None if there is none; `before`: the one stored before."""

    id: str
    kind: Kind
    query: str
    answers: list[AnswerView]
    passage: Passage | None
    taught: list[Passage]
    said: Label | None
    before: dict[str, Any]


class Props(TypedDict):
    """Props of Review.jsx. `key` identifies this queue in the chat; `left` counts the items by kind; a `fresh` queue
    was just opened and takes the keyboard focus.
    """

    key: str
    fresh: bool
    items: list[ItemView]
    left: dict[Kind, int]


async def show(context: RequestContext, text: str) -> None:
    """Open the queue in the side panel."""
    now = {**await revive(context, context.app.queues.get(context.rater, {})), "fresh": True}
    # TEACH draws nothing, but loads the search: an element's file cannot import another's
    await context.open_place("review", **{TEACH: {}, REVIEW: now})


async def revive(context: RequestContext, kept: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the current queue, with the judged items of an earlier one first, PAGE at most.

    Judged items have left the queue, and could not be undone otherwise.
    """
    now = await asyncio.to_thread(_props, context, False)
    items = [cast(ItemView, each) for each in kept.get("items") or [] if isinstance(each, dict) and each.get("said")]
    items = items[-PAGE:]
    said = {item["id"] for item in items}
    left = {kind: now["left"][kind] + sum(item["kind"] == kind for item in items) for kind in KINDS}
    items += [item for item in now["items"] if item["id"] not in said]
    return cast(Mapping[str, Any], {**now, "items": items, "left": left})


async def more(context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Show the current queue in its element."""
    live = _element(context, Queue.read(payload))
    async with live.lock:
        live.props = cast(Mapping[str, Any], await asyncio.to_thread(_props, context, False))
        await live.show()
    return {}


async def judge(context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Store that the answer or the passage of an item is right (1) or wrong (-1), or undo that (0)."""
    sent = Judge.read(payload)
    live = _element(context, sent)
    async with live.lock:
        item = _item(live, sent)
        if item["kind"] == "teach":
            raise BadRating(Phrase("error.cannot_judge"))
        if sent.value == 0 and item["said"] is None:
            raise BadRating(Phrase("error.not_judged"))
        rating = await asyncio.to_thread(_store, context, item, sent.value)
        _replace(live, {**item, "said": sent.value or None})
        await _shown(context, live)
    return await taught(context, rating)


async def find(context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return passages of the corpus for text typed under an item. Raises BadRating and BadQuery."""
    sent = QueueSearch.read(payload)
    item = _item(_element(context, sent), sent)
    shown = [answer["id"] for answer in item["answers"]]
    return {"passages": await asyncio.to_thread(search, context.app.serving, sent.query, shown)}


async def teach(context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Store that a passage answers the query of an item, or withdraw it, and show it."""
    sent = QueueTeach.read(payload)
    live = _element(context, sent)
    async with live.lock:
        item = _item(live, sent)
        rating = await asyncio.to_thread(store_passage, context, item["query"], sent.chunk, sent.value)
        passages = await asyncio.to_thread(taught_by, context, item["query"])
        said: Label | None = (1 if passages else None) if item["kind"] == "teach" else item["said"]
        _replace(live, {**item, "taught": passages, "said": said})
        await _shown(context, live)
    return await taught(context, rating)


async def _shown(context: RequestContext, live: LiveElement) -> None:
    """Show the queue and keep it; if an old one cannot be saved with its thread, the ratings are stored anyway."""
    context.app.queues[context.rater] = live.props
    await live.show()
    try:
        await live.keep()
    except StoreFailed as error:
        log.warning("judgements in a review queue cannot be undone after a reload: %s", error)


def _element(context: RequestContext, sent: Queue) -> LiveElement:
    """Return the queue that a payload names. Raises BadRating if this session does not show it."""
    for live in context.session.elements:
        if live.name == REVIEW and live.props["key"] == sent.review:
            return live
    raise BadRating(Phrase("error.queue_closed"))


def _item(live: LiveElement, sent: QueueItem) -> ItemView:
    """Return the item of this queue that a payload names. Raises BadRating if it is not there."""
    for item in cast(Props, live.props)["items"]:
        if item["id"] == sent.item:
            return item
    raise BadRating(Phrase("error.item_gone"))


def _replace(live: LiveElement, item: ItemView) -> None:
    items = [item if each["id"] == item["id"] else each for each in cast(Props, live.props)["items"]]
    live.props = {**live.props, "items": items}


def _props(context: RequestContext, fresh: bool) -> Props:
    store = context.app.serving.store
    table = context.app.serving.served("base").table
    ratings, answers = store.feedback.ratings(), store.feedback.answers()
    items = review_queue(context.rater, ratings, answers, store.chunks.ids(table))
    first = items[:PAGE]
    wanted = {item.chunk_id for item in first if item.chunk_id}
    chunks = {chunk.id: chunk for chunk in store.chunks.get(table, wanted)} if wanted else {}
    return {
        "key": secrets.token_hex(8),
        "fresh": fresh,
        "items": [_view(context.rater, item, chunks, ratings) for item in first],
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
    cited = [(hit.rank, as_passage(hit.chunk, ())) for hit in answer.hits if hit.rank in answer.rests_on]
    text = answer.text if answer.evidence is not None else clean_answer(answer.text, answer.hits)
    return {"id": answer.id, "text": as_markdown(text, 0, answer.evidence or ()), "cited": cited}


def _before(rater: str, item: ReviewItem, ratings: Iterable[Rating]) -> dict[str, Any]:
    """Return this rater's stored judgement of an item when the queue is opened; undo restores it."""
    for each in ratings:
        if each.rater == rater and each.kind == "answer" and each.target_id in {answer.id for answer in item.answers}:
            said = {"value": each.value, "reason": each.reason, "comment": each.comment, "blind": each.blind}
            return {**said, "at": each.at.isoformat()}
    for each in reversed(_chunk_ratings(rater, item.query, item.chunk_id, ratings)):
        return {"value": each.value, "at": each.at.isoformat()}
    return {"value": 0}


def _chunk_ratings(rater: str, query: str, chunk_id: str, ratings: Iterable[Rating]) -> list[Rating]:
    """Return a rater's marks and taught passages of a chunk for a query, the latest last."""
    of_chunk = [each for each in ratings if each.rater == rater and each.chunk_id == chunk_id != ""]
    found = [each for each in of_chunk if each.value and normalise_query(each.query) == normalise_query(query)]
    return sorted(found, key=lambda each: each.at)


def _store(context: RequestContext, item: ItemView, value: Label) -> Rating:
    """Store a judgement of an answer or a passage; 0 restores the one before it, with its time. Return the rating."""
    rating: dict[str, Any] = {**item["before"]} if value in (0, item["before"]["value"]) else {"value": value}
    rated_at = rating.pop("at", None)
    rating["at"] = datetime.fromisoformat(rated_at) if rated_at and value == 0 else datetime.now(UTC)
    if item["passage"]:
        return _store_on_passage(context, item, rating["value"], rating["at"])
    store, answer_id = context.app.serving.store, item["answers"][0]["id"]
    blind = not _may_know_the_arm(context.rater, answer_id, store)
    return rate_answer(store, rater=context.rater, answer_id=answer_id, **{"blind": blind, **rating})


def _store_on_passage(context: RequestContext, item: ItemView, value: Label, at: datetime) -> Rating:
    """Change this rater's marks on the passage; without any, store a taught passage. Return the last rating."""
    store, passage = context.app.serving.store, cast(Passage, item["passage"])
    given = _chunk_ratings(context.rater, item["query"], passage["chunk"], store.feedback.ratings(context.rater))
    marked = [each.target_id for each in given if each.kind == "source"]
    done = given[-1] if given else None
    for answer in store.feedback.answers(marked):
        (rank,) = (hit.rank for hit in answer.hits if hit.chunk.id == passage["chunk"])
        done = mark_source(store, rater=context.rater, answer_id=answer.id, rank=rank, value=value, blind=False, at=at)
    if not marked or any(each.kind == "taught" for each in given):
        text = passage["text"]
        chunk = Chunk(passage["chunk"], "", "", "", "", None, text, 0, len(text))  # the rating keeps id and text
        done = store_taught(store, rater=context.rater, query=item["query"], chunk=chunk, value=value, at=at)
    return cast(Rating, done)  # without a mark a taught passage was stored


def _may_know_the_arm(rater: str, answer_id: str, store: Store) -> bool:
    """Return whether a rater may know which arm wrote an answer: a thumb or preference reveals both of a duel."""
    kinds = ("answer", "preference")
    rated = {each.target_id for each in store.feedback.ratings(rater) if each.kind in kinds}
    revealed = rated | {answer.duel for answer in store.feedback.answers(rated)}
    return any(answer.duel in revealed for answer in store.feedback.answers([answer_id]))
