"""The scoreboard's routes, on a real store; the numbers are tested in rag/evaluation."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import pytest
from chainlit.config import config
from fastapi import FastAPI
from starlette.testclient import TestClient

from boards import chunk, duel, preference
from chat.scoreboard.routes import ScoreboardCache, routes, scoreboard_cache
from chat.session.context import AppState
from chat.session.thread_store import ThreadStore
from chat.web.security import SecurityMiddleware
from rag.answering.service import open_service
from rag.history import history_of
from rag.indexing.indexer import index
from rag.settings import Settings
from rag.web.hosts import Hosts


@pytest.fixture
def app(settings: Settings) -> Iterator[AppState]:
    index(settings)
    app = AppState(settings, open_service(settings), ThreadStore(history_of(settings)))
    yield app
    app.serving.close()


@pytest.fixture
def client(app: AppState) -> TestClient:
    server = FastAPI(routes=[*routes(app)])
    server.add_middleware(SecurityMiddleware, hosts=Hosts(frozenset({"testserver"})))
    return TestClient(server, follow_redirects=False)


def test_the_page_is_served_from_the_tables_and_its_script_from_here(app: AppState, client: TestClient) -> None:
    store = app.serving.store
    for answer in duel(0):
        store.feedback.put_answer(answer)
    store.feedback.put_ratings([preference(0, "tuned")])
    answer = client.get("/scoreboard")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "private, no-store"
    assert "won 1 of 1 duel," in answer.text
    assert "cats.md" in answer.text  # a document of the index that nobody has asked about
    (script,) = re.findall(r'src="(/scoreboard/plotly[^"]*)"', answer.text)
    drawn = client.get(script)
    assert (drawn.status_code, drawn.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert "immutable" in drawn.headers["cache-control"]
    assert "plotly.js v" in drawn.text[:100]


def test_nothing_on_the_page_leads_to_another_host(client: TestClient) -> None:
    html = client.get("/scoreboard").text
    assert not re.findall(r"""(?:src|href)=["'](?!/[^/])[^"']*""", html)
    assert "://" not in html


def test_a_browser_without_a_cookie_is_redirected_once_and_a_visitor_without_a_session_gets_401(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config.code, "header_auth_callback", lambda headers: None)  # so a login is needed
    first = client.get("/scoreboard")
    assert (first.status_code, first.headers["location"]) == (303, "/scoreboard?again")
    second = client.get("/scoreboard?again")
    assert second.status_code == 401
    assert "open the chat" in second.text


async def test_the_board_is_computed_again_only_after_a_write(app: AppState) -> None:
    boards = ScoreboardCache(app.serving)
    first, second = await asyncio.gather(boards.now(), boards.now())
    assert first is second
    await asyncio.to_thread(app.serving.store.feedback.put_answer, duel(0)[0])
    third = await boards.now()
    assert third is not first
    assert third.coverage.queries == 1
    assert await boards.now() is third


async def test_a_house_has_one_board(app: AppState) -> None:
    assert scoreboard_cache(app) is scoreboard_cache(app)


async def test_a_known_passage_takes_a_question_off_the_list(app: AppState) -> None:
    from rag.feedback.ratings import rate_answer, teach

    store = app.serving.store
    answer = duel(0)[0]
    store.feedback.put_answer(answer)
    rate_answer(store, rater="ann", answer_id=answer.id, value=-1, blind=True)
    assert (await ScoreboardCache(app.serving).now()).coverage.voted_down == ("What 0?",)
    teach(store, rater="bob", query="what 0", chunk=chunk("one"))
    assert (await ScoreboardCache(app.serving).now()).coverage.voted_down == ()
