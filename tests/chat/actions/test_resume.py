"""What is left of a session whose connection is gone."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from chainlit.chat_context import chat_contexts

from chat.actions.resume import leave
from chat.elements.live import LiveElement
from chat.session.context import RequestContext

KEPT = {"HTTP_ACCEPT_LANGUAGE": "de", "asgi.scope": {"client": ("10.0.0.7", 1)}}


class Tab:
    """A browser tab that shows elements."""

    async def send_element(self, element_dict: object) -> None:
        """Show it."""

    async def emit(self, event: str, data: object) -> None:
        """Hear it."""


@pytest.fixture
def session() -> Any:
    """Return Chainlit's session of a tab with one message, connected by a socket."""
    environ = {**KEPT, "asgi.receive": object(), "asgi.send": object(), "wsgi.input": object()}
    session = SimpleNamespace(id="s1", socket_id="socket 1", environ=environ)
    chat_contexts[session.id] = []
    yield session
    chat_contexts.pop(session.id, None)


@pytest.fixture
def live(context: RequestContext) -> LiveElement:
    """Return an element that the tab watches."""
    live = context.session.elements[0]
    live.watch("s1", Tab())
    return live


async def settle() -> None:
    """Let what runs in the background with no seconds to wait come to its end."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_lost_connection_is_let_go_at_once_and_the_session_knows_who_it_is(
    context: RequestContext, session: Any, live: LiveElement
) -> None:
    leave(context, session, away=3600.0)
    assert session.environ == KEPT
    assert live.is_watched  # it may come back


async def test_nothing_is_sent_to_who_stays_away_and_no_message_is_kept(
    context: RequestContext, session: Any, live: LiveElement
) -> None:
    leave(context, session, away=0.0)
    await settle()
    assert not live.is_watched
    assert session.id not in chat_contexts


async def test_who_comes_back_in_time_misses_nothing(context: RequestContext, session: Any, live: LiveElement) -> None:
    leave(context, session, away=0.0)
    session.socket_id = "socket 2"
    await settle()
    assert live.is_watched
    assert session.id in chat_contexts
