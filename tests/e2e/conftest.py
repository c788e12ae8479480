"""The whole product as a user meets it: the real `python -m chat` in a home of its own, and a real Chromium."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from _pytest._code.code import ExceptionRepr
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from driver import (
    BROWSERS,
    DESKTOP,
    FLAGS,
    PLANTED,
    PREPARED,
    TEAM,
    Chat,
    ScriptedChat,
    Writer,
    find_browser,
    open_page,
    running_chat,
    wait_for_line,
)
from fakes import endpoint
from page_log import PageLog, unexpected
from postgres import Postgres

PAGES = pytest.StashKey[list[PageLog]]()
LOG_CHARS = 8_000  # of a chat's log, printed with a failure
WAIT_MS = 30_000  # a training of another test may keep the second core busy
BEES = """# Keeping bees

## Swarming

A colony swarms when it runs out of room. Bees leave in late spring with the old queen, usually around noon.

## Winter

A colony needs fifteen kilograms of honey to survive the winter. <image src=x onerror="window.injected = true">

## Mites

Treat with oxalic acid in December, when there is no brood. More than one mite a day asks for a second treatment.
"""
GARDEN = """# The garden

## Tomatoes

Tomatoes need warm soil. Plant them out after the last frost, sixty centimetres apart.

## Compost

A heap heats up when it holds two parts of brown material to one part of green. Turn it every two weeks.

## Slugs

Slugs feed at night. Beer traps catch some, and nematodes keep beds clear for six weeks.
"""
SHED = """# The tool shed

## Saws

A saw that binds needs more set. Wipe resin off with turpentine and hang the blade up dry.

## Spades

Oil the handle of a spade with linseed in autumn, and file its edge to forty-five degrees.

## Ladders

Set a ladder one metre out for every four metres of height. Never stand on the top three rungs.

## Ropes

A sisal rope rots where it lies wet. Coil it clockwise and store it off the floor.

## Paint

Store paint upside down, so that its skin forms at the bottom. Frost ruins what is thinned with water.
"""


@pytest.fixture(scope="session")
def start_chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Chat]]:
    """Return a function that starts a chat with these settings; it runs until the last test is done."""
    with ExitStack() as running:
        yield lambda **settings: running.enter_context(running_chat(tmp_path_factory.mktemp("chat"), **settings))


@pytest.fixture(scope="module")  # not the session: while it is open an event loop runs, and no async test can
def chromium() -> Iterator[Browser]:
    """Return a real Chromium or Chrome. Without one the test is skipped; in CI it fails."""
    found = find_browser()
    if not found:
        missing = f"no browser found: install one of {', '.join(BROWSERS)}, or set CHROME to its path"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def scripted_chat(
    start_chat: Callable[..., Chat], tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ScriptedChat]:
    """Run a chat on three small documents. The arms have different models from the start, so they find differently."""
    writer = Writer()
    with endpoint(writer) as (url, _):
        chat = start_chat(**scripted(tmp_path_factory.mktemp("docs"), tiny_model, url))
        yield ScriptedChat(**vars(chat), writer=writer)


@pytest.fixture(scope="session")
def replicas(
    start_chat: Callable[..., Chat], tiny_model: Path, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ScriptedChat, ScriptedChat]]:
    """Run two chats on one home folder, with their history in one Postgres. The first start of both is at once."""
    writer, home = Writer(), tmp_path_factory.mktemp("home")
    with endpoint(writer) as (url, _):
        settings = scripted(tmp_path_factory.mktemp("docs"), tiny_model, url)
        shared = {"THUMBTUNE_HOME": str(home), "THUMBTUNE_HISTORY": postgres.new_database()}
        one, other = (start_chat(prepared=False, **settings, **shared) for _ in range(2))
        for chat in (one, other):
            wait_for_line(chat, PREPARED)
        yield ScriptedChat(**vars(one), writer=writer), ScriptedChat(**vars(other), writer=writer)


def scripted(docs: Path, tiny_model: Path, url: str) -> dict[str, str]:
    """Write three small documents, and return the settings of a chat on them with the LLM at an address."""
    (docs / "bees.md").write_text(BEES)
    (docs / "garden.md").write_text(GARDEN)
    (docs / "shed.md").write_text(SHED)  # more passages than both sides of a card show together
    return {
        "THUMBTUNE_DOCS": str(docs),
        "THUMBTUNE_BASE_MODEL": str(tiny_model),
        "OPENAI_BASE_URL": url,
        "THUMBTUNE_EXPLORE": "0",  # of so few passages both sides would show the same ones with it
        "THUMBTUNE_LLM": "openai:scripted",
        "THUMBTUNE_LLM_RETRIES": "0",
        "THUMBTUNE_DEVICE": "cpu",
        "THUMBTUNE_HOSTS": TEAM,
        **PLANTED,
    }


@pytest.fixture
def chat(scripted_chat: ScriptedChat) -> ScriptedChat:
    """Return the chat that all browser tests share, its LLM as at the start."""
    scripted_chat.writer.reply, scripted_chat.writer.rewritten = Writer().reply, ""
    return scripted_chat


def pytest_configure(config: pytest.Config) -> None:
    """Declare our mark."""
    config.addinivalue_line("markers", "page_errors(*patterns): errors that the test provokes in its pages, each seen")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In CI repeat a browser test once if it fails, and show both tries.

    Why: a press between two drawings of a page is lost once in some thousands on two busy cores. Elsewhere it fails at
    once, for whoever changes the page to see.
    """
    if os.environ.get("CI"):
        for item in items:
            if "e2e" in item.keywords:
                item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Report what the chats of a failed test did, and what its pages looked like."""
    report = yield
    if report.when == "call" and report.failed and isinstance(item, pytest.Function):
        chats = {used.url: used for used in item.funcargs.values() if isinstance(used, Chat)}
        told = [(f"log of {chat.url}", shorten(chat.told())[-LOG_CHARS:]) for chat in chats.values()]
        told += [("pages", log.summary()) for log in item.stash.get(PAGES, [])]
        for title, text in told:
            if isinstance(report.longrepr, ExceptionRepr):
                report.longrepr.addsection(title, text)
    return report


def shorten(log: str) -> str:
    """Return a log whose tracebacks show our frames and each error, without library frames and idle threads."""
    frame = r"^ *(?:\| *)*File "
    theirs = rf'{frame}"[^"]*/(?:site-packages|lib/python3[^/]*)/.*\n(?: +(?:\| *)*\S.*\n)*?(?={frame}|^\S|^$|\Z)'
    idle = r"^Thread .*:\n\n"
    return re.sub(idle, "", re.sub(theirs, "", log, flags=re.MULTILINE), flags=re.MULTILINE)


@pytest.fixture
def new_context(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Callable[..., BrowserContext]]:
    """Return a function that opens a browser profile of its own, where nobody has been before.

    An error of a script or of the console fails the test, unless it is one that the test provokes, and says so:
    `@pytest.mark.page_errors("a pattern")`.
    """
    opened = request.node.stash[PAGES] = list[PageLog]()
    expect.set_options(timeout=WAIT_MS)

    def new(**options: Any) -> BrowserContext:  # Playwright's own
        context = chromium.new_context(**{"viewport": DESKTOP, **options})
        context.set_default_timeout(WAIT_MS)
        opened.append(PageLog(context))
        return context

    yield new
    for log in opened:
        log.close()
    errors = [error for log in opened for error in log.errors]
    expected = [pattern for mark in request.node.iter_markers("page_errors") for pattern in mark.args]
    wrong = unexpected(errors, expected)
    assert not wrong, "errors in the page:\n" + "\n".join(wrong)
    absent = [pattern for pattern in expected if not any(re.search(pattern, error) for error in errors)]
    assert not absent, f"expected in the page, and never seen: {absent}"


@pytest.fixture
def context(new_context: Callable[..., BrowserContext]) -> BrowserContext:
    """Return a browser profile of its own, the size of a desktop."""
    return new_context()


@pytest.fixture
def page(context: BrowserContext, chat: ScriptedChat) -> Page:
    """Return its page, ready for a question."""
    return open_page(context, chat.url)
