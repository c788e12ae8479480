"""Bring a thread's elements back after a reload, a lost connection or a restart of the chat.

Why: the props saved with a thread may be older than the tables, so elements are updated from the tables.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from chainlit.chat_context import chat_contexts
from chainlit.element import ElementDict
from chainlit.types import ThreadDict

from chat.actions.rate import answers_of, reveal
from chat.elements.card import INTERRUPTED, Card
from chat.elements.live import CARD, LiveCard, LiveElement
from chat.session.context import RequestContext, in_background, session_language, watch
from rag.answering.service import QueryService
from rag.records import Answer, Choice, Rating, Side

AWAY_SECONDS = 60.0
CONNECTION = ("asgi.receive", "asgi.send", "wsgi.input")  # in the environ that Chainlit keeps of a session's websocket
Revive = Callable[[RequestContext, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]  # saved props -> current props


async def resume(context: RequestContext, thread: ThreadDict, revive: Mapping[str, Revive]) -> None:
    """Restore a thread's elements in their current state, and keep showing answers that are still streaming."""
    context.join(thread["id"])
    known = [element for element in thread["elements"] or [] if element["name"] == CARD or element["name"] in revive]
    mine = await asyncio.to_thread(context.app.serving.store.feedback.ratings, context.rater)
    for element in known:
        live = context.app.elements.get(element["id"])
        if live is None or (context.app.history.is_shared and not live.is_changing):
            revived = await _revived(context, thread["id"], element, mine, revive)
            live = context.app.elements.get(element["id"], revived)  # another tab may have revived it meanwhile
            if live is not revived and context.app.history.is_shared:  # another chat may have changed it
                live.become(revived)
                await live.show()
        context.attach(live)
        element["props"] = live.element_in(session_language())["props"]
    # the page drops what a resumed thread does not have, also after a lost connection
    places = [live.element_in(session_language()) for live in context.session.places]
    thread["elements"] = [*(thread["elements"] or []), *places]


async def _revived(
    context: RequestContext, thread_id: str, element: ElementDict, mine: list[Rating], revive: Mapping[str, Revive]
) -> LiveElement:
    ids = thread_id, str(element.get("forId")), element["id"]
    props = cast(Mapping[str, Any], element["props"] or {})
    if element["name"] != CARD:
        now = await revive[element["name"]](context, props)
        return LiveElement(element["name"], context.app.history.save_element, *ids, now)
    live = LiveCard(context.app.history.save_element, *ids, props)
    serving = context.app.serving
    await asyncio.to_thread(restore, serving, live.card, mine, serving.group_of(context.rater))
    return live


async def refresh(context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Send this session's elements again: updates sent while its connection was lost did not arrive."""
    for live in context.session.elements:
        watch(live)
        await live.show()
    return {}


def leave(context: RequestContext, session: Any, away: float = AWAY_SECONDS) -> None:  # noqa: ANN401  # Chainlit's
    """Stop sending to a disconnected session after some seconds, unless it has reconnected: most losses are short.

    Why: Chainlit keeps a session for an hour, in case it comes back, with the connection that it had, which holds 0.4
    MB to compress what is sent; and the messages of a session for ever.
    """
    session.environ = {name: value for name, value in session.environ.items() if name not in CONNECTION}
    in_background(_leave(context, session, session.socket_id, away))


async def _leave(context: RequestContext, session: Any, socket: str, away: float) -> None:  # noqa: ANN401
    await asyncio.sleep(away)
    if session.socket_id == socket:  # a reconnection changes it
        for live in context.session.elements:
            live.unwatch(session.id)
        chat_contexts.pop(session.id, None)


def restore(serving: QueryService, card: Card, ratings: Sequence[Rating], group: str = "") -> None:
    """Update a card that was read from the history from the stored ratings of a rater in this group."""
    card.break_off("failed", INTERRUPTED)
    ids = set(card.answer_ids.values())
    rated = [rating for rating in ratings if rating.target_id in ids]
    answers = answers_of(serving, card)
    card.compare(answers)
    duels = {answer.duel for answer in answers.values()}
    preferred = [rating for rating in ratings if rating.kind == "preference" and rating.target_id in duels]
    if not card.is_revealed and (preferred or any(rating.kind == "answer" for rating in rated)):
        reveal(serving, card, group)
    for rating in preferred:
        card.prefer(card.side_of(rating.choice), card.side_of(cast(Choice, rating.first)))
    for rating in sorted(rated, key=lambda each: (each.value != 0, each.at)):  # what is withdrawn hides no other mark
        _show(card, rating, answers)


def _show(card: Card, rating: Rating, answers: Mapping[Side, Answer]) -> None:
    """Show a stored thumb or mark on its answer."""
    if rating.kind == "answer":
        card.vote(rating.target_id, rating.value, rating.reason, rating.comment)
    for answer in answers.values():
        for hit in answer.hits:
            if rating.kind == "source" and (answer.id, hit.chunk.id) == (rating.target_id, rating.chunk_id):
                card.mark(answer.id, hit.rank, rating.value)
