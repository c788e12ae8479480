"""Live elements: custom Chainlit elements that are updated in every tab of a thread and saved in the history.

Why: Chainlit's own `element.update()` writes a file for each update and reaches one tab. This sends the whole props to
every watching tab, at most eight times a second (once per token, browsers lagged 12 s), and saves them on request.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal, Protocol, cast

from chainlit.element import ElementDict

from chat.elements.card import Card, Props
from chat.language import ENGLISH, Phrase, in_language, said
from rag.errors import StoreFailed

CARD = "Compare"  # public/elements/Compare.jsx
SNAPSHOT_SECONDS = 0.12
Save = Callable[[ElementDict], Awaitable[None]]
Display = Literal["inline", "side"]  # under a message, or in the side panel


class Emitter(Protocol):
    """Sends an element to one browser tab: Chainlit's emitter of a session."""

    async def send_element(self, element_dict: ElementDict) -> None:
        """Send it; nothing happens if the tab is gone."""


class LiveElement:
    """One element: `watch` it from a session, change `props`, `show` the change, `keep` it in the history.

    There is one object per element and process: every tab of its thread watches the same one.
    """

    def __init__(
        self,
        name: str,
        save: Save,
        thread_id: str,
        message_id: str,
        element_id: str = "",
        props: Mapping[str, Any] | None = None,
        display: Display = "inline",
    ) -> None:
        self.id = element_id or str(uuid.uuid4())
        self.props: Mapping[str, Any] = props or {}
        self.lock = asyncio.Lock()  # one action at a time: the second one reads what the first one changed
        self._save = save
        self._place: ElementDict = {
            "id": self.id,
            "threadId": thread_id,
            "forId": message_id,
            "type": "custom",
            "name": name,
            "display": display,
            "mime": "application/json",
        }
        self._watchers: dict[str, tuple[Emitter, str]] = {}  # session id -> its emitter and its language
        self._changed = asyncio.Event()

    @property
    def name(self) -> str:
        """Return the name of the file in public/elements that draws it."""
        return self._place["name"]

    @property
    def is_place(self) -> bool:
        """Return whether it is a place: in the side panel, in no thread."""
        return self._place["display"] == "side"

    @property
    def thread_id(self) -> str:
        """Return the id of its thread."""
        return str(self._place["threadId"])

    @property
    def is_watched(self) -> bool:
        """Return whether a tab that is connected shows it."""
        return bool(self._watchers)

    def watch(self, session_id: str, emitter: Emitter, language: str = ENGLISH) -> None:
        """Show this element in a session, in its language, from now on."""
        self._watchers[session_id] = emitter, language

    def unwatch(self, session_id: str) -> None:
        """Stop sending to a session that has gone."""
        self._watchers.pop(session_id, None)

    async def show(self) -> None:
        """Send the element to every session that watches it."""
        for emitter, language in list(self._watchers.values()):
            await emitter.send_element(self.element_in(language))

    async def keep(self) -> None:
        """Save the element. Raises StoreFailed if the history cannot be written."""
        await self._save(self.element())

    def touch(self) -> None:
        """Mark the element as changed; the next snapshot shows it."""
        self._changed.set()

    @asynccontextmanager
    async def snapshots(self) -> AsyncIterator[None]:
        """Show changes in snapshots for as long as the context lasts."""
        task = asyncio.create_task(self._show_changes())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def element(self) -> ElementDict:
        """Return the element in Chainlit's format."""
        return {**self._place, "props": dict(self.props)}

    def element_in(self, language: str) -> ElementDict:
        """Return the element as it is sent to a browser: its phrases written in a language."""
        element = self.element()
        return {**element, "props": in_language(element["props"], language)}

    async def _show_changes(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self.show()
            await asyncio.sleep(SNAPSHOT_SECONDS)


class LiveCard(LiveElement):
    """A comparison card; its props come from its Card."""

    def __init__(
        self, save: Save, thread_id: str, message_id: str, element_id: str = "", props: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(CARD, save, thread_id, message_id, element_id)
        self.card = Card(cast(Props | None, props))

    def element(self) -> ElementDict:
        """Return the card in Chainlit's format."""
        return {**self._place, "props": cast(dict[str, Any], self.card.props)}

    async def keep(self) -> None:
        """Save the card; if that fails, show so in the card and continue: the answers themselves are stored."""
        try:
            await self._save(self.element())
            self.card.warn("")
        except StoreFailed as error:
            self.card.warn(Phrase("card.not_kept", error=said(error)))
