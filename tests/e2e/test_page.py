"""The chat page in a real browser: hostile text, other hosts, forged requests, footer and dark mode."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, Literal

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from driver import ScriptedChat, ask, open_page, side, thumb, votes, wait_until_done
from fakes import endpoint, stream

pytestmark = pytest.mark.e2e
QUESTION = "When do bees swarm?"


def test_no_text_of_an_answer_is_lost_and_none_of_it_runs(page: Page, chat: ScriptedChat) -> None:
    hostile = (
        "key:value, at 10:30, std::vector, :smile: and a list<int> [7].\n\n"
        '<img src=x onerror="window.injected = true"> [click](javascript:window.injected=true)\n\n'
        "::note\n\n`a:b` [1]\n"
    )
    chat.writer.reply = stream(hostile)
    ask(page, 'Keeping bees, Winter: <img src=x onerror="window.injected = true">')  # so that it is found
    wait_until_done(page)
    shown = side(page, "A").locator(".tt-text").inner_text()
    for text in ("key:value, at 10:30, std::vector, :smile: and a list<int> [7].", "<img src=x", "::note", "a:b"):
        assert text in shown
    for passage in side(page, "A").locator(".tt-open").all():
        passage.click()
    expect(side(page, "A").locator(".tt-fulltext", has_text="onerror")).to_be_visible()
    assert page.evaluate("window.injected") is None


def test_a_picture_from_elsewhere_is_not_fetched(page: Page, chat: ScriptedChat) -> None:
    asked: list[str] = []
    page.on("requestfinished", lambda request: asked.append(request.url))
    with endpoint(stream()) as (elsewhere, _):
        chat.writer.reply = stream(f"Look: ![x]({elsewhere}/pixel.png?q=secret) [1].")
        ask(page, QUESTION)
        wait_until_done(page)
        expect(side(page, "A").locator("img")).to_have_count(0)
        expect(side(page, "A").get_by_role("link", name="x", exact=True)).to_be_visible()
    assert not [url for url in asked if not url.startswith(chat.url)]


def test_the_page_needs_no_other_host(context: BrowserContext, chat: ScriptedChat) -> None:
    finished: list[str] = []
    page = context.new_page()
    page.on("requestfinished", lambda request: finished.append(request.url))
    page.goto(chat.url)
    ask(page, QUESTION)
    wait_until_done(page)
    assert finished
    assert not [url for url in finished if not url.startswith((chat.url, "data:", "blob:"))]


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("PUT", "/project/element", {}),
        ("DELETE", "/project/element", {}),
        ("PUT", "/feedback", {}),
        ("POST", "/auth/header", {"Sec-Fetch-Site": "cross-site"}),
        ("GET", "/project/settings", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}),
    ],
)
def test_what_only_our_page_or_server_may_do_is_refused(
    chat: ScriptedChat, method: str, path: str, headers: dict[str, str]
) -> None:
    sent = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(chat.url + path, b"{}", sent, method=method)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 403


def test_a_vote_on_a_strangers_answer_is_refused_in_words(
    page: Page, chat: ScriptedChat, new_context: Callable[..., BrowserContext]
) -> None:
    ask(page, "Is it the queen that leaves?")
    wait_until_done(page)
    (answer, *_) = [a for a in chat.store.feedback.answers() if a.query == "Is it the queen that leaves?"]
    stranger = new_context()
    theirs = open_page(stranger, chat.url)
    ask(theirs, QUESTION)
    wait_until_done(theirs)
    with theirs.expect_request("**/project/action") as sent:
        thumb(theirs, "A", "good").click()
    session = json.loads(str(sent.value.post_data))["sessionId"]
    for payload, reason in [
        ({"answer": answer.id, "value": 1}, "is not in this chat"),
        ({"answer": answer.id, "value": 7}, "value is 7, which is not valid"),
        ({"answer": None, "value": True}, "answer is None, which is not valid"),
        ({}, "answer is missing"),
    ]:
        assert reason in post_vote(theirs, session, payload)
    assert votes(chat, "Is it the queen that leaves?") == []


def test_the_footer_names_who_writes_the_answers(page: Page) -> None:
    ask(page, QUESTION)
    expect(page.get_by_text("Answers: openai:scripted")).to_be_visible()


def test_dark_is_dark_and_light_is_light(page: Page) -> None:
    ask(page, QUESTION)
    wait_until_done(page)
    assert brightness(page, "background-color") > 0.9 > 0.3 > brightness(page, "color")
    page.locator("#theme-toggle").click()
    page.get_by_text("Dark Theme").click()
    expect(page.locator("html")).to_have_class("dark")
    assert brightness(page, "background-color") < 0.2 < 0.7 < brightness(page, "color")


def post_vote(page: Page, session: str, payload: dict[str, Any]) -> str:
    """Send a vote as a page could that is not ours, and return the error it gets."""
    body = {"sessionId": session, "action": {"id": "x", "name": "vote", "payload": payload, "label": "", "tooltip": ""}}
    return page.evaluate(
        "body => fetch('/project/action', {method: 'POST', body: JSON.stringify(body),"
        " headers: {'Content-Type': 'application/json'}}).then(r => r.json()).then(r => r.response.error)",
        body,
    )


def brightness(page: Page, style: str) -> float:
    """Return how bright a colour of the card is, from 0 to 1."""
    colour = page.locator(".tt-side").first.evaluate(f"node => getComputedStyle(node).getPropertyValue('{style}')")
    red, green, blue = (float(part) / 255 for part in colour.strip("rgba()").split(",")[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("system", ["dark", "light"])
def test_the_first_page_is_as_dark_as_the_system(
    new_context: Callable[..., BrowserContext], chat: ScriptedChat, system: Literal["dark", "light"]
) -> None:
    context = new_context(color_scheme=system)
    page = open_page(context, chat.url)
    expect(page.locator("#chat-input")).to_be_visible()
    expect(page.locator("html")).to_have_class(system)
