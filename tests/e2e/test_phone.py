"""A phone in a real browser: two pages of answers, buttons for fingers, the menu, and a reload."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, expect

from driver import PHONE, ScriptedChat, ask, leave, open_page, side, thumb, wait_until_done
from fakes import stream

pytestmark = pytest.mark.e2e
QUESTION = "When do bees swarm?"
SMALLEST_TARGET = 44  # pixels: a finger


def test_a_phone_needs_no_sideways_scrolling(new_context: Callable[..., BrowserContext], chat: ScriptedChat) -> None:
    phone = new_context(viewport=PHONE, has_touch=True)
    chat.writer.reply = stream(
        "Donaudampfschifffahrtsgesellschaft" * 4,
        " [1]\n\n```\n",
        " ".join(f"x{n} = {n};" for n in range(30)),
        "\n```\n",
    )
    page = open_page(phone, chat.url)
    ask(page, QUESTION)
    wait_until_done(page)
    thumb(page, "A", "good").click()
    expect(page.locator(".tt-model")).to_have_count(2)
    side(page, "A").locator(".tt-open").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    outside = (
        "side => [side, ...side.querySelectorAll('.tt-passage, .tt-thumb')].map(e => e.getBoundingClientRect())"
        ".filter(box => box.left < -0.5 || box.right > innerWidth + 0.5).length"
    )
    assert side(page, "A").evaluate(outside) == 0
    assert side(page, "B").evaluate(outside) > 0  # the next page, a swipe away
    page.locator(".tt-tab").filter(has_text="B").last.click()
    expect(side(page, "B")).to_be_in_viewport(ratio=0.2)
    page.wait_for_function(f"side => !({outside})(side)", arg=side(page, "B").element_handle())


def test_a_finger_finds_every_button(new_context: Callable[..., BrowserContext], chat: ScriptedChat) -> None:
    phone = new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    page = open_page(phone, chat.url)
    ask(page, "Can a finger rate?")
    wait_until_done(page)
    thumb(page, "A", "bad").tap()
    expect(page.get_by_role("group", name="Why is answer A bad?")).to_be_visible()
    small = page.evaluate(
        "least => [...document.querySelectorAll("
        "'.tt-card :is(button, input), [aria-label=Teach] :is(button, input), .tt-bar summary')].filter(e => {"
        " const box = e.getBoundingClientRect(); return box.width && box.height < least }).map(e => e.className)",
        SMALLEST_TARGET,
    )
    assert small == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_the_menu_of_a_phone_closes_and_opens_again_and_a_question_is_asked_beside(
    new_context: Callable[..., BrowserContext], chat: ScriptedChat
) -> None:
    page = open_page(new_context(viewport=PHONE, has_touch=True, is_mobile=True), chat.url)
    ask(page, "Is there a menu?")
    wait_until_done(page)
    menu = page.locator(".tt-bar details[open]")
    for close in (lambda: page.keyboard.press("Escape"), lambda: page.locator("#chat-input").tap()):
        page.locator(".tt-bar summary").tap()
        expect(menu).to_be_visible()
        close()
        expect(menu).to_have_count(0)
    for word, name in (("Documents", "Documents"), ("Train", "Training"), ("Review", "Review")):
        page.locator(".tt-bar summary").tap()
        menu.get_by_text(word, exact=True).tap()
        expect(page.get_by_role("region", name=name, exact=True)).to_be_visible()
        expect(menu).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        expect(page.get_by_role("dialog", name=name)).to_have_css("width", f"{PHONE['width']}px")
        leave(page)
    ask(page, "And beside it?")
    wait_until_done(page, cards=2)


def test_a_reload_on_a_phone_shows_the_same_thread(
    new_context: Callable[..., BrowserContext], chat: ScriptedChat
) -> None:
    phone = new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    page = open_page(phone, chat.url)
    ask(page, "Does a phone remember?")
    wait_until_done(page)
    expect(page.get_by_role("button", name="Tie", exact=True)).to_be_hidden()  # one answer was not on the screen yet
    expect(side(page, "B").locator(".tt-head")).not_to_be_in_viewport()
    page.get_by_role("button", name="See answer B").tap()
    expect(side(page, "B").locator(".tt-head")).to_be_in_viewport()
    page.get_by_role("button", name="Answer A", exact=True).tap()
    expect(side(page, "B").locator(".tt-head")).not_to_be_in_viewport()
    page.get_by_role("button", name="Tie", exact=True).tap()
    expect(page.get_by_role("button", name="Tie", exact=True)).to_have_attribute("aria-pressed", "true")
    page.reload()
    wait_until_done(page)
    expect(page.get_by_role("button", name="Tie", exact=True)).to_have_attribute("aria-pressed", "true")
