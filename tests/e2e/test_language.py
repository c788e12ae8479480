"""The page in the browser's language, in a real browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, expect

from driver import ScriptedChat, ask, close_panel, open_page, panel, send

pytestmark = pytest.mark.e2e


def test_a_german_browser_gets_a_german_page_and_a_spanish_one_the_same_chat_in_spanish(
    new_context: Callable[..., BrowserContext], chat: ScriptedChat
) -> None:
    german = new_context(locale="de-DE")
    page = open_page(german, chat.url)
    expect(page.locator("html")).to_have_attribute("lang", "de-DE")
    expect(page.get_by_role("navigation", name="thumbtune")).to_contain_text("Auswertung")
    expect(page.locator("#chat-input")).to_be_visible()
    ask(page, "When do bees swarm?")
    expect(page.get_by_text("Antworten: openai:scripted")).to_be_visible()
    for _ in range(2):  # rated, taken back, and rated again
        page.get_by_label("Antwort A ist gut", exact=True).click()
        expect(page.get_by_text("Gespeichert.")).to_be_visible()
        expect(page.locator(".tt-outcome")).to_contain_text("Passagen")
        expect(page.locator(".tt-times").first).to_contain_text("s beantwortet")
        page.get_by_role("button", name="Rückgängig").click()
        expect(page.get_by_role("button", name="Rückgängig")).to_have_count(0)
    address = page.url
    send(page, "/nothing")
    expect(page.get_by_text("Den Befehl /nothing gibt es nicht.")).to_be_visible()
    page.get_by_role("button", name="Dokumente", exact=True).click()
    expect(panel(page).get_by_role("region", name="Dokumente")).to_contain_text("3 Dokumente, ")
    close_panel(page)
    page.get_by_role("button", name="Trainieren", exact=True).click()
    expect(panel(page).get_by_role("heading", name="Bewertete Fragen")).to_be_visible()

    same_rater = new_context(locale="es-MX", storage_state=german.storage_state())
    again = open_page(same_rater, address)
    expect(again.locator("html")).to_have_attribute("lang", "es")
    expect(again.get_by_label("La respuesta A es buena", exact=True)).to_be_visible()
    expect(again.locator(".tt-outcome")).to_contain_text("pasajes")
    expect(again.locator(".tt-times").first).to_contain_text("respondida en")
    again.goto(f"{chat.url}/scoreboard")
    expect(again.get_by_role("heading", name="Resultados")).to_be_visible()
