"""The scoreboard in a real browser: charts drawn from here alone, on a phone, in the dark, and without a script."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from driver import PHONE, ScriptedChat, ask, send, wait_until_done

pytestmark = pytest.mark.e2e
DARK, LIGHT = "rgb(21, 24, 30)", "rgb(252, 251, 248)"  # --background of public/theme.json
MODELS = "Chance of each version to beat base"


def test_a_duel_that_was_decided_is_drawn_on_the_page_and_back_returns_to_its_chat(
    page: Page, context: BrowserContext, chat: ScriptedChat
) -> None:
    decide(page, "When is a colony ready to swarm?")
    address = page.url
    typed, pressed = (lambda: send(page, "/scoreboard")), page.locator(".tt-bar-row").get_by_text("Scoreboard").click
    by_link = page.get_by_role("link", name="Back to the chat").click
    for go, back in ((typed, page.go_back), (pressed, by_link)):
        go()
        expect(page.get_by_role("row", name="start weights")).to_be_visible()
        back()
        expect(page).to_have_url(address)
        wait_until_done(page)
    expect(page.locator("[data-step-type=user_message]")).to_have_count(1)
    board, hosts = context.new_page(), set[str]()
    board.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    board.goto(f"{chat.url}/scoreboard")
    charts = board.locator(".chart")
    expect(board.locator(".chart.drawn .main-svg:first-child")).to_have_count(charts.count())
    expect(board.get_by_role("img", name=MODELS)).to_contain_text("start weights · n=")
    expect(board.get_by_role("row", name="start weights")).to_be_visible()
    expect(board.locator("body")).not_to_contain_text("rater-")
    assert hosts == {chat.url.removeprefix("http://")}


def test_a_phone_in_the_dark_scrolls_down_only_and_the_chats_own_theme_wins(
    page: Page, new_context: Callable[..., BrowserContext], chat: ScriptedChat
) -> None:
    decide(page, "Where do bees go when they swarm?")
    context = new_context(viewport=PHONE, color_scheme="dark")
    page = context.new_page()
    page.goto(f"{chat.url}/scoreboard")
    expect(page.locator(".chart.drawn .main-svg").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    body = page.locator("body")
    expect(body).to_have_css("background-color", DARK)
    ink = page.locator(".chart .xtick text").first
    in_the_dark = ink.evaluate("node => getComputedStyle(node).fill")
    page.evaluate("localStorage.setItem('vite-ui-theme', 'light')")
    page.reload()
    expect(body).to_have_css("background-color", LIGHT)
    assert ink.evaluate("node => getComputedStyle(node).fill") != in_the_dark


@pytest.mark.page_errors(r"^console error: Failed to load resource: net::ERR_FAILED \(.*/plotly\.js")
def test_without_its_script_the_page_says_so_and_its_tables_stay(context: BrowserContext, chat: ScriptedChat) -> None:
    page = context.new_page()
    page.route("**/plotly.js*", lambda route: route.abort())
    page.goto(f"{chat.url}/scoreboard")
    expect(page.get_by_text("The charts cannot be drawn in this browser.").last).to_be_visible()
    expect(page.get_by_role("row", name="thumbs, same answer")).to_be_visible()
    expect(page.locator(".chart.drawn")).to_have_count(0)


def decide(page: Page, query: str) -> None:
    ask(page, query)
    wait_until_done(page)
    page.get_by_role("button", name="B is better").click()
    expect(page.get_by_role("button", name="B is better")).to_have_attribute("aria-pressed", "true")
