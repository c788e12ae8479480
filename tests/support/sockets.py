"""A browser without a page: its cookies, its requests, and a session of the chat's websocket."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
import socketio

Found = TypeVar("Found")
TASK = ("task_start", "task_end")
SECONDS = 60.0  # for what the chat is waited for


class Rater:
    """Somebody with a browser of their own. `events` is everything that came by the socket, `cards` by id."""

    def __init__(self, url: str) -> None:
        self.url, self.session_id = url, str(uuid.uuid4())
        self.http = httpx.AsyncClient(base_url=url, timeout=SECONDS)
        self.socket = socketio.AsyncClient(reconnection=False)
        self.events: list[tuple[str, Any]] = []
        self.elements: dict[str, dict[str, Any]] = {}
        self.thread_id = ""

        @self.socket.on("*")  # type: ignore[untyped-decorator]
        async def hear(event: str, *sent: Any) -> None:
            data = sent[0] if sent else None
            self.events.append((event, data))
            if event == "element":
                self.elements[data["id"]] = data
            if event == "first_interaction":
                self.thread_id = data["thread_id"]

    async def come_in(self, **auth: Any) -> None:
        """Get a cookie and open a session."""
        await self.http.get("/")
        await self.connect(self.socket, **auth)
        await self.socket.emit("connection_successful")

    async def connect(self, socket: Any, **auth: Any) -> None:
        """Connect a socket with this rater's cookies; raises ConnectionError where the chat refuses it."""
        sent = {"clientType": "webapp", "sessionId": self.session_id, "threadId": "", "userEnv": "{}"} | auth
        cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.http.cookies.items())}
        where = {"socketio_path": "/ws/socket.io", "transports": ["websocket"], "wait_timeout": SECONDS}
        await socket.connect(self.url, auth=sent, headers=cookie, **where)

    async def say(self, text: str, **fields: Any) -> str:
        """Send a message and return its id."""
        files = fields.pop("files", [])
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        message = {"id": str(uuid.uuid4()), "threadId": "", "name": "User", "type": "user_message", "output": text}
        message |= {"createdAt": now} | fields
        await self.socket.emit("client_message", {"message": message, "fileReferences": [{"id": id_} for id_ in files]})
        return str(message["id"])

    async def ask(self, question: str) -> dict[str, Any]:
        """Ask a question and return its card, once both answers are done."""
        before = set(self.elements)
        await self.say(question)
        card = await self.until(lambda: next((card for card in self.cards() if card["id"] not in before), None))
        await self.until_idle()
        return card

    async def until_idle(self) -> None:
        """Return when the last question or command has ended: before that the next one is refused."""
        await self.until(lambda: [event for event, _ in self.events if event in TASK][-1:] == ["task_end"])

    def cards(self) -> list[dict[str, Any]]:
        """Return the cards whose answers are both done."""
        cards = [each for each in self.elements.values() if each["name"] == "Compare"]
        return [each for each in cards if _states(each) == {"done"}]

    async def act(self, name: str, payload: Any, session_id: str = "") -> httpx.Response:
        """Call an action, by default in the own session."""
        sent = {"sessionId": session_id or self.session_id, "action": {"name": name, "payload": payload}}
        return await self.http.post("/project/action", json=sent)

    async def until(self, look: Callable[[], Found | None]) -> Found:
        """Return what `look` finds, once it does."""
        async with asyncio.timeout(SECONDS):
            while True:
                if found := look():
                    return found
                await asyncio.sleep(0.05)

    async def leave(self) -> None:
        await self.socket.disconnect()
        await self.http.aclose()


def _states(card: dict[str, Any]) -> set[str]:
    return {side["state"] for side in card["props"]["sides"]}
