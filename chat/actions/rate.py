"""What a rater says of a card -> the store, then the screen; the first thumb or preference unveils the card.

A payload is whatever a browser sent: each action checks it, and finds the card it speaks of among those of its session.
A mark on a passage unveils nothing: it says whether the passage answers, whoever found it, and the duel is still open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from chat.elements.card import SIDE_CHOICES, Card, SideChoice
from chat.elements.live import LiveCard
from chat.elements.reveal import DEEP, make_reveal
from chat.session.context import RequestContext, read_value
from rag.answering.service import QueryService
from rag.errors import BadRating
from rag.feedback.ratings import mark_source, prefer, rate_answer
from rag.records import REASONS, SIDES, Answer, Arm, Choice, Reason, Side

MAX_COMMENT = 1_000  # characters: a paragraph; a page is no comment on an answer


async def vote(visit: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Store a thumb on an answer, with a reason and a comment where it points down, and show it.

    What is not in the payload stays as it is: a browser that says two things in a hurry has not heard of the first.
    """
    value, _, _ = read_value(payload), _reason(payload), _comment(payload)
    live = visit.room.card_with(payload.get("answer"))
    answer_id: str = payload["answer"]
    async with live.lock:
        told = {**live.card.why(answer_id), **payload}
        reason, comment = _reason(told), _comment(told)
        _refuse_idle_withdrawal(live.card, value)
        await asyncio.to_thread(
            rate_answer,
            visit.house.serving.store,
            rater=visit.rater,
            answer_id=answer_id,
            value=value,
            blind=not live.card.is_unveiled,
            reason=reason,
            comment=comment,
        )
        live.card.vote(answer_id, value, reason, comment)
        await _show_rated(visit, live)
    return {}


async def choose(visit: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Store which answer of a card is preferred, or that neither is, and show it."""
    choice = payload.get("choice")
    if choice not in SIDE_CHOICES:
        raise BadRating(f"{str(payload)[:80]} is no preference: reload the page, then rate")
    live = visit.room.card_with(payload.get("answer"))
    async with live.lock:
        _refuse_idle_withdrawal(live.card, choice)
        answers = await asyncio.to_thread(answers_of, visit.house.serving, live.card)
        if len(answers) < len(SIDES):
            raise BadRating("one answer is missing, so there is nothing to prefer: rate the other by its thumbs")
        await asyncio.to_thread(
            prefer,
            visit.house.serving.store,
            rater=visit.rater,
            duel_id=answers["A"].duel,
            choice=_arm_of(choice, answers),
            blind=not live.card.is_unveiled,
        )
        live.card.prefer(choice)
        await _show_rated(visit, live)
    return {}


async def mark(visit: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Store whether a passage under an answer is relevant, and show it."""
    value, rank = read_value(payload), payload.get("rank")
    if type(rank) is not int:
        raise BadRating(f"{str(payload)[:80]} is no mark: reload the page, then mark")
    live = visit.room.card_with(payload.get("answer"))
    async with live.lock:
        await asyncio.to_thread(
            mark_source,
            visit.house.serving.store,
            rater=visit.rater,
            answer_id=payload["answer"],
            rank=rank,
            value=value,
            blind=not live.card.is_unveiled,
        )
        live.card.mark(payload["answer"], rank, value)
        await live.keep()
        await live.show()
    return {}


def reveal(serving: QueryService, card: Card) -> None:
    """Show which arm wrote which answer, and how each arm ranks what the other one showed."""
    answers = answers_of(serving, card)
    ranks: dict[Arm, Mapping[str, int]] = {}
    for answer in answers.values():
        if serving.served(answer.arm).model == answer.model:  # else another version serves by now
            ranks[answer.arm] = serving.ranks(answer.arm, answer.query, DEEP)
    card.unveil(make_reveal(answers, serving.notes(), ranks))


def answers_of(serving: QueryService, card: Card) -> dict[Side, Answer]:
    """Return the stored answers of a card by side."""
    stored = {answer.id: answer for answer in serving.store.feedback.answers(card.answer_ids.values())}
    return {side: stored[id_] for side, id_ in card.answer_ids.items() if id_ in stored}


async def _show_rated(visit: RequestContext, live: LiveCard) -> None:
    """Show a card on which something was rated; it is unveiled by the first rating."""
    if not live.card.is_unveiled:
        await asyncio.to_thread(reveal, visit.house.serving, live.card)
    await live.keep()
    await live.show()


def _refuse_idle_withdrawal(card: Card, value: object) -> None:
    """Raise BadRating where nothing was rated yet and a rating is taken back: that must not unveil a card."""
    if not card.is_unveiled and not value:
        raise BadRating("there is no vote to take back")


def _reason(payload: Mapping[str, Any]) -> Reason:
    """Return why an answer is bad; only a thumb down has a reason."""
    reason = payload.get("reason", "")
    if reason not in REASONS:
        raise BadRating(f"{str(reason)[:80]!r} is no reason: give one of {', '.join(filter(None, REASONS))}")
    return reason if payload.get("value") == -1 else ""


def _comment(payload: Mapping[str, Any]) -> str:
    comment = payload.get("comment", "")
    if not isinstance(comment, str) or len(comment) > MAX_COMMENT:
        raise BadRating(f"a comment has at most {MAX_COMMENT:,} characters: shorten it")
    return comment.strip() if payload.get("value") == -1 else ""


def _arm_of(choice: SideChoice, answers: Mapping[Side, Answer]) -> Choice:
    """Return the preference as it is stored: by arm, since a side says nothing once the card is gone."""
    return answers[choice].arm if choice == "A" or choice == "B" else choice
