"""Request context: the Chainlit session, its rater, and the process-wide state.

A button in an element calls an action, a word such as /train a command. Both get the `RequestContext` and nothing else
of Chainlit: the current session is looked up here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from weakref import WeakValueDictionary

import chainlit as cl
from chainlit.element import ElementDict

from chat.elements.live import LiveCard, LiveElement
from chat.elements.markdown import as_markdown
from chat.language import Phrase, in_language, language_for, said
from chat.session.thread_store import ThreadStore
from chat.web.rate_limits import RateLimits, What
from rag.answering.options import AskOptions
from rag.answering.service import QueryService
from rag.errors import BadRating, StoredLater, StoreFailed, ThumbtuneError
from rag.settings import Settings
from rag.web.rate_limits import Networks, client_address

INTERNAL = Phrase("app.internal")
RESUMED_SECONDS = 0.5  # by then Chainlit has sent the end of resuming, which removes the Stop button
log = logging.getLogger("thumbtune")


@dataclass(frozen=True)
class AppState:
    """Process-wide state. `elements`: all elements that an open session shows, by id; `tasks`: the running task of a
    thread, by thread id; `queues`: the last review queue of each rater, for its undo; `proxies`: the trusted ones.
    """

    settings: Settings
    serving: QueryService
    history: ThreadStore
    elements: WeakValueDictionary[str, LiveElement] = field(default_factory=WeakValueDictionary)
    tasks: WeakValueDictionary[str, asyncio.Task[Any]] = field(default_factory=WeakValueDictionary)
    queues: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    limits: RateLimits = field(default_factory=RateLimits)
    proxies: Networks = ()


class SessionState:
    """State of one browser session: its elements, which live as long as a session holds them, and its task."""

    def __init__(self) -> None:
        self.elements: list[LiveElement] = []
        self.task: asyncio.Task[Any] | None = None  # a duel or an upload
        self.scope: tuple[str, ...] = ()  # documents and folders that questions are restricted to
        self.options = AskOptions()  # how they are searched and answered

    @property
    def is_busy(self) -> bool:
        """Return whether a question is being answered, or files are being added."""
        return self.task is not None and not self.task.done()

    @property
    def cards(self) -> list[LiveCard]:
        """Return the comparison cards, oldest first."""
        return [live for live in self.elements if isinstance(live, LiveCard)]

    @property
    def places(self) -> list[LiveElement]:
        """Return the elements of the place that is open, an empty list if none is."""
        return [live for live in self.elements if live.is_place]

    def card_with(self, answer_id: str) -> LiveCard:
        """Return the card that shows this answer. Raises BadRating if no card of this session does."""
        for live in self.cards:
            if answer_id in live.card.answer_ids.values():
                return live
        raise BadRating(Phrase("error.not_in_chat", answer=repr(answer_id[:40])))


@dataclass(frozen=True, slots=True)
class RequestContext:
    """One browser session of one rater, at this network address ("" if unknown)."""

    app: AppState
    session: SessionState
    rater: str
    address: str = ""

    def spend(self, what: What) -> None:
        """Count one more question, upload or training of this rater. Raises TooMany with the seconds to wait."""
        self.app.limits.spend(what, self.rater, self.address)

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
        except StoredLater:
            pass  # the history has said so, once
        except StoreFailed as error:
            log.warning("an element will be gone after a reload: %s", error)
        return live

    async def open_place(self, place: str, **elements: Mapping[str, Any]) -> None:
        """Show elements (name=props) in the side panel, instead of the place that is open; save nothing.

        `place` is the page's word for it (public/app.js). A place belongs to a tab: no thread begins with it or has it.
        Why in this order: Chainlit closes the panel for as long as the tab has no element of it.
        """
        before = self.session.places
        for name, props in elements.items():
            live = LiveElement(name, _save_nothing, "", place, props=props, display="side")
            self.attach(live)
            await live.show()
        await self._remove(before)
        await cl.context.emitter.send_window_message({"place": place})

    async def close_place(self) -> None:
        """Take the place out of the side panel of this session, if one is open."""
        await self._remove(self.session.places)

    async def _remove(self, places: Sequence[LiveElement]) -> None:
        for live in places:
            self.session.elements.remove(live)
            live.unwatch(cl.context.session.id)
            await cl.context.emitter.emit("remove_element", {"id": live.id})


Action = Callable[[RequestContext, Mapping[str, Any]], Awaitable[dict[str, Any]]]
Command = Callable[[RequestContext, str], Awaitable[None]]


async def _save_nothing(element: ElementDict) -> None:
    """Keep a place out of the history."""


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
    rater = str(cl.user_session.get("user").identifier)  # type: ignore[no-untyped-call]
    scope = getattr(cl.context.session, "environ", {}).get("asgi.scope")
    return RequestContext(app, session, rater, client_address(scope, app.proxies) if scope else "")


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


async def as_command(act: Awaitable[None], report: Callable[[str], Awaitable[object]] | None = None) -> None:
    """Await a question or command and report its error, by default in the chat; Chainlit shows none."""
    report = report or say
    try:
        await act
    except ThumbtuneError as error:
        await report(said(error))
    except Exception:
        log.exception("a question or command failed")
        await report(INTERNAL)


async def toast(text: str) -> None:
    """Show an error for some seconds, in the session's language, in no thread."""
    await cl.context.emitter.send_toast(in_language(text, session_language()), "error")


async def say(text: str) -> cl.Message:
    """Send a message from the app, in the session's language, and return it."""
    text = in_language(text, session_language())
    return cast(cl.Message, await cl.Message(as_markdown(text, 0)).send())  # type: ignore[no-untyped-call]
