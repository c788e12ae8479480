"""A question -> both answers, streaming into one card.

Which arm stands on which side is drawn here, for each question, and stays here: the card learns it when the first
rating is stored. Once the duel is over, what the user can do with it beyond rating is shown under the card.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, cast

from chat.card import STOPPED
from chat.live import LiveCard
from chat.rating import unveil
from chat.visit import INTERNAL, Visit, say
from rag.duel import Done, Failed, check_query
from rag.errors import ThumbtuneError
from rag.records import ARMS, SIDES, Arm, Side

BUSY = "One question at a time: wait until both answers are complete, or stop them, then ask again."


async def ask(visit: Visit, text: str) -> None:
    """Answer a question by both arms, side by side. Raises BadQuery."""
    if visit.room.is_busy:
        await say(BUSY)
        return
    visit.room.duel = asyncio.current_task()
    await duel(visit, check_query(text))


async def duel(visit: Visit, query: str) -> None:
    """Stream both answers into one card, and leave the card complete whatever happens."""
    message = await say("")
    live = LiveCard(visit.house.history.save_element, message.thread_id, message.id)
    visit.put_on_table(live)
    await live.show()
    await live.keep()
    try:
        await stream(visit, live, query)
    except asyncio.CancelledError:
        live.card.break_off("stopped", STOPPED)
        raise
    except ThumbtuneError as error:
        live.card.break_off("failed", str(error))
    finally:
        live.card.break_off("failed", INTERNAL)
        await live.keep()
        await live.show()


async def stream(visit: Visit, live: LiveCard, query: str) -> None:
    """Let the duel's events change the card, each arm on the side that was drawn for it."""
    sides, serving = draw_sides(), visit.house.serving
    events = serving.ask(query, sides=sides, duel_id=secrets.token_hex(8))
    async with live.snapshots(), aclosing(cast(Any, events)):
        async for event in events:
            live.card.take(sides[event.arm], event)
            live.touch()
            if isinstance(event, Done | Failed):
                if live.card.is_unveiled:  # the other answer was rated while this one was being written
                    await asyncio.to_thread(unveil, serving, live.card)
                await live.keep()


def draw_sides() -> dict[Arm, Side]:
    """Return which arm stands on which side, drawn by lot."""
    sides: Sequence[Side] = secrets.SystemRandom().sample(SIDES, len(SIDES))
    return dict(zip(ARMS, sides, strict=True))
