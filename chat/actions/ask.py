"""Answer a question by both arms, streaming side by side into one card.

The arms' sides are shuffled here for each question and not given to the card: it gets them with the first rating. After
the duel, the teach element is shown under the card.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

import chainlit as cl

from chat.actions import options, scope, teach
from chat.actions.payloads import GoOn, Reask
from chat.actions.rate import answers_of, reveal
from chat.elements.card import STOPPED
from chat.elements.live import LiveCard
from chat.language import Phrase, joined, recognised, said
from chat.session.context import INTERNAL, RequestContext, as_command, say
from rag.answering.duel import CutAnswer, Done, Failed, Hits
from rag.answering.query_rewrite import TURNS, Turn, answers_so_far
from rag.answering.service import QueryService
from rag.errors import BadQuery, BadRating, ThumbtuneError
from rag.records import ARMS, SIDES, Arm, Side
from rag.store.filters import DocumentFilter

BUSY = Phrase("app.busy")


async def ask(context: RequestContext, text: str) -> None:
    """Answer a question by both arms, side by side; a follow-up is rewritten first. Raises BadQuery."""
    if context.session.is_busy:
        await say(BUSY)
        return
    context.spend("question")
    context.begin(asyncio.current_task())
    question = await parse_question(context, scope.within(context, text))
    await duel(context, question, context.session.cards[-TURNS:])


async def reask(context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Ask a card's query again, as it is or edited, without rewriting it. Raises BadQuery."""
    question = await parse_question(context, Reask.read(payload).query)
    if context.session.is_busy:
        raise BadQuery(BUSY)
    context.spend("question")
    context.begin(asyncio.create_task(as_command(_asked_again(context, question))))
    return {}


async def go_on(context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Continue an answer that was cut by its length. Raises BadRating if it cannot be, BadQuery while another runs."""
    key = GoOn.read(payload).cut
    live = next((each for each in context.session.cards if each.card.is_cut(key)), None)
    if live is None:
        raise BadRating(Phrase("error.not_cut"))
    if context.session.is_busy:
        raise BadQuery(BUSY)
    context.spend("question")
    context.begin(asyncio.create_task(as_command(_gone_on(context, live, live.card.go_on(key)))))
    return {}


@dataclass(frozen=True, slots=True)
class Question:
    """A checked question: as typed, and as query and document filter."""

    typed: str
    query: str
    only: DocumentFilter


async def parse_question(context: RequestContext, typed: str) -> Question:
    """Return a typed question, checked. Raises BadQuery."""
    return Question(typed.strip(), *await asyncio.to_thread(context.app.serving.parse_query, typed))


async def _asked_again(context: RequestContext, question: Question) -> None:
    """Answer a query that was not typed into the chat's field, with a message of its own in the thread."""
    await cl.Message(question.typed, type="user_message", author="User").send()  # type: ignore[no-untyped-call]
    await cl.context.emitter.task_start()  # type: ignore[no-untyped-call]  # the page shows its Stop button
    try:
        await duel(context, question)
    finally:
        await cl.context.emitter.task_end()  # type: ignore[no-untyped-call]


async def duel(context: RequestContext, question: Question, former: Sequence[LiveCard] = ()) -> None:
    """Stream both answers into one card, and close the card whatever happens.

    `former` are the cards that a follow-up may refer to; empty to ask the question as it is.
    """
    query, only = question.query, question.only
    message = await say("")
    live = LiveCard(context.app.history.save_element, message.thread_id, message.id)
    live.card.searched_for(question.typed, hint=hint_of(context, only))
    context.attach(live)
    await live.show()
    await live.keep()
    try:
        await stream(context, live, await search_for(context, live, query, only, former), only)
    except asyncio.CancelledError:
        live.card.break_off("stopped", STOPPED)
        raise
    except ThumbtuneError as error:
        live.card.break_off("failed", said(error))
    finally:
        live.card.break_off("failed", INTERNAL)
        await live.keep()
        await live.show()
        await teach.offer(context, live, message)


async def _gone_on(context: RequestContext, live: LiveCard, cut: CutAnswer) -> None:
    """Stream the rest of a cut answer into its column, and close it whatever happens."""
    await cl.context.emitter.task_start()  # type: ignore[no-untyped-call]  # the page shows its Stop button
    try:
        await live.show()
        events = context.app.serving.continue_answer(cut)
        async with live.snapshots(), aclosing(cast(Any, events)):
            async for event in events:
                if not isinstance(event, Hits):  # the column has them
                    live.card.take(cut.side, event)
                    live.touch()
        if live.card.is_revealed:
            serving = context.app.serving
            await asyncio.to_thread(reveal, serving, live.card, serving.group_of(context.rater))
    except asyncio.CancelledError:
        live.card.break_off("stopped", STOPPED)
        raise
    finally:
        live.card.break_off("failed", INTERNAL)
        await live.keep()
        await live.show()
        await cl.context.emitter.task_end()  # type: ignore[no-untyped-call]


async def search_for(
    context: RequestContext, live: LiveCard, asked: str, only: DocumentFilter, former: Sequence[LiveCard]
) -> str:
    """Return the query for both arms; if it was rewritten, show it in the card, with its filter, to be asked again."""
    if not former:
        return asked
    serving = context.app.serving
    found = await serving.rewrite(asked, await asyncio.to_thread(turns_of, serving, former))
    hint = hint_of(context, only, found.note)
    live.card.searched_for(f"{found.query} {only}".strip(), asked if found.changed else "", hint)
    await live.show()
    return found.query


def hint_of(context: RequestContext, only: DocumentFilter, note: str = "") -> str:
    """Return what a card says of how its question was asked: in which documents, by whose settings."""
    own = options.summary(context.app.serving, context.session.options)
    return joined(recognised(only.summary()), own, recognised(note))


def turns_of(serving: QueryService, former: Sequence[LiveCard]) -> list[Turn]:
    """Return the earlier queries with their answers, as turns for the query rewriter."""
    turns = []
    for live in former:
        votes = {view["answer"]: view["vote"] for view in live.card.props["sides"]}
        answers = answers_of(serving, live.card).values()
        if answers:
            query = next(answer.query for answer in answers)
            turns.append((query, answers_so_far([(answer.text, votes[answer.id]) for answer in answers])))
    return turns


async def stream(context: RequestContext, live: LiveCard, query: str, only: DocumentFilter) -> None:
    """Apply the duel's events to the card, each arm on its shuffled side."""
    sides, serving = shuffled_sides(), context.app.serving
    group = serving.group_of(context.rater)
    if serving.has_one_model(group):
        live.card.has_one_model()
    elif not await asyncio.to_thread(serving.is_fair, group):
        live.card.is_uneven()
    chosen, duel_id = context.session.options, secrets.token_hex(8)
    events = serving.ask(query, sides=sides, duel_id=duel_id, only=only, chosen=chosen, group=group)
    async with live.snapshots(), aclosing(cast(Any, events)):
        async for event in events:
            live.card.take(sides[event.arm], event)
            live.touch()
            if isinstance(event, Done | Failed):
                if live.card.is_revealed:  # the other answer was rated while this one was streaming
                    await asyncio.to_thread(reveal, serving, live.card, group)
                if live.card.is_open:  # after the second one `duel` keeps it
                    await live.keep()


def shuffled_sides() -> dict[Arm, Side]:
    """Return a random side for each arm."""
    sides: Sequence[Side] = secrets.SystemRandom().sample(SIDES, len(SIDES))
    return dict(zip(ARMS, sides, strict=True))
