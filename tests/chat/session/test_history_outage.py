"""Threads that are begun or go on while Postgres is away are whole once it is back, and their rater's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from uuid import uuid4

import pytest
from chainlit.types import Pagination, ThreadFilter
from chainlit.user import User
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from chat.session.outage import tell_outages
from chat.session.thread_store import ThreadStore
from postgres import Postgres, running_postgres
from rag.history import PostgresServer

BACK_SECONDS = 15.0  # within which a server that is back is found again


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture
async def history(server: Postgres) -> AsyncIterator[ThreadStore]:
    history = ThreadStore(PostgresServer(server.new_database()))
    yield history
    await history.close()


async def signed_in(history: ThreadStore, name: str) -> str:
    user = await history.get_user(name) or await history.create_user(User(identifier=name))
    assert user
    return user.id


async def say(history: ThreadStore, thread_id: str, text: str) -> None:
    await history.update_thread(thread_id)  # as Chainlit does before each step
    await history.execute_sql(
        'INSERT INTO steps (id, name, type, "threadId", streaming, output, "createdAt")'
        " VALUES (:id, 'You', 'user_message', :thread, FALSE, :output, :at)",
        {"id": str(uuid4()), "thread": thread_id, "output": text, "at": await history.get_current_timestamp()},
    )


async def until_back(history: ThreadStore) -> None:
    async with asyncio.timeout(BACK_SECONDS):
        while history.is_down:
            await asyncio.sleep(0.1)


async def names(history: ThreadStore, user_id: str) -> list[str]:
    page = await history.list_threads(Pagination(first=20), ThreadFilter(userId=user_id))
    return [thread["name"] for thread in page.data]


@pytest.mark.parametrize("known", [True, False], ids=["who was here before", "who comes in meanwhile"])
async def test_a_thread_begun_meanwhile_is_its_raters(server: Postgres, history: ThreadStore, *, known: bool) -> None:
    if known:
        await signed_in(history, "ann")
    server.stop()
    thread_id, user_id = str(uuid4()), await signed_in(history, "ann")
    await history.update_thread(thread_id, name="Which paint?", user_id=user_id)
    await say(history, thread_id, "Which paint?")
    server.start()
    await until_back(history)
    await say(history, thread_id, "And which brush?")
    assert await names(history, user_id) == ["Which paint?"]
    assert await history.get_thread_author(thread_id) == "ann"
    thread = await history.get_thread(thread_id)
    assert thread
    assert [step["output"] for step in thread["steps"]] == ["Which paint?", "And which brush?"]


async def test_a_thread_that_goes_on_meanwhile_keeps_what_was_known_of_it(
    server: Postgres, history: ThreadStore
) -> None:
    thread_id, user_id = str(uuid4()), await signed_in(history, "ann")
    await history.update_thread(thread_id, name="Which paint?", user_id=user_id, metadata={"k": 5, "env": "{}"})
    before = await history.get_thread(thread_id)
    server.stop()
    await say(history, thread_id, "And which brush?")
    server.start()
    await until_back(history)
    after = await history.get_thread(thread_id)
    assert before
    assert after
    assert {**after, "steps": []} == {**before, "steps": []}
    await history.update_thread(thread_id, metadata={"env": None, "filter": "a.md"})
    changed = await history.get_thread(thread_id)
    assert changed
    assert json.loads(str(changed["metadata"])) == {"k": 5, "filter": "a.md"}


async def test_a_chat_that_cannot_be_looked_up_is_not_said_to_be_gone(server: Postgres, history: ThreadStore) -> None:
    thread_id, user_id = str(uuid4()), await signed_in(history, "ann")
    await history.update_thread(thread_id, name="Which paint?", user_id=user_id)
    app = FastAPI()

    @app.get("/author")
    async def author() -> str:
        return await history.get_thread_author(thread_id)

    tell_outages(app, history)
    page = AsyncClient(transport=ASGITransport(app), base_url="http://test", headers={"accept-language": "de"})
    server.stop()
    refused = await page.get("/author")
    assert (refused.status_code, await history.find_author(thread_id)) == (HTTPStatus.SERVICE_UNAVAILABLE, None)
    assert refused.json()["detail"].startswith("Die gespeicherten Chats sind gerade nicht erreichbar")
    server.start()
    async with asyncio.timeout(BACK_SECONDS):
        while (found := await page.get("/author")).status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            await asyncio.sleep(0.1)
    assert found.json() == "ann"
    assert await history.get_thread_author(str(uuid4())) == ""
