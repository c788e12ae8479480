"""Take screenshots of the chat's main states into docs/images: `make shots`.

Runs the real chat on the documents that ship, in THUMBTUNE_HOME if that is set (a first start trains for minutes), and
a real Chromium. benchmarks.browser.seed asks and rates 130 questions first, so that the pictures show a promoted
version and a scoreboard with duels. The answers are the built-in answerer's; only for the state "streaming" an
endpoint on this machine plays a slow LLM, since the built-in one is done before a screenshot is.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from rag.settings import ROOT

sys.path.insert(0, str(ROOT / "tests" / "support"))  # what drives the product in its tests drives it here

from benchmarks.browser.seed import telling_question
from driver import (
    FLAGS,
    Chat,
    Gate,
    ask,
    find_browser,
    leave,
    open_page,
    running_chat,
    send,
    side,
    thumb,
    wait_until_done,
)
from fakes import endpoint

FOLDER = ROOT / "docs" / "images"
QUESTION = "Which passages get the credit for a thumb up?"
BEGINNING = "A thumb up credits the passages that the answer **cites** [1]. The best-ranked passage that was shown and"
SCREENS = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
THEMES = ("light", "dark")
HERO = {"width": 1280, "height": 860}
PANELS = {"review": ".tt-review", "train": ".tt-training h3", "documents": ".tt-docs li"}  # a command, what it shows
COLOURS = 256  # of a picture's palette: a third of the bytes, and nothing to see of it


def main() -> None:
    """Take all screenshots, and say where they are."""
    gate = Gate(BEGINNING, " cited is its hard negative [1].")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright, endpoint(gate) as (slow, _):
        home = os.environ.get("THUMBTUNE_HOME", f"{temporary}/home")
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        with running_chat(Path(temporary), THUMBTUNE_HOME=home) as chat:
            question, sentence = seed(chat)
            shoot_hero(browser, chat.url, question, sentence)
            for name, page in pages(browser, chat.url):
                shoot_answers(page, name, question, sentence)
            for name, page in pages(browser, chat.url):
                shoot_rooms(page, name)
        with running_chat(Path(temporary), THUMBTUNE_HOME=home, OPENAI_BASE_URL=slow) as chat:
            for name, page in pages(browser, chat.url):
                shoot_streaming(page, name)
            gate.opened.set()
        browser.close()
    print(f"{len(list(FOLDER.glob('*.png')))} pictures in {FOLDER}")


def seed(chat: Chat) -> tuple[str, str]:
    """Fill the chat's home with rated duels; return a question that tuned answers better, and how its answer begins."""
    seeded = chat.run("benchmarks.browser.seed")
    if seeded.returncode:
        sys.exit(seeded.stderr)
    print(seeded.stdout.strip())
    return telling_question(chat.store.feedback.answers())


def pages(browser: Browser, url: str) -> Iterator[tuple[str, Page]]:
    """Yield a fresh page for each size and theme, with the name that its pictures end in."""
    for screen, size in SCREENS.items():
        for theme in THEMES:
            context = browser.new_context(viewport=size)
            context.add_init_script(f"localStorage.setItem('vite-ui-theme', '{theme}')")
            yield f"{screen}-{theme}", open_page(context, url)
            context.close()


def shoot_hero(browser: Browser, url: str, question: str, sentence: str) -> None:
    """Take README's picture: two different answers, one voted better, and which model wrote it."""
    context = browser.new_context(viewport=HERO)
    context.add_init_script("localStorage.setItem('vite-ui-theme', 'light')")
    page = open_page(context, url)
    expect(page.locator("#starters button").first).to_be_enabled()
    ask(page, question)
    wait_until_done(page)
    better, _ = prefer(page, sentence)
    thumb(page, better, "good").click()
    expect(thumb(page, better, "good")).to_have_attribute("aria-pressed", "true")
    page.mouse.move(200, 30)
    shoot(page, "hero")
    context.close()


def prefer(page: Page, sentence: str) -> tuple[str, str]:
    """Vote, blind, for the answer that holds the sentence; return the letters of the better and of the other answer."""
    better, other = sorted("AB", key=lambda letter: sentence not in side(page, letter).inner_text())
    unseen = page.get_by_role("button", name="See answer B")  # a phone shows one answer at a time
    if unseen.is_visible():
        unseen.click()
    page.get_by_role("button", name=f"{better} is better").click()
    expect(page.locator(".tt-model")).to_have_count(2)
    return better, other


def shoot_answers(page: Page, name: str, question: str, sentence: str) -> None:
    """Go from the empty page to a passage in its document."""
    expect(page.locator("#starters button").first).to_be_enabled()
    shoot(page, "empty", name)
    ask(page, question)
    wait_until_done(page)
    shoot(page, "answered", name)
    better, other = prefer(page, sentence)
    thumb(page, other, "bad").click()
    expect(page.get_by_role("group", name=f"Why is answer {other} bad?")).to_be_visible()
    page.mouse.move(200, 30)
    shoot(page, "revealed", name)
    page.get_by_role("button", name="Neither is right?").click()
    expect(page.get_by_role("button", name="This answers it").first).to_be_visible()
    shoot(page, "teach", name)
    side(page, better).locator(".tt-text a").first.click()
    expect(page.locator(".tt-source mark")).to_be_visible()
    page.mouse.move(200, 30)
    shoot(page, "passage", name)


def shoot_rooms(page: Page, name: str) -> None:
    """Show the panels of the commands."""
    expect(page.locator("#chat-input")).to_be_visible()
    for word, shown in PANELS.items():
        send(page, f"/{word}")
        expect(page.locator(shown).last).to_be_visible()
        shoot(page, word, name)
        leave(page)
    page.goto(page.url.split("/thread")[0].rstrip("/") + "/scoreboard")
    expect(page.get_by_role("heading", name="Scoreboard")).to_be_visible()
    shoot(page, "scoreboard", name)


def shoot_streaming(page: Page, name: str) -> None:
    """Show both answers in the middle of a sentence."""
    ask(page, QUESTION)
    for letter in "AB":
        expect(side(page, letter)).to_contain_text("best-ranked")
    shoot(page, "streaming", name)


def shoot(page: Page, state: str, name: str = "") -> None:
    """Take one picture, once nothing moves any more."""
    page.wait_for_timeout(700)  # the page fades and scrolls
    picture = Image.open(BytesIO(page.screenshot()))
    picture.convert("RGB").quantize(COLOURS).save(
        FOLDER / f"{'-'.join(filter(None, (state, name)))}.png", optimize=True
    )


if __name__ == "__main__":
    main()
