"""Chats of chat.db come to Postgres as they were: whole, once, with their rater, and none that was deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from chainlit.element import ElementDict
from chainlit.types import Pagination, ThreadFilter
from chainlit.user import User

from chat.session.thread_store import ThreadStore
from postgres import Postgres
from rag.__main__ import main
from rag.errors import StoreFailed
from rag.history import Copied, PostgresServer, SQLiteFile, copy_chats

ANN_BEFORE = "0c0ffee0-0000-4000-8000-000000000000"  # ids of users were drawn by lot once


@pytest.fixture
def file(tmp_path: Path) -> SQLiteFile:
    return SQLiteFile(tmp_path / "chat.db")


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.new_database()


@pytest.fixture
async def old(file: SQLiteFile) -> AsyncIterator[ThreadStore]:
    store = ThreadStore(file)
    await store.execute_sql(
        "INSERT INTO users (id, identifier, metadata, \"createdAt\") VALUES (:id, 'ann', '{}', '2026-01-01')",
        {"id": ANN_BEFORE},
    )
    yield store
    await store.close()


@pytest.fixture
async def new(url: str) -> AsyncIterator[ThreadStore]:
    store = ThreadStore(PostgresServer(url))
    yield store
    await store.close()


async def signed_in(store: ThreadStore, name: str) -> str:
    user = await store.create_user(User(identifier=name))
    assert user
    return user.id


async def ask(store: ThreadStore, name: str, question: str) -> str:
    """Write a thread with a question and a card; return its id."""
    thread_id, step_id = str(uuid4()), str(uuid4())
    await store.update_thread(thread_id, name=question, user_id=await signed_in(store, name), metadata={"k": 5})
    step: dict[str, Any] = {"id": step_id, "thread": thread_id, "output": question, "at": "2026-01-01T00:00:00Z"}
    await store.execute_sql(
        'INSERT INTO steps (id, name, type, "threadId", streaming, "isError", output, "createdAt")'
        " VALUES (:id, 'You', 'user_message', :thread, FALSE, TRUE, :output, :at)",
        step,
    )
    card: ElementDict = {"id": str(uuid4()), "threadId": thread_id, "type": "custom", "name": "Compare"}
    await store.save_element({**card, "display": "inline", "forId": step_id, "props": {"text": f"About {question}"}})
    return thread_id


async def listed(store: ThreadStore, user_id: str, search: str = "") -> set[str]:
    page = await store.list_threads(Pagination(first=100), ThreadFilter(userId=user_id, search=search or None))
    return {thread["id"] for thread in page.data}


async def test_chats_come_as_they_were_also_to_those_who_have_come_in_since(
    old: ThreadStore, new: ThreadStore, file: SQLiteFile, url: str
) -> None:
    anns = [await ask(old, "ann", "Which paint?"), await ask(old, "ann", "Which brush?")]
    bobs = await ask(old, "bob", "How many bees?")
    ann = await signed_in(new, "ann")
    since = await ask(new, "ann", "Which wood?")
    assert copy_chats(file, PostgresServer(url)) == Copied(threads=3, known=0)
    assert await listed(new, ann) == {*anns, since}
    assert await listed(new, await signed_in(new, "bob")) == {bobs}
    assert await listed(new, ann, "brush") == {anns[1]}
    assert ann != ANN_BEFORE
    for thread_id in (*anns, bobs):
        before, after = await old.get_thread(thread_id), await new.get_thread(thread_id)
        assert before
        assert after
        assert {**after, "userId": ""} == {**before, "userId": ""}
        assert after["steps"][0]["isError"] is True
        assert after["elements"][0]["props"]["text"].startswith("About ")


async def test_a_second_copy_adds_what_is_missing_and_brings_nothing_back(
    old: ThreadStore, new: ThreadStore, file: SQLiteFile, url: str
) -> None:
    threads = [await ask(old, "ann", f"Question {n}?") for n in range(4)]
    await old.delete_thread(threads[0])
    done = []

    def interrupt(step: int, total: int) -> None:
        done.append((step, total))
        if len(done) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_chats(file, PostgresServer(url), interrupt)
    assert done == [(1, 3), (1, 3)]
    ann = await signed_in(new, "ann")
    first, second = await listed(new, ann)
    await new.delete_thread(first)
    await new.update_thread(second, name="renamed")
    assert copy_chats(file, PostgresServer(url)) == Copied(threads=1, known=2)
    assert await listed(new, ann) == {*threads[1:]} - {first}
    renamed = await new.get_thread(second)
    assert renamed
    assert renamed["name"] == "renamed"
    await new.update_thread(threads[0], name="written by a tab that was open", user_id=ann)
    assert threads[0] not in await listed(new, ann)
    assert len(await listed(old, ANN_BEFORE)) == 3


async def test_a_server_that_is_gone_is_one_line(old: ThreadStore, file: SQLiteFile) -> None:
    await ask(old, "ann", "Which paint?")
    with pytest.raises(StoreFailed, match="check that the server runs"):
        copy_chats(file, PostgresServer("postgresql://tom@127.0.0.1:9/none"))


async def test_the_command_says_what_it_did_and_what_it_needs(
    old: ThreadStore, url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("THUMBTUNE_HOME", str(tmp_path))
    assert main(["copy-chats"]) == 2
    assert "error: THUMBTUNE_HISTORY is not set: name the Postgres database" in capsys.readouterr().err
    monkeypatch.setenv("THUMBTUNE_HISTORY", url)
    await ask(old, "ann", "Which paint?")
    assert main(["copy-chats"]) == 0
    assert main(["copy-chats"]) == 0
    first, _, second, _ = capsys.readouterr().out.splitlines()
    assert first.startswith("copied 1 chat to postgresql://tom@")
    assert second.startswith("copied 0 chats")
    assert second.endswith("; 1 was there already")
    monkeypatch.setenv("THUMBTUNE_HOME", str(tmp_path / "empty"))
    assert main(["copy-chats"]) == 2
    assert "chat.db: no such file" in capsys.readouterr().err
