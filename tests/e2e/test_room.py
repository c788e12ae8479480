"""The chat page in a real browser: streaming, blindness, votes, reload, Stop, errors, hostile text, phone and dark."""

from __future__ import annotations

import json
import re
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from typing import Any, Literal

import pytest
from playwright.sync_api import BrowserContext, Page, WebSocketRoute, expect

from driver import PHONE, Gate, Received, RoomChat, ask, hang_up, open_page, side, thumb, wait_until_done
from fakes import Endless, endpoint, refuse, stream

pytestmark = pytest.mark.e2e
QUESTION = "When do bees swarm?"


def test_both_answers_stream_at_the_same_time_and_cite_their_passages(page: Page, room: RoomChat) -> None:
    gate = room.writer.reply = Gate("Bees swarm ", "in late spring [1].")
    ask(page, QUESTION)
    for letter in "AB":
        expect(side(page, letter)).to_contain_text("Bees swarm")
        expect(side(page, letter)).to_have_attribute("aria-busy", "true")
    expect(page.get_by_label("is good")).to_have_count(0)
    gate.opened.set()
    wait_until_done(page)
    for letter in "AB":
        expect(side(page, letter).locator(".tt-text")).to_contain_text("Bees swarm in late spring 1.")
        expect(side(page, letter).locator(".tt-passage[data-cited=true]")).to_have_count(1)
        expect(side(page, letter).locator(".tt-passage[data-cited=false]")).to_have_count(4)


def test_a_passage_opens_as_the_plain_text_it_is(page: Page, room: RoomChat) -> None:
    ask(page, QUESTION)
    wait_until_done(page)
    side(page, "A").locator(".tt-passage[data-rank='1'] .tt-open").click()
    shown = side(page, "A").locator(".tt-passage[data-rank='1'] .tt-fulltext")
    expect(shown).to_be_visible()
    stored = {hit.chunk.text for answer in room.store.feedback.answers() for hit in answer.hits if hit.rank == 1}
    assert shown.evaluate("node => node.textContent") in stored


def test_nothing_tells_the_retrievers_apart_before_the_first_rating(context: BrowserContext, room: RoomChat) -> None:
    received = Received()
    page = context.new_page()
    received.listen(page)
    page.goto(room.url)
    ask(page, QUESTION)
    wait_until_done(page)
    page.reload()
    wait_until_done(page)
    telling = r"\b(base|tuned|builtin|tiny-model\d*|start weights)\b|score|first_token|total_s|cosine"
    assert received.find(telling) == []
    assert received.find("Bees swarm")  # so it was listening
    fraction = r"(?<![\w.:])0\.\d+"  # a cosine at any precision, not the seconds of a time such as 22:40:20.63
    assert received.find(fraction) == []
    thumb(page, "A", "good").click()
    expect(page.locator(".tt-name")).to_have_count(2)
    expect(page.locator(".tt-score").first).to_be_visible()
    assert sorted(page.locator(".tt-name").all_inner_texts()) == ["base", "tuned"]
    assert len(page.locator(".tt-score").all_inner_texts()) == 10
    assert len(received.find(fraction)) > 0  # so it would have been seen before


def test_the_first_rating_shows_what_the_retrievers_found_differently(page: Page, room: RoomChat) -> None:
    ask(page, "How much honey does a colony need?")
    wait_until_done(page)
    expect(page.get_by_text("Rate one answer to see which model found it.")).to_be_visible()
    thumb(page, "B", "bad").click()
    expect(page.locator(".tt-outcome[data-unveiled=true]")).to_contain_text(re.compile(r"\bboth\b", re.IGNORECASE))
    models = {side(page, letter).locator(".tt-name").inner_text(): letter for letter in "AB"}
    expect(side(page, models["tuned"]).locator(".tt-model")).to_have_text("start weights")
    expect(side(page, models["tuned"]).locator(".tt-times")).to_contain_text("answered in")
    alone = page.locator(".tt-alone").all_inner_texts()
    assert alone.count("only found by base") == alone.count("only found by tuned") > 0


def test_the_sides_of_a_card_are_those_that_are_stored(page: Page, room: RoomChat) -> None:
    ask(page, "Which acid helps against mites?")
    wait_until_done(page)
    thumb(page, "A", "good").click()
    expect(page.locator(".tt-model").first).to_be_visible()
    duel = [answer for answer in room.store.feedback.answers() if answer.query == "Which acid helps against mites?"]
    shown = {letter: side(page, letter).locator(".tt-name").inner_text() for letter in "AB"}
    assert {answer.side: answer.arm for answer in duel} == shown


def test_a_vote_can_be_changed_and_withdrawn_and_leaves_one_row(page: Page, room: RoomChat) -> None:
    ask(page, "How far apart do tomatoes stand?")
    wait_until_done(page)
    good, bad = thumb(page, "A", "good"), thumb(page, "A", "bad")
    good.click()
    expect(good).to_have_attribute("aria-pressed", "true")
    assert votes(room, "How far apart do tomatoes stand?") == [1]
    bad.click()
    expect(bad).to_have_attribute("aria-pressed", "true")
    expect(good).to_have_attribute("aria-pressed", "false")
    assert votes(room, "How far apart do tomatoes stand?") == [-1]
    bad.click()
    expect(bad).to_have_attribute("aria-pressed", "false")
    assert votes(room, "How far apart do tomatoes stand?") == [0]


def test_a_double_click_is_one_vote(page: Page, room: RoomChat) -> None:
    ask(page, "What do slugs do at night?")
    wait_until_done(page)
    thumb(page, "B", "good").dblclick()
    expect(thumb(page, "B", "good")).to_have_attribute("aria-pressed", "true")
    assert votes(room, "What do slugs do at night?") == [1]


def test_only_the_vote_before_the_reveal_is_blind(page: Page, room: RoomChat) -> None:
    ask(page, "When is compost turned?")
    wait_until_done(page)
    thumb(page, "A", "good").click()
    expect(thumb(page, "A", "good")).to_have_attribute("aria-pressed", "true")
    thumb(page, "B", "bad").click()
    expect(thumb(page, "B", "bad")).to_have_attribute("aria-pressed", "true")
    ids = {answer.id for answer in room.store.feedback.answers() if answer.query == "When is compost turned?"}
    blind = {rating.value: rating.blind for rating in room.store.feedback.ratings() if rating.target_id in ids}
    assert blind == {1: True, -1: False}


def test_a_reload_brings_cards_and_votes_back_and_voting_goes_on(page: Page, room: RoomChat) -> None:
    for count, question in enumerate((QUESTION, "What catches slugs?"), start=1):
        ask(page, question)
        wait_until_done(page, cards=count)
    thumb(page, "A", "good", nth=0).click()
    expect(thumb(page, "A", "good", nth=0)).to_have_attribute("aria-pressed", "true")
    page.reload()
    wait_until_done(page, cards=2)
    expect(thumb(page, "A", "good", nth=0)).to_have_attribute("aria-pressed", "true")
    expect(thumb(page, "A", "good", nth=1)).to_have_attribute("aria-pressed", "false")
    expect(page.locator(".tt-model")).to_have_count(2)
    thumb(page, "B", "bad", nth=1).click()
    expect(thumb(page, "B", "bad", nth=1)).to_have_attribute("aria-pressed", "true")
    assert votes(room, "What catches slugs?")[-1] == -1


def test_a_vote_shows_in_every_tab_of_its_thread(page: Page, context: BrowserContext) -> None:
    ask(page, QUESTION)
    wait_until_done(page)
    other = open_page(context, page.url)
    wait_until_done(other)
    thumb(page, "A", "good").click()
    expect(thumb(other, "A", "good")).to_have_attribute("aria-pressed", "true")
    expect(other.locator(".tt-model")).to_have_count(2)


def test_two_tabs_stream_two_questions_at_once(page: Page, context: BrowserContext, room: RoomChat) -> None:
    gate = room.writer.reply = Gate("Beginning", " and end [1].")
    other = open_page(context, room.url)
    ask(page, QUESTION)
    ask(other, "What do slugs fear?")
    for tab in (page, other):
        expect(side(tab, "A")).to_contain_text("Beginning")
    gate.opened.set()
    for tab in (page, other):
        wait_until_done(tab)
    assert page.url != other.url


def test_a_page_that_is_reloaded_in_mid_answer_goes_on_streaming(page: Page, room: RoomChat) -> None:
    gate = room.writer.reply = Gate("Half of it", " and the rest [1].")
    ask(page, QUESTION)
    expect(side(page, "B")).to_contain_text("Half of it")
    page.reload()
    expect(side(page, "B")).to_contain_text("Half of it")
    gate.opened.set()
    wait_until_done(page)
    expect(side(page, "B")).to_contain_text("Half of it and the rest")


def test_a_page_that_is_reloaded_in_mid_answer_can_stop_it(page: Page, room: RoomChat) -> None:
    room.writer.reply = Gate("Half of it", " never comes.")
    ask(page, QUESTION)
    expect(side(page, "B")).to_contain_text("Half of it")
    page.reload()
    expect(side(page, "B")).to_contain_text("Half of it")
    page.locator("#stop-button").click()
    for letter in "AB":
        expect(side(page, letter)).to_have_attribute("data-state", "stopped")
    room.writer.reply = stream("All of it [1].")
    side(page, "A").get_by_role("button", name="Ask again").click()
    wait_until_done(page)


def test_an_answer_that_ends_while_the_connection_is_lost_is_there_when_it_is_back(
    context: BrowserContext, room: RoomChat
) -> None:
    gate = room.writer.reply = Gate("Before the loss", " and after it [1].")
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
    page.goto(room.url)
    ask(page, QUESTION)
    expect(side(page, "A")).to_contain_text("Before the loss")
    lost.set()
    sockets[-1].close()
    gate.opened.set()
    while sum(answer.query == QUESTION and "after it" in answer.text for answer in room.store.feedback.answers()) < 2:
        page.wait_for_timeout(100)  # the answers end without the page
    assert "and after it" not in side(page, "A").inner_text()
    back.set()
    wait_until_done(page)
    expect(side(page, "A")).to_contain_text("Before the loss and after it")


def test_a_second_question_while_one_is_answered_is_refused_in_words(context: BrowserContext, room: RoomChat) -> None:
    gate = room.writer.reply = Gate("Patience", " pays [1].")
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
    page.goto(room.url)
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


def test_stop_keeps_what_was_streamed_and_the_next_question_is_answered(page: Page, room: RoomChat) -> None:
    room.writer.reply = Gate("Only the beginning", " never comes.")
    ask(page, QUESTION)
    expect(side(page, "A")).to_contain_text("Only the beginning")
    page.locator("#stop-button").click()
    for letter in "AB":
        expect(side(page, letter)).to_have_attribute("data-state", "stopped")
        expect(side(page, letter)).to_contain_text("Only the beginning")
        expect(side(page, letter).get_by_role("alert")).to_contain_text("Stopped")
    expect(page.get_by_label("is good")).to_have_count(0)
    room.writer.reply = stream("All of it [1].")
    ask(page, QUESTION)
    wait_until_done(page)


def test_an_endpoint_that_dies_is_told_in_both_columns_and_the_page_lives_on(page: Page, room: RoomChat) -> None:
    room.writer.reply = hang_up
    ask(page, QUESTION)
    for letter in "AB":
        expect(side(page, letter).get_by_role("alert")).to_contain_text("cannot be reached")
        expect(side(page, letter).locator(".tt-passage")).to_have_count(5)
    room.writer.reply = stream("Here again [1].")
    ask(page, QUESTION)
    wait_until_done(page)


def test_answers_that_were_cut_off_are_told_and_cannot_be_rated(page: Page, room: RoomChat) -> None:
    replies = iter([stream("Bees swarm [1]. And then", finish="length"), Endless("and on ")])
    room.writer.reply = lambda handler, body: next(replies)(handler, body)
    ask(page, "What does a reply without an end do?")
    for letter in "AB":
        expect(side(page, letter).get_by_role("alert")).to_contain_text("cut off after 1,024 tokens")
    expect(page.get_by_label("is good")).to_have_count(0)
    assert not [
        answer for answer in room.store.feedback.answers() if answer.query == "What does a reply without an end do?"
    ]


def test_one_retriever_that_fails_leaves_the_other_answer_whole_and_rateable(page: Page, room: RoomChat) -> None:
    replies = iter([refuse(401), stream("Bees swarm in spring [1].")])
    room.writer.reply = lambda handler, body: next(replies)(handler, body)
    ask(page, QUESTION)
    failed = page.locator(".tt-side[data-state=failed]")
    done = page.locator(".tt-side[data-state=done]")
    expect(failed.get_by_role("alert")).to_contain_text("refused the key")
    expect(done).to_contain_text("Bees swarm in spring")
    assert "sk-secret" not in page.content()
    done.get_by_role("button", name="is good").click()
    expect(page.locator(".tt-model")).to_have_count(1)
    assert sorted(page.locator(".tt-name").all_inner_texts()) == ["base", "tuned"]


def test_an_answer_can_be_rated_while_the_other_is_still_being_written(page: Page, room: RoomChat) -> None:
    gate = Gate("Still at it", " done [1].")
    replies = iter([stream("Bees swarm in spring [1]."), gate])
    room.writer.reply = lambda handler, body: next(replies)(handler, body)
    ask(page, QUESTION)
    page.locator(".tt-side[data-state=done]").get_by_role("button", name="is good").click()
    expect(page.locator("[aria-pressed=true]")).to_have_count(1)
    expect(page.locator(".tt-score")).to_have_count(5)
    gate.opened.set()
    wait_until_done(page)
    expect(page.locator(".tt-score")).to_have_count(10)
    expect(page.locator(".tt-model")).to_have_count(2)


def test_a_vote_that_cannot_be_stored_says_so_and_is_stored_on_retry(page: Page, room: RoomChat) -> None:
    ask(page, "Where does the queen go?")
    wait_until_done(page)
    tables, away = room.home / "lancedb", room.home / "lancedb-away"
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
    assert votes(room, "Where does the queen go?") == [1]


def test_a_question_of_100000_characters_gets_one_line(page: Page) -> None:
    ask(page, "why " * 25_000)
    expect(page.get_by_text("The question has 99,999 characters, the limit is 4,000: shorten it.")).to_be_visible()
    assert page.locator(".tt-card").count() == 0
    ask(page, QUESTION)
    wait_until_done(page)


def test_no_text_of_an_answer_is_lost_and_none_of_it_runs(page: Page, room: RoomChat) -> None:
    hostile = (
        "key:value, at 10:30, std::vector, :smile: and a list<int> [7].\n\n"
        '<img src=x onerror="window.injected = true"> [click](javascript:window.injected=true)\n\n'
        "::note\n\n`a:b` [1]\n"
    )
    room.writer.reply = stream(hostile)
    ask(page, 'Keeping bees, Winter: <img src=x onerror="window.injected = true">')  # so that it is found
    wait_until_done(page)
    shown = side(page, "A").locator(".tt-text").inner_text()
    for text in ("key:value, at 10:30, std::vector, :smile: and a list<int> [7].", "<img src=x", "::note", "a:b"):
        assert text in shown
    for passage in side(page, "A").locator(".tt-open").all():
        passage.click()
    expect(side(page, "A").locator(".tt-fulltext", has_text="onerror")).to_be_visible()
    assert page.evaluate("window.injected") is None


@pytest.mark.page_errors(r"^console error: Loading the image 'http://127\.0\.0\.1:.*/pixel\.png.*img-src")
def test_a_picture_from_elsewhere_is_not_fetched(page: Page, room: RoomChat) -> None:
    asked: list[str] = []
    page.on("requestfinished", lambda request: asked.append(request.url))
    with endpoint(stream()) as (elsewhere, _):
        room.writer.reply = stream(f"Look: ![x]({elsewhere}/pixel.png?q=secret) [1].")
        ask(page, QUESTION)
        wait_until_done(page)
        expect(side(page, "A").locator("img")).to_have_count(1)
    assert not [url for url in asked if not url.startswith(room.url)]


def test_the_page_needs_no_other_host(context: BrowserContext, room: RoomChat) -> None:
    finished: list[str] = []
    page = context.new_page()
    page.on("requestfinished", lambda request: finished.append(request.url))
    page.goto(room.url)
    ask(page, QUESTION)
    wait_until_done(page)
    assert finished
    assert not [url for url in finished if not url.startswith((room.url, "data:", "blob:"))]


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("PUT", "/project/element", {}),
        ("DELETE", "/project/element", {}),
        ("PUT", "/feedback", {}),
        ("POST", "/mcp", {}),
        ("POST", "/auth/header", {"Sec-Fetch-Site": "cross-site"}),
        ("GET", "/project/settings", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}),
    ],
)
def test_what_only_our_page_or_server_may_do_is_refused(
    room: RoomChat, method: str, path: str, headers: dict[str, str]
) -> None:
    sent = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(room.url + path, b"{}", sent, method=method)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 403


def test_a_vote_on_a_strangers_answer_is_refused_in_words(
    page: Page, room: RoomChat, new_context: Callable[..., BrowserContext]
) -> None:
    ask(page, "Is it the queen that leaves?")
    wait_until_done(page)
    (answer, *_) = [a for a in room.store.feedback.answers() if a.query == "Is it the queen that leaves?"]
    stranger = new_context()
    theirs = open_page(stranger, room.url)
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
    assert votes(room, "Is it the queen that leaves?") == []


def test_a_phone_needs_no_sideways_scrolling(new_context: Callable[..., BrowserContext], room: RoomChat) -> None:
    phone = new_context(viewport=PHONE, has_touch=True)
    room.writer.reply = stream("Donaudampfschifffahrtsgesellschaft" * 4, " [1]\n\n```\n", "x = 1; " * 30, "\n```\n")
    page = open_page(phone, room.url)
    ask(page, QUESTION)
    wait_until_done(page)
    thumb(page, "A", "good").click()
    expect(page.locator(".tt-model")).to_have_count(2)
    side(page, "A").locator(".tt-open").first.click()
    widths = page.evaluate("[...document.querySelectorAll('*')].map(e => Math.ceil(e.getBoundingClientRect().right))")
    overflowing = page.evaluate(
        "[...document.querySelectorAll('.tt-card, .tt-side, .tt-passage, .tt-thumb')]"
        ".filter(e => e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.className)"
    )
    assert overflowing == [], max(widths)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    a, b = (side(page, letter).bounding_box() for letter in "AB")
    assert b["y"] >= a["y"] + a["height"]


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


def votes(room: RoomChat, query: str) -> list[int]:
    """Return the stored ratings of a query's answers, withdrawn ones as 0."""
    ids = {answer.id for answer in room.store.feedback.answers() if answer.query == query}
    return [rating.value for rating in room.store.feedback.ratings() if rating.target_id in ids]


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
    new_context: Callable[..., BrowserContext], room: RoomChat, system: Literal["dark", "light"]
) -> None:
    context = new_context(color_scheme=system)
    page = open_page(context, room.url)
    expect(page.locator("#chat-input")).to_be_visible()
    expect(page.locator("html")).to_have_class(system)
