"""The comparison card in a real browser: streaming, blindness, votes, tabs and reload."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from driver import Gate, Received, ScriptedChat, ask, open_page, side, thumb, votes, wait_until_done
from fakes import stream

pytestmark = pytest.mark.e2e
QUESTION = "When do bees swarm?"
UNCITED = (  # from more passages than are shown, so some of them are
    "Bees leave in late spring with the old queen. Beer traps catch some slugs. Treat with oxalic acid in December. "
    "Tomatoes need warm soil. A heap needs two parts of brown material. A sisal rope rots where it lies wet. "
    "Oil the handle of a spade with linseed in autumn. A saw that binds needs more set. Stand on no top three rungs."
)


# No two are the same, or the answer would end as one that repeats itself.
MANY_WORDS = "".join(
    f"{one}{other} " for one in "bcdfghklmnprst" for other in "ee ive ax oney arden ing owl ust".split()
)


def test_both_answers_stream_at_the_same_time_and_cite_their_passages(page: Page, chat: ScriptedChat) -> None:
    gate = chat.writer.reply = Gate(MANY_WORDS + "bees swarm ", "in late spring [1].", middle="🐝 at noon: ")
    asked_again: list[str] = []
    ask(page, QUESTION)
    for letter in "AB":
        expect(side(page, letter)).to_contain_text("bees swarm")
        expect(side(page, letter)).to_have_attribute("aria-busy", "true")
    page.on("request", lambda request: asked_again.append(request.url) if "/project/action" in request.url else None)
    gate.half.set()
    for letter in "AB":  # so much text is not sent a second time, only what was added
        expect(side(page, letter)).to_contain_text("bees swarm 🐝 at noon:")
        expect(side(page, letter)).to_have_attribute("aria-busy", "true")
    expect(page.get_by_label("is good")).to_have_count(0)
    assert asked_again == []  # nothing was missed
    gate.opened.set()
    wait_until_done(page)
    for letter in "AB":
        expect(side(page, letter).locator(".tt-text")).to_contain_text("bees swarm 🐝 at noon: in late spring 1")
        expect(side(page, letter).locator(".tt-passage[data-cited=true]")).to_have_count(1)
        expect(side(page, letter).locator(".tt-passage[data-cited=false]")).to_have_count(4)


def test_a_passage_opens_as_the_plain_text_it_is(page: Page, chat: ScriptedChat) -> None:
    chat.writer.reply = stream(UNCITED)
    ask(page, QUESTION)
    wait_until_done(page)
    drawn = side(page, "A").get_by_role("link", name=re.compile(r"^from passage \d$")).first
    rank = drawn.inner_text().removeprefix("from passage ")
    expect(side(page, "A").locator(f".tt-passage[data-attributed=true][data-rank='{rank}']")).to_have_count(1)
    expect(side(page, "A").locator(".tt-legend")).to_contain_text("without a citation")
    side(page, "A").locator(".tt-passage[data-rank='1'] .tt-open").click()
    shown = side(page, "A").locator(".tt-passage[data-rank='1'] .tt-fulltext")
    expect(shown).to_be_visible()
    stored = {hit.chunk.text for answer in chat.store.feedback.answers() for hit in answer.hits if hit.rank == 1}
    assert shown.evaluate("node => node.textContent") in stored


def test_nothing_tells_the_retrievers_apart_before_the_first_rating(
    context: BrowserContext, chat: ScriptedChat
) -> None:
    received = Received()
    page = context.new_page()
    received.listen(page)
    page.goto(chat.url)
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


def test_the_first_rating_shows_what_the_retrievers_found_differently(page: Page, chat: ScriptedChat) -> None:
    ask(page, "How much honey does a colony need?")
    wait_until_done(page)
    expect(page.get_by_text("Rate one answer to see which model found it.")).to_be_visible()
    thumb(page, "B", "bad").click()
    expect(page.locator(".tt-outcome[data-revealed=true]")).to_contain_text(re.compile(r"\bboth\b", re.IGNORECASE))
    models = {side(page, letter).locator(".tt-name").inner_text(): letter for letter in "AB"}
    expect(side(page, models["tuned"]).locator(".tt-model")).to_have_text("start weights")
    expect(side(page, models["tuned"]).locator(".tt-times")).to_contain_text("answered in")
    alone = page.locator(".tt-alone").all_inner_texts()
    assert alone.count("only found by base") == alone.count("only found by tuned") > 0


def test_the_sides_of_a_card_are_those_that_are_stored(page: Page, chat: ScriptedChat) -> None:
    ask(page, "Which acid helps against mites?")
    wait_until_done(page)
    thumb(page, "A", "good").click()
    expect(page.locator(".tt-model").first).to_be_visible()
    duel = [answer for answer in chat.store.feedback.answers() if answer.query == "Which acid helps against mites?"]
    shown = {letter: side(page, letter).locator(".tt-name").inner_text() for letter in "AB"}
    assert {answer.side: answer.arm for answer in duel} == shown


def test_a_vote_can_be_changed_and_withdrawn_and_leaves_one_row(page: Page, chat: ScriptedChat) -> None:
    ask(page, "How far apart do tomatoes stand?")
    wait_until_done(page)
    good, bad = thumb(page, "A", "good"), thumb(page, "A", "bad")
    good.click()
    expect(good).to_have_attribute("aria-pressed", "true")
    assert votes(chat, "How far apart do tomatoes stand?") == [1]
    bad.click()
    expect(bad).to_have_attribute("aria-pressed", "true")
    expect(good).to_have_attribute("aria-pressed", "false")
    assert votes(chat, "How far apart do tomatoes stand?") == [-1]
    bad.click()
    expect(bad).to_have_attribute("aria-pressed", "false")
    assert votes(chat, "How far apart do tomatoes stand?") == [0]


def test_a_double_click_is_one_vote(page: Page, chat: ScriptedChat) -> None:
    ask(page, "What do slugs do at night?")
    wait_until_done(page)
    thumb(page, "B", "good").dblclick()
    expect(thumb(page, "B", "good")).to_have_attribute("aria-pressed", "true")
    assert votes(chat, "What do slugs do at night?") == [1]


def test_only_the_vote_before_the_reveal_is_blind(page: Page, chat: ScriptedChat) -> None:
    ask(page, "When is compost turned?")
    wait_until_done(page)
    thumb(page, "A", "good").click()
    expect(thumb(page, "A", "good")).to_have_attribute("aria-pressed", "true")
    thumb(page, "B", "bad").click()
    expect(thumb(page, "B", "bad")).to_have_attribute("aria-pressed", "true")
    ids = {answer.id for answer in chat.store.feedback.answers() if answer.query == "When is compost turned?"}
    blind = {rating.value: rating.blind for rating in chat.store.feedback.ratings() if rating.target_id in ids}
    assert blind == {1: True, -1: False}


def test_a_reload_brings_cards_and_votes_back_and_voting_goes_on(page: Page, chat: ScriptedChat) -> None:
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
    assert votes(chat, "What catches slugs?")[-1] == -1


def test_a_vote_shows_in_every_tab_of_its_thread(page: Page, context: BrowserContext) -> None:
    ask(page, QUESTION)
    wait_until_done(page)
    other = open_page(context, page.url)
    wait_until_done(other)
    thumb(page, "A", "good").click()
    expect(thumb(other, "A", "good")).to_have_attribute("aria-pressed", "true")
    expect(other.locator(".tt-model")).to_have_count(2)


def test_two_tabs_stream_two_questions_at_once(page: Page, context: BrowserContext, chat: ScriptedChat) -> None:
    gate = chat.writer.reply = Gate("Beginning", " and end [1].")
    other = open_page(context, chat.url)
    ask(page, QUESTION)
    ask(other, "What do slugs fear?")
    for tab in (page, other):
        expect(side(tab, "A")).to_contain_text("Beginning")
    gate.opened.set()
    for tab in (page, other):
        wait_until_done(tab)
    assert page.url != other.url


def test_a_page_that_is_reloaded_in_mid_answer_goes_on_streaming(page: Page, chat: ScriptedChat) -> None:
    gate = chat.writer.reply = Gate("Half of it", " and the rest [1].")
    ask(page, QUESTION)
    expect(side(page, "B")).to_contain_text("Half of it")
    page.reload()
    expect(side(page, "B")).to_contain_text("Half of it")
    gate.opened.set()
    wait_until_done(page)
    expect(side(page, "B")).to_contain_text("Half of it and the rest")


def test_a_page_that_is_reloaded_in_mid_answer_can_stop_it(page: Page, chat: ScriptedChat) -> None:
    chat.writer.reply = Gate("Half of it", " never comes.")
    ask(page, QUESTION)
    expect(side(page, "B")).to_contain_text("Half of it")
    page.reload()
    expect(side(page, "B")).to_contain_text("Half of it")
    page.locator("#stop-button").click()
    for letter in "AB":
        expect(side(page, letter)).to_have_attribute("data-state", "stopped")
    chat.writer.reply = stream("All of it [1].")
    side(page, "A").get_by_role("button", name="Ask again").click()
    wait_until_done(page)
