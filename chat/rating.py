"""What a rater says of a card -> the store, then the screen; the first rating of a card unveils it.

A payload is whatever a browser sent: each action checks it, and finds the card it speaks of among those of its session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from chat.card import Card, make_reveal
from chat.live import LiveCard
from chat.visit import Visit
from rag.errors import BadRating
from rag.feedback import VALUES, rate_answer
from rag.records import Label
from rag.serve import Serving


async def vote(visit: Visit, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Store a thumb on an answer and show it."""
    value = read_value(payload)
    live = visit.room.card_with(payload.get("answer"))
    async with live.lock:
        refuse_idle_withdrawal(live.card, value)
        blind = not live.card.is_unveiled
        store, answer_id = visit.house.serving.store, payload["answer"]
        await asyncio.to_thread(rate_answer, store, rater=visit.rater, answer_id=answer_id, value=value, blind=blind)
        live.card.vote(answer_id, value)
        await show_rated(visit, live)
    return {}


def read_value(payload: Mapping[str, Any]) -> Label:
    """Return the value of what a browser sent. Raises BadRating."""
    value = payload.get("value")
    if type(value) is not int or value not in VALUES:
        raise BadRating(f"{str(payload)[:80]} is no vote: reload the page, then rate")
    return value


def refuse_idle_withdrawal(card: Card, value: object) -> None:
    """Raise BadRating where nothing was rated yet and a rating is taken back: that must not unveil a card."""
    if not card.is_unveiled and not value:
        raise BadRating("there is no vote to take back")


async def show_rated(visit: Visit, live: LiveCard) -> None:
    """Show a card on which something was rated; it is unveiled by the first rating."""
    if not live.card.is_unveiled:
        await asyncio.to_thread(unveil, visit.house.serving, live.card)
    await live.keep()
    await live.show()


def unveil(serving: Serving, card: Card) -> None:
    """Show which arm wrote which answer; the stored answers know."""
    answers = serving.store.answers(card.answer_ids.values())
    by_side = {side: answer for side, id_ in card.answer_ids.items() for answer in answers if answer.id == id_}
    card.unveil(make_reveal(by_side, serving.notes()))
