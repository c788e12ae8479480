"""Store thumbs, preferences and passage marks, then show them; the first thumb or preference reveals the card.

Each action returns what the rating taught, in a line for the card (`taught`).

A mark on a passage reveals nothing: it says whether the passage answers, whichever arm found it, and the duel is still
undecided.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, cast

from chat.actions.payloads import Mark, Preference, Vote
from chat.elements.card import Card, SideChoice
from chat.elements.lesson import in_words
from chat.elements.live import LiveCard
from chat.elements.reveal import DEEP, make_reveal
from chat.language import Phrase, recognised
from chat.session.context import RequestContext
from rag.answering.service import QueryService
from rag.errors import BadRating, ThumbtuneError
from rag.feedback.credit import KeywordRanks
from rag.feedback.lesson import lesson_of
from rag.feedback.ratings import mark_source, prefer, rate_answer
from rag.records import SIDES, Answer, Arm, Choice, Rating, Side
from rag.store.store import Store

log = logging.getLogger("thumbtune")


async def vote(context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Store a thumb on an answer, with a reason and a comment if it points down, and show it.

    A reason or comment that is not in the payload is kept: two quick clicks are sent before the first is answered.
    """
    sent = Vote.read(payload)
    live = context.session.card_with(sent.answer)
    async with live.lock:
        reason, comment = sent.explanation(*live.card.why(sent.answer))
        _refuse_empty_withdrawal(live.card, sent.value)
        rating = await asyncio.to_thread(
            rate_answer,
            context.app.serving.store,
            rater=context.rater,
            answer_id=sent.answer,
            value=sent.value,
            blind=live.card.is_blind,
            reason=reason,
            comment=comment,
        )
        live.card.vote(sent.answer, sent.value, reason, comment)
        await _show_rated(context, live)
    return await taught(context, rating)


async def choose(context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Store which answer of a card is preferred, or that neither is, and show it."""
    sent = Preference.read(payload)
    live = context.session.card_with(sent.answer)
    async with live.lock:
        _refuse_empty_withdrawal(live.card, sent.choice)
        answers = await asyncio.to_thread(answers_of, context.app.serving, live.card)
        if len(answers) < len(SIDES):
            raise BadRating(Phrase("error.one_answer"))
        rating = await asyncio.to_thread(
            prefer,
            context.app.serving.store,
            rater=context.rater,
            duel_id=answers["A"].duel,
            choice=_arm_of(sent.choice, answers),
            blind=live.card.is_blind,
        )
        live.card.prefer(sent.choice, live.card.side_of(cast(Choice, rating.first)))
        await _show_rated(context, live)
    return await taught(context, rating)


async def mark(context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Store whether a passage under an answer is relevant, and show it in both columns.

    It is stored once: where this rater has marked the passage already, else under the answer it was clicked at.
    """
    sent = Mark.read(payload)
    live = context.session.card_with(sent.answer)
    async with live.lock:
        store, places = context.app.serving.store, live.card.places_of(sent.answer, sent.rank)
        rating, *_ = [
            await asyncio.to_thread(
                mark_source,
                store,
                rater=context.rater,
                answer_id=answer_id,
                rank=rank,
                value=sent.value,
                blind=live.card.is_blind,
            )
            for answer_id, rank in await asyncio.to_thread(_marked, store, context.rater, places) or places[:1]
        ]
        live.card.mark(sent.answer, sent.rank, sent.value)
        await live.keep()
        await live.show()
    return await taught(context, rating)


def reveal(serving: QueryService, card: Card, group: str = "") -> None:
    """Show which arm wrote which answer, and how each arm ranks what the other one showed, to one of this group."""
    answers = answers_of(serving, card)
    ranks: dict[Arm, Mapping[str, int]] = {}
    for answer in answers.values():
        if serving.served(answer.arm, group).model == answer.model:  # otherwise another version is active now
            ranks[answer.arm] = serving.ranks(answer.arm, answer.query, DEEP, group)
    card.show_reveal(make_reveal(answers, [recognised(note) for note in serving.notes(group)], ranks))


def answers_of(serving: QueryService, card: Card) -> dict[Side, Answer]:
    """Return the stored answers of a card by side."""
    stored = {answer.id: answer for answer in serving.store.feedback.answers(card.answer_ids.values())}
    return {side: stored[id_] for side, id_ in card.answer_ids.items() if id_ in stored}


def _marked(store: Store, rater: str, places: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return those places of a passage, as (answer id, rank), at which a rater's mark is stored."""
    mine = [each for each in store.feedback.ratings(rater) if each.kind == "source" and each.value]
    given = {(each.target_id, each.chunk_id) for each in mine}
    answers = store.feedback.answers(answer_id for answer_id, _ in places)
    marked = {(each.id, hit.rank) for each in answers for hit in each.hits if (each.id, hit.chunk.id) in given}
    return [place for place in places if place in marked]


async def taught(context: RequestContext, rating: Rating) -> dict[str, Any]:
    """Return what a stored rating teaches, as a line for the page; none where it cannot be read."""
    serving = context.app.serving
    ranks = KeywordRanks(serving.store, serving.served("base").table)
    try:
        return {"taught": in_words(await asyncio.to_thread(lesson_of, serving.store, rating, ranks.of))}
    except ThumbtuneError as error:  # the rating is stored, whatever happens here
        log.warning("what a rating teaches is not shown: %s", error)
        return {}


async def _show_rated(context: RequestContext, live: LiveCard) -> None:
    """Show a card after a rating; the first rating reveals it."""
    serving = context.app.serving
    if not live.card.is_revealed:
        await asyncio.to_thread(reveal, serving, live.card, serving.group_of(context.rater))
    await live.keep()
    await live.show()


def _refuse_empty_withdrawal(card: Card, value: object) -> None:
    """Raise BadRating for a withdrawal before anything was rated: it must not reveal a card."""
    if not card.is_revealed and not value:
        raise BadRating(Phrase("error.no_vote"))


def _arm_of(choice: SideChoice, answers: Mapping[Side, Answer]) -> Choice:
    """Return the preference as it is stored: by arm, since sides are drawn for each card."""
    return answers[choice].arm if choice == "A" or choice == "B" else choice
