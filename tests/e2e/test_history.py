"""A rater's chats in a real browser: found by a word of an answer, live again, deleted for good, and nobody else's."""

from __future__ import annotations

import sqlite3
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from contextlib import closing
from http import HTTPStatus
from json import dumps
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from driver import THREAD, ScriptedChat, ask, open_page, side, thumb, wait_until_done
from fakes import stream

pytestmark = pytest.mark.e2e
TOP = 300  # pixels: above it is the first third of a window


def ask_anew(page: Page, chat: ScriptedChat, question: str, answer: str) -> str:
    """Ask in a new chat, and return its address."""
    chat.writer.reply = stream(answer)
    page.goto(chat.url)
    ask(page, question)
    wait_until_done(page)
    return page.url


def listed(page: Page) -> Locator:
    """Return the chats in the list on the left, which is opened where it is closed."""
    expect(page.locator("#chat-input")).to_be_visible()
    sidebar = page.locator("[data-side=left][data-state]")
    if sidebar.get_attribute("data-state") == "collapsed":
        page.locator("#header #sidebar-trigger-button").click()
    expect(sidebar).to_have_attribute("data-state", "expanded")
    return page.locator("li[id^=thread-]")


def delete(page: Page, row: Locator) -> None:
    row.hover()
    row.locator("#thread-options").click()
    page.get_by_role("menuitem", name="Delete").click()
    expect(page.get_by_role("alertdialog")).to_contain_text("Questions and answers are deleted; your ratings are kept.")
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_role("alertdialog")).to_have_count(0)
    row.hover()
    row.locator("#thread-options").click()
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("button", name="Confirm").click()


def request(page: Page, chat: ScriptedChat, method: str, path: str, body: dict[str, object] | None = None) -> int:
    """Send a request with the cookies of a page, past the page, and return the status."""
    cookies = "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in page.context.cookies())
    headers = {"cookie": cookies, "content-type": "application/json"}
    call = urllib.request.Request(f"{chat.url}{path}", dumps(body or {}).encode(), headers, method=method)
    try:
        with urllib.request.urlopen(call) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_chat_is_found_by_a_word_of_an_answer_and_is_live_again(page: Page, chat: ScriptedChat) -> None:
    bees = ask_anew(page, chat, "When do they swarm?", "In LÄTE spring, around noon [1].")
    thumb(page, "A", "good").click()
    expect(page.locator(".tt-name")).to_have_count(2)
    ask_anew(page, chat, "What do slugs do?", "They feed at night [1].")
    expect(listed(page)).to_have_count(2)
    page.locator("#search-chats-button").click()
    page.get_by_placeholder("Search questions and answers…").fill("läte")
    found = page.get_by_role("dialog").get_by_role("option")
    expect(found).to_have_count(1)
    found.click()
    expect(page).to_have_url(bees)
    wait_until_done(page)
    expect(side(page, "A").locator(".tt-text")).to_contain_text("In LÄTE spring")
    expect(thumb(page, "A", "good")).to_have_attribute("aria-pressed", "true")
    expect(side(page, "B").locator(".tt-passage").first).to_be_visible()
    thumb(page, "B", "bad").click()
    expect(thumb(page, "B", "bad")).to_have_attribute("aria-pressed", "true")
    assert -1 in {rating.value for rating in chat.store.feedback.ratings()}


def test_a_deleted_chat_is_gone_in_every_tab_and_what_is_asked_next_is_kept(page: Page, chat: ScriptedChat) -> None:
    gone = ask_anew(page, chat, "When do they swarm?", "In late spring [1].")
    other = open_page(page.context, gone)
    wait_until_done(other)
    thumb(page, "A", "good").click()
    expect(thumb(other, "A", "good")).to_have_attribute("aria-pressed", "true")
    ratings = len(chat.store.feedback.ratings())
    delete(page, listed(page).first)
    for tab in (page, other):
        tab.evaluate("document.body.style.pointerEvents = 'none'")  # as a dialog does that closes quickly
        expect(tab.locator("body")).to_have_css("pointer-events", "auto")
        expect(tab).to_have_url(f"{chat.url}/")
        expect(side(tab, "A")).to_have_count(0)
        expect(listed(tab)).to_have_count(0)
    assert len(chat.store.feedback.ratings()) == ratings
    ask(other, "And when do they rest?")
    wait_until_done(other)
    page.goto(gone)
    expect(page.get_by_text("Couldn't resume chat: Thread not found.")).to_be_visible()
    expect(page).to_have_url(f"{chat.url}/")
    expect(listed(page)).to_have_text(["And when do they rest?"])
    ask(page, "What is kept?")
    wait_until_done(page)
    page.reload()
    wait_until_done(page)
    expect(page).not_to_have_url(gone)
    expect(listed(page)).to_have_text(["What is kept?", "And when do they rest?"])
    assert request(page, chat, "GET", gone.replace(chat.url, "/project")) == HTTPStatus.NOT_FOUND


def test_what_rag_forget_deletes_is_gone_from_open_tabs_without_a_restart(
    page: Page, chat: ScriptedChat, tmp_path: Path
) -> None:
    thread_id = ask_anew(page, chat, "When do they swarm?", "In late spring [1].").rpartition("/")[2]
    thumb(page, "A", "good").click()
    expect(thumb(page, "A", "good")).to_have_attribute("aria-pressed", "true")
    with closing(sqlite3.connect(chat.home / "chat.db")) as threads:
        (rater,) = threads.execute('SELECT "userIdentifier" FROM threads WHERE id = ?', (thread_id,)).fetchone()
    assert "also 1 chat with all questions, and 2 answers" in chat.run("rag", "forget", rater).stdout
    expect(page).to_have_url(f"{chat.url}/")
    expect(listed(page)).to_have_count(0)
    ask(page, "And when do they rest?")
    wait_until_done(page)
    chat.run("rag", "backup", str(tmp_path))
    refused = chat.run("rag", "restore", "--replace", str(tmp_path)).stderr
    assert f"a chat runs on it (process {chat.process.pid}): stop it first" in refused


def test_another_rater_sees_no_chat_of_mine_and_cannot_delete_or_rename_one(
    page: Page, chat: ScriptedChat, new_context: Callable[..., BrowserContext]
) -> None:
    mine = ask_anew(page, chat, "When do they swarm?", "In late spring [1].")
    thread_id = THREAD.search(mine)[1]  # type: ignore[index]
    stranger = new_context()
    theirs = open_page(stranger, chat.url)
    expect(listed(theirs)).to_have_count(0)
    expect(theirs.get_by_text("No chats found")).to_be_visible()
    theirs.locator("#search-chats-button").click()
    theirs.get_by_placeholder("Search questions and answers…").fill("swarm")
    expect(theirs.get_by_role("dialog").get_by_role("option")).to_have_count(0)
    expect(theirs.get_by_role("dialog").get_by_text("No chats found")).to_be_visible()
    for method, body in (("DELETE", {}), ("PUT", {"name": "Mine now"})):
        assert (
            request(theirs, chat, method, "/project/thread", {"threadId": thread_id, **body}) == HTTPStatus.UNAUTHORIZED
        )
    assert request(theirs, chat, "DELETE", "/project/thread", {"threadId": str(uuid.uuid4())}) == HTTPStatus.NOT_FOUND
    theirs.goto(mine)
    expect(theirs.get_by_text("When do they swarm?")).to_have_count(0)
    page.reload()
    wait_until_done(page)
    expect(listed(page).first).to_have_text("When do they swarm?")


def test_the_address_of_another_raters_chat_leads_to_a_new_one(
    page: Page, chat: ScriptedChat, new_context: Callable[..., BrowserContext]
) -> None:
    mine = ask_anew(page, chat, "Is this mine?", "Mine alone [1].")
    stranger = new_context()
    theirs = open_page(stranger, mine)
    expect(theirs).to_have_url(f"{chat.url}/")
    ask(theirs, "May I ask here?")
    wait_until_done(theirs)
    expect(theirs).to_have_url(THREAD)
    assert theirs.url != mine
    expect(theirs.get_by_text("Is this mine?")).to_have_count(0)


def test_back_and_forward_move_between_chats_and_each_lands_at_its_last_question(
    page: Page, chat: ScriptedChat
) -> None:
    first = ask_anew(page, chat, "When do they swarm?", "In late spring [1].")
    for number, follow_up in enumerate(("And when do they rest?", "What do slugs eat?"), start=2):
        ask(page, follow_up)
        wait_until_done(page, cards=number)
    questions = page.locator("[data-step-type=user_message]")
    page.locator("#header #new-chat-button").click()
    expect(questions).to_have_count(0)
    ask(page, "How is a saw set?")
    wait_until_done(page)
    expect(listed(page)).to_have_count(2)  # so Chainlit has given the page its address, too
    second = page.url
    for step, address, count in (("back", first, 3), ("forward", second, 1), ("back", first, 3)):
        page.evaluate(f"history.{step}()")
        expect(page).to_have_url(address)
        wait_until_done(page, cards=count)
        expect(questions).to_have_count(count)
    for _ in range(2):
        expect(questions.last).to_be_in_viewport()
        box = questions.last.bounding_box()
        assert box
        assert box["y"] < TOP
        page.reload()
        wait_until_done(page, cards=3)
    page.goto(chat.url)
    listed(page).last.locator("a").click()
    expect(page).to_have_url(first)
    wait_until_done(page, cards=3)
    page.evaluate("history.back()")  # to the empty chat, which a new one may begin in
    expect(page).to_have_url(f"{chat.url}/")
    expect(questions).to_have_count(0)
    ask(page, "Who oils a spade?")
    wait_until_done(page)
    expect(questions).to_have_count(1)


def test_the_page_asks_no_other_host_and_its_console_says_nothing_of_one(page: Page, chat: ScriptedChat) -> None:
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    ask_anew(page, chat, "When do they swarm?", "In late spring [1].")
    elsewhere = [url for url in asked if not url.startswith((chat.url, "data:", "blob:"))]
    assert asked
    assert (elsewhere, said) == ([], [])


def test_a_chat_is_saved_as_a_markdown_file(page: Page, chat: ScriptedChat) -> None:
    save = page.locator(".tt-bar-row .tt-save")
    expect(save).to_be_hidden()
    ask_anew(page, chat, "When do they swarm?", "In late spring [1].")
    for _ in range(2):
        with page.expect_download() as saved:
            save.click()
        assert saved.value.suggested_filename == "When-do-they-swarm.md"
    text = saved.value.path().read_text("utf-8")
    assert text.startswith("# When do they swarm?\n\n## When do they swarm?\n\n### Answer A\n\nIn late spring [1].")
    assert "> A colony swarms when it runs out of room." in text
    page.goto(chat.url)
    expect(save).to_be_hidden()
