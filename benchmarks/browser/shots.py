"""Screenshots of the room's main states into docs/images: `make shots`.

Runs the real chat on the documents that ship, in THUMBTUNE_HOME if that is set (a first start trains for minutes), and
a real Chromium. The answers are the built-in answerer's; only for the state "streaming" an endpoint on this machine
plays a slow LLM, since the built-in one is done before a screenshot is.
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

from driver import FLAGS, Gate, ask, find_browser, open_page, running_chat, side, thumb, wait_until_done
from fakes import endpoint

FOLDER = ROOT / "docs" / "images"
QUESTION = "Which passages get the credit for a thumb up?"
BEGINNING = "A thumb up credits the passages that the answer **cites** [1]. The best-ranked passage that was shown and"
SCREENS = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
THEMES = ("light", "dark")
ROOMS = {"review": ".tt-review", "train": ".tt-training h3", "documents": ".tt-docs li"}  # a command, what it shows
COLOURS = 256  # of a picture's palette: a third of the bytes, and nothing to see of it


def main() -> None:
    """Take all screenshots, and say where they are."""
    gate = Gate(BEGINNING, " cited is its hard negative [1].")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright, endpoint(gate) as (slow, _):
        home = os.environ.get("THUMBTUNE_HOME", f"{temporary}/home")
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        with running_chat(Path(temporary), THUMBTUNE_HOME=home) as chat:
            for name, page in pages(browser, chat.url):
                shoot_answers(page, name)
            for name, page in pages(browser, chat.url):
                shoot_rooms(page, name)
        with running_chat(Path(temporary), THUMBTUNE_HOME=home, OPENAI_BASE_URL=slow) as chat:
            for name, page in pages(browser, chat.url):
                shoot_streaming(page, name)
            gate.opened.set()
        browser.close()
    print(f"{len(list(FOLDER.glob('*.png')))} pictures in {FOLDER}")


def pages(browser: Browser, url: str) -> Iterator[tuple[str, Page]]:
    """Yield a fresh page for each size and theme, with the name that its pictures end in."""
    for screen, size in SCREENS.items():
        for theme in THEMES:
            context = browser.new_context(viewport=size)
            context.add_init_script(f"localStorage.setItem('vite-ui-theme', '{theme}')")
            yield f"{screen}-{theme}", open_page(context, url)
            context.close()


def shoot_answers(page: Page, name: str) -> None:
    """Go from the empty page to a passage in its document."""
    expect(page.locator("#starters button").first).to_be_enabled()
    shoot(page, "empty", name)
    ask(page, QUESTION)
    wait_until_done(page)
    shoot(page, "answered", name)
    page.get_by_role("button", name="A is better").click()
    expect(page.locator(".tt-model")).to_have_count(2)
    thumb(page, "B", "bad").click()
    expect(page.get_by_role("group", name="Why is answer B bad?")).to_be_visible()
    page.mouse.move(200, 30)
    shoot(page, "revealed", name)
    page.get_by_role("button", name="Neither is right?").click()
    expect(page.get_by_role("button", name="This answers it").first).to_be_visible()
    shoot(page, "teach", name)
    side(page, "A").locator(".tt-text a").first.click()
    expect(page.locator(".tt-source mark")).to_be_visible()
    page.mouse.move(200, 30)
    shoot(page, "passage", name)


def shoot_rooms(page: Page, name: str) -> None:
    """Show what lies beside the chat."""
    expect(page.locator("#chat-input")).to_be_visible()
    for word, shown in ROOMS.items():
        ask(page, f"/{word}")
        expect(page.locator(shown).last).to_be_visible()
        shoot(page, word, name)
    page.goto(page.url.split("/thread")[0].rstrip("/") + "/scoreboard")
    expect(page.get_by_role("heading", name="Scoreboard")).to_be_visible()
    shoot(page, "scoreboard", name)


def shoot_streaming(page: Page, name: str) -> None:
    """Show both answers in the middle of a sentence."""
    ask(page, QUESTION)
    for letter in "AB":
        expect(side(page, letter)).to_contain_text("best-ranked")
    shoot(page, "streaming", name)


def shoot(page: Page, state: str, name: str) -> None:
    """Take one picture, once nothing moves any more."""
    page.wait_for_timeout(700)  # the page fades and scrolls
    picture = Image.open(BytesIO(page.screenshot()))
    picture.convert("RGB").quantize(COLOURS).save(FOLDER / f"{state}-{name}.png", optimize=True)


if __name__ == "__main__":
    main()
