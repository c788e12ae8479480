"""What drives the product in the end-to-end tests: a chat that runs, the LLM behind it, and a page that is used."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, WebSocket, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from fakes import Reply, completion, send_chunk, start_stream, stream
from rag.settings import ROOT
from rag.store.store import Store, open_store

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
PLANTED = {  # secrets of the chat that all browser tests share, which must be found nowhere (test_secrets.py)
    "OPENAI_API_KEY": "sk-planted-4f0c9a1be7d24406",
    "OAUTH_GITHUB_CLIENT_SECRET": "oauth-planted-85b1d0e39c7f",  # without an id no provider is configured
    "CHAINLIT_AUTH_SECRET": "auth-planted-2c64e8f01a93b75d",
}
TEAM = "team.test"  # a name that the chat may be asked for by, which a browser resolves to this machine
PLACES = {  # word in the bar -> name of the region
    "Review": "Review",
    "Train": "Training",
    "Documents": "Documents",
    "Ratings": "Your ratings",
}
THREAD = re.compile(r"/thread/([0-9a-f-]{36})(?:#\w+)?$")  # the address of a chat that has begun, with a place or not
# How the log's last line of a start begins.
PREPARED = r"bootstrap: |The first |\w+ is on trial: |No first training: |Not all documents "
# `python -m chat` that writes what its threads do into its log when it is asked to: a test may have waited in vain.
CHAT = """
import faulthandler, runpy, signal
faulthandler.register(signal.SIGUSR1)
runpy.run_module("chat", run_name="__main__", alter_sys=True)
"""
DUMP_SECONDS = 1
START_SECONDS = 1500  # the first start indexes and trains, at a low priority: minutes on two busy cores


@dataclass
class Chat:
    """A chat that runs: where, with which home, and the process behind it."""

    url: str
    home: Path
    env: dict[str, str]
    cwd: Path
    process: subprocess.Popen[str]
    log: Path

    @property
    def store(self) -> Store:
        return open_store(self.home / "lancedb")

    def told(self) -> str:
        """Return its log, ending in what each of its threads does now."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGUSR1)
            threading.Event().wait(DUMP_SECONDS)
        return self.log.read_text()

    def stop(self) -> None:
        """Stop it, and what it has started."""
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def run(self, *command: str, timeout: float = START_SECONDS) -> subprocess.CompletedProcess[str]:
        """Run `python -m ...` while the chat runs, with the same settings."""
        call = [sys.executable, "-m", *command]
        return subprocess.run(call, env=self.env, cwd=self.cwd, capture_output=True, text=True, timeout=timeout)


@contextmanager
def running_chat(folder: Path, *, prepared: bool = True, **settings: str) -> Iterator[Chat]:
    """Run a chat with these settings from a folder that is not the checkout, and wait until it serves.

    With `prepared` wait until it has also indexed everything, and trained its first model or said why not.
    """
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "THUMBTUNE_"))}
    own = {"THUMBTUNE_HOME": str(folder / "home"), "THUMBTUNE_PORT": str(port), "PYTHONPATH": str(ROOT)}
    env = {**kept, **own, **settings}
    log = folder / "log.txt"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", CHAT], env=env, cwd=folder, stdout=output, stderr=subprocess.STDOUT, text=True
        )
    chat = Chat(f"http://localhost:{port}", Path(env["THUMBTUNE_HOME"]), env, folder, process, log)
    try:
        wait_for_health(chat)
        if prepared:
            wait_for_line(chat, PREPARED)
        yield chat
    finally:
        chat.stop()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


def find_browser() -> str | None:
    """Return the path of a Chromium or Chrome, or None."""
    return os.environ.get("CHROME") or next(filter(None, map(shutil.which, BROWSERS)), None)


def wait_for_line(chat: Chat, pattern: str) -> None:
    """Return when a line of the chat's log begins with a pattern; fail with the log when that takes too long."""
    never = threading.Event()
    for _ in range(START_SECONDS * 4):
        if re.search(rf"^(?:{pattern})", chat.log.read_text(), re.MULTILINE):
            return
        never.wait(0.25)
    pytest.fail(f"the chat did not print {pattern!r}:\n{chat.log.read_text()[-4000:]}")


def wait_for_health(chat: Chat) -> None:
    """Return when the chat answers; fail with its log when it has ended or takes too long."""
    never = threading.Event()
    for _ in range(START_SECONDS * 4):
        if chat.process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{chat.url}/health", timeout=5) as answer:
                if json.load(answer) == {"status": "ok"}:
                    return
        except OSError:
            never.wait(0.25)
    pytest.fail(f"the chat did not start:\n{chat.log.read_text()[-4000:]}")


def in_turn(*replies: Reply) -> Reply:
    """Return a reply that is each of these in turn: both arms ask at the same time, and their answers differ."""
    numbers = itertools.count()
    return lambda handler, body: replies[next(numbers) % len(replies)](handler, body)


@dataclass
class Writer:
    """What the chat's LLM replies; a test sets it. Both arms ask it at the same time, for a stream.

    Asked for a whole reply it is to make a follow-up stand alone: `rewritten`, or the follow-up word for word.
    """

    reply: Reply = field(
        default_factory=lambda: in_turn(
            stream("Bees swarm ", "in spring [1]."), stream("Bees swarm ", "in spring [1], before noon.")
        )
    )
    rewritten: str = ""

    def __call__(self, handler: BaseHTTPRequestHandler, body: dict[str, object]) -> None:
        if body.get("stream"):
            self.reply(handler, body)
            return
        typed = re.findall(r"<follow-up-\w+>\n(.*)\n</follow-up", json.dumps(body).replace("\\n", "\n"))
        completion(self.rewritten or typed[-1])(handler, body)


class Gate:
    """A reply that streams its first tokens, those of the middle when it is half opened, and the rest when opened.

    Answers both arms.
    """

    def __init__(self, first: str, rest: str, middle: str = "") -> None:
        self.first, self.middle, self.rest = first, middle, rest
        self.half, self.opened = threading.Event(), threading.Event()

    def __call__(self, handler: BaseHTTPRequestHandler, body: dict[str, object]) -> None:
        start_stream(handler)
        send_chunk(handler, {"delta": {"role": "assistant", "content": self.first}, "finish_reason": None})
        try:
            if self.middle:
                self.half.wait(60)
                send_chunk(handler, {"delta": {"content": self.middle}, "finish_reason": None})
            self.opened.wait(60)
            send_chunk(handler, {"delta": {"content": self.rest}, "finish_reason": None})
            send_chunk(handler, {"delta": {}, "finish_reason": "stop"})
            handler.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            pass  # the chat has hung up, as it does when a question is stopped


def hang_up(handler: BaseHTTPRequestHandler, body: dict[str, object]) -> None:
    """Reply as an endpoint that is killed while it is asked."""
    handler.connection.shutdown(socket.SHUT_RDWR)


@dataclass
class ScriptedChat(Chat):
    """A chat whose LLM does what a test says."""

    writer: Writer = field(default_factory=Writer)


@dataclass
class Received:
    """Everything that a page got from the server: frames of its sockets, bodies of its requests that are data."""

    texts: list[str] = field(default_factory=list)

    def listen(self, page: Page) -> None:
        page.on("websocket", self._socket)
        page.on("response", self._response)

    def _socket(self, socket: WebSocket) -> None:
        socket.on("framereceived", lambda payload: self.texts.append(str(payload)))

    def _response(self, response: Any) -> None:
        kind = response.headers.get("content-type", "")
        if "json" in kind or "/socket.io" in response.url:
            self.texts.append(response.text())

    def find(self, pattern: str) -> list[str]:
        """Return what matches, with its surroundings."""
        whole = re.compile(f".{{0,60}}(?:{pattern}).{{0,60}}", re.IGNORECASE)
        return [match[0] for text in self.texts for match in whole.finditer(text)]


def open_page(context: BrowserContext, url: str) -> Page:
    page = context.new_page()
    page.goto(url)
    return page


SENT = "question => !(document.querySelector('#chat-input')?.textContent ?? '').includes(question)"
SENT_MS = 5_000


def ask(page: Page, question: str) -> None:
    """Type a question and send it; return when the page has the address of its thread.

    The address comes once the thread is stored, on its own way: a short answer can be there before it. With it Chainlit
    draws the page again, and what was typed by then is lost. On a busy machine Chainlit may be drawing the page while
    the button is pressed, and the question stays in its box: whoever sees that presses again.
    """
    send(page, question)
    expect(page).to_have_url(THREAD)


def send(page: Page, question: str) -> None:
    """Type a question or a command and send it."""
    box = page.locator("#chat-input")
    box.click()
    page.keyboard.insert_text(question)
    page.locator("#chat-submit").click()  # waits until the page is connected
    with suppress(PlaywrightTimeoutError):
        page.wait_for_function(SENT, arg=question, timeout=SENT_MS)
    if page.evaluate(f"question => !({SENT})(question)", question):
        page.locator("#chat-submit").click()


def side(page: Page, letter: str, nth: int = -1) -> Any:
    """Return the column of an answer, in the card that is nth from the top (the last one by default)."""
    return page.get_by_role("region", name=f"Answer {letter}").nth(nth)


def thumb(page: Page, letter: str, word: str, nth: int = -1) -> Any:
    """Return a thumb: word is good or bad."""
    return page.get_by_label(f"Answer {letter} is {word}", exact=True).nth(nth)


def wait_until_done(page: Page, cards: int = 1) -> None:
    """Return when this many cards have both answers complete."""
    for letter in "AB":
        expect(page.get_by_label(f"Answer {letter} is good", exact=True)).to_have_count(cards)


def panel(page: Page) -> Locator:
    """Return the side panel of the chat, with a passage in its document."""
    return page.locator("#side-view-content")


def open_place(page: Page, word: str) -> Locator:
    """Press a word of the bar at the top; return the place, once it is open."""
    page.locator(".tt-bar-row").get_by_text(word, exact=True).click()
    return place(page, word)


def place(page: Page, word: str) -> Locator:
    """Return the place of this name, once it is open."""
    element = panel(page).get_by_role("region", name=PLACES[word], exact=True)
    expect(element).to_be_visible()
    return element


def leave(page: Page) -> None:
    """Leave what is open in the panel by the browser's Back."""
    page.evaluate("history.back()")
    expect(panel(page)).to_have_count(0)


def open_passage(page: Page, letter: str, nth: int = -1) -> None:
    """Open the first citation of an answer; return when the panel shows that passage, whatever it showed before."""
    with page.expect_response(lambda answer: '"name":"passage"' in (answer.request.post_data or "")):
        side(page, letter, nth).locator(".tt-text a").first.click()
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    expect(panel(page).locator(".tt-source mark")).to_be_in_viewport()


def close_panel(page: Page) -> None:
    """Close the panel by its own button."""
    page.locator("#side-view-title").get_by_role("button").click()
    expect(panel(page)).to_have_count(0)


def votes(chat: ScriptedChat, query: str) -> list[int]:
    """Return the stored ratings of a query's answers, withdrawn ones as 0."""
    ids = {answer.id for answer in chat.store.feedback.answers() if answer.query == query}
    return [rating.value for rating in chat.store.feedback.ratings() if rating.target_id in ids]
