"""Pages of other origins in a real browser: none reads a document, acts for the rater, or gets in by another name."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from driver import FLAGS, TEAM, ScriptedChat, ask, find_browser, open_page, wait_until_done

pytestmark = pytest.mark.e2e
SOCKET_REFUSED = r"^console error: WebSocket connection to .*Unexpected response code: 403"
REQUEST_REFUSED = r"^console error: Failed to load resource: the server responded with a status of 403"
QUESTION = "When do bees swarm?"
LOOT = "Bees leave in late spring"  # stands in a document
REFUSED, MISDIRECTED = 403, 421

# Speaks Socket.IO by hand, as a hostile page would; returns every frame that the server sent.
SPEAK = """async ([url, auth, message, loot]) => new Promise(done => {
  const frames = []
  const socket = new WebSocket(url)
  const send = (event, ...data) => socket.send("42" + JSON.stringify([event, ...data]))
  socket.onerror = socket.onclose = () => done(frames)
  socket.onmessage = ({data}) => {
    frames.push(String(data))
    if (data === "2") socket.send("3")
    if (data[0] === "0") socket.send("40" + JSON.stringify(auth))
    if (data.startsWith("40")) { send("connection_successful"); send("client_message", message) }
    if (data.startsWith("44") || data.includes(loot)) { done(frames); socket.close() }
  }
})"""
# "no-cors" needs no permission of the server: its answer cannot be read, but the request is made.
FETCH = """async ([url, method, body]) => {
  const headers = body ? {"Content-Type": "text/plain"} : {}
  await fetch(url, {method, body, headers, mode: "no-cors", credentials: "include"})
}"""
READ = "async url => { const answer = await fetch(url); return [answer.status, await answer.text()] }"


@pytest.fixture(scope="module")
def stranger_port() -> Iterator[int]:
    """Serve an empty page on a port of its own: another program on the rater's machine, or in the same network."""

    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<h1>stranger</h1>")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(scope="module")
def names(chromium: Browser) -> Iterator[Browser]:
    """Return a browser in which every name that ends in .test is this machine, as after DNS rebinding."""
    mapped = chromium.browser_type.launch(
        executable_path=find_browser(), args=[*FLAGS, "--host-resolver-rules=MAP *.test 127.0.0.1"]
    )
    yield mapped
    mapped.close()


@pytest.mark.page_errors(SOCKET_REFUSED)
def test_a_page_of_another_origin_reads_no_document_through_the_websocket(
    context: BrowserContext, chat: ScriptedChat, stranger_port: int
) -> None:
    for ours in ("localhost", "127.0.0.1"):
        open_page(context, at(chat, ours))
        for theirs in ("localhost", "127.0.0.1"):
            page = open_page(context, f"http://{theirs}:{stranger_port}/")
            assert speak(page, at(chat, ours)) == [], f"a page of {theirs} to {ours}"


@pytest.mark.page_errors(REQUEST_REFUSED)
def test_a_page_of_another_origin_gets_nothing_else(
    context: BrowserContext, chat: ScriptedChat, stranger_port: int
) -> None:
    open_page(context, chat.url)
    page = open_page(context, f"http://localhost:{stranger_port}/")
    assert statuses(page, chat.url) == {"action": REFUSED, "scoreboard": REFUSED, "polling": REFUSED}


def test_in_a_network_without_tls_where_browsers_send_no_fetch_metadata_it_is_the_same(
    names: Browser, chat: ScriptedChat, stranger_port: int
) -> None:
    context = names.new_context()
    ours = open_page(context, at(chat, TEAM))
    ask(ours, QUESTION)  # the page itself works under a name of THUMBTUNE_HOSTS
    wait_until_done(ours)
    page = open_page(context, f"http://{TEAM}:{stranger_port}/")
    found = statuses(page, at(chat, TEAM))
    assert (found["action"], found["polling"]) == (REFUSED, REFUSED)
    assert speak(page, at(chat, TEAM)) == []
    context.close()


def test_a_name_that_was_rebound_to_this_machine_is_not_served(names: Browser, chat: ScriptedChat) -> None:
    context = names.new_context()
    page = context.new_page()
    opened = page.goto(at(chat, "evil.test"))
    assert opened
    assert opened.status == MISDIRECTED
    assert "set THUMBTUNE_HOSTS=evil.test" in opened.json()["detail"]
    for path in ("/scoreboard", "/user", "/health", "/project/settings"):
        status, text = page.evaluate(READ, path)
        assert (status, "rater" in text) == (MISDIRECTED, False), path
    assert context.cookies() == []
    assert speak(page, at(chat, "evil.test")) == []
    context.close()


def test_our_own_page_is_served_under_every_name_of_this_machine(context: BrowserContext, chat: ScriptedChat) -> None:
    for name in ("localhost", "127.0.0.1"):
        page = open_page(context, at(chat, name))
        ask(page, QUESTION)
        wait_until_done(page)
        assert any(LOOT in frame for frame in speak(page, at(chat, name))), name  # so the attack would have worked


def at(chat: ScriptedChat, name: str) -> str:
    """Return the address of the chat under another name of this machine."""
    return chat.url.replace("localhost", name)


def speak(page: Page, url: str) -> list[str]:
    """Ask a question from a page's script through the chat's websocket; return what came back."""
    auth = {"clientType": "webapp", "sessionId": str(uuid.uuid4()), "threadId": "", "userEnv": "{}", "chatProfile": ""}
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    message = {"id": str(uuid.uuid4()), "threadId": "", "name": "User", "type": "user_message", "output": QUESTION}
    sent = {"message": {**message, "createdAt": now}, "fileReferences": []}
    socket = url.replace("http:", "ws:") + "/ws/socket.io/?EIO=4&transport=websocket"
    frames: list[str] = page.evaluate(SPEAK, [socket, auth, sent, LOOT])
    return frames


def statuses(page: Page, url: str) -> dict[str, int]:
    """Return what the chat answers to a page's requests; the page itself cannot see it."""
    asked: dict[str, tuple[Any, ...]] = {
        "action": ("/project/action", "POST", '{"sessionId": "x", "action": {"name": "documents", "payload": {}}}'),
        "scoreboard": ("/scoreboard", "GET", None),
        "polling": ("/ws/socket.io/?EIO=4&transport=polling&sid=x", "POST", "40"),
    }
    found = {}
    for name, (path, *rest) in asked.items():
        with page.expect_response(url + path) as answer:
            page.evaluate(FETCH, [url + path, *rest])
        found[name] = answer.value.status
    return found
