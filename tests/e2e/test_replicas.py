"""Two chats on one home folder and one Postgres: what is asked in one is there in the other, and both follow."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from driver import Chat, ask, open_page, running_chat, side, thumb, wait_for_line, wait_until_done
from fakes import NOON
from postgres import PASSWORD, Postgres
from rag.ingest.corpus import load_corpus
from rag.models.registry import Registry, Version
from rag.settings import Settings

pytestmark = pytest.mark.e2e
GARDEN = "# The garden\n\nSlugs feed at night. Beer traps catch some.\n\n## Compost\n\nTurn the heap every two weeks.\n"
QUESTION = "When do slugs feed?"


@pytest.fixture
def replicas(postgres: Postgres, tiny_model: Path, tmp_path: Path) -> Iterator[list[Chat]]:
    """Run two chats with the same settings but for their port."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "garden.md").write_text(GARDEN)
    settings = {
        "THUMBTUNE_HOME": str(tmp_path / "home"),
        "THUMBTUNE_DOCS": str(docs),
        "THUMBTUNE_BASE_MODEL": str(tiny_model),
        "THUMBTUNE_START_MODEL": str(tiny_model),
        "THUMBTUNE_DEVICE": "cpu",
        "THUMBTUNE_HISTORY": postgres.new_database(),
    }
    with ExitStack() as running:
        chats = []
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
            chats.append(running.enter_context(running_chat(tmp_path / name, **settings)))
        yield chats


def promote(settings: Settings, weights: Path) -> None:
    """Add a version that needs no new index, since its weights are those of the start model, and promote it."""
    registry, folders = Registry(settings.models), load_corpus(settings).folders_id
    shutil.copytree(weights, settings.models / "v1")
    registry.add(Version("v1", folders, "0", "builtin", "ratings", "promote", "VERDICT: promote v1", NOON))
    registry.promote(folders, "v1")


def test_a_chat_goes_on_in_another_replica_and_both_follow_a_promotion(
    replicas: list[Chat], new_context: Callable[..., BrowserContext], tiny_model: Path
) -> None:
    one, other = replicas
    context = new_context()
    page = open_page(context, one.url)  # the browser sends its cookies to both: they are of the host, not of the port
    ask(page, QUESTION)
    wait_until_done(page)
    answer = side(page, "A").inner_text()
    page.goto(page.url.replace(one.url, other.url))
    wait_until_done(page)
    assert side(page, "A").inner_text() == answer
    thumb(page, "A", "good").click()
    expect(thumb(page, "A", "good")).to_have_attribute("aria-pressed", "true")
    page.goto(page.url.replace(other.url, one.url))  # which has the card in memory still, without the thumb
    expect(thumb(page, "A", "good")).to_have_attribute("aria-pressed", "true")
    ask_more = "How often is the heap turned?"
    page.locator("#chat-input").click()
    page.keyboard.insert_text(ask_more)
    page.locator("#chat-submit").click()
    wait_until_done(page, cards=2)
    assert [rating.value for rating in one.store.feedback.ratings()] == [1]

    stranger = open_page(new_context(), page.url.replace(one.url, other.url))
    expect(stranger.locator("#chat-submit")).to_be_visible()
    assert QUESTION not in stranger.content()

    promote(Settings(home=one.home, docs=(Path(one.env["THUMBTUNE_DOCS"]),)), tiny_model)
    for chat in replicas:
        wait_for_line(chat, "Now serving: .*v1")
        assert PASSWORD not in chat.log.read_text()
