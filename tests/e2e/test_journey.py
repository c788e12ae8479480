"""The whole loop as a newcomer goes through it, on the documents that ship: chat, rate, train, and the chat follows."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from chat.training.process import TrainingProcess
from driver import PREPARED, START_SECONDS, Chat, ask, open_page, send, side, thumb, wait_for_line, wait_until_done
from rag.errors import TrainingRefused
from rag.records import normalise_query
from rag.settings import ROOT

pytestmark = pytest.mark.e2e
LABELS = ROOT / "tests" / "support" / "files" / "labels.jsonl"
QUESTIONS = ("What is a chunk?", "Which passages get the credit for a thumb up?")
FOLLOW_SECONDS = 10
AM_I_SIGNED_IN = "async () => (await fetch('/user')).ok"
TRAINING_MS = 240_000  # on two busy cores the libraries alone take half a minute to load


@pytest.fixture(scope="module")
def chat(start_chat: Callable[..., Chat]) -> Iterator[Chat]:
    """Start the chat as `make chat` does, with nothing set but where it lives: it indexes and trains while open."""
    chat = start_chat(prepared=False)
    yield chat
    with suppress(TrainingRefused):  # a training outlives its chat, and so a test that has failed
        TrainingProcess(chat.home).cancel()


def test_chat_rate_train_and_the_chat_serves_what_was_trained(chat: Chat, context: BrowserContext) -> None:
    page = open_page(context, chat.url)
    first = page.locator(".tt-first")
    expect(first).to_contain_text(re.compile(r"^Indexing your documents: \d+ of \d+ files|^First model"))
    ask(page, "How is a query adapter trained?")  # its page is among the first to be indexed
    wait_until_done(page, cards=1)
    expect(page.locator(".tt-outcome").first).to_contain_text("There is no trained model yet")
    expect(first).to_contain_text("First model", timeout=START_SECONDS * 1000)
    for count, question in enumerate(QUESTIONS, start=2):
        ask(page, question)
        wait_until_done(page, cards=count)
    cited = page.locator(".tt-passage[data-cited=true]")
    assert cited.count() >= 3

    thumb(page, "A", "good", nth=0).click()
    expect(thumb(page, "A", "good", nth=0)).to_have_attribute("aria-pressed", "true")
    thumb(page, "B", "bad", nth=1).click()
    expect(thumb(page, "B", "bad", nth=1)).to_have_attribute("aria-pressed", "true")
    thumb(page, "B", "good", nth=1).click()
    expect(thumb(page, "B", "good", nth=1)).to_have_attribute("aria-pressed", "true")
    expect(thumb(page, "B", "bad", nth=1)).to_have_attribute("aria-pressed", "false")
    page.reload()
    wait_until_done(page, cards=3)
    for letter, nth in (("A", 0), ("B", 1)):
        expect(thumb(page, letter, "good", nth=nth)).to_have_attribute("aria-pressed", "true")
    expect(thumb(page, "A", "good", nth=2)).to_have_attribute("aria-pressed", "false")

    wait_for_line(chat, PREPARED)
    stats = chat.run("rag", "stats")
    assert re.search(r"ratings: +2 up, 0 down, 0 withdrawn", stats.stdout), stats.stdout + stats.stderr
    assert re.search(r"pairs: +[1-9]\d* positive", stats.stdout)

    refused = chat.run("train")
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert re.search(r"^error: \d+ rated queries with a positive, need 50", refused.stderr, re.MULTILINE)

    imported = chat.run("rag", "import", str(LABELS))
    assert imported.returncode == 0, imported.stderr
    training = page.get_by_role("region", name="Training", exact=True)
    send(page, "/train")
    begin_follow_and_cancel(page, context)
    version = train_fast(page)
    promote = training.get_by_role("button", name=f"Promote {version}")
    if promote.count():  # the gate said keep, which is no fault of this test's
        promote.click()
        expect(training).to_contain_text(f"{version} serves now; a running chat follows", timeout=TRAINING_MS)
    wait_until_served(chat, version)

    assert version in reveal(page, "Who wins a duel?", cards=4)
    training.get_by_role("button", name="Roll back").click()
    expect(training).to_contain_text("python -m train rollback", timeout=TRAINING_MS)
    expect(training).to_contain_text("serves now; a running chat follows", timeout=TRAINING_MS)


def begin_follow_and_cancel(page: Page, context: BrowserContext) -> None:
    """Start a whole training, which would take minutes, find it in another tab and after a reload, and cancel it."""
    training = page.get_by_role("region", name="Training", exact=True)
    training.get_by_role("button", name="Train", exact=True).click()
    expect(training.get_by_role("status")).to_contain_text("stage 2 of", timeout=TRAINING_MS)
    other = context.new_page()
    other.goto(page.url)
    there = other.get_by_role("region", name="Training", exact=True)
    expect(there.get_by_role("button", name="Cancel")).to_be_visible()
    expect(there.get_by_role("button", name="Quick train")).to_have_count(0)
    page.reload()
    training.get_by_role("button", name="Cancel").click()
    for tab in (training, there):
        expect(tab).to_contain_text("python -m train was cancelled", timeout=TRAINING_MS)
    other.close()


def train_fast(page: Page) -> str:
    """Train an adapter (the start has tuned a model; folds of that would take ten minutes); return the new version."""
    training = page.get_by_role("region", name="Training", exact=True)
    training.get_by_role("button", name="Quick train").click()
    expect(training).to_contain_text(re.compile(r"v2 was (not )?promoted\. Mean ndcg@10"), timeout=TRAINING_MS)
    expect(training.get_by_role("row")).to_have_count(4)
    for plot in training.get_by_role("img").all():
        expect(plot).not_to_have_js_property("naturalWidth", 0)
    with page.context.expect_page() as opened:
        training.get_by_role("link", name="Full report").click()
    expect(opened.value.get_by_role("heading", name="Training v2")).to_be_visible()
    opened.value.close()
    return "v2"


@pytest.mark.page_errors("net::ERR_CONNECTION_REFUSED", "TypeError: Failed to fetch")  # while no chat runs
def test_a_second_start_repeats_nothing_and_unveils_what_the_first_one_answered(
    chat: Chat, start_chat: Callable[..., Chat], context: BrowserContext
) -> None:
    page = open_page(context, chat.url)
    starters = page.locator("#starters button")
    expect(starters).to_have_count(4)
    assert set(map(normalise_query, starters.all_inner_texts())) <= answered_questions()
    starters.first.click()
    wait_until_done(page)
    thread = page.url.removeprefix(chat.url)
    versions = sorted(path.name for path in (chat.home / "models").iterdir())
    chat.stop()
    assert page.evaluate(AM_I_SIGNED_IN)  # Chainlit asks at times, and a failure would leave the page
    thumb(page, "A", "good").click()
    expect(page.locator(".tt-card").get_by_role("alert")).to_contain_text("Not saved")
    assert page.url == chat.url + thread

    again = start_chat(THUMBTUNE_HOME=str(chat.home))
    assert "unchanged" in again.log.read_text()
    assert sorted(path.name for path in (chat.home / "models").iterdir()) == versions
    page = open_page(context, again.url + thread)
    wait_until_done(page)
    expect(page.locator(".tt-thumb[aria-pressed=true]")).to_have_count(0)
    thumb(page, "A", "good").click()
    expect(thumb(page, "A", "good")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".tt-score")).to_have_count(10)


def answered_questions() -> set[str]:
    """Return the questions that the shipped docs answer, says their own file."""
    lines = (ROOT / "docs" / "questions.jsonl").read_text().splitlines()
    return {normalise_query(row["question"]) for row in map(json.loads, lines) if row.get("source")}


def reveal(page: Page, question: str, cards: int) -> list[str]:
    """Ask, rate, and return the names of the models that the card then shows."""
    ask(page, question)
    wait_until_done(page, cards=cards)
    thumb(page, "A", "good").click()
    expect(side(page, "B").locator(".tt-model")).to_be_visible()
    return [side(page, letter).locator(".tt-model").inner_text() for letter in "AB"]


def wait_until_served(chat: Chat, version: str) -> None:
    """Return when the running chat says that it serves a version; fail when it takes more than FOLLOW_SECONDS."""
    never = threading.Event()
    for _ in range(FOLLOW_SECONDS * 10):
        if re.search(rf"Now serving: .*tuned {version}\b", chat.log.read_text()):
            return
        never.wait(0.1)
    pytest.fail(f"the chat did not follow to {version} within {FOLLOW_SECONDS} s:\n{chat.log.read_text()[-2000:]}")
