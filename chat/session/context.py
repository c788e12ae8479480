"""Request context: the Chainlit session, its rater, and the process-wide state.

A button in an element calls an action, a word such as /train a command. Both get the `RequestContext` and nothing else
of Chainlit: the current session is looked up here.
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
from chat.language import Phrase, in_language, language_for, said
from chat.session.thread_store import ThreadStore
from rag.answering.service import QueryService
from rag.errors import BadRating, StoreFailed, ThumbtuneError
from rag.settings import Settings

INTERNAL = Phrase("app.internal")
RESUMED_SECONDS = 0.5  # by then Chainlit has sent the end of resuming, which removes the Stop button
log = logging.getLogger("thumbtune")


@dataclass(frozen=True)
class AppState:
    """Process-wide state. `elements`: all elements that an open session shows, by id; `tasks`: the running task of a
    thread, by thread id.
    """

    settings: Settings
    serving: QueryService
    history: ThreadStore
    elements: WeakValueDictionary[str, LiveElement] = field(default_factory=WeakValueDictionary)
    tasks: WeakValueDictionary[str, asyncio.Task[Any]] = field(default_factory=WeakValueDictionary)


class SessionState:
    """State of one browser session: its elements, which live as long as a session holds them, and its task."""

    def __init__(self) -> None:
        self.elements: list[LiveElement] = []
        self.task: asyncio.Task[Any] | None = None  # a duel or an upload
        self.places_chosen: tuple[str, ...] = ()  # documents and folders that questions are restricted to

    @property
    def is_busy(self) -> bool:
        """Return whether a question is being answered, or files are being added."""
        return self.task is not None and not self.task.done()

    @property
    def cards(self) -> list[LiveCard]:
        """Return the comparison cards, oldest first."""
        return [live for live in self.elements if isinstance(live, LiveCard)]

    def card_with(self, answer_id: str) -> LiveCard:
        """Return the card that shows this answer. Raises BadRating if no card of this session does."""
        for live in self.cards:
            if answer_id in live.card.answer_ids.values():
                return live
        raise BadRating(Phrase("error.not_in_chat", answer=repr(answer_id[:40])))


@dataclass(frozen=True, slots=True)
class RequestContext:
    """One browser session of one rater."""

    app: AppState
    session: SessionState
    rater: str

    def begin(self, task: asyncio.Task[Any] | None) -> None:
        """Set the task that Stop cancels and that blocks a second question, for every session of this thread."""
        self.session.task = task
        if task:
            self.app.tasks[cl.context.session.thread_id] = task

    def join(self, thread_id: str) -> None:
        """Adopt a thread's running task as this session's own, with its Stop button, until it ends."""
        task = self.app.tasks.get(thread_id)
        if task and not task.done() and task is not self.session.task:
            self.session.task = task
            in_background(_show_running(task, cl.context.emitter))

    def attach(self, live: LiveElement) -> None:
        """Show an element in this session, and register it by its id."""
        self.app.elements[live.id] = live
        if live not in self.session.elements:  # Chainlit resumes a thread at each reconnection
            self.session.elements.append(live)
        watch(live)

    async def show_element(self, name: str, props: Mapping[str, Any], under: cl.Message | None = None) -> LiveElement:
        """Show a new element under a message, by default a new one; save it in the history and return it."""
        message = under or await say("")
        live = LiveElement(name, self.app.history.save_element, message.thread_id, message.id, props=props)
        self.attach(live)
        await live.show()
        try:
            await live.keep()
        except StoreFailed as error:
            log.warning("an element will be gone after a reload: %s", error)
        return live


Action = Callable[[RequestContext, Mapping[str, Any]], Awaitable[dict[str, Any]]]
Command = Callable[[RequestContext, str], Awaitable[None]]


_running: set[asyncio.Task[Any]] = set()  # asyncio keeps only weak references to tasks


def in_background(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine without waiting for it."""
    task = asyncio.create_task(work)
    _running.add(task)
    task.add_done_callback(_running.discard)


async def _show_running(task: asyncio.Task[Any], emitter: Any) -> None:  # noqa: ANN401  # Chainlit's emitter of a session
    """Show the page's Stop button while a task of another session runs."""
    await asyncio.sleep(RESUMED_SECONDS)
    await emitter.task_start()
    await asyncio.wait([task])
    await emitter.task_end()


def current_context(app: AppState) -> RequestContext:
    """Return the context of the current Chainlit session."""
    session = cl.user_session.get("state")  # type: ignore[no-untyped-call]
    if not isinstance(session, SessionState):
        session = SessionState()
        cl.user_session.set("state", session)  # type: ignore[no-untyped-call]
    return RequestContext(app, session, str(cl.user_session.get("user").identifier))  # type: ignore[no-untyped-call]


def session_language() -> str:
    """Return the language of the current session's browser."""
    environ = getattr(cl.context.session, "environ", {})
    return language_for(str(environ.get("HTTP_ACCEPT_LANGUAGE", "")))


def watch(live: LiveElement) -> None:
    """Show an element in the current session from now on."""
    live.watch(cl.context.session.id, cl.context.emitter, session_language())


def as_action(app: AppState, act: Action) -> Callable[[cl.Action], Awaitable[dict[str, Any]]]:
    """Return an action as a Chainlit callback that returns errors as {"error": message}; Chainlit swallows them."""

    async def callback(action: cl.Action) -> dict[str, Any]:
        try:
            done = await act(current_context(app), action.payload)
        except ThumbtuneError as error:
            done = {"error": said(error)}
        except Exception:
            log.exception("action %s failed", action.name)
            done = {"error": INTERNAL}
        return cast(dict[str, Any], in_language(done, session_language()))

    return callback


async def as_command(act: Awaitable[None]) -> None:
    """Await a question or command and post its error in the chat; Chainlit shows none."""
    try:
        await act
    except ThumbtuneError as error:
        await say(said(error))
    except Exception:
        log.exception("a question or command failed")
        await say(INTERNAL)


async def say(text: str) -> cl.Message:
    """Send a message from the app, in the session's language, and return it."""
    text = in_language(text, session_language())
    return cast(cl.Message, await cl.Message(as_markdown(text, 0)).send())  # type: ignore[no-untyped-call]
