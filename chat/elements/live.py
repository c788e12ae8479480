"""An element on screen: in every browser tab that shows its thread, and in the chat history.

Chainlit's own `element.update()` writes a file for each update and reaches one tab. This sends the whole props to every
tab that watches, at most eight times a second (per token, browsers lagged 12 s behind), and stores them when told to.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol, cast

from chainlit.element import ElementDict

from chat.elements.card import Card, Props
from rag.errors import StoreFailed

CARD = "Compare"  # public/elements/Compare.jsx
SNAPSHOT_SECONDS = 0.12
Save = Callable[[ElementDict], Awaitable[None]]


class Emitter(Protocol):
    """How an element reaches one browser tab: Chainlit's emitter of its session."""

    async def send_element(self, element_dict: ElementDict) -> None:
        """Send it; a tab that is gone misses it without harm."""


class LiveElement:
    """One element. `watch` it from a session, change `props`, `show` what changed, `keep` it in the history.

    There is one object for an element and process: every tab that shows its thread watches the same one.
    """

    def __init__(
        self,
        name: str,
        save: Save,
        thread_id: str,
        message_id: str,
        element_id: str = "",
        props: Mapping[str, Any] | None = None,
    ) -> None:
        self.id = element_id or str(uuid.uuid4())
        self.props: Mapping[str, Any] = props or {}
        self.lock = asyncio.Lock()  # one action at a time: the second one knows what the first one changed
        self._save = save
        self._place: ElementDict = {
            "id": self.id,
            "threadId": thread_id,
            "forId": message_id,
            "type": "custom",
            "name": name,
            "display": "inline",
            "mime": "application/json",
        }
        self._watchers: dict[str, Emitter] = {}
        self._changed = asyncio.Event()

    @property
    def name(self) -> str:
        """Return the name of the file in public/elements that draws it."""
        return self._place["name"]

    @property
    def is_watched(self) -> bool:
        """Return whether a tab that is connected shows it."""
        return bool(self._watchers)

    def watch(self, session_id: str, emitter: Emitter) -> None:
        """Show this element in a session, from now on."""
        self._watchers[session_id] = emitter

    def unwatch(self, session_id: str) -> None:
        """Forget a session that has gone; one that comes back watches anew."""
        self._watchers.pop(session_id, None)

    async def show(self) -> None:
        """Send the element to every session that watches it."""
        for emitter in list(self._watchers.values()):
            await emitter.send_element(self.element())

    async def keep(self) -> None:
        """Store the element. Raises StoreFailed where the history cannot be written."""
        await self._save(self.element())

    def touch(self) -> None:
        """Say that the element has changed; the snapshot that is due next shows it."""
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
        """Return the element as Chainlit's page takes it."""
        return {**self._place, "props": dict(self.props)}

    async def _show_changes(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self.show()
            await asyncio.sleep(SNAPSHOT_SECONDS)


class LiveCard(LiveElement):
    """A comparison card. Its props are what its Card says."""

    def __init__(
        self, save: Save, thread_id: str, message_id: str, element_id: str = "", props: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(CARD, save, thread_id, message_id, element_id)
        self.card = Card(cast(Props | None, props))

    def element(self) -> ElementDict:
        """Return the card as Chainlit's page takes it."""
        return {**self._place, "props": cast(dict[str, Any], self.card.props)}

    async def keep(self) -> None:
        """Store the card; where that fails, say so in the card and go on: the answers themselves are stored."""
        try:
            await self._save(self.element())
            self.card.warn("")
        except StoreFailed as error:
            self.card.warn(f"This card will be gone after a reload. {error}")
