"""Rating in a real browser: one click or key, undone as easily, and what a rating shows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from driver import ScriptedChat, ask, hang_up, open_page, send, side, thumb, wait_until_done
from fakes import stream
from rag.records import Rating

pytestmark = pytest.mark.e2e


def test_a_preference_is_one_click_blind_and_kept_by_arm(page: Page, chat: ScriptedChat) -> None:
    query = ask_and_wait(page, "When does a colony swarm?")
    choice(page, "B is better").click()
    expect(choice(page, "B is better")).to_have_attribute("aria-pressed", "true")
    arm = side(page, "B").locator(".tt-name").inner_text()
    (rating,) = said(chat, query)
    assert (rating.kind, rating.choice, rating.blind) == ("preference", arm, True)
    expect(page.locator(".tt-taught")).to_be_visible()  # what it taught depends on what both arms found
    mark(page, "A", 2, "relevant").click()
    expect(page.locator(".tt-taught")).to_have_text(re.compile(r"^It (makes|changes) 1 training pair"))
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".tt-taught")).to_have_text("Taken back: it teaches nothing now.")


def test_of_answers_that_say_the_same_none_can_be_preferred(page: Page, chat: ScriptedChat) -> None:
    chat.writer.reply = stream("Bees swarm in spring [1].")
    query = ask_and_wait(page, "What do both say?")
    expect(page.locator(".tt-outcome")).to_contain_text("Both answers are the same")
    expect(choice(page, "A is better")).to_have_count(0)
    page.locator(".tt-card").focus()
    page.keyboard.press("1")
    page.keyboard.press("0")
    expect(choice(page, "Same answer")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".tt-outcome")).to_contain_text("Both answers are the same")
    assert [(rating.kind, rating.choice) for rating in said(chat, query)] == [("preference", "tie")]


def test_every_rating_can_be_undone_in_turn(page: Page, chat: ScriptedChat) -> None:
    query = ask_and_wait(page, "What kills slugs?")
    choice(page, "Tie").click()
    expect(choice(page, "Tie")).to_have_attribute("aria-pressed", "true")
    thumb(page, "A", "good").click()
    expect(thumb(page, "A", "good")).to_have_attribute("aria-pressed", "true")
    mark(page, "A", 1, "relevant").click()
    expect(mark(page, "A", 1, "relevant")).to_have_attribute("aria-pressed", "true")
    undo = page.get_by_role("button", name="Undo")
    undo.click()
    expect(mark(page, "A", 1, "relevant")).to_have_attribute("aria-pressed", "false")
    undo.click()
    expect(thumb(page, "A", "good")).to_have_attribute("aria-pressed", "false")
    undo.click()
    expect(choice(page, "Tie")).to_have_attribute("aria-pressed", "false")
    expect(undo).to_have_count(0)
    assert sorted((rating.kind, rating.value) for rating in said(chat, query)) == [
        ("answer", 0),
        ("preference", 0),
        ("source", 0),
    ]


def test_a_thumb_down_asks_why_without_a_dialog(page: Page, chat: ScriptedChat) -> None:
    query = ask_and_wait(page, "Where do bees live?")
    thumb(page, "B", "bad").click()
    why = page.get_by_role("group", name="Why is answer B bad?")
    why.get_by_role("button", name="made up").click()
    expect(why.get_by_role("button", name="made up")).to_have_attribute("aria-pressed", "true")
    why.get_by_label("Comment on answer B").fill("no such hive")
    page.keyboard.press("Enter")
    expect(page.locator(".tt-card[aria-busy=false]")).to_be_visible()
    page.reload()
    wait_until_done(page)
    expect(page.get_by_label("Comment on answer B")).to_have_value("no such hive")
    (rating,) = said(chat, query)
    assert (rating.value, rating.reason, rating.comment) == (-1, "made up", "no such hive")
    assert page.get_by_role("dialog").count() == 0


def test_what_a_card_opens_closes_opens_again_and_stays_while_a_question_is_asked(
    page: Page, chat: ScriptedChat
) -> None:
    ask_and_wait(page, "What opens and closes?")
    why = page.get_by_role("group", name="Why is answer A bad?")
    text = side(page, "A", 0).locator(".tt-fulltext")
    for opener, opened in ((thumb(page, "A", "bad", 0), why), (side(page, "A", 0).locator(".tt-open").first, text)):
        for shown in (1, 0, 1):
            opener.click()
            expect(opened).to_have_count(shown)
    page.get_by_label("Comment on answer A").fill("half a thou")
    ask(page, "What else does?")  # leaving the field stores the comment
    wait_until_done(page, cards=2)
    expect(page.get_by_label("Comment on answer A")).to_have_value("half a thou")
    expect(text).to_be_visible()


def test_a_mark_on_a_passage_is_kept_and_reveals_nothing(page: Page, chat: ScriptedChat) -> None:
    query = ask_and_wait(page, "How is compost made?")
    mark(page, "A", 2, "not relevant").click()
    expect(mark(page, "A", 2, "not relevant")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".tt-model")).to_have_count(0)
    page.reload()
    wait_until_done(page)
    expect(mark(page, "A", 2, "not relevant")).to_have_attribute("aria-pressed", "true")
    (rating,) = said(chat, query)
    assert (rating.kind, rating.value, rating.blind) == ("source", -1, True)


def test_a_card_is_rated_by_the_keyboard_alone(page: Page, chat: ScriptedChat) -> None:
    query = ask_and_wait(page, "What do tomatoes need?")
    page.locator(".tt-card").focus()
    page.keyboard.press("x")
    expect(choice(page, "Both bad")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".tt-keys")).to_be_visible()
    page.keyboard.press("1")
    expect(choice(page, "A is better")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Shift+B")
    expect(thumb(page, "B", "bad")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    focused = page.evaluate("[document.activeElement.dataset.side, document.activeElement.dataset.passage]")
    assert focused[0] == "B"
    page.keyboard.press("y")
    expect(mark(page, "B", int(focused[1]), "relevant")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("u")
    expect(mark(page, "B", int(focused[1]), "relevant")).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("o")
    expect(page.locator(".tt-source mark")).to_be_visible()
    assert {(rating.kind, rating.value) for rating in said(chat, query)} == {
        ("preference", 1),
        ("answer", -1),
        ("source", 0),
    }


def test_undo_takes_back_what_was_said_last_also_while_that_is_being_stored(page: Page, chat: ScriptedChat) -> None:
    query = ask_and_wait(page, "When do slugs feed?")
    page.locator(".tt-card").focus()
    for key in ("1", "a", "u"):
        page.keyboard.press(key)
    page.get_by_role("button", name="Undo").wait_for()
    expect(page.locator(".tt-card")).to_have_attribute("aria-busy", "false")
    assert {(rating.kind, rating.value) for rating in said(chat, query)} == {("preference", 1), ("answer", 0)}


def test_what_is_said_in_a_hurry_is_all_stored(page: Page, chat: ScriptedChat) -> None:
    query = ask_and_wait(page, "Are bees in a hurry?")
    page.locator(".tt-card").focus()
    for key in ("1", "b", "Shift+A"):
        page.keyboard.press(key)
    mark(page, "A", 1, "relevant").click()
    mark(page, "A", 2, "relevant").click()
    expect(mark(page, "A", 2, "relevant")).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Comment on answer A").fill("too slow")
    page.get_by_role("button", name="incomplete").click(delay=80)  # leaving the field stores the comment
    expect(page.get_by_role("button", name="incomplete")).to_have_attribute("aria-pressed", "true")
    kept = {(rating.kind, rating.value, rating.reason, rating.comment) for rating in said(chat, query)}
    assert kept == {
        ("preference", 1, "", ""),
        ("answer", 1, "", ""),
        ("answer", -1, "incomplete", "too slow"),
        ("source", 1, "", ""),
    }
    assert len(said(chat, query)) == 5


def test_keys_typed_into_a_field_rate_nothing(page: Page, chat: ScriptedChat) -> None:
    query = ask_and_wait(page, "Who keeps bees?")
    thumb(page, "A", "bad").click()
    page.get_by_label("Comment on answer A").press_sequentially("x120ab")
    expect(page.get_by_label("Comment on answer A")).to_have_value("x120ab")
    assert [rating.kind for rating in said(chat, query)] == ["answer"]


def test_the_reveal_says_where_the_other_arm_ranks_a_passage(page: Page) -> None:
    ask_and_wait(page, "What is oxalic acid for?")
    choice(page, "Tie").click()
    expect(page.locator(".tt-model")).to_have_count(2)
    for letter in "AB":
        side(page, letter).locator(".tt-open").first.click()
        other = {"base": "tuned", "tuned": "base"}[side(page, letter).locator(".tt-name").inner_text()]
        expect(side(page, letter).locator(".tt-more").first).to_contain_text(
            re.compile(rf"Ranked \d+(st|nd|rd|th) by {other}\.")
        )


def test_a_citation_previews_its_passage_and_opens_it_in_its_document(page: Page, chat: ScriptedChat) -> None:
    ask_and_wait(page, "Which acid helps?")
    link = side(page, "A").locator(".tt-text a").first
    link.hover()
    expect(side(page, "A").get_by_role("tooltip")).to_be_visible()
    link.click()
    passage = page.locator(".tt-source mark")
    expect(passage).to_be_in_viewport()
    stored = {hit.chunk.text for answer in chat.store.feedback.answers() for hit in answer.hits if hit.rank == 1}
    assert passage.evaluate("node => node.textContent") in stored
    whole = page.locator(".tt-source-text").evaluate("node => node.textContent")
    source = page.locator(".tt-source-where").inner_text().split(" > ")[0]
    assert whole.strip() == Path(chat.env["THUMBTUNE_DOCS"], source).read_text().strip()
    assert "#" in whole
    assert "#" not in page.locator(".tt-source-text").inner_text()  # headings are drawn, their marks are hidden
    assert len(page.context.pages) == 1


def test_a_follow_up_stands_alone_for_both_arms_and_can_be_put_right(page: Page, chat: ScriptedChat) -> None:
    ask_and_wait(page, "When do bees leave?")
    chat.writer.rewritten = "When do bees leave the hive in winter?"
    ask(page, "And in winter?")
    wait_until_done(page, cards=2)
    expect(page.get_by_text("Searched for: When do bees leave the hive in winter?")).to_be_visible()
    assert asked(chat)[-2:] == ["When do bees leave the hive in winter?"] * 2
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("What to search for").press("Escape")
    expect(page.get_by_label("What to search for")).to_have_count(0)
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("What to search for").fill("How much honey for the winter?")
    page.locator(".tt-query").get_by_role("button", name="Ask again").click()
    wait_until_done(page, cards=3)
    assert asked(chat)[-2:] == ["How much honey for the winter?"] * 2


def test_a_question_is_asked_again_by_one_click_or_key_and_its_answer_copied(
    page: Page, context: BrowserContext, chat: ScriptedChat
) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    chat.writer.reply = hang_up
    ask(page, "Do wasps swarm?")
    for letter in "AB":
        expect(side(page, letter).get_by_role("alert")).to_be_visible()
    chat.writer.reply = stream("They do [1].")
    side(page, "A").get_by_role("button", name="Ask again").click()
    wait_until_done(page)
    assert asked(chat)[-2:] == ["Do wasps swarm?"] * 2
    chat.writer.reply = stream("They do: `a:b` in spring [1].")
    page.get_by_role("button", name="Ask again").last.click()
    wait_until_done(page, cards=2)
    page.locator(".tt-card").last.focus()
    page.keyboard.press("c")
    expect(page.get_by_role("button", name="Copy answer A").last).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert re.fullmatch(r"They do: `a:b` in spring \[1\]\.\n\nSources:\n\[1\] \w+\.md > .+", copied)
    page.keyboard.press("r")
    wait_until_done(page, cards=3)
    assert asked(chat)[-2:] == ["Do wasps swarm?"] * 2


def test_what_a_browser_sends_of_preferences_and_marks_is_checked(page: Page, chat: ScriptedChat) -> None:
    query = ask_and_wait(page, "Is this checked?")
    with page.expect_request("**/project/action") as sent:
        mark(page, "A", 1, "relevant").click()
    request = json.loads(str(sent.value.post_data))
    answer = request["action"]["payload"]["answer"]
    for name, payload, reason in [
        ("choose", {"answer": answer, "choice": "base"}, "choice is 'base', which is not valid"),
        ("choose", {"answer": "x", "choice": "A"}, "is not in this chat"),
        ("mark", {"answer": answer, "rank": 99, "value": 1}, "is no source"),
        ("mark", {"answer": answer, "rank": "1", "value": 1}, "rank is '1', which is not valid"),
        ("vote", {"answer": answer, "value": -1, "reason": "ugly"}, "reason is 'ugly', which is not valid"),
        ("vote", {"answer": answer, "value": -1, "comment": "x" * 1001}, "at most 1,000"),
        ("passage", {"answer": answer, "rank": 99}, "this answer has no passage 99"),
        ("reask", {"query": " "}, "is empty"),
    ]:
        assert reason in post(page, request["sessionId"], name, payload), name
    assert [rating.kind for rating in said(chat, query)] == ["source"]


def test_a_rating_is_taken_back_in_the_list_of_ones_own_and_the_card_follows(page: Page, chat: ScriptedChat) -> None:
    query = ask_and_wait(page, "Who sees my ratings?")
    thumb(page, "A", "good").click()
    expect(thumb(page, "A", "good")).to_have_attribute("aria-pressed", "true")
    send(page, "/ratings")
    listed = page.get_by_role("region", name="Your ratings")
    expect(listed.get_by_role("listitem")).to_have_count(1)
    choice(page, "Tie").click()
    expect(listed.get_by_role("listitem")).to_have_count(2)  # what is rated meanwhile is listed, too
    listed.get_by_role("button", name="Undo: Tie").click()
    expect(choice(page, "Tie")).to_have_attribute("aria-pressed", "false")
    listed.get_by_role("button", name="Undo: Answer A: good").click()
    expect(listed).to_contain_text("You have not rated anything yet.")
    expect(thumb(page, "A", "good")).to_have_attribute("aria-pressed", "false")
    assert {rating.value for rating in said(chat, query)} == {0}


def test_a_word_that_looks_like_a_command_and_is_none_is_told(page: Page) -> None:
    ask(page, "/trian")
    expect(
        page.get_by_text("There is no command /trian. Commands: /train, /review, /ratings, /documents, /scoreboard.")
    ).to_be_visible()
    assert page.locator(".tt-card").count() == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(new_context: Callable[..., BrowserContext], chat: ScriptedChat, theme: str) -> None:
    page = open_page(new_context(color_scheme=theme), chat.url)
    ask_and_wait(page, "Can everybody read this?")
    thumb(page, "A", "bad").click()
    expect(page.locator(".tt-model")).to_have_count(2)
    page.locator(".tt-open").first.click()
    found = Axe().run(page).response["violations"]
    assert found  # moderate ones, of Chainlit's page: so it has looked
    assert [each["help"] for each in found if each["impact"] in ("serious", "critical")] == []


def ask_and_wait(page: Page, query: str) -> str:
    ask(page, query)
    wait_until_done(page)
    return query


def choice(page: Page, label: str) -> Any:
    return page.get_by_role("button", name=label, exact=True)


def mark(page: Page, letter: str, rank: int, word: str) -> Any:
    return page.get_by_label(f"Passage {rank} of answer {letter} is {word}", exact=True)


def said(chat: ScriptedChat, query: str) -> list[Rating]:
    """Return the ratings of a query's answers and duel."""
    answers = [answer for answer in chat.store.feedback.answers() if answer.query == query]
    targets = {answer.id for answer in answers} | {answer.duel for answer in answers}
    return [rating for rating in chat.store.feedback.ratings() if rating.target_id in targets]


def asked(chat: ScriptedChat) -> list[str]:
    """Return the queries of all stored answers, the oldest first."""
    return [answer.query for answer in sorted(chat.store.feedback.answers(), key=lambda answer: answer.at)]


def post(page: Page, session: str, name: str, payload: dict[str, Any]) -> str:
    """Send an action as a page could that is not ours, and return the error it gets."""
    body = {"sessionId": session, "action": {"id": "x", "name": name, "payload": payload, "label": "", "tooltip": ""}}
    return page.evaluate(
        "body => fetch('/project/action', {method: 'POST', body: JSON.stringify(body),"
        " headers: {'Content-Type': 'application/json'}}).then(r => r.json()).then(r => r.response.error)",
        body,
    )
