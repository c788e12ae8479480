"""What a browser sends is checked before Chainlit reads it: events, session ids, messages, actions, files."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from chainlit.auth import get_current_user
from chainlit.session import ws_sessions_id, ws_sessions_sid
from chainlit.user import User
from fastapi import APIRouter, FastAPI
from starlette.testclient import TestClient

from chat.session.context import AppState
from chat.session.incoming import EVENTS, OPEN, action_route, guard_events, upload_route
from chat.session.thread_store import ThreadStore
from chat.web.rate_limits import LIMITS, RateLimits
from rag.history import history_of
from rag.settings import Settings

SESSION = str(uuid.uuid4())
STEP = str(uuid.uuid4())


class Recorder:
    """Chainlit's socket server, whose handlers note what they are given."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        events = (*OPEN, "edit_message", "message_favorite", "fetch_favorites", "audio_chunk", "chat_settings_change")
        self.handlers = {"/": {event: self._handler(event) for event in events}}

    def _handler(self, event: str) -> Any:
        async def handle(*given: Any) -> None:
            self.calls.append((event, given))

        return handle

    async def send(self, event: str, *sent: Any) -> None:
        await self.handlers["/"][event](*sent)


@pytest.fixture
def sio() -> Iterator[Recorder]:
    recorder = Recorder()
    guard_events(recorder)
    user = User(identifier="ann")
    ws_sessions_sid["socket"] = ws_sessions_id[SESSION] = cast(Any, SimpleNamespace(user=user, id=SESSION))
    yield recorder
    del ws_sessions_sid["socket"], ws_sessions_id[SESSION]


def test_only_events_that_the_page_needs_are_open(sio: Recorder) -> None:
    assert sio.handlers["/"].keys() == OPEN
    assert "edit_message" not in OPEN  # switched off in .chainlit/config.toml


@pytest.mark.parametrize("auth", [None, "x", {}, *({"sessionId": id_} for id_ in (None, "", "../../lancedb", "a"))])
async def test_a_session_is_not_named_after_a_folder(sio: Recorder, auth: Any) -> None:
    with pytest.raises(ConnectionRefusedError, match="reload the page"):
        await sio.send("connect", "socket", {}, auth)
    assert sio.calls == []


async def test_a_connection_keeps_session_and_thread_and_nothing_else(sio: Recorder) -> None:
    thread = str(uuid.uuid4())
    sent = {"sessionId": SESSION, "threadId": thread, "clientType": "slack", "userEnv": "{1: 1}", "chatProfile": "x"}
    await sio.send("connect", "socket", {}, sent)
    for other in ("", None, "../x"):
        await sio.send("connect", "socket", {}, {"sessionId": SESSION, "threadId": other})
    opened = [given[2] for _, given in sio.calls]
    assert [each["threadId"] for each in opened[:3]] == [thread, "", ""]
    assert uuid.UUID(opened[3]["threadId"])  # a page whose address names no thread gets a new one
    assert all({**each, "threadId": ""} == opened[1] for each in opened)


async def test_a_message_is_the_typed_question_of_this_user_and_nothing_else(sio: Recorder) -> None:
    typed = {"id": STEP, "output": "Why?", "name": "eve", "type": "assistant_message", "threadId": "x", "parentId": "y"}
    extra = {"metadata": {"a": 1}, "modes": {}, "command": "/x", "createdAt": "1970", "language": "html"}
    files = [{"id": STEP, "path": "/etc/passwd"}]
    await sio.send("client_message", "socket", {"message": {**typed, **extra}, "fileReferences": files})
    ((_, (_, sent)),) = sio.calls
    assert sent["message"].pop("createdAt").startswith("20")
    message = {"id": STEP, "output": "Why?", "name": "ann", "type": "user_message", "threadId": ""}
    assert sent == {"message": message, "fileReferences": [{"id": STEP}]}


@pytest.mark.parametrize("event", EVENTS)
async def test_an_event_without_a_session_is_one_line(
    sio: Recorder, event: str, caplog: pytest.LogCaptureFixture
) -> None:
    await sio.send(event, "no such socket", {})
    assert sio.calls == []
    assert caplog.messages == [f"refused {event}: this session has ended: reload the page"]
    assert not caplog.records[0].exc_info


@pytest.mark.parametrize(
    "sent",
    [
        None,
        [],
        {},
        {"message": None},
        {"message": {"id": "x", "output": "Why?"}},
        {"message": {"id": str(uuid.uuid1()), "output": "Why?"}},
        {"message": {"id": STEP.upper(), "output": "Why?"}},
        {"message": {"id": STEP, "output": ["Why?"]}},
        {"message": {"id": STEP, "output": "\ud800"}},
        {"message": {"id": STEP, "output": "Why?"}, "fileReferences": [{"id": "../x"}]},
        {"message": {"id": STEP, "output": "Why?"}, "fileReferences": [{"id": STEP}] * 21},
    ],
)
async def test_a_message_of_another_shape_is_refused_in_one_line(
    sio: Recorder, sent: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await sio.send("client_message", "socket", sent)
    assert sio.calls == []
    assert [message.split(":")[0] for message in caplog.messages] == ["refused client_message"]


def browser(app: AppState | None = None, rater: str = "ann") -> TestClient:
    api = FastAPI()
    api.include_router(APIRouter(routes=[upload_route(app) if app else action_route()]))
    api.dependency_overrides[get_current_user] = lambda: User(identifier=rater)
    return TestClient(api, client=("203.0.113.7", 1))


def test_an_unknown_session_is_one_line_and_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    sent = {"sessionId": str(uuid.uuid4()), "action": {"name": "vote", "payload": {}}}
    reply = browser().post("/project/action", json=sent)
    assert (reply.status_code, reply.json()) == (404, {"detail": "this session has ended: reload the page"})
    assert caplog.messages == []


@pytest.mark.parametrize("action", [{}, {"name": 1, "payload": {}}, {"name": "vote"}, {"name": "vote", "payload": []}])
def test_an_action_of_another_shape_is_refused(sio: Recorder, action: dict[str, Any]) -> None:
    assert browser().post("/project/action", json={"sessionId": SESSION, "action": action}).status_code == 400


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppState:
    monkeypatch.chdir(tmp_path)
    settings = Settings(home=tmp_path / "home", THUMBTUNE_ADMINS="ann")
    return AppState(settings, cast(Any, None), ThreadStore(history_of(settings)), limits=RateLimits(sign_in=True))


def test_only_admins_upload_and_not_without_end(state: AppState) -> None:
    where, file = f"/project/file?session_id={uuid.uuid4()}", {"file": ("a.txt", b"x", "text/plain")}
    reply = browser(state, "bob").post(where, files=file)
    assert reply.status_code == 403
    assert reply.json()["detail"].startswith("bob may not upload documents: the person who runs this chat can allow it")
    most = LIMITS["upload"].rater.most
    statuses = [browser(state).post(where, files=file).status_code for _ in range(most + 1)]
    assert statuses == [404] * most + [429]  # no such session
    everybody = replace(state, settings=Settings(home=state.settings.home), limits=RateLimits())
    assert browser(everybody, "bob").post(where, files=file).status_code == 404
