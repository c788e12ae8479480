"""Uploads in a real browser: added or refused, asked about, listed, removed, stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from chat.actions.documents import STOPPED
from driver import ScriptedChat, ask, leave, open_passage, open_place, panel, place, wait_until_done
from pdfs import make_pdf

pytestmark = pytest.mark.e2e
BATS = "# Bats\n\nA pipistrelle bat eats three thousand midges in one night.\n"
OWLS = (  # two pages; a sentence goes on over the end of the first
    "Owls\n \nA barn owl swallows a vole whole, and hours later it casts the\nbones as a pel-\nlet below the",
    "roost where it sleeps.\n \nMoths\n \nA hawk moth drinks nectar from flowers that open after dark.",
)
LATIN = "# Moths\n\nEine Motte fliegt über die Wiese, während die Bäume blühen.\n".encode("cp1252")
LONG = "\n\n".join(
    f"Bees visit meadow number {n} in the morning, and they come back in the evening. " * 8 for n in range(999)
)


@pytest.fixture
def files(tmp_path: Path, chat: ScriptedChat) -> Iterator[Path]:
    """Return a folder with files to drop; afterwards the chat has none of them, whatever failed."""
    (tmp_path / "bats.md").write_text(BATS)
    (tmp_path / "rubbish.pdf").write_bytes(b"%PDF-1.4 and then nothing that belongs to one")
    (tmp_path / "owls.pdf").write_bytes(make_pdf(*OWLS))
    (tmp_path / "long.txt").write_text(LONG)
    (tmp_path / "latin.txt").write_bytes(LATIN)
    yield tmp_path
    left = [path for path in (chat.home / "uploads").rglob("*.*") if path.is_file()]
    for path in left:
        path.unlink()
    if left:
        chat.run("rag", "index")


def drop(page: Page, *paths: Path, text: str = "") -> None:
    """Put files into the message, with a question or without, and send it."""
    page.locator("#chat-input").click()
    page.keyboard.insert_text(text or "x")
    expect(page.locator("#chat-submit")).to_be_enabled()  # so the page is connected: before that no file is taken
    if not text:
        page.keyboard.press("Backspace")
    page.locator("#upload-button-input").set_input_files(list(paths))
    expect(page.locator("#chat-submit")).to_be_enabled()  # so all of them have arrived
    page.locator("#chat-submit").click()


def test_a_dropped_file_answers_the_question_that_came_with_it_and_can_be_removed(
    page: Page, chat: ScriptedChat, files: Path
) -> None:
    drop(page, files / "bats.md", files / "rubbish.pdf", text="How many midges does a pipistrelle bat eat?")
    dropped = page.get_by_role("region", name="Uploaded files")
    expect(dropped).to_contain_text("Added, 1 passage")
    expect(dropped).to_contain_text("Could not be added: the PDF is broken")
    wait_until_done(page)
    (corpus,) = (chat.home / "uploads").iterdir()
    assert [path.name for path in corpus.iterdir()] == ["bats.md"]
    asked = [answer for answer in chat.store.feedback.answers() if "pipistrelle" in answer.query]
    assert len(asked) == 2
    assert "uploads/bats.md" in {hit.chunk.source for answer in asked for hit in answer.hits}

    dropped.get_by_role("button", name="Open Documents").click()
    listed = place(page, "Documents")
    own = len(list(Path(chat.env["THUMBTUNE_DOCS"]).iterdir()))
    expect(listed).to_contain_text(f"{own + 1} documents")
    rows = listed.locator(".tt-docs-row")
    expect(rows).to_have_count(own + 1)
    remove = listed.get_by_role("button", name="Remove")
    expect(remove).to_have_count(1)  # those of the documents folder cannot be removed here
    listed.get_by_role("button", name="Remove bats.md").click()
    listed.get_by_role("button", name="Really remove? bats.md").click()
    expect(listed).to_contain_text("bats.md was removed")
    expect(rows).to_have_count(own)
    assert list(corpus.iterdir()) == []

    page.reload()
    expect(page.get_by_role("region", name="Uploaded files")).to_contain_text("Added, 1 passage")
    expect(page.get_by_role("region", name="Documents", exact=True)).to_contain_text(f"{own} documents")


def test_a_page_of_a_dropped_pdf_is_shown_with_the_passage_marked(page: Page, chat: ScriptedChat, files: Path) -> None:
    drop(page, files / "owls.pdf", text="What does a barn owl swallow? type:pdf")
    wait_until_done(page)
    for _ in range(2):
        open_passage(page, "A")
        panel(page).get_by_role("button", name="Show the page").click()
        shown, marks = panel(page).locator(".tt-pdf-page"), panel(page).locator(".tt-pdf-text mark")
        expect(shown).to_have_attribute("data-drawn", "1")
        expect(marks.filter(has_text="A barn owl swallows a vole whole")).to_be_in_viewport()
        assert page.evaluate("document.querySelector('.tt-pdf-page canvas').width") > 300
        page.keyboard.press("ArrowRight")
        expect(shown).to_have_attribute("data-drawn", "2")
        expect(panel(page)).to_contain_text("Page 2 of 2")
        expect(panel(page).get_by_role("button", name="Next page")).to_be_disabled()
        panel(page).get_by_role("button", name="Previous page").click()
        expect(marks.first).to_be_in_viewport()
        page.keyboard.press("Escape")
        expect(panel(page)).to_have_count(0)
    (stored,) = (chat.home / "uploads").rglob("owls.pdf")
    stored.write_bytes(make_pdf("Something else."))
    open_passage(page, "A")
    panel(page).get_by_role("button", name="Show the page").click()
    expect(panel(page)).to_contain_text("This file was changed after it was indexed")
    panel(page).get_by_role("button", name="Show the text").click()
    expect(panel(page).locator(".tt-source-text mark")).to_be_in_viewport()
    leave(page)


def test_the_list_of_documents_stays_beside_questions_and_a_removal_can_be_thought_over(
    page: Page, chat: ScriptedChat, files: Path
) -> None:
    drop(page, files / "bats.md", files / "latin.txt")
    expect(page.get_by_role("region", name="Uploaded files")).to_contain_text("Added, 1 passage")
    expect(page.get_by_role("region", name="Uploaded files")).to_have_attribute("aria-busy", "false")
    listed = open_place(page, "Documents")
    remove = listed.get_by_role("button", name="Remove bats.md")
    for think_over in (
        lambda: page.keyboard.press("Escape"),
        lambda: page.locator("#chat-input").click(),
    ):
        remove.click()
        expect(listed.get_by_role("button", name="Really remove? bats.md")).to_be_visible()
        think_over()
        expect(remove).to_be_visible()
    read = listed.get_by_role("region", name="Files read")
    own = len(list(Path(chat.env["THUMBTUNE_DOCS"]).iterdir()))
    expect(read).to_contain_text(f"Markdown: {own + 1} read")
    expect(read).to_contain_text("text: 1 read (1 with a note)")
    expect(read).not_to_contain_text("guessed from its bytes", use_inner_text=True)
    read.get_by_text("Files skipped, read in part, guessed or left out (1)").click()
    expect(read).to_contain_text("guessed from its bytes", use_inner_text=True)
    text = listed.get_by_role("region", name="Text of bats.md")
    for _ in range(2):
        listed.get_by_role("button", name="Show the text of bats.md").click()
        expect(text).to_contain_text("A pipistrelle bat eats three thousand midges in one night.")
        expect(text.get_by_role("figure")).to_contain_text("Passage 1 · Bats · characters 0 to ")
        listed.get_by_role("button", name="Hide the text of bats.md").click()
        expect(text).to_have_count(0)
    listed.get_by_role("button", name="Show the text of bats.md").click()
    ask(page, "What do bats eat?")
    wait_until_done(page)
    expect(text).to_be_visible()
    leave(page)
    open_place(page, "Documents")
    remove.click()
    listed.get_by_role("button", name="Really remove? bats.md").click()
    expect(listed).to_contain_text("bats.md was removed")


def test_files_alone_ask_nothing_and_stop_ends_them(page: Page, chat: ScriptedChat, files: Path) -> None:
    answers = len(chat.store.feedback.answers())
    drop(page, files / "long.txt")
    dropped = page.get_by_role("region", name="Uploaded files")
    expect(dropped.get_by_role("progressbar")).to_be_visible()
    page.locator("#stop-button").click()
    expect(dropped).to_contain_text(STOPPED)
    expect(dropped).to_have_attribute("aria-busy", "false")
    assert not [path for path in (chat.home / "uploads").rglob("*") if path.is_file()]
    ask(page, "When do bees swarm?")
    wait_until_done(page)
    assert len(chat.store.feedback.answers()) == answers + 2
