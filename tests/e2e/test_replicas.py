"""Two chats on one home folder and one Postgres: what is asked in one is there in the other, and both follow.

An outage of Postgres stops no answer and loses none.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from driver import (
    Gate,
    ScriptedChat,
    ask,
    open_page,
    send,
    side,
    thumb,
    votes,
    wait_for_line,
    wait_until_done,
)
from fakes import NOON
from postgres import PASSWORD, Postgres
from rag.ingest.corpus import load_corpus
from rag.models.registry import Registry, Version
from rag.settings import Settings

pytestmark = pytest.mark.e2e
Replicas = tuple[ScriptedChat, ScriptedChat]
QUESTION, NEXT, LATER = "When do bees swarm?", "And what do slugs feed on?", "When are tomatoes planted out?"
AWAY = "The chat history cannot be reached at the moment: try again"


def go_to(page: Page, chat: ScriptedChat) -> None:
    """Open the page's thread at a chat; a browser sends its cookies to both, as they are of the host."""
    page.goto(f"{chat.url}{urlsplit(page.url).path}")


def rename(page: Page, name: str) -> None:
    """Give the only chat of the list another name, and close the window that asks for it."""
    page.locator("#header #sidebar-trigger-button").click()
    row = page.locator("li[id^=thread-]")
    row.hover()
    row.locator("#thread-options").click()
    page.get_by_role("menuitem", name="Rename").click()
    page.get_by_role("dialog").locator("input#name").fill(name)
    page.get_by_role("button", name="Confirm").click()
    page.keyboard.press("Escape")


def promote(chat: ScriptedChat, weights: Path) -> None:
    """Add a version that needs no new index, since the base arm has its weights, and promote it."""
    settings = Settings(home=chat.home, docs=(Path(chat.env["THUMBTUNE_DOCS"]),))
    registry, folders = Registry(settings.models), load_corpus(settings).folders_id
    shutil.copytree(weights, settings.models / "v9")
    registry.add(Version("v9", folders, "0", "builtin", "ratings", "promote", "VERDICT: promote v9", NOON))
    registry.promote(folders, "v9")


def is_pressed(page: Page) -> None:
    expect(thumb(page, "A", "good", 0)).to_have_attribute("aria-pressed", "true")


def test_a_chat_goes_on_in_another_replica_and_both_follow_a_promotion(
    replicas: Replicas, new_context: Callable[..., BrowserContext], tiny_model: Path
) -> None:
    one, other = replicas
    page = open_page(new_context(), one.url)
    ask(page, QUESTION)
    wait_until_done(page)
    answer = side(page, "A").locator(".tt-text").inner_text()
    go_to(page, other)
    wait_until_done(page)
    assert side(page, "A").locator(".tt-text").inner_text() == answer
    thumb(page, "A", "good").click()
    is_pressed(page)
    assert votes(one, QUESTION) == [1]
    go_to(page, one)  # which has the card in memory, as it was without the thumb
    is_pressed(page)
    send(page, NEXT)
    wait_until_done(page, cards=2)

    stranger = open_page(new_context(), f"{other.url}{urlsplit(page.url).path}")
    expect(stranger.locator("#chat-submit")).to_be_attached()
    stranger.wait_for_timeout(500)
    assert QUESTION not in stranger.content()

    promote(one, tiny_model)
    for chat in replicas:
        wait_for_line(chat, "Now serving: .*v9")
        assert PASSWORD not in chat.log.read_text()


@pytest.mark.page_errors("Service Unavailable")
def test_an_outage_of_postgres_in_the_middle_of_an_answer_loses_nothing(
    replicas: Replicas, postgres: Postgres, new_context: Callable[..., BrowserContext]
) -> None:
    one, other = replicas
    page = open_page(new_context(), one.url)
    ask(page, QUESTION)
    wait_until_done(page)
    gate = one.writer.reply = Gate("Frost ", "is over by then [1].")
    send(page, LATER)
    expect(side(page, "A")).to_contain_text("Frost")
    postgres.stop()
    try:
        gate.opened.set()
        wait_until_done(page, cards=2)
        expect(side(page, "A")).to_contain_text("Frost is over by then")
        expect(page.get_by_text("this card is saved as soon as it can be")).to_be_visible()
        thumb(page, "A", "good").click()
        expect(thumb(page, "A", "good")).to_have_attribute("aria-pressed", "true")
        assert votes(one, LATER) == [1]
        rename(page, "Frost")
        expect(page.get_by_text(f"Service Unavailable: {AWAY}")).to_be_visible()
        refused = page.request.delete(f"{one.url}/project/thread", data={"threadId": page.url.rpartition("/")[2]})
        assert (refused.status, refused.json()["detail"].startswith(AWAY)) == (HTTPStatus.SERVICE_UNAVAILABLE, True)
        reloaded = open_page(page.context, page.url)
        expect(reloaded.get_by_text(f"Couldn't resume chat: {AWAY}")).to_be_visible()
        expect(reloaded.get_by_text(AWAY)).to_have_count(1)
        for each in (page, reloaded):
            expect(each.get_by_text("Thread not found")).to_have_count(0)
        reloaded.close()
    finally:
        postgres.start()
    wait_for_line(one, "WARNING thumbtune: .*is back, and")
    go_to(page, other)
    wait_until_done(page, cards=2)
    expect(page.get_by_text(LATER, exact=True)).to_be_visible()
    expect(side(page, "A")).to_contain_text("Frost is over by then")
    expect(thumb(page, "A", "good")).to_have_attribute("aria-pressed", "true")
    lines = [line for line in one.log.read_text().splitlines() if "WARNING" in line]
    assert len(lines) == 2, lines
    assert "waits until it is back" in lines[0]
    assert PASSWORD not in one.log.read_text()
