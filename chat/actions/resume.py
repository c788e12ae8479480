"""Coming back: what a thread showed is live again after a reload, a lost connection or a restart of the chat.

What the history kept of an element may be older than what is stored: the tables are the truth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

import chainlit as cl
from chainlit.element import ElementDict
from chainlit.types import ThreadDict

from chat.actions.rate import answers_of, reveal
from chat.elements.card import INTERRUPTED, Card
from chat.elements.live import CARD, LiveCard, LiveElement
from chat.session.context import RequestContext, in_background, watch
from rag.answering.service import QueryService
from rag.records import Answer, Rating, Side

AWAY_SECONDS = 60.0
Revive = Callable[
    [RequestContext, Mapping[str, Any]], Awaitable[Mapping[str, Any]]
]  # props as kept -> props as they are now


async def resume(visit: RequestContext, thread: ThreadDict, revive: Mapping[str, Revive]) -> None:
    """Put a thread's elements back, as they are now, and go on showing what is still being written."""
    visit.join(thread["id"])
    known = [element for element in thread["elements"] or [] if element["name"] == CARD or element["name"] in revive]
    mine = await asyncio.to_thread(visit.house.serving.store.feedback.ratings, visit.rater)
    for element in known:
        live = visit.house.elements.get(element["id"])
        if live is None:
            revived = await _revived(visit, thread["id"], element, mine, revive)
            live = visit.house.elements.get(element["id"], revived)  # another tab may have been faster
        visit.put_on_table(live)
        element["props"] = live.element()["props"]


async def _revived(
    visit: RequestContext, thread_id: str, element: ElementDict, mine: list[Rating], revive: Mapping[str, Revive]
) -> LiveElement:
    place = thread_id, str(element.get("forId")), element["id"]
    props = cast(Mapping[str, Any], element["props"] or {})
    if element["name"] != CARD:
        now = await revive[element["name"]](visit, props)
        return LiveElement(element["name"], visit.house.history.save_element, *place, now)
    live = LiveCard(visit.house.history.save_element, *place, props)
    await asyncio.to_thread(restore, visit.house.serving, live.card, mine)
    return live


async def refresh(visit: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Send this session's elements again: its connection was lost for a while, and what was sent meanwhile with it."""
    for live in visit.room.elements:
        watch(live)
        await live.show()
    return {}


def leave(visit: RequestContext) -> None:
    """Stop sending to a session that has gone, unless it is back by then: most losses are short, and nobody notices."""
    in_background(_leave(visit, cl.context.session))


async def _leave(visit: RequestContext, session: Any) -> None:  # noqa: ANN401  # a WebsocketSession, as long as it is one
    socket = session.socket_id
    await asyncio.sleep(AWAY_SECONDS)
    if session.socket_id == socket:  # a connection that comes back brings another one
        for live in visit.room.elements:
            live.unwatch(session.id)


def restore(serving: QueryService, card: Card, ratings: Sequence[Rating]) -> None:
    """Bring a card that was read from the history up to what is stored."""
    card.break_off("failed", INTERRUPTED)
    ids = set(card.answer_ids.values())
    rated = [rating for rating in ratings if rating.target_id in ids]
    answers = answers_of(serving, card)
    duels = {answer.duel for answer in answers.values()}
    preferred = [rating for rating in ratings if rating.kind == "preference" and rating.target_id in duels]
    if not card.is_unveiled and (preferred or any(rating.kind == "answer" for rating in rated)):
        reveal(serving, card)
    for rating in preferred:
        card.prefer(card.side_of(rating.choice))
    for rating in rated:
        _show(card, rating, answers)


def _show(card: Card, rating: Rating, answers: Mapping[Side, Answer]) -> None:
    """Show a stored thumb or mark on its answer."""
    if rating.kind == "answer":
        card.vote(rating.target_id, rating.value, rating.reason, rating.comment)
    for answer in answers.values():
        for hit in answer.hits:
            if rating.kind == "source" and (answer.id, hit.chunk.id) == (rating.target_id, rating.chunk_id):
                card.mark(answer.id, hit.rank, rating.value)
