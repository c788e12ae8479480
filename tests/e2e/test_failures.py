"""What fails or is stopped while answers stream, in a real browser: connection, endpoint, retriever, storing a vote."""

from __future__ import annotations

import json
import threading
import uuid

import pytest
from playwright.sync_api import BrowserContext, Page, Route, WebSocketRoute, expect

from driver import Gate, ScriptedChat, ask, hang_up, in_turn, side, thumb, votes, wait_until_done
from fakes import Endless, refuse, stream

pytestmark = pytest.mark.e2e
QUESTION = "When do bees swarm?"


def test_an_answer_that_ends_while_the_connection_is_lost_is_there_when_it_is_back(
    context: BrowserContext, chat: ScriptedChat
) -> None:
    gate = chat.writer.reply = Gate("Before the loss", " and after it [1].")
    lost, back = threading.Event(), threading.Event()
    sockets: list[WebSocketRoute] = []

    def connect(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        if lost.is_set() and not back.is_set():
            socket.close()
        else:
            socket.connect_to_server()

    page = context.new_page()
    page.route_web_socket("**/ws/socket.io/**", connect)
    page.goto(chat.url)
    ask(page, QUESTION)
    expect(side(page, "A")).to_contain_text("Before the loss")
    lost.set()
    sockets[-1].close()
    gate.opened.set()
    while sum(answer.query == QUESTION and "after it" in answer.text for answer in chat.store.feedback.answers()) < 2:
        page.wait_for_timeout(100)  # the answers end without the page
    assert "and after it" not in side(page, "A").inner_text()
    back.set()
    wait_until_done(page)
    expect(side(page, "A")).to_contain_text("Before the loss and after it")


def test_a_second_question_while_one_is_answered_is_refused_in_words(
    context: BrowserContext, chat: ScriptedChat
) -> None:
    gate = chat.writer.reply = Gate("Patience", " pays [1].")
    sent: list[str] = []
    replies: list[str] = []
    servers: list[WebSocketRoute] = []

    def connect(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        servers.append(server)
        socket.on_message(lambda text: (sent.append(str(text)), server.send(text)))
        server.on_message(lambda text: (replies.append(str(text)), socket.send(text)))

    page = context.new_page()
    page.route_web_socket("**/ws/socket.io/**", connect)
    page.goto(chat.url)
    ask(page, QUESTION)
    expect(side(page, "A")).to_contain_text("Patience")
    (first,) = [text for text in sent if "client_message" in text]  # the page itself keeps its button shut meanwhile
    message = json.loads(first.removeprefix("42"))
    message[1]["message"].update(id=str(uuid.uuid4()), output="And wasps?")
    servers[-1].send("42" + json.dumps(message))
    while not any("One question at a time" in text for text in replies):
        page.wait_for_timeout(100)
    gate.opened.set()
    wait_until_done(page)


def test_stop_keeps_what_was_streamed_and_the_next_question_is_answered(page: Page, chat: ScriptedChat) -> None:
    chat.writer.reply = Gate("Only the beginning", " never comes.")
    ask(page, QUESTION)
    expect(side(page, "A")).to_contain_text("Only the beginning")
    page.locator("#stop-button").click()
    for letter in "AB":
        expect(side(page, letter)).to_have_attribute("data-state", "stopped")
        expect(side(page, letter)).to_contain_text("Only the beginning")
        expect(side(page, letter).get_by_role("alert")).to_contain_text("Stopped")
    expect(page.get_by_label("is good")).to_have_count(0)
    chat.writer.reply = stream("All of it [1].")
    ask(page, QUESTION)
    wait_until_done(page)


def test_an_endpoint_that_dies_is_shown_in_both_columns_and_the_page_still_works(
    page: Page, chat: ScriptedChat
) -> None:
    chat.writer.reply = hang_up
    ask(page, QUESTION)
    for letter in "AB":
        expect(side(page, letter).get_by_role("alert")).to_contain_text("cannot be reached")
        expect(side(page, letter).locator(".tt-passage")).to_have_count(5)
    chat.writer.reply = stream("Here again [1].")
    ask(page, QUESTION)
    wait_until_done(page)


def test_answers_that_were_cut_off_say_so_and_cannot_be_rated(page: Page, chat: ScriptedChat) -> None:
    replies = iter([stream("Bees swarm [1]. And then", finish="length"), Endless("and on ")])
    chat.writer.reply = lambda handler, body: next(replies)(handler, body)
    ask(page, "What does a reply without an end do?")
    for words in ("cut off after 1,024 tokens", "cut off where the model began to repeat itself"):
        expect(page.locator(".tt-side").get_by_role("alert").filter(has_text=words)).to_have_count(1)
    expect(page.get_by_label("is good")).to_have_count(0)

    def stored() -> list[str]:
        answers = chat.store.feedback.answers()
        return [answer.text for answer in answers if answer.query == "What does a reply without an end do?"]

    assert stored() == []
    chat.writer.reply = in_turn(
        stream("And then ", "they rest [1], ", finish="length"), stream("they rest [1], ", "and sleep [1].")
    )
    for words in ("And then they rest", "and sleep"):  # what goes on may be cut again
        page.get_by_role("button", name="Continue").click()
        expect(page.locator(".tt-side:not([data-state=streaming])").filter(has_text=words)).to_have_count(1)
    expect(page.get_by_label("is good")).to_have_count(1)
    expect(page.get_by_role("button", name="Continue")).to_have_count(0)
    assert stored() == ["Bees swarm [1]. And then they rest [1], and sleep [1]."]


def test_one_retriever_that_fails_leaves_the_other_answer_whole_and_rateable(page: Page, chat: ScriptedChat) -> None:
    replies = iter([refuse(401), stream("Bees swarm in spring [1].")])
    chat.writer.reply = lambda handler, body: next(replies)(handler, body)
    ask(page, QUESTION)
    failed = page.locator(".tt-side[data-state=failed]")
    done = page.locator(".tt-side[data-state=done]")
    expect(failed.get_by_role("alert")).to_contain_text("refused the key")
    expect(done).to_contain_text("Bees swarm in spring")
    assert "sk-secret" not in page.content()
    done.get_by_role("button", name="is good").click()
    expect(page.locator(".tt-model")).to_have_count(1)
    assert sorted(page.locator(".tt-name").all_inner_texts()) == ["base", "tuned"]


def test_an_answer_can_be_rated_while_the_other_is_still_being_written(page: Page, chat: ScriptedChat) -> None:
    gate = Gate("Still at it", " done [1].")
    replies = iter([stream("Bees swarm in spring [1]."), gate])
    chat.writer.reply = lambda handler, body: next(replies)(handler, body)
    ask(page, "What is written while another answer is rated?")  # marks on another test's question are shown, too
    page.locator(".tt-side[data-state=done]").get_by_role("button", name="is good").click()
    expect(page.locator("[aria-pressed=true]")).to_have_count(1)
    expect(page.locator(".tt-score")).to_have_count(5)
    gate.opened.set()
    wait_until_done(page)
    expect(page.locator(".tt-score")).to_have_count(10)
    expect(page.locator(".tt-model")).to_have_count(2)


def test_a_vote_that_cannot_be_stored_says_so_and_is_stored_on_retry(page: Page, chat: ScriptedChat) -> None:
    ask(page, "Where does the queen go?")
    wait_until_done(page)
    tables, away = chat.home / "lancedb", chat.home / "lancedb-away"
    tables.rename(away)
    tables.write_text("a file where the folder should be")
    try:
        thumb(page, "A", "good").click()
        expect(page.locator(".tt-card").get_by_role("alert")).to_contain_text("Not saved")
        expect(thumb(page, "A", "good")).to_have_attribute("aria-pressed", "false")
        expect(page.locator(".tt-model")).to_have_count(0)
    finally:
        tables.unlink()
        away.rename(tables)
    page.get_by_role("button", name="Retry").click()
    expect(thumb(page, "A", "good")).to_have_attribute("aria-pressed", "true")
    assert votes(chat, "Where does the queen go?") == [1]


def test_a_vote_that_takes_long_to_store_is_not_said_to_be_saved(page: Page, chat: ScriptedChat) -> None:
    ask(page, "Who keeps the hive warm?")
    wait_until_done(page)
    thumb(page, "B", "good").click()
    status = page.get_by_role("status").filter(has_text="Undo")
    expect(status).to_contain_text("Saved.")
    waiting: list[Route] = []
    page.route("**/project/action", lambda route: waiting.append(route))
    thumb(page, "A", "good").click()
    expect(status).to_contain_text("Saving…")
    expect(status).not_to_contain_text("Saved.")
    waiting[0].continue_()
    page.unroute("**/project/action")
    expect(status).to_contain_text("Saved.")
    assert votes(chat, "Who keeps the hive warm?") == [1, 1]


def test_a_question_of_100000_characters_gets_one_line(page: Page) -> None:
    ask(page, "why " * 25_000)
    expect(page.get_by_text("The question has 99,999 characters, the limit is 4,000: shorten it.")).to_be_visible()
    assert page.locator(".tt-card").count() == 0
    ask(page, QUESTION)
    wait_until_done(page)
