"""Try the how-to page's blocks for nginx and Caddy: two chats on one home folder and one Postgres behind each of them.

`python -m benchmarks.load.proxies [nginx] [caddy]`: needs Debian's `postgresql`, `nginx-light` and `caddy`, and a
Chromium. People sign in by password at one chat; then that chat is killed, and they go on in the other one, by the
same page and the same cookie. The blocks are read from docs/how-to/several-chats.md; only ports and names are changed.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from chat.passwords import make_line
from rag.settings import ROOT

sys.path.insert(0, str(ROOT / "tests" / "support"))  # what drives the product in its tests drives it here

from driver import (
    FLAGS,
    Chat,
    ask,
    find_browser,
    free_port,
    running_chat,
    send,
    side,
    thumb,
    wait_until_done,
)
from postgres import running_postgres
from tiny import build_tiny_model

PAGE = ROOT / "docs" / "how-to" / "several-chats.md"
WAIT_MS = 60_000
RESUMED_MS = 3_000
RATERS = 6  # enough that both chats get some of them
NAME, PASSWORD = "anna", "correct horse"
DOCUMENT = "# The garden\n\nSlugs feed at night. Beer traps catch some.\n\n## Compost\n\nTurn it every two weeks.\n"
QUESTION, NEXT = "When do slugs feed?", "How often is compost turned?"
NGINX = """
daemon off;
error_log stderr warn;
pid {folder}/nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{block}
}}
"""


def block(heading: str) -> str:
    """Return the block of a section of the page."""
    section = PAGE.read_text("utf-8").partition(f"## {heading}\n\n")[2]
    return section.partition("\n\n")[0]


def configured(text: str, ports: tuple[int, int], port: int) -> str:
    """Return a block with these ports in place of the page's."""
    text = text.replace("127.0.0.1:8001", f"127.0.0.1:{ports[0]}").replace("127.0.0.1:8002", f"127.0.0.1:{ports[1]}")
    return text.replace("listen 80;", f"listen 127.0.0.1:{port};").replace(
        "server_name chat.example.org", "server_name _"
    )


@contextmanager
def proxy(name: str, folder: Path, ports: tuple[int, int]) -> Iterator[str]:
    """Run a proxy in front of two ports; yield its address."""
    port = free_port()
    if name == "nginx":
        file = folder / "nginx.conf"
        file.write_text(NGINX.format(folder=folder, block=configured(block("Sticky sessions with nginx"), ports, port)))
        call = ["/usr/sbin/nginx", "-c", str(file)]
    else:
        file = folder / "Caddyfile"
        site = textwrap.dedent(configured(block("Sticky sessions with Caddy"), ports, port))
        site = site.replace("chat.example.org", f"http://localhost:{port}")  # without a certificate
        file.write_text("{\n    admin off\n    auto_https off\n}\n" + site + "\n")
        call = ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"]
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(call, stdout=log, stderr=log, env={**os.environ, "HOME": str(folder)})
    try:
        time.sleep(1.0)
        if process.poll() is not None:
            sys.exit(f"{name} did not start: {(folder / f'{name}.log').read_text()}")
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        process.wait(10)


def sign_in(context: BrowserContext, url: str) -> Page:
    """Sign in through the proxy and open the page."""
    page = context.new_page()
    page.goto(url)  # the proxy sets its cookie
    answer = context.request.post(f"{url}/login", form={"username": NAME, "password": PASSWORD})
    if not answer.ok:
        sys.exit(f"signing in failed: {answer.status} {answer.text()[:300]}")
    page.goto(url)
    return page


def sessions(chat: Chat) -> int:
    """Return how many websockets a chat has."""
    port = int(chat.url.rpartition(":")[2])
    found = psutil.Process(chat.process.pid).net_connections("tcp")
    return sum(each.laddr.port == port and each.status == psutil.CONN_ESTABLISHED for each in found)


def try_out(name: str, url: str, chats: list[Chat], new: ExitStack, browser: object) -> tuple[list[int], float]:
    """Ask in several browsers, kill the chat of the first one, go on; return the spread and the seconds of the gap."""
    pages = []
    for _ in range(RATERS):
        context = browser.new_context()  # type: ignore[attr-defined]
        new.callback(context.close)
        context.set_default_timeout(WAIT_MS)
        before = [sessions(chat) for chat in chats]
        page = sign_in(context, url)
        ask(page, QUESTION)
        wait_until_done(page)
        grown = [sessions(chat) - was for chat, was in zip(chats, before, strict=True)]
        pages.append((page, grown.index(max(grown))))
    page, served = pages[0]
    answer = side(page, "A").locator(".tt-text").inner_text()
    chats[served].process.send_signal(signal.SIGKILL)
    began = time.perf_counter()
    had = sessions(chats[1 - served])
    while sessions(chats[1 - served]) <= had and time.perf_counter() - began < WAIT_MS / 1000:
        page.wait_for_timeout(50)
    gap = time.perf_counter() - began  # by then the page has connected to the other chat by itself
    page.wait_for_timeout(RESUMED_MS)  # what is sent before it has its thread again may have to be sent once more
    send(page, NEXT)
    wait_until_done(page, cards=2)
    page.reload()
    wait_until_done(page, cards=2)
    if side(page, "A", 0).locator(".tt-text").inner_text() != answer:
        sys.exit(f"{name}: another answer after the reload")
    thumb(page, "A", "good", 0).click()
    expect(thumb(page, "A", "good", 0)).to_have_attribute("aria-pressed", "true")
    page.reload()
    expect(thumb(page, "A", "good", 0)).to_have_attribute("aria-pressed", "true")
    ratings = chats[1 - served].store.feedback.ratings()
    if [(each.rater, each.value) for each in ratings][-1] != (NAME, 1):
        sys.exit(f"{name}: the rating is not {NAME}'s: {ratings}")
    return [sum(at == nth for _, at in pages) for nth in range(len(chats))], gap


def main() -> None:
    """Print a row for each proxy."""
    names = sys.argv[1:] or ["nginx", "caddy"]
    print("| proxy | sessions on each chat | killed one: page at the other after, s | signed in, thread, rating |")
    print("|---|---|---|---|")
    expect.set_options(timeout=WAIT_MS)
    for name in names:
        with ExitStack() as running:
            folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
            server = running.enter_context(running_postgres())
            settings = prepare(folder) | {"THUMBTUNE_HISTORY": server.new_database()}
            chats = []
            for part in ("one", "other"):
                (folder / part).mkdir()
                chats.append(running.enter_context(running_chat(folder / part, prepared=not chats, **settings)))
            one, other = (int(re.findall(r"\d+$", chat.url)[0]) for chat in chats)
            url = running.enter_context(proxy(name, folder, (one, other)))
            playwright = running.enter_context(sync_playwright())
            browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
            spread, gap = try_out(name, url, chats, running, browser)
            print(f"| {name} | {spread[0]} and {spread[1]} | {gap:.1f} | yes |", flush=True)


def prepare(folder: Path) -> dict[str, str]:
    """Write a document, a tiny model and a password file, and return the settings of both chats."""
    (folder / "docs").mkdir()
    (folder / "docs" / "garden.md").write_text(DOCUMENT)
    (folder / "model").mkdir()
    build_tiny_model(folder / "model", seed=0)
    (folder / "passwords.txt").write_text(make_line(NAME, PASSWORD) + "\n")
    return {
        "THUMBTUNE_HOME": str(folder / "home"),
        "THUMBTUNE_DOCS": str(folder / "docs"),
        "THUMBTUNE_BASE_MODEL": str(folder / "model"),
        "THUMBTUNE_START_MODEL": str(folder / "model"),
        "THUMBTUNE_DEVICE": "cpu",
        "THUMBTUNE_PASSWORDS": str(folder / "passwords.txt"),
    }


if __name__ == "__main__":
    main()
