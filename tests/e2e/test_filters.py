"""A filter in a question, in a real browser: both sides keep to it, the card says it, and it is not stored."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from driver import ScriptedChat, ask, wait_until_done

pytestmark = pytest.mark.e2e


def test_both_sides_search_only_where_the_question_says_and_the_card_tells(page: Page, chat: ScriptedChat) -> None:
    ask(page, "What rots where it lies wet, says the shed? in:shed.md")
    wait_until_done(page)
    expect(page.get_by_text("Only documents in shed.md.")).to_be_visible()
    expect(page.get_by_text("Passages per answer: 5, by meaning.")).to_be_visible()
    answers = [answer for answer in chat.store.feedback.answers() if "says the shed" in answer.query]
    assert {answer.query for answer in answers} == {"What rots where it lies wet, says the shed?"}
    assert {hit.chunk.source for answer in answers for hit in answer.hits} == {"shed.md"}
    assert len(answers) == 2


def test_own_settings_hold_until_they_are_reset_and_the_card_says_them(page: Page, chat: ScriptedChat) -> None:
    opener = page.locator(".tt-options-open")
    settings = page.get_by_role("dialog", name="Answer settings")
    opener.click()
    expect(settings.get_by_label("Answers by")).to_have_count(0)  # the server offers one
    settings.get_by_label("Passages per answer").select_option("3")
    settings.get_by_label("Search").select_option("by meaning and by keywords")
    page.keyboard.press("Escape")
    expect(settings).to_be_hidden()
    expect(opener).to_have_text("Own settings")
    ask(page, "What of ladders, by three passages?")
    wait_until_done(page)
    expect(page.get_by_text("Your settings: passages per answer: 3, by meaning and by keywords")).to_be_visible()
    page.reload()
    wait_until_done(page)
    expect(opener).to_have_text("Own settings")
    opener.click()
    settings.get_by_role("button", name="Use the defaults").click()
    opener.click()
    ask(page, "What of ladders, by five passages?")
    wait_until_done(page, cards=2)
    shown = {answer.query: len(answer.hits) for answer in chat.store.feedback.answers() if "of ladders" in answer.query}
    assert shown == {"What of ladders, by three passages?": 3, "What of ladders, by five passages?": 5}


def test_documents_are_chosen_at_the_input_until_the_chip_is_removed(page: Page, chat: ScriptedChat) -> None:
    def sources(question: str) -> set[str]:
        answers = [answer for answer in chat.store.feedback.answers() if answer.query == question]
        return {hit.chunk.source for answer in answers for hit in answer.hits}

    opener = page.get_by_role("button", name="All documents")
    listed = page.get_by_role("dialog", name="Which documents to search")
    for close in (lambda: page.keyboard.press("Escape"), lambda: page.locator("#chat-input").click(), opener.click):
        opener.click()
        expect(listed.get_by_role("button")).to_have_count(3)
        close()
        expect(listed).to_be_hidden()
    opener.click()
    listed.get_by_label("Search documents").fill("shed")
    expect(listed.get_by_role("button")).to_have_count(1)
    page.keyboard.press("Enter")
    ask(page, "What do saws of the chosen one need?")
    wait_until_done(page)
    expect(page.get_by_text("Only documents in shed.md.")).to_be_visible()
    page.reload()  # the chip stays, and so does what it means
    wait_until_done(page)
    ask(page, "What of spades of the chosen one?")
    wait_until_done(page, cards=2)
    page.get_by_role("button", name="Search not only in shed.md").click()
    ask(page, "What of bees of all of them?")
    wait_until_done(page, cards=3)
    assert sources("What do saws of the chosen one need?") == {"shed.md"}
    assert sources("What of spades of the chosen one?") == {"shed.md"}
    assert len(sources("What of bees of all of them?")) > 1


def test_a_folder_that_is_not_there_is_said_and_nothing_is_asked(page: Page, chat: ScriptedChat) -> None:
    ask(page, "What rots, says the reprot? in:reprots")
    expect(page.get_by_text("No document is in 'reprots'")).to_be_visible()
    expect(page.get_by_role("region", name="Answer A")).to_have_count(0)
    assert not [answer for answer in chat.store.feedback.answers() if "reprot" in answer.query]
