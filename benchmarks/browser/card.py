"""What the comparison card costs a browser and a rater: `python -m benchmarks.browser.card`, in `make bench`.

In one run, at the pace of an LLM: the comparison card against two plain Chainlit messages, by what the browser receives
and computes; then clicks and seconds from a complete answer to a stored rating; then what axe finds on the page.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, CDPSession, Page, expect, sync_playwright

from rag.settings import ROOT

sys.path.insert(0, str(ROOT / "tests" / "support"))  # what drives the product in its tests drives it here

from driver import (
    FLAGS,
    Chat,
    ask,
    find_browser,
    free_port,
    open_page,
    running_chat,
    thumb,
    wait_for_health,
    wait_until_done,
)
from fakes import endpoint, send_chunk, start_stream

TOKENS, PER_SECOND = 300, 50.0
RATINGS = 5
LONGEST_MS = 120_000
SERIOUS = ("serious", "critical")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one question cost a browser: seconds until complete, received bytes, seconds of its main thread."""

    seconds: float
    received: int
    busy: float


def main() -> None:
    """Measure, and print the tables."""
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright, endpoint(paced) as (url, _):
        folder = Path(temporary)
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        settings = {"OPENAI_BASE_URL": url, "THUMBTUNE_LLM": "openai:paced", "THUMBTUNE_DOCS": str(documents(folder))}
        with running_chat(folder, **settings) as chat, plain_chat(folder / "plain") as plain:
            card = cost(browser, chat.url, lambda page: wait_until_done(page))
            messages = cost(browser, plain, wait_for_plain)
            print_costs(card, messages)
            print_rating(browser, chat)
            print_findings(browser, chat)
        browser.close()


def paced(handler: BaseHTTPRequestHandler, body: dict[str, object]) -> None:
    """Reply at the pace of an LLM."""
    start_stream(handler)
    for number in range(TOKENS):
        send_chunk(handler, {"delta": {"role": "assistant", "content": f"word{number} "}, "finish_reason": None})
        time.sleep(1 / PER_SECOND)
    send_chunk(handler, {"delta": {"content": "[1]."}, "finish_reason": "stop"})
    handler.wfile.write(b"data: [DONE]\n\n")


def documents(folder: Path) -> Path:
    """Return a folder with a few sections to search."""
    path = folder / "docs"
    path.mkdir()
    sections = (f"## Section {number}\n\nWord {number} is written here, and nowhere else." for number in range(12))
    (path / "words.md").write_text("# Words\n\n" + "\n\n".join(sections))
    return path


@contextmanager
def plain_chat(folder: Path) -> Iterator[str]:
    """Run the plain chat, and yield its address."""
    folder.mkdir()
    port = free_port()
    env = {**os.environ, "TOKENS": str(TOKENS), "PER_SECOND": str(PER_SECOND), "CHAINLIT_APP_ROOT": str(folder)}
    script = str(ROOT / "benchmarks" / "browser" / "plain_chat.py")
    call = [sys.executable, "-m", "chainlit", "run", script, "--headless", "--port", str(port)]
    log = folder / "log.txt"
    with log.open("w") as output:
        process = subprocess.Popen(call, env=env, cwd=folder, stdout=output, stderr=subprocess.STDOUT, text=True)
    chat = Chat(f"http://localhost:{port}", folder, env, folder, process, log)
    try:
        wait_for_health(chat)
        yield chat.url
    finally:
        chat.stop()


def cost(browser: Browser, url: str, wait: Callable[[Page], None]) -> Cost:
    """Ask one question and return what it cost the browser."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(LONGEST_MS)
    expect.set_options(timeout=LONGEST_MS)
    page = context.new_page()
    received: list[int] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda data: received.append(len(data))))
    page.goto(url)
    expect(page.locator("#chat-input")).to_be_visible()
    page.wait_for_timeout(1000)  # the page itself is drawn
    session = context.new_cdp_session(page)
    before, received_before, started = busy(session), sum(received), time.perf_counter()
    ask(page, "Which word is written?")
    wait(page)
    spent = Cost(time.perf_counter() - started, sum(received) - received_before, busy(session) - before)
    context.close()
    return spent


def busy(session: CDPSession) -> float:
    """Return how many seconds the page's main thread has worked so far."""
    session.send("Performance.enable")
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(float(metric["value"]) for metric in metrics if metric["name"] == "TaskDuration")


def wait_for_plain(page: Page) -> None:
    """Return when both plain messages are complete."""
    expect(page.get_by_text(f"word{TOKENS - 1}")).to_have_count(2)


def print_costs(card: Cost, messages: Cost) -> None:
    """Print what the card costs compared with two messages, and the ratio."""
    print(f"{TOKENS} tokens per answer at {PER_SECOND:.0f} a second; two answers at once\n")
    print("| | card | two plain messages | ratio |\n|---|---|---|---|")
    for name, one, other, form in [
        ("seconds until complete", card.seconds, messages.seconds, ".1f"),
        ("main thread, seconds", card.busy, messages.busy, ".2f"),
        ("received per answer, kB", card.received / 2000, messages.received / 2000, ".0f"),
    ]:
        print(f"| {name} | {one:{form}} | {other:{form}} | {one / other:.2f} |")


def print_rating(browser: Browser, chat: Chat) -> None:
    """Print clicks and seconds from a complete card to a stored rating: the first of a card, which reveals it."""
    waits = []
    for number in range(RATINGS):
        page = open_page(browser.new_context(), chat.url)
        ask(page, f"Which word is written in section {number}?")
        wait_until_done(page)
        started = time.perf_counter()
        page.get_by_role("button", name="Same answer").click()
        expect(page.get_by_role("button", name="Same answer")).to_have_attribute("aria-pressed", "true")
        waits.append(time.perf_counter() - started)
        page.context.close()
    stored = sum(rating.kind == "preference" for rating in chat.store.feedback.ratings())
    assert stored == RATINGS
    print(f"\nrating: 1 click, {statistics.median(waits):.2f} s until stored, shown and revealed ({RATINGS} cards)")


def print_findings(browser: Browser, chat: Chat) -> None:
    """Print what axe says of the page with a rated card, light and dark."""
    for theme in ("light", "dark"):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.add_init_script(f"localStorage.setItem('vite-ui-theme', '{theme}')")
        page = open_page(context, chat.url)
        ask(page, "Which word is written?")
        wait_until_done(page)
        thumb(page, "A", "bad").click()
        expect(page.locator(".tt-model")).to_have_count(2)
        page.locator(".tt-open").first.click()
        found = Axe().run(page).response["violations"]
        serious = [each for each in found if each["impact"] in SERIOUS]
        print(f"\naxe, {theme}: {len(found)} findings, {len(serious)} serious or critical")
        for each in found:
            print(f"- {each['impact']}: {each['help']} ({len(each['nodes'])}x, {each['nodes'][0]['target'][0]})")
        context.close()


if __name__ == "__main__":
    main()
