"""The training panel in a real browser, with too few ratings, and what all places have in common.

A whole training is pressed in test_journey.py.
"""

from __future__ import annotations

import threading
import urllib.error
import urllib.request

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from driver import (
    PHONE,
    THREAD,
    ScriptedChat,
    ask,
    close_panel,
    leave,
    open_place,
    panel,
    place,
    send,
    wait_until_done,
)

pytestmark = pytest.mark.e2e
ASKED = "window.asked = []; addEventListener('message', ({ data }) => typeof data === 'string' && asked.push(data))"


def test_with_too_few_ratings_it_says_how_many_are_missing_and_starts_nothing(page: Page, chat: ScriptedChat) -> None:
    send(page, "/train")
    element = place(page, "Train")
    expect(element).to_contain_text("more until a training can start")
    meter = element.get_by_role("meter", name="Rated questions until training unlocks")
    expect(meter).to_have_attribute("aria-valuemax", "50")
    for name in ("Train", "Quick train", "Dry run"):
        expect(element.get_by_role("button", name=name, exact=True)).to_be_disabled()
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_a_training_in_a_terminal_is_seen_to_end_by_a_tab_that_is_open(page: Page, chat: ScriptedChat) -> None:
    element = open_place(page, "Train")
    refused = chat.run("train", "--seed", "7")
    assert refused.returncode == 2
    expect(element.get_by_role("alert")).to_contain_text("python -m train --seed 7 could not start")
    expect(element.get_by_role("alert")).to_contain_text("rated queries with a positive, need 50")
    page.reload()  # which keeps it open
    expect(element.get_by_role("alert")).to_contain_text("python -m train --seed 7 could not start")


def test_a_button_at_the_top_that_is_pressed_before_the_page_is_connected_is_not_lost(
    context: BrowserContext, chat: ScriptedChat
) -> None:
    page, held, pressed = context.new_page(), list[Route](), threading.Event()
    cookie = "**/set-session-cookie"  # what Chainlit waits for before it connects
    page.route(cookie, lambda route: route.continue_() if pressed.is_set() else held.append(route))
    page.goto(chat.url)
    page.locator(".tt-bar-row").get_by_text("Train", exact=True).click()
    expect(page.get_by_role("region", name="Training", exact=True)).to_have_count(0)
    pressed.set()
    for route in held:
        route.continue_()
    expect(page.get_by_role("region", name="Training", exact=True)).to_be_visible()


def test_a_place_is_in_no_chat_stays_open_while_one_begins_and_back_leaves_it(page: Page, chat: ScriptedChat) -> None:
    elements = page.get_by_role("region", name="Training", exact=True)
    for _ in range(2):
        expect(open_place(page, "Train")).to_contain_text("known correct passage")
    open_place(page, "Review")
    open_place(page, "Documents")
    send(page, "/train")
    place(page, "Train")
    expect(elements).to_have_count(1)
    expect(page.locator(".step")).to_have_count(0)
    expect(page).to_have_url(f"{chat.url}/#train")  # no chat has begun
    ask(page, "When does a training start?")
    wait_until_done(page)
    place(page, "Train")
    thread = THREAD.search(page.url)[1]  # type: ignore[index]
    leave(page)
    expect(page).to_have_url(f"{chat.url}/thread/{thread}")
    wait_until_done(page)
    page.evaluate("history.forward()")
    place(page, "Train")
    ask(page, "And when does it end?")
    wait_until_done(page, cards=2)
    expect(page.locator("[data-step-type=user_message]")).to_have_count(2)
    page.locator(".tt-card").last.focus()
    page.keyboard.press("Escape")
    expect(panel(page)).to_have_count(0)
    expect(page).to_have_url(f"{chat.url}/thread/{thread}")
    page.evaluate(
        "window.asked = []; addEventListener('message', e => typeof e.data === 'string' && asked.push(e.data))"
    )
    page.goto(f"{chat.url}/thread/{thread}#review")  # a link
    place(page, "Review")
    page.locator(".tt-bar-row").get_by_text("Train", exact=True).dblclick()
    place(page, "Train")
    assert page.evaluate("asked") == ["/review", "/train"]  # each once: twice shows two of them for a moment
    wait_until_done(page, cards=2)
    close_panel(page)
    expect(page).to_have_url(f"{chat.url}/thread/{thread}")


@pytest.mark.parametrize("path", ["v1/metrics.json", "v99/report.html", "..%2Fregistry.json"])
def test_of_the_runs_folder_only_reports_and_plots_are_there(path: str, page: Page, chat: ScriptedChat) -> None:
    answer = page.request.get(f"{chat.url}/runs/{path}")
    assert answer.status == 404
    assert "no such report" in answer.text()


def test_a_report_is_for_whom_the_chat_lets_in(chat: ScriptedChat) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{chat.url}/runs/v1/report.html", timeout=10)  # without the cookie of a visit
    assert refused.value.code == 401
