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


def test_a_folder_that_is_not_there_is_said_and_nothing_is_asked(page: Page, chat: ScriptedChat) -> None:
    ask(page, "What rots, says the reprot? in:reprots")
    expect(page.get_by_text("No document is in 'reprots'")).to_be_visible()
    expect(page.get_by_role("region", name="Answer A")).to_have_count(0)
    assert not [answer for answer in chat.store.feedback.answers() if "reprot" in answer.query]
