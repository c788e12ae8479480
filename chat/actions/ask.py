"""A question -> both answers, streaming into one card.

Which arm stands on which side is drawn here, for each question, and stays here: the card learns it when the first
rating is stored. Once the duel is over, what the user can do with it beyond rating is shown under the card.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

import chainlit as cl

from chat.actions import teach
from chat.actions.rate import answers_of, reveal
from chat.elements.card import STOPPED
from chat.elements.live import LiveCard
from chat.session.context import INTERNAL, RequestContext, as_command, say
from rag.answering.duel import Done, Failed
from rag.answering.query_rewrite import TURNS, Turn, answers_so_far
from rag.answering.service import QueryService
from rag.errors import BadQuery, ThumbtuneError
from rag.records import ARMS, SIDES, Arm, Side
from rag.store.filters import DocumentFilter

BUSY = "One question at a time: wait until both answers are complete, or stop them, then ask again."


async def ask(visit: RequestContext, text: str) -> None:
    """Answer a question by both arms, side by side; a follow-up is made to stand alone first. Raises BadQuery."""
    if visit.room.is_busy:
        await say(BUSY)
        return
    visit.begin(asyncio.current_task())
    await duel(visit, await parse_question(visit, text), visit.room.cards[-TURNS:])


async def reask(visit: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Ask what a card says it searched for once more, or what was made of it by hand. Raises BadQuery."""
    question = await parse_question(visit, str(payload.get("query", "")))
    if visit.room.is_busy:
        raise BadQuery(BUSY)
    visit.begin(asyncio.create_task(as_command(_asked_again(visit, question))))
    return {}


@dataclass(frozen=True, slots=True)
class Question:
    """A checked question: as typed, and as query and document filter."""

    typed: str
    query: str
    only: DocumentFilter


async def parse_question(visit: RequestContext, typed: str) -> Question:
    """Return a typed question, checked. Raises BadQuery."""
    return Question(typed.strip(), *await asyncio.to_thread(visit.house.serving.parse_query, typed))


async def _asked_again(visit: RequestContext, question: Question) -> None:
    """Answer a query that nobody typed into the chat's own field: it stands in the thread all the same."""
    await cl.Message(question.typed, type="user_message", author="User").send()  # type: ignore[no-untyped-call]
    await cl.context.emitter.task_start()  # type: ignore[no-untyped-call]  # the page shows its Stop button
    try:
        await duel(visit, question)
    finally:
        await cl.context.emitter.task_end()  # type: ignore[no-untyped-call]


async def duel(visit: RequestContext, question: Question, former: Sequence[LiveCard] = ()) -> None:
    """Stream both answers into one card, and leave the card complete whatever happens.

    `former` are the cards that the question may lean on; none where it is asked as it is.
    """
    query, only = question.query, question.only
    message = await say("")
    live = LiveCard(visit.house.history.save_element, message.thread_id, message.id)
    live.card.searched_for(question.typed, hint=only.summary())
    visit.put_on_table(live)
    await live.show()
    await live.keep()
    try:
        await stream(visit, live, await search_for(visit, live, query, only, former), only)
    except asyncio.CancelledError:
        live.card.break_off("stopped", STOPPED)
        raise
    except ThumbtuneError as error:
        live.card.break_off("failed", str(error))
    finally:
        live.card.break_off("failed", INTERNAL)
        await live.keep()
        await live.show()
        await teach.offer(visit, live, message)


async def search_for(
    visit: RequestContext, live: LiveCard, asked: str, only: DocumentFilter, former: Sequence[LiveCard]
) -> str:
    """Return the query that both arms are asked, and show in the card where it is not what was typed.

    What the card shows can be asked again as it stands there, so it has the filter in it.
    """
    if not former:
        return asked
    serving = visit.house.serving
    found = await serving.rewrite(asked, await asyncio.to_thread(turns_of, serving, former))
    hint = " ".join(filter(None, [only.summary(), found.note]))
    live.card.searched_for(f"{found.query} {only}".strip(), asked if found.changed else "", hint)
    await live.show()
    return found.query


def turns_of(serving: QueryService, former: Sequence[LiveCard]) -> list[Turn]:
    """Return what was asked before, and what its answers said."""
    turns = []
    for live in former:
        votes = {view["answer"]: view["vote"] for view in live.card.props["sides"]}
        answers = answers_of(serving, live.card).values()
        if answers:
            query = next(answer.query for answer in answers)
            turns.append((query, answers_so_far([(answer.text, votes[answer.id]) for answer in answers])))
    return turns


async def stream(visit: RequestContext, live: LiveCard, query: str, only: DocumentFilter) -> None:
    """Let the duel's events change the card, each arm on the side that was drawn for it."""
    sides, serving = draw_sides(), visit.house.serving
    events = serving.ask(query, sides=sides, duel_id=secrets.token_hex(8), only=only)
    async with live.snapshots(), aclosing(cast(Any, events)):
        async for event in events:
            live.card.take(sides[event.arm], event)
            live.touch()
            if isinstance(event, Done | Failed):
                if live.card.is_unveiled:  # the other answer was rated while this one was being written
                    await asyncio.to_thread(reveal, serving, live.card)
                await live.keep()


def draw_sides() -> dict[Arm, Side]:
    """Return which arm stands on which side, drawn by lot."""
    sides: Sequence[Side] = secrets.SystemRandom().sample(SIDES, len(SIDES))
    return dict(zip(ARMS, sides, strict=True))
