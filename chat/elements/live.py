"""Live elements: custom Chainlit elements that are updated in every tab of a thread and saved in the history.

Why: Chainlit's own `element.update()` writes a file for each update and reaches one tab. This sends the props to every
watching tab and saves them on request. It sends them at most eight times a second (once per token, browsers lagged 12
s), twice where 25 cards are written at once, and still more rarely where an answer is so long that a snapshot takes
long to compute. While an answer is written, a tab is sent what was added to it: with the whole card each time, an
answer of 160,000 characters came to 136 MB.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

from chainlit.element import ElementDict

from chat.elements.card import Card, Props
from chat.language import ENGLISH, Phrase, in_language, said
from rag.errors import StoredLater, StoreFailed

CARD = "Compare"  # public/elements/Compare.jsx
SNAPSHOT_SECONDS = 0.12  # between two snapshots, where few elements change
LONGEST_SECONDS = 0.5  # where many do
MANY = 50  # snapshots a second of all elements together: nobody reads faster than five a second
REST = 10  # times what a snapshot computed, until the next
TEXT_EVENT = "card_text"  # public/elements/card/growing.jsx listens for it
WHOLE_CHARS = 600  # of both answers, up to which the whole card is sent: a page that is just opening hears nothing else
Save = Callable[[ElementDict], Awaitable[None]]
Display = Literal["inline", "side"]  # under a message, or in the side panel
_changing: set[str] = set()  # ids of the elements that show changes in snapshots now


class Emitter(Protocol):
    """Sends an element to one browser tab: Chainlit's emitter of a session."""

    async def send_element(self, element_dict: ElementDict) -> None:
        """Send it; nothing happens if the tab is gone."""

    async def emit(self, event: str, data: Any) -> None:  # noqa: ANN401  # as Chainlit's
        """Send an event of our own, in order with the elements."""


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

    @property
    def is_changing(self) -> bool:
        """Return whether something is being written into it here."""
        return self.id in _changing

    def become(self, other: LiveElement) -> None:
        """Take over what another object of the same element shows."""
        self.props = other.props

    async def show(self) -> None:
        """Send the element to every session that watches it."""
        for emitter, language in list(self._watchers.values()):
            await emitter.send_element(self.element_in(language))

    async def show_change(self) -> None:
        """Send to every session that watches it what it lacks; here, the element."""
        await self.show()

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
        _changing.add(self.id)
        try:
            yield
        finally:
            _changing.discard(self.id)
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
            computed = time.thread_time()
            await self.show_change()
            computed = time.thread_time() - computed
            pause = min(LONGEST_SECONDS, max(SNAPSHOT_SECONDS, len(_changing) / MANY))
            await asyncio.sleep(max(pause, REST * computed))


@dataclass(frozen=True, slots=True)
class Sent:
    """What a tab has been sent of a card: its answers' texts, and everything else."""

    texts: tuple[str, ...]
    rest: str


def sent_now(props: Props) -> Sent:
    """Return what a tab has once it is sent these props."""
    sides = props["sides"]
    rest = json.dumps({**props, "sides": [{**view, "text": ""} for view in sides]})
    return Sent(tuple(view["text"] for view in sides), rest)


def addition(before: str, now: str) -> dict[str, Any]:
    """Return how a text becomes another one: it had `had` characters, keeps the first `keep`, and ends in `add`.

    Characters are counted as JavaScript does: one outside the basic plane, such as an emoji, counts as two.
    """
    same = _same_characters(before, now)
    return {"had": _units(before), "keep": _units(before[:same]), "add": now[same:]}


def _same_characters(one: str, other: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low


def _units(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


class LiveCard(LiveElement):
    """A comparison card; its props come from its Card."""

    def __init__(
        self, save: Save, thread_id: str, message_id: str, element_id: str = "", props: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(CARD, save, thread_id, message_id, element_id)
        self.card = Card(cast(Props | None, props))
        self._sent: dict[str, Sent] = {}  # by session

    @property
    def is_changing(self) -> bool:
        """Return whether an answer is being written into it here."""
        return self.card.is_open or super().is_changing

    def become(self, other: LiveElement) -> None:
        """Take over the card of another object of the same element."""
        if isinstance(other, LiveCard):
            self.card = other.card

    def element(self) -> ElementDict:
        """Return the card in Chainlit's format."""
        return {**self._place, "props": cast(dict[str, Any], self.card.props)}

    def watch(self, session_id: str, emitter: Emitter, language: str = ENGLISH) -> None:
        """Show the card in a session from now on, beginning with all of it: nobody knows what its page has."""
        self._sent.pop(session_id, None)
        super().watch(session_id, emitter, language)

    def unwatch(self, session_id: str) -> None:
        """Stop sending to a session that has gone."""
        self._sent.pop(session_id, None)
        super().unwatch(session_id)

    async def show(self) -> None:
        """Send the whole card to every session that watches it."""
        now = sent_now(self.card.props)
        self._sent = dict.fromkeys(self._watchers, now)
        await super().show()

    async def show_change(self) -> None:
        """Send to every session what was added to its answers, or the whole card where more has changed."""
        now = sent_now(self.card.props)
        for session_id, (emitter, language) in list(self._watchers.items()):
            before, self._sent[session_id] = self._sent.get(session_id), now
            if before and before.rest == now.rest and sum(map(len, now.texts)) > WHOLE_CHARS:
                await emitter.emit(TEXT_EVENT, {"id": self.id, "texts": list(map(addition, before.texts, now.texts))})
            else:
                await emitter.send_element(self.element_in(language))

    async def keep(self) -> None:
        """Save the card; if that fails, show so in the card and continue: the answers themselves are stored."""
        try:
            await self._save(self.element())
            self.card.warn("")
        except StoredLater as error:
            self.card.warn(said(error))
        except StoreFailed as error:
            self.card.warn(Phrase("card.not_kept", error=said(error)))
