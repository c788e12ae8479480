"""Use a running chat as a browser does, without one: sign in, open the socket, ask, read the card, rate.

Speaks Socket.IO by hand over one websocket, so that a hundred raters cost little on the machine that is measured.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import aiohttp

ENDED = ("done", "failed", "stopped")
PATIENCE = 300.0  # seconds for a card to be complete


@dataclass
class Asked:
    """What a question cost its rater, in seconds and bytes of websocket frames, and its card as it was at the end.

    `first_s` is until both sides showed something, `text_s` until one of them had a text.
    """

    first_s: float = 0.0
    text_s: float = 0.0
    total_s: float = 0.0
    frames: int = 0
    received: int = 0
    card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def answers(self) -> dict[str, str]:
        """Return the ids of the complete answers by side."""
        return {side["side"]: side["answer"] for side in self.card.get("sides", ()) if side["answer"]}


class Rater:
    """One browser: its cookies and its socket."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session_id = str(uuid.uuid4())
        self.closed = asyncio.Event()
        self._connected = asyncio.Event()
        self._asked = Asked()
        self._began = 0.0
        self._complete = asyncio.Event()
        self._idle = asyncio.Event()

    async def __aenter__(self) -> Rater:
        """Sign in and connect."""
        self.http = aiohttp.ClientSession(headers={"Origin": self.url}, cookie_jar=aiohttp.CookieJar(unsafe=True))
        async with self.http.get(f"{self.url}/") as page:
            page.raise_for_status()
        self._socket = await self.http.ws_connect(
            self.url.replace("http", "ws", 1) + "/ws/socket.io/?EIO=4&transport=websocket",
            compress=15,
            max_msg_size=0,
        )
        self._reader = asyncio.create_task(self._read())
        async with asyncio.timeout(PATIENCE):
            await self._connected.wait()  # what is sent before is lost
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        """Leave, as a closed tab does."""
        await self._socket.close()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self.http.close()

    async def ask(self, question: str) -> Asked:
        """Send a question and return when both answers have ended. Raises TimeoutError."""
        self._asked, self._began = Asked(), time.perf_counter()
        self._complete.clear()
        await self._say(question, [])
        async with asyncio.timeout(PATIENCE):
            await self._complete.wait()
            await self._idle.wait()
        return self._asked

    async def send_files(self, ids: Sequence[str]) -> None:
        """Send files that were uploaded, without a question; return when they are added. Raises TimeoutError."""
        await self._say("", ids)
        async with asyncio.timeout(PATIENCE):
            await self._idle.wait()

    async def act(self, name: str, payload: Mapping[str, Any]) -> tuple[float, dict[str, Any]]:
        """Press a button of an element; return the seconds until the server has answered, and the answer."""
        began = time.perf_counter()
        action = {"sessionId": self.session_id, "action": {"name": name, "payload": payload, "id": str(uuid.uuid4())}}
        async with self.http.post(f"{self.url}/project/action", json=action) as answer:
            answer.raise_for_status()
            found = await answer.json()
        return time.perf_counter() - began, found.get("response") or {}

    async def _say(self, text: str, files: Sequence[str]) -> None:
        self._idle.clear()
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        message = {"id": str(uuid.uuid4()), "threadId": "", "name": "User", "type": "user_message"}
        sent = {
            "message": {**message, "output": text, "createdAt": now},
            "fileReferences": [{"id": id} for id in files],
        }
        await self._send("client_message", sent)

    async def _send(self, event: str, *data: object) -> None:
        await self._socket.send_str("42" + json.dumps([event, *data]))

    async def _read(self) -> None:
        async for frame in self._socket:
            text = str(frame.data)
            self._asked.frames += 1
            self._asked.received += len(text.encode())
            if text == "2":
                await self._socket.send_str("3")
            elif text.startswith("0"):
                auth = {"clientType": "webapp", "sessionId": self.session_id, "threadId": "", "userEnv": "{}"}
                await self._socket.send_str("40" + json.dumps({**auth, "chatProfile": ""}))
            elif text.startswith("40"):
                await self._send("connection_successful")
                self._connected.set()
            elif text.startswith("42"):
                self._hear(*json.loads(text[2:]))
        self.closed.set()

    def _hear(self, event: str, data: Any = None, *_: object) -> None:
        seconds = time.perf_counter() - self._began
        if event == "element" and data["name"] == "Compare":
            self._asked.card = data["props"]
            states = [side["state"] for side in data["props"]["sides"]]
            if not self._asked.first_s and "waiting" not in states:
                self._asked.first_s = seconds
            if all(state in ENDED for state in states) and not self._complete.is_set():
                self._asked.total_s = seconds
                self._complete.set()
        elif event == "card_text" and self._asked.card:  # public/elements/card/growing.jsx
            for side, change in zip(self._asked.card["sides"], data["texts"], strict=True):
                side["text"] = side["text"][: change["keep"]] + change["add"]
        elif event == "task_end":
            self._idle.set()
        if not self._asked.text_s and any(side["text"] for side in self._asked.card.get("sides", ())):
            self._asked.text_s = seconds
