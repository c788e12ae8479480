"""Request context: the Chainlit session, its rater, and what the process holds once.

A button in an element calls an action, a word such as /train a command. Both get the `RequestContext` and nothing else
of Chainlit: which session is current is looked up here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from weakref import WeakValueDictionary

import chainlit as cl

from chat.elements.live import LiveCard, LiveElement
from chat.elements.markdown import as_markdown
from chat.session.thread_store import ThreadStore
from rag.answering.service import QueryService
from rag.errors import BadRating, StoreFailed, ThumbtuneError
from rag.feedback.ratings import VALUES
from rag.records import Label
from rag.settings import Settings

INTERNAL = "Something went wrong that nobody foresaw; the terminal that runs the chat shows what."
RESUMED_SECONDS = 0.5  # by then Chainlit has said that resuming is over, which takes the Stop button away
log = logging.getLogger("thumbtune")


@dataclass(frozen=True)
class AppState:
    """What a process has once. `elements` holds what any open session shows, by id; `tasks` what is being written in a
    thread, by its id.
    """

    settings: Settings
    serving: QueryService
    history: ThreadStore
    elements: WeakValueDictionary[str, LiveElement] = field(default_factory=WeakValueDictionary)
    tasks: WeakValueDictionary[str, asyncio.Task[Any]] = field(default_factory=WeakValueDictionary)


class SessionState:
    """What a browser session has on its table: its elements, which live as long as a room holds them, and its task."""

    def __init__(self) -> None:
        self.elements: list[LiveElement] = []
        self.task: asyncio.Task[Any] | None = None  # a duel, or files that are taken in

    @property
    def is_busy(self) -> bool:
        """Return whether a question is being answered, or files are taken in."""
        return self.task is not None and not self.task.done()

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
class RequestContext:
    """One browser session of one rater."""

    house: AppState
    room: SessionState
    rater: str

    def begin(self, task: asyncio.Task[Any] | None) -> None:
        """Hold a task as what Stop ends and a second question waits for, in every session that shows this thread."""
        self.room.task = task
        if task:
            self.house.tasks[cl.context.session.thread_id] = task

    def join(self, thread_id: str) -> None:
        """Show what is being written in a thread as this session's own task: with its Stop button, until it ends."""
        task = self.house.tasks.get(thread_id)
        if task and not task.done() and task is not self.room.task:
            self.room.task = task
            in_background(_show_running(task, cl.context.emitter))

    def put_on_table(self, live: LiveElement) -> None:
        """Let this session show an element, and know it by its id."""
        self.house.elements[live.id] = live
        if live not in self.room.elements:  # Chainlit resumes a thread again whenever its connection comes back
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


Action = Callable[[RequestContext, Mapping[str, Any]], Awaitable[dict[str, Any]]]
Command = Callable[[RequestContext, str], Awaitable[None]]


_running: set[asyncio.Task[Any]] = set()  # asyncio itself forgets a task that nobody holds


def in_background(work: Coroutine[Any, Any, None]) -> None:
    """Let something run that nobody waits for."""
    task = asyncio.create_task(work)
    _running.add(task)
    task.add_done_callback(_running.discard)


async def _show_running(task: asyncio.Task[Any], emitter: Any) -> None:  # noqa: ANN401  # Chainlit's, of a session
    """Let the page show its Stop button while a task runs that another session began."""
    await asyncio.sleep(RESUMED_SECONDS)
    await emitter.task_start()
    await asyncio.wait([task])
    await emitter.task_end()


def current_context(house: AppState) -> RequestContext:
    """Return the visit of the session that is current."""
    room = cl.user_session.get("room")  # type: ignore[no-untyped-call]
    if not isinstance(room, SessionState):
        room = SessionState()
        cl.user_session.set("room", room)  # type: ignore[no-untyped-call]
    return RequestContext(house, room, str(cl.user_session.get("user").identifier))  # type: ignore[no-untyped-call]


def watch(live: LiveElement) -> None:
    """Show an element in the session that is current, from now on."""
    live.watch(cl.context.session.id, cl.context.emitter)


def as_action(house: AppState, act: Action) -> Callable[[cl.Action], Awaitable[dict[str, Any]]]:
    """Return an action as Chainlit calls it: what goes wrong is returned in words, where Chainlit would swallow it."""

    async def callback(action: cl.Action) -> dict[str, Any]:
        try:
            return await act(current_context(house), action.payload)
        except ThumbtuneError as error:
            return {"error": str(error)}
        except Exception:
            log.exception("action %s failed", action.name)
            return {"error": INTERNAL}

    return callback


def read_value(payload: Mapping[str, Any]) -> Label:
    """Return the value of what a browser sent: 1, -1, or 0 to take back. Raises BadRating."""
    value = payload.get("value")
    if type(value) is not int or value not in VALUES:
        raise BadRating(f"{str(payload)[:80]} is no vote: reload the page, then rate")
    return value


async def as_command(act: Awaitable[None]) -> None:
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
