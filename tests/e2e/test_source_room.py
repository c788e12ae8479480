"""A passage beside the chat, in a real browser: opened by a citation, closed, opened again, beside everything else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from driver import RoomChat, ask, close_panel, open_passage, thumb, wait_until_done

pytestmark = pytest.mark.e2e


def press_a_thumb(page: Page) -> None:
    thumb(page, "A", "good").click()
    expect(thumb(page, "A", "good")).to_have_attribute("aria-pressed", "true")


def ask_the_next_question(page: Page) -> None:
    ask(page, "And what do slugs eat?")
    wait_until_done(page, cards=2)


def start_a_new_chat(page: Page) -> None:
    page.locator("#header #new-chat-button").click()
    expect(page.locator(".tt-card")).to_have_count(0)


def go_back(page: Page) -> None:
    page.go_back()
    page.go_forward()


def press(word: str, label: str) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        page.locator(".tt-bar-row").get_by_text(word, exact=True).click()
        expect(page.get_by_role("region", name=label, exact=True)).to_be_visible()

    return act


@pytest.mark.parametrize(
    "act",
    [
        close_panel,
        lambda page: open_passage(page, "B"),
        press_a_thumb,
        ask_the_next_question,
        start_a_new_chat,
        lambda page: page.reload(),
        go_back,
        lambda page: page.keyboard.press("Escape"),
        press("Review", "Review"),
        press("Train", "Training"),
        press("Documents", "Documents"),
        lambda page: ask(page, "/scoreboard"),
    ],
    ids=[
        "closed",
        "another",
        "thumb",
        "next question",
        "new chat",
        "reload",
        "back",
        "escape",
        "review",
        "train",
        "documents",
        "scoreboard",
    ],
)
def test_whatever_is_done_beside_an_open_passage_the_chat_goes_on(
    page: Page, room: RoomChat, act: Callable[[Page], None]
) -> None:
    ask(page, "When do bees swarm?")
    wait_until_done(page)
    open_passage(page, "A")
    act(page)
    expect(page.locator("#chat-input")).to_be_visible()
    ask(page, "What binds a saw?")
    expect(page.get_by_text("What binds a saw?").first).to_be_visible()
    assert page.get_by_text("Unexpected Application Error").count() == 0
