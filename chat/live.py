"""A card on screen: in every browser tab that shows its thread, and in the chat history.

Chainlit's own `element.update()` writes a file for each update and reaches one tab. This sends the whole props to every
tab that watches, at most eight times a second (per token, browsers lagged 12 s behind), and stores them when told to.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol, cast

from chainlit.element import ElementDict

from chat.card import Card, Props
from rag.errors import BadRating, StoreFailed

ELEMENT = "Compare"  # public/elements/Compare.jsx
SNAPSHOT_SECONDS = 0.12
Save = Callable[[ElementDict], Awaitable[None]]


class Emitter(Protocol):
    """How an element reaches one browser tab: Chainlit's emitter of its session."""

    async def send_element(self, element_dict: ElementDict) -> None:
        """Send it; a tab that is gone misses it without harm."""


class LiveCard:
    """One card. `watch` it from a session, `show` what changed, `keep` it in the history.

    There is one object for a card and process: every tab that shows the card's thread watches the same one.
    """

    def __init__(
        self, save: Save, thread_id: str, message_id: str, element_id: str = "", props: Props | None = None
    ) -> None:
        self.id = element_id or str(uuid.uuid4())
        self.card = Card(props)
        self.lock = asyncio.Lock()  # one vote at a time: the second one knows what the first one unveiled
        self._save = save
        self._place: ElementDict = {
            "id": self.id,
            "threadId": thread_id,
            "forId": message_id,
            "type": "custom",
            "name": ELEMENT,
            "display": "inline",
            "mime": "application/json",
        }
        self._watchers: dict[str, Emitter] = {}
        self._changed = asyncio.Event()

    def watch(self, session_id: str, emitter: Emitter) -> None:
        """Show this card in a session, from now on."""
        self._watchers[session_id] = emitter

    async def show(self) -> None:
        """Send the card to every session that watches it."""
        for emitter in list(self._watchers.values()):
            await emitter.send_element(self.element())

    async def keep(self) -> None:
        """Store the card; where that fails, say so in the card and go on: the answers themselves are stored."""
        try:
            await self._save(self.element())
            self.card.warn("")
        except StoreFailed as error:
            self.card.warn(f"This card will be gone after a reload. {error}")

    def touch(self) -> None:
        """Say that the card has changed; the snapshot that is due next shows it."""
        self._changed.set()

    @asynccontextmanager
    async def snapshots(self) -> AsyncIterator[None]:
        """Show what is touched, in snapshots, for as long as the context lasts."""
        task = asyncio.create_task(self._show_changes())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def element(self) -> ElementDict:
        """Return the card as Chainlit's page takes it."""
        return {**self._place, "props": cast(dict[str, Any], self.card.props)}

    async def _show_changes(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self.show()
            await asyncio.sleep(SNAPSHOT_SECONDS)


class Room:
    """What a browser session has on its table: its cards, which live as long as a room holds them, and its duel."""

    def __init__(self) -> None:
        self.cards: list[LiveCard] = []
        self.duel: asyncio.Task[Any] | None = None

    @property
    def is_busy(self) -> bool:
        """Return whether a question is being answered."""
        return self.duel is not None and not self.duel.done()

    def card_with(self, answer_id: str) -> LiveCard:
        """Return the card that shows this answer. Raises BadRating where no card of this session does."""
        for live in self.cards:
            if answer_id in live.card.answer_ids.values():
                return live
        raise BadRating(f"answer {answer_id[:40]!r} is not in this chat: reload the page, then rate")
