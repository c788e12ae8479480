"""Two people in one chat: whatever the one sends, what the other said, rated and uploaded stays theirs.

The routes, actions, socket events and commands are those of the app itself: a new one without a row here fails.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import socketio

from driver import ScriptedChat, Writer, free_port
from serve.app import is_api
from sockets import Rater

pytestmark = pytest.mark.e2e
INVENTORY = """
import json, os
from chat.__main__ import chainlit_runner
chainlit_runner()
import chainlit_app
from chainlit.config import config
from chainlit.server import app, sio

def walk(routes):
    for route in routes:
        inner = getattr(route, "original_router", None) or getattr(getattr(route, "app", None), "router", None)
        if inner is not None:
            yield from walk(inner.routes)
        else:
            methods = getattr(route, "methods", None) or [type(route).__name__]
            yield from (f"{method} {route.path}" for method in methods)

found = {
    "routes": sorted(set(walk(app.router.routes))),
    "events": sorted(sio.handlers["/"]),
    "actions": sorted(config.code.action_callbacks),
    "commands": sorted(chainlit_app.COMMANDS),
    "reviving": sorted(chainlit_app.REVIVE),
}
print("\\n" + json.dumps(found), flush=True)
os._exit(0)
"""
SECRET = "vellumquill"  # a word of ann's question
QUESTION = f"When do bees swarm in {SECRET}?"
COMMENT = "inkhornword"  # ann's comment
# Where the questions of all are shown to all, without a name: an answer's question is judged, or counted, there.
SHARED = ("GET /scoreboard", '"Review"')
OPEN, CLOSED, NOT_YOURS, MISSING, INVALID = (200, 303, 307), (403,), (401, 404), (404,), (400, 405, 422)


@dataclass
class Victim:
    """What ann has: ids that bob was somehow given."""

    rater: Rater
    thread: str
    step: str
    card: dict[str, Any]
    rating: str
    file: str

    @property
    def answer(self) -> str:
        return str(self.card["props"]["sides"][0]["answer"])


Ask = tuple[str, dict[str, Any]]  # an address, and the further arguments of the request
Route = tuple[Callable[[Victim, Rater], Ask], tuple[int, ...]]


def at(path: str, **more: Any) -> Callable[[Victim, Rater], Ask]:
    return lambda ann, bob: (path, more)


# What bob sends with ann's ids, and which status he may get. Where it is 200, the text is searched for ann's word.
ROUTES: dict[str, Route] = {
    "DELETE /feedback": (at("/feedback", json={"feedbackId": "1"}), CLOSED),
    "DELETE /project/element": (
        lambda ann, bob: ("/project/element", {"json": {"element": ann.card, "sessionId": bob.session_id}}),
        CLOSED,
    ),
    "DELETE /project/thread": (lambda ann, bob: ("/project/thread", {"json": {"threadId": ann.thread}}), NOT_YOURS),
    "GET /assets/{filename:path}": (at("/assets/../../../../etc/passwd"), (*MISSING, *INVALID, *OPEN)),
    "GET /auth/config": (at("/auth/config"), OPEN),
    "GET /auth/oauth/{provider_id}": (at("/auth/oauth/github"), INVALID),
    "GET /auth/oauth/{provider_id}/callback": (at("/auth/oauth/github/callback?code=1&state=1"), INVALID),
    "GET /avatars/{avatar_id:str}": (at("/avatars/..%2f..%2fsecret"), (*MISSING, *INVALID, *OPEN)),
    "GET /chats/{thread_id}.md": (lambda ann, bob: (f"/chats/{ann.thread}.md", {}), MISSING),
    "GET /copilot/{filename:path}": (at("/copilot/index.js"), (*OPEN, *MISSING)),
    "GET /document.pdf": (at("/document.pdf?id=../../home/chat.db"), MISSING),
    "GET /documents.json": (at(f"/documents.json?q={SECRET}"), OPEN),  # documents are shared
    "GET /favicon": (at("/favicon"), OPEN),
    "GET /first-start": (at("/first-start"), OPEN),
    "GET /health": (at("/health"), OPEN),
    "GET /language/{language}.js": (at("/language/en-US.js"), OPEN),
    "GET /logo": (at("/logo"), OPEN),
    "GET /project/file/{file_id}": (
        lambda ann, bob: (f"/project/file/{ann.file}?session_id={ann.rater.session_id}", {}),
        NOT_YOURS,
    ),
    "GET /project/settings": (at("/project/settings"), OPEN),
    "GET /project/share/{thread_id}": (lambda ann, bob: (f"/project/share/{ann.thread}", {}), CLOSED),
    "GET /project/thread/{thread_id}": (lambda ann, bob: (f"/project/thread/{ann.thread}", {}), NOT_YOURS),
    "GET /project/thread/{thread_id}/element/{element_id}": (
        lambda ann, bob: (f"/project/thread/{ann.thread}/element/{ann.card['id']}", {}),
        NOT_YOURS,
    ),
    "GET /project/translations": (at("/project/translations"), OPEN),
    "GET /public/elements/{name}.jsx": (at("/public/elements/Compare.jsx"), OPEN),
    "GET /public/{filename:path}": (at("/public/%2e%2e/chainlit_app.py"), (*MISSING, *INVALID, *OPEN)),
    "GET /ratings.jsonl": (at("/ratings.jsonl"), MISSING),  # bob has rated nothing
    "GET /runs/{version}/{name:path}": (at("/runs/v1/../../secret"), (*MISSING, *OPEN)),
    "GET /scoreboard": (at("/scoreboard"), OPEN),
    "GET /scoreboard/plotly.js": (at("/scoreboard/plotly.js"), OPEN),
    "GET /user": (at("/user"), OPEN),
    "GET /{full_path:path}": (lambda ann, bob: (f"/thread/{ann.thread}", {}), OPEN),  # the page, with nothing in it
    "HEAD /": (at("/"), OPEN),
    "POST /auth/header": (at("/auth/header"), OPEN),
    "POST /auth/jwt": (at("/auth/jwt", headers={"Authorization": "Bearer forged"}), (401,)),
    "POST /auth/oauth/azure-ad-hybrid/callback": (at("/auth/oauth/azure-ad-hybrid/callback", data={}), INVALID),
    "POST /login": (at("/login", data={"username": "ann", "password": "x"}), INVALID),
    "POST /logout": (at("/logout"), OPEN),
    "POST /project/action": (
        lambda ann, bob: (
            "/project/action",
            {"json": {"sessionId": ann.rater.session_id, "action": {"name": "own_ratings", "payload": {}}}},
        ),
        NOT_YOURS,
    ),
    "POST /project/file": (
        lambda ann, bob: (f"/project/file?session_id={ann.rater.session_id}", {"files": {"file": b"x"}}),
        NOT_YOURS,
    ),
    "POST /project/threads": (
        at("/project/threads", json={"pagination": {"first": 50}, "filter": {"userId": "ann", "search": SECRET}}),
        OPEN,
    ),
    "POST /ratings.jsonl": (
        at("/ratings.jsonl", content=json.dumps({"query": "q", "text": "t", "label": 1, "rater": 7})),
        OPEN,  # with an error in words
    ),
    "POST /set-session-cookie": (
        lambda ann, bob: ("/set-session-cookie", {"json": {"session_id": ann.rater.session_id}}),
        OPEN,  # a cookie that nothing of ours reads
    ),
    "PUT /feedback": (at("/feedback", json={"feedback": {"forId": "x", "value": 1}, "sessionId": "x"}), CLOSED),
    "PUT /project/element": (
        lambda ann, bob: ("/project/element", {"json": {"element": ann.card, "sessionId": bob.session_id}}),
        CLOSED,
    ),
    "PUT /project/thread": (
        lambda ann, bob: ("/project/thread", {"json": {"threadId": ann.thread, "name": "mine"}}),
        NOT_YOURS,
    ),
    "PUT /project/thread/share": (
        lambda ann, bob: ("/project/thread/share", {"json": {"threadId": ann.thread, "isShared": True}}),
        CLOSED,
    ),
}

# What bob sends in a session of his own with ann's ids. "error": refused in words; else what the reply may have.
ACTIONS: dict[str, tuple[Callable[[Victim], Mapping[str, Any]], bool]] = {  # name -> payload, whether it is refused
    "choose": (lambda ann: {"answer": ann.answer, "choice": "A"}, True),
    "documents": (lambda ann: {}, False),
    "documents_remove": (lambda ann: {"source": "bees.md"}, True),
    "documents_show": (lambda ann: {"source": "../chat.db"}, True),
    "find": (lambda ann: {"answer": ann.answer, "query": "bees"}, True),
    "go_on": (lambda ann: {"cut": "0" * 16}, True),
    "mark": (lambda ann: {"answer": ann.answer, "rank": 1, "value": 1}, True),
    "own_ratings": (lambda ann: {"start": 0}, False),
    "own_ratings_take_back": (lambda ann: {"rating": ann.rating}, True),
    "passage": (lambda ann: {"answer": ann.answer, "rank": 1}, True),
    "reask": (lambda ann: {"query": {"answer": ann.answer}}, True),
    "refresh": (lambda ann: {"thread": ann.thread}, False),
    "review_find": (lambda ann: {"review": "0" * 16, "item": "x", "query": "bees"}, True),
    "review_judge": (lambda ann: {"review": "0" * 16, "item": ann.rating, "value": 1}, True),
    "review_more": (lambda ann: {"review": "0" * 16}, True),
    "review_teach": (lambda ann: {"review": "0" * 16, "item": "x", "chunk": "x", "value": 1}, True),
    "teach": (lambda ann: {"answer": ann.answer, "chunk": "x", "value": 1}, True),
    "train_cancel": (lambda ann: {}, True),
    "train_look": (lambda ann: {}, False),
    "train_promote": (lambda ann: {"version": "../../secret"}, True),
    "train_roll_back": (lambda ann: {}, False),
    "train_start": (lambda ann: {"order": "--help"}, True),
    "vote": (lambda ann: {"answer": ann.answer, "value": -1, "comment": "bob was here"}, True),
}
COMMANDS = {"/documents", "/ratings", "/review", "/scoreboard", "/train"}
EVENTS = {"clear_session", "client_message", "connect", "connection_successful", "disconnect", "stop", "window_message"}
REVIVED = {"Documents", "Ratings", "Review", "Teach", "Training"}  # a new element needs a look at whose props it reads
FORGED: tuple[Any, ...] = (None, [], "x", {"answer": None}, {"answer": "' OR 1=1 --", "value": True, "rank": 10**9})


@pytest.fixture(params=["sqlite", "postgres"])
def chat(request: pytest.FixtureRequest) -> ScriptedChat:
    """Return a chat with its history in a file, and one with it in Postgres."""
    found: ScriptedChat
    if request.param == "sqlite":
        found = request.getfixturevalue("scripted_chat")
    else:
        found = request.getfixturevalue("replicas")[0]
    found.writer.reply, found.writer.rewritten = Writer().reply, ""
    return found


@pytest.fixture
async def ann(chat: ScriptedChat) -> AsyncIterator[Victim]:
    """Let ann ask, rate with a comment, and upload a file without sending it."""
    rater = Rater(chat.url)
    await rater.come_in()
    card = await rater.ask(QUESTION)
    await rater.act("vote", {"answer": card["props"]["sides"][0]["answer"], "value": -1, "comment": COMMENT})
    (rating,) = (await rater.act("own_ratings", {})).json()["response"]["ratings"]
    thread = (await rater.http.get(f"/project/thread/{rater.thread_id}")).json()
    (step,) = (each["id"] for each in thread["steps"] if each["type"] == "user_message")
    sent = await rater.http.post(
        f"/project/file?session_id={rater.session_id}", files={"file": ("a.txt", SECRET.encode(), "text/plain")}
    )
    yield Victim(rater, rater.thread_id, step, card, rating["id"], sent.json()["id"])
    await rater.leave()


@pytest.fixture
async def bob(chat: ScriptedChat) -> AsyncIterator[Rater]:
    rater = Rater(chat.url)
    await rater.come_in()
    yield rater
    await rater.leave()


@pytest.fixture(scope="module")
def app(scripted_chat: ScriptedChat) -> dict[str, list[str]]:
    """Return the routes, actions, events and commands of the app itself."""
    env = {**scripted_chat.env, "THUMBTUNE_PORT": str(free_port()), "CHAINLIT_AUTH_SECRET": "x" * 32}
    done = subprocess.run([sys.executable, "-c", INVENTORY], env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


async def everything_of(ann: Victim, chat: ScriptedChat) -> object:
    """Return all that ann has: thread, list of threads, ratings, file."""
    http = ann.rater.http
    thread = (await http.get(f"/project/thread/{ann.thread}")).json()
    threads = (await http.post("/project/threads", json={"pagination": {"first": 9}, "filter": {}})).json()
    own = (await ann.rater.act("own_ratings", {})).json()
    file = (await http.get(f"/project/file/{ann.file}?session_id={ann.rater.session_id}")).text
    assert SECRET in json.dumps([thread, threads, own])
    return thread["steps"], thread["elements"], thread["name"], threads["data"], own, file


async def test_every_door_of_the_app_has_a_row(app: dict[str, list[str]]) -> None:
    documented = {f"GET {path}" for path in ("/docs", "/docs/oauth2-redirect", "/openapi.json", "/redoc")}
    static = re.compile(r"HEAD (?!/$)")
    routes = {route for route in app["routes"] if not static.match(route)} - documented
    ours = {route for route in routes if " " in route and not is_api(route.partition(" ")[2])}  # tests/serve has those
    assert {route for route in ours if not route.startswith("Mount")} - ROUTES.keys() == set()
    assert set(app["actions"]) == ACTIONS.keys()
    assert set(app["events"]) == EVENTS
    assert set(app["commands"]) == COMMANDS
    assert set(app["reviving"]) == REVIVED


async def test_nobody_reads_or_changes_what_is_anothers(ann: Victim, bob: Rater, chat: ScriptedChat) -> None:
    before, log = await everything_of(ann, chat), len(chat.log.read_text())
    await bob.ask("When do bees swarm?")
    await routes_with_ids_of(ann, bob)
    await bob.http.get("/")  # signed out by now, he is somebody new
    bob = await again(bob)
    await actions_with_ids_of(ann, bob)
    await events_with_ids_of(ann, bob)
    for command in COMMANDS:
        await bob.socket.emit("window_message", command)
    await bob.until(lambda: {"go": "/scoreboard"} in [data for event, data in bob.events if event == "window_message"])
    await bob.act("refresh", {})
    assert [text[:300] for text in map(json.dumps, bob.events) if leaks(text, ann, text)] == []
    assert await everything_of(ann, chat) == before
    assert "Traceback" not in chat.log.read_text()[log:]
    await bob.leave()


async def again(bob: Rater) -> Rater:
    """Return bob in a new session."""
    new = Rater(bob.url)
    await new.come_in()
    await new.ask("When do bees swarm?")
    return new


async def routes_with_ids_of(ann: Victim, bob: Rater) -> None:
    wrong = []
    for name in sorted(ROUTES, key=lambda each: "logout" in each):
        ask, allowed = ROUTES[name]
        path, more = ask(ann, bob)
        reply = await bob.http.request(name.split()[0], path, **more)
        if reply.status_code not in allowed or leaks(reply.text, ann, name):
            wrong.append((name, reply.status_code, reply.text[:200]))
    assert wrong == [], wrong


def leaks(text: str, ann: Victim, where: str = "") -> bool:
    """Return whether a text has something of ann's: her comment, her thread, and but for `SHARED` her question."""
    hers = [COMMENT, ann.thread, ann.rating, ann.file]
    shared = any(name in where for name in SHARED)
    return any(word in text for word in (hers if shared else [*hers, SECRET]))


async def actions_with_ids_of(ann: Victim, bob: Rater) -> None:
    wrong: list[tuple[Any, ...]] = []
    for name, (payload, refused) in ACTIONS.items():
        theirs = await bob.act(name, payload(ann), ann.rater.session_id)
        if theirs.status_code != 401:
            wrong.append((name, "in her session", theirs.text[:200]))
        own = await bob.act(name, payload(ann))
        if ("error" in own.json()["response"]) != refused or leaks(own.text, ann):
            wrong.append((name, own.text[:200]))
        for forged in FORGED:
            reply = await bob.act(name, forged)
            if reply.status_code not in (200, 400, 422) or leaks(reply.text, ann):
                wrong.append((name, forged, reply.text[:200]))
    assert wrong == [], wrong
    unknown = await bob.act("own_ratings", {}, str(uuid.uuid4()))
    assert (unknown.status_code, unknown.json()["detail"]) == (404, "this session has ended: reload the page")


async def events_with_ids_of(ann: Victim, bob: Rater) -> None:
    """Send every event with ann's ids: her step, her thread, her session, her file; and those that are closed."""
    await bob.say("When do bees leave?", id=ann.step, threadId=ann.thread, parentId=ann.step, type="assistant_message")
    await bob.until(lambda: len(bob.cards()) >= len({"one before", "this one"}))
    await bob.say("Take my file", files=[ann.file])
    edit = {"message": {"id": ann.step, "output": "edited by bob", "threadId": ann.thread}}
    for event in ("edit_message", "message_favorite", "chat_settings_change", "audio_start", "audio_end", "call_fn"):
        await bob.socket.emit(event, edit)
    for sent in (None, [], edit, {"message": {"id": "x"}}, {"message": {**edit["message"], "id": "../../x"}}):
        await bob.socket.emit("client_message", sent)
        await bob.socket.emit("window_message", sent)
    await bob.socket.emit("stop")
    for auth in ({"sessionId": ann.rater.session_id}, {"sessionId": "../../lancedb"}, {"sessionId": ""}):
        stranger = socketio.AsyncClient(reconnection=False)
        with pytest.raises(socketio.exceptions.ConnectionError):
            await bob.connect(stranger, **auth)
    follower = Rater(bob.url)
    follower.http.cookies = bob.http.cookies
    await follower.connect(follower.socket, threadId=ann.thread)
    await follower.socket.emit("connection_successful")
    await follower.say("Whose thread is this?")
    await follower.until(lambda: follower.thread_id)
    assert follower.thread_id != ann.thread
    await follower.leave()


async def test_a_session_named_after_a_folder_deletes_nothing(chat: ScriptedChat) -> None:
    rater = Rater(chat.url)
    rater.session_id = "../../lancedb"
    with pytest.raises(socketio.exceptions.ConnectionError):
        await rater.come_in()
    await rater.http.aclose()
    assert list((chat.home / "lancedb").glob("*.lance"))
