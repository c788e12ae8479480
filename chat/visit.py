"""Who is in which room: one browser session of one rater, in the one house that a process is.

A button in an element calls an action, a word such as /train a command. Both get the `Visit`, and nothing else of
Chainlit: which session is current is looked up here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from weakref import WeakValueDictionary

import chainlit as cl

from chat.history import History
from chat.live import LiveCard, LiveElement
from chat.markdown import as_markdown
from rag.errors import BadRating, StoreFailed, ThumbtuneError
from rag.serve import Serving
from rag.settings import Settings

INTERNAL = "Something went wrong that nobody foresaw; the terminal that runs the chat shows what."
log = logging.getLogger("thumbtune")


@dataclass(frozen=True)
class House:
    """What a process has once. `elements` holds what any open session shows, by id."""

    settings: Settings
    serving: Serving
    history: History
    elements: WeakValueDictionary[str, LiveElement] = field(default_factory=WeakValueDictionary)


class Room:
    """What a browser session has on its table: its elements, which live as long as a room holds them, and its duel."""

    def __init__(self) -> None:
        self.elements: list[LiveElement] = []
        self.duel: asyncio.Task[Any] | None = None

    @property
    def is_busy(self) -> bool:
        """Return whether a question is being answered."""
        return self.duel is not None and not self.duel.done()

    @property
    def cards(self) -> list[LiveCard]:
        """Return the comparison cards, the oldest first."""
        return [live for live in self.elements if isinstance(live, LiveCard)]

    def card_with(self, answer_id: object) -> LiveCard:
        """Return the card that shows this answer. Raises BadRating where no card of this session does."""
        for live in self.cards:
            if isinstance(answer_id, str) and answer_id in live.card.answer_ids.values():
                return live
        raise BadRating(f"answer {str(answer_id)[:40]!r} is not in this chat: reload the page, then rate")


@dataclass(frozen=True, slots=True)
class Visit:
    """One browser session of one rater."""

    house: House
    room: Room
    rater: str

    def put_on_table(self, live: LiveElement) -> None:
        """Let this session show an element, and know it by its id."""
        self.house.elements[live.id] = live
        self.room.elements.append(live)
        watch(live)

    async def show_element(self, name: str, props: Mapping[str, Any], under: cl.Message | None = None) -> LiveElement:
        """Show a new element under a message, by default one of its own; keep it in the history, and return it."""
        message = under or await say("")
        live = LiveElement(name, self.house.history.save_element, message.thread_id, message.id, props=props)
        self.put_on_table(live)
        await live.show()
        try:
            await live.keep()
        except StoreFailed as error:
            log.warning("an element will be gone after a reload: %s", error)
        return live


Action = Callable[[Visit, Mapping[str, Any]], Awaitable[dict[str, Any]]]
Command = Callable[[Visit, str], Awaitable[None]]


def current_visit(house: House) -> Visit:
    """Return the visit of the session that is current."""
    room = cl.user_session.get("room")  # type: ignore[no-untyped-call]
    if not isinstance(room, Room):
        room = Room()
        cl.user_session.set("room", room)  # type: ignore[no-untyped-call]
    return Visit(house, room, str(cl.user_session.get("user").identifier))  # type: ignore[no-untyped-call]


def watch(live: LiveElement) -> None:
    """Show an element in the session that is current, from now on."""
    live.watch(cl.context.session.id, cl.context.emitter)


def answering(house: House, act: Action) -> Callable[[cl.Action], Awaitable[dict[str, Any]]]:
    """Return an action as Chainlit calls it: what goes wrong is returned in words, where Chainlit would swallow it."""

    async def callback(action: cl.Action) -> dict[str, Any]:
        try:
            return await act(current_visit(house), action.payload)
        except ThumbtuneError as error:
            return {"error": str(error)}
        except Exception:
            log.exception("action %s failed", action.name)
            return {"error": INTERNAL}

    return callback


async def telling(act: Awaitable[None]) -> None:
    """Await what a message or a command asks for; what goes wrong is said in the chat, where Chainlit says nothing."""
    try:
        await act
    except ThumbtuneError as error:
        await say(str(error))
    except Exception:
        log.exception("a question or command failed")
        await say(INTERNAL)


async def say(text: str) -> cl.Message:
    """Send a message of the chat's own, and return it."""
    return cast(cl.Message, await cl.Message(as_markdown(text, 0)).send())  # type: ignore[no-untyped-call]
