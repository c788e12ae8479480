"""A passage in the side panel, in a real browser: opened by a citation, closed, opened again, with everything else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from driver import (
    PHONE,
    Gate,
    ScriptedChat,
    ask,
    close_panel,
    open_page,
    open_passage,
    open_place,
    panel,
    place,
    send,
    side,
    thumb,
    wait_until_done,
)

pytestmark = pytest.mark.e2e
QUESTION = "When do bees swarm?"


def press_a_thumb(page: Page) -> None:
    thumb(page, "A", "good").click()
    expect(thumb(page, "A", "good")).to_have_attribute("aria-pressed", "true")


def ask_the_next_question(page: Page) -> None:
    ask(page, "And what do slugs eat?")
    wait_until_done(page, cards=2)


def start_a_new_chat(page: Page) -> None:
    page.locator("#header #new-chat-button").click()
    expect(page.locator(".tt-card")).to_have_count(0)


def reload(page: Page) -> None:
    page.reload()
    wait_until_done(page)


def go_back(page: Page) -> None:
    page.wait_for_url("**/thread/*")  # else the page gives itself this address while it is left
    address = page.url
    page.go_back()
    page.evaluate("history.forward()")  # Playwright's own names an entry, which the page may just have replaced
    page.wait_for_url(address)
    wait_until_done(page)


def go_to_the_scoreboard(page: Page) -> None:
    address = page.url
    send(page, "/scoreboard")
    page.wait_for_url("**/scoreboard")
    page.go_back()
    page.wait_for_url(address)
    wait_until_done(page)


WHILE_OPEN: dict[str, Callable[[Page], object]] = {
    "the panel closed": close_panel,
    "the panel closed by Escape": lambda page: page.keyboard.press("Escape"),
    "another passage opened": lambda page: open_passage(page, "B"),
    "a thumb pressed": press_a_thumb,
    "the next question asked": ask_the_next_question,
    "a new chat started": start_a_new_chat,
    "the page reloaded": reload,
    "back and forth": go_back,
    "Review opened": lambda page: open_place(page, "Review"),
    "Train opened": lambda page: open_place(page, "Train"),
    "Documents opened": lambda page: open_place(page, "Documents"),
    "the scoreboard opened": go_to_the_scoreboard,
}


@pytest.mark.parametrize("act", WHILE_OPEN.values(), ids=WHILE_OPEN)
def test_whatever_is_done_beside_an_open_passage_the_chat_goes_on(
    page: Page, chat: ScriptedChat, act: Callable[[Page], object]
) -> None:
    ask(page, QUESTION)
    wait_until_done(page)
    open_passage(page, "A")
    act(page)
    cards = page.get_by_label("Answer A is good", exact=True).count()
    ask(page, "What binds a saw?")
    wait_until_done(page, cards + 1)
    open_passage(page, "A")
    close_panel(page)
    press_a_thumb(page)


def test_a_passage_stays_open_while_its_answer_is_rated_and_the_next_one_is_written(
    page: Page, chat: ScriptedChat
) -> None:
    ask(page, QUESTION)
    wait_until_done(page)
    open_passage(page, "A")
    press_a_thumb(page)
    expect(page.locator(".tt-model")).to_have_count(2)
    expect(panel(page)).to_be_visible()
    gate = chat.writer.reply = Gate("Slugs eat ", "leaves [1].")
    ask(page, "What do slugs eat?")
    expect(side(page, "A")).to_contain_text("Slugs eat")
    expect(panel(page)).to_be_visible()
    close_panel(page)
    open_passage(page, "B", nth=0)
    gate.opened.set()
    wait_until_done(page, cards=2)
    expect(panel(page)).to_be_visible()
    close_panel(page)
    press_a_thumb(page)
    expect(panel(page)).to_have_count(0)  # what was closed stays closed


def test_a_passage_that_opens_leaves_both_answers_where_they_can_be_seen(page: Page, chat: ScriptedChat) -> None:
    ask(page, QUESTION)
    wait_until_done(page)
    for _ in range(2):
        open_passage(page, "B")
        page.wait_for_function(
            "getComputedStyle(document.querySelector('aside').parentElement).transform.endsWith('0)')"
        )
        lefts = [side(page, letter).bounding_box()["x"] for letter in "AB"]
        right = side(page, "B").bounding_box()["x"] + side(page, "B").bounding_box()["width"]
        assert 0 < lefts[0] < lefts[1] < right < panel(page).bounding_box()["x"]
        assert "Keeping bees" in page.locator("#side-view-title").inner_text()
        page.get_by_role("button", name="Close", exact=True).click()
        expect(panel(page)).to_have_count(0)


def test_the_name_and_the_close_button_stay_while_the_panel_scrolls(page: Page, chat: ScriptedChat) -> None:
    page.set_viewport_size({"width": 1280, "height": 420})
    ask(page, QUESTION)
    wait_until_done(page)
    open_passage(page, "B")
    scrolled = panel(page).evaluate(
        "box => { box.parentElement.scrollTop = 10_000; return box.parentElement.scrollTop }"
    )
    assert scrolled > 50
    above, head = page.locator("aside").bounding_box(), page.locator("#side-view-title").bounding_box()
    assert above is not None
    assert head is not None
    assert head["y"] >= above["y"]
    page.get_by_role("button", name="Close", exact=True).click(timeout=5_000)
    expect(panel(page)).to_have_count(0)


def test_escape_closes_the_panel_but_not_from_a_text_field(page: Page, chat: ScriptedChat) -> None:
    ask(page, QUESTION)
    wait_until_done(page)
    open_passage(page, "A")
    page.locator("#chat-input").click()
    page.keyboard.press("Escape")
    expect(panel(page)).to_be_visible()
    page.locator(".tt-card").focus()
    page.keyboard.press("Escape")
    expect(panel(page)).to_have_count(0)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_on_a_phone_a_passage_is_a_dialog_that_closes_and_opens_again(
    new_context: Callable[..., BrowserContext], chat: ScriptedChat, theme: str
) -> None:
    phone = new_context(viewport=PHONE, has_touch=True, is_mobile=True, color_scheme=theme)
    page = open_page(phone, chat.url)
    ask(page, QUESTION)
    wait_until_done(page)
    dialog = page.get_by_role("dialog", name="Keeping bees")
    for close in (lambda: dialog.get_by_role("button", name="Close").tap(), lambda: page.keyboard.press("Escape")):
        side(page, "A").locator(".tt-text a").first.tap()
        expect(dialog.locator("mark")).to_be_in_viewport()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        close()
        expect(dialog).to_have_count(0)
    ask_the_next_question(page)
    press_a_thumb(page)


CHANGING = """() => {
  const node = document.createElement('i');
  setInterval(() => (node.isConnected ? node.remove() : document.body.append(node)), 1);
}"""


@pytest.mark.parametrize("closed", [False, True], ids=["over it", "after it was closed"])
def test_a_place_opens_where_a_passage_was_and_stays(page: Page, chat: ScriptedChat, closed: bool) -> None:
    ask(page, QUESTION)
    wait_until_done(page)
    page.evaluate(CHANGING)  # as a slow page does: the old passage was taken for one opened over the place
    for word in ("Review", "Train", "Ratings", "Documents"):
        open_passage(page, "A")
        if closed:
            page.keyboard.press("Escape")
            expect(panel(page)).to_have_count(0)
        open_place(page, word)
        page.wait_for_timeout(500)
        place(page, word)  # still there
