"""Teaching and reviewing in a real browser: what neither side found is kept, taken back, confirmed by keys."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from driver import ScriptedChat, ask, place, send, thumb, wait_until_done
from rag.feedback.ratings import teach
from rag.records import normalise_query

pytestmark = pytest.mark.e2e
LONGEST_QUEUE = 40  # items; the chat's other tests leave some behind, and one page of the queue holds fewer
LINE = "Neither is right? Find the correct passage yourself"


def taught(chat: ScriptedChat, query: str) -> list[tuple[str, int]]:
    """Return passage and value of what is stored as taught for a query."""
    return [
        (rating.text, rating.value)
        for rating in chat.store.feedback.ratings()
        if rating.kind == "taught" and normalise_query(rating.query) == normalise_query(query)
    ]


def shown(chat: ScriptedChat, query: str) -> set[str]:
    """Return the passages that either side showed for a query."""
    return {hit.chunk.text for answer in chat.store.feedback.answers() if answer.query == query for hit in answer.hits}


def test_a_passage_that_neither_side_found_is_taught_survives_a_reload_and_is_taken_back(
    page: Page, chat: ScriptedChat
) -> None:
    question = "What do I do when the blade sticks?"
    ask(page, question)
    wait_until_done(page)
    page.get_by_role("button", name=LINE).click()
    field = page.get_by_role("searchbox", name="Search for the passage that answers the question")
    expect(field).to_be_focused()
    expect(field).to_have_value(question)
    found = page.locator(".tt-found > li")
    expect(found.first).to_be_visible()
    missed = next(
        text for text in found.locator(".tt-found-text").all_text_contents() if text not in shown(chat, question)
    )
    words = missed.splitlines()[-1]
    field.fill(words)  # other words than the question's
    field.press("Enter")
    expect(found.first.locator(".tt-found-text")).to_have_text(missed, use_inner_text=False)
    expect(found.first).to_have_attribute("data-shown", "false")
    expect(page.get_by_text("shown above").first).to_be_visible()

    field.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator(".tt-taught li")).to_have_count(1)
    expect(page.locator(".tt-lesson")).to_have_text("It makes 1 training pair.")
    assert taught(chat, question) == [(missed, 1)]  # the card's query, not what was typed
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Add another passage")).to_be_focused()

    page.reload()
    expect(page.locator(".tt-taught li")).to_have_count(1)
    page.get_by_role("button", name="Undo:").click()
    expect(page.get_by_role("button", name=LINE)).to_be_visible()
    assert taught(chat, question) == [(missed, 0)]


def test_the_search_for_a_passage_closes_opens_again_and_stays_while_a_question_is_asked(
    page: Page, chat: ScriptedChat
) -> None:
    ask(page, "Where is a saw kept?")
    wait_until_done(page)
    field = page.get_by_role("searchbox", name="Search for the passage that answers the question")
    for close in (lambda: page.get_by_role("button", name="Close the search").click(), lambda: field.press("Escape")):
        page.get_by_role("button", name=LINE).click()
        expect(page.locator(".tt-found > li").first).to_be_visible()
        close()
        expect(field).to_have_count(0)
        expect(page.get_by_role("button", name=LINE)).to_be_focused()
    page.get_by_role("button", name=LINE).click()
    field.fill("resin")
    ask(page, "And where is a spade kept?")
    wait_until_done(page, cards=2)
    expect(field).to_have_value("resin")
    page.get_by_role("button", name="Close the search").click()
    expect(page.get_by_role("button", name=LINE)).to_have_count(2)


def test_the_queue_stays_while_a_question_is_asked_and_when_it_is_opened_again(page: Page, chat: ScriptedChat) -> None:
    ask(page, "Which queue is this?")
    wait_until_done(page)
    queue = page.get_by_role("region", name="Review")
    press = page.locator(".tt-bar-row").get_by_text("Review", exact=True).click
    press()
    expect(queue).to_be_focused()
    page.keyboard.press("t")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("searchbox")).to_have_count(0)
    page.keyboard.press("t")
    expect(page.get_by_role("searchbox")).to_be_focused()
    ask(page, "And this?")
    wait_until_done(page, cards=2)
    expect(queue.get_by_role("searchbox")).to_be_visible()
    press()  # it is open: it gets the focus and stays as it is
    expect(queue).to_be_focused()
    expect(queue).to_have_count(1)
    queue.get_by_role("button", name="Close the search").click()
    expect(page.get_by_role("searchbox")).to_have_count(0)
    expect(queue.locator(".tt-review-item")).to_be_visible()


def test_after_a_rating_come_the_questions_on_which_the_retrievers_disagree(page: Page, chat: ScriptedChat) -> None:
    for question in ("How steep is a ladder?", "How is a rope kept dry?"):
        ask(page, question)
        wait_until_done(page)
        page.goto(chat.url)
    expect(page.locator("#starters button")).to_have_count(0)  # so few headings are no questions that anybody asks
    ask(page, "How is paint stored?")
    wait_until_done(page)
    expect(page.get_by_text("disagree most")).to_have_count(0)
    thumb(page, "A", "good").click()
    chips = page.get_by_role("group", name="disagree most").get_by_role("button")
    expect(chips.first).to_be_visible()
    expect(page.get_by_role("button", name="Add a passage")).to_be_visible()
    question = chips.first.inner_text()
    assert question != "How is paint stored?"
    chips.first.click()
    wait_until_done(page, cards=2)
    assert [answer.query for answer in sorted(chat.store.feedback.answers(), key=lambda each: each.at)[-2:]] == [
        question
    ] * 2


def test_the_queue_is_worked_through_by_keyboard_and_by_a_second_rater(page: Page, chat: ScriptedChat) -> None:
    bad = "How much honey does the winter take?"
    ask(page, bad)
    wait_until_done(page)
    thumb(page, "A", "bad").click()
    expect(thumb(page, "A", "bad")).to_have_attribute("aria-pressed", "true")
    hit = next(answer for answer in chat.store.feedback.answers() if answer.query == bad).hits[0]
    teach(chat.store, rater="another rater", query="Which rope rots?", chunk=hit.chunk)

    send(page, "/review")
    queue = place(page, "Review")
    expect(queue).to_be_focused()
    item = queue.locator(".tt-review-item")
    expect(item).to_have_attribute("data-kind", "teach")
    go_to(page, item, bad)
    page.keyboard.press("t")
    field = page.get_by_role("searchbox")
    expect(field).to_be_focused()
    field.fill("kilograms of honey winter")
    expect(queue.locator(".tt-found > li").first).to_contain_text("fifteen kilograms")
    field.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(queue.get_by_text("You marked the correct passage.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(queue).to_be_focused()
    assert [value for _, value in taught(chat, bad)] == [1]

    go_to(page, item, "Which rope rots?")
    expect(item).to_have_attribute("data-kind", "confirm")
    before = queue.get_by_role("status").first.inner_text()
    page.keyboard.press("n")
    expect(queue.get_by_role("status").first).not_to_have_text(before)
    expect(queue).to_have_attribute("aria-busy", "false")  # until then a key says nothing
    assert sorted(value for _, value in taught(chat, "Which rope rots?")) == [-1, 1]
    page.keyboard.press("u")
    expect(queue.get_by_role("status").first).to_have_text(before)
    expect(queue).to_have_attribute("aria-busy", "false")
    assert sorted(value for _, value in taught(chat, "Which rope rots?")) == [0, 1]
    page.keyboard.press("y")
    expect(queue.get_by_role("status").first).not_to_have_text(before)
    assert [value for _, value in taught(chat, "Which rope rots?")] == [1, 1]
    assert "another rater" not in page.content()

    page.reload()
    expect(item).to_be_visible()
    queue.focus()
    go_to(page, item, "Which rope rots?")
    page.keyboard.press("u")
    expect(queue.get_by_role("status").first).to_have_text(before)
    assert sorted(value for _, value in taught(chat, "Which rope rots?")) == [0, 1]


def go_to(page: Page, item: Locator, text: str) -> None:
    """Go through the queue by keyboard, from its top, until an item says this."""
    for _ in range(LONGEST_QUEUE):
        page.keyboard.press("k")
    for _ in range(LONGEST_QUEUE):
        if text in item.inner_text():
            return
        page.keyboard.press("j")
    pytest.fail(f"no item of the queue says {text!r}: {item.inner_text()}")
