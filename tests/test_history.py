"""Threads, cards and their owners survive the process, and nobody reads another's."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from chainlit.element import ElementDict
from chainlit.types import Pagination, ThreadFilter
from chainlit.user import User

from chat.history import NAME_LENGTH, History, make_tables, shorten
from rag.errors import StoreFailed


@pytest.fixture
async def history(tmp_path: Path) -> AsyncIterator[History]:
    history = History(tmp_path / "home" / "chat.db")
    yield history
    await history.close()


async def new_user(history: History, name: str) -> str:
    user = await history.create_user(User(identifier=name))
    assert user
    return user.id


async def new_thread(history: History, user_id: str, question: str, minute: int = 0) -> str:
    thread_id = str(uuid4())
    await history.update_thread(thread_id, name=question, user_id=user_id)
    await history.execute_sql(
        'INSERT INTO steps (id, name, type, "threadId", streaming, output, "createdAt")'
        " VALUES (:id, 'You', 'user_message', :thread, 0, :output, :at)",
        {"id": str(uuid4()), "thread": thread_id, "output": question, "at": f"2026-01-01T00:{minute:02}:00Z"},
    )
    return thread_id


def card(thread_id: str, text: str, element_id: str = "e1") -> ElementDict:
    return {
        "id": element_id,
        "threadId": thread_id,
        "type": "custom",
        "name": "Compare",
        "display": "inline",
        "forId": "m1",
        "mime": "application/json",
        "props": {"text": text, "sides": ["A", "B"]},
    }


async def test_a_thread_comes_back_with_its_card_as_it_was_last(history: History) -> None:
    thread_id = await new_thread(history, await new_user(history, "ann"), "Why?")
    await history.save_element(card(thread_id, "half"))
    await history.save_element(card(thread_id, "whole"))
    thread = await history.get_thread(thread_id)
    assert thread
    assert thread["userIdentifier"] == "ann"
    assert [step["output"] for step in thread["steps"]] == ["Why?"]
    (element,) = thread["elements"] or []
    assert (element["props"], element["forId"], element["name"]) == (
        {"text": "whole", "sides": ["A", "B"]},
        "m1",
        "Compare",
    )


async def test_what_was_written_is_there_for_the_next_process(tmp_path: Path) -> None:
    first = History(tmp_path / "chat.db")
    thread_id = await new_thread(first, await new_user(first, "ann"), "Why?")
    await first.save_element(card(thread_id, "kept"))
    await first.close()
    second = History(tmp_path / "chat.db")
    thread = await second.get_thread(thread_id)
    assert thread
    assert [element["props"] for element in thread["elements"] or []] == [{"text": "kept", "sides": ["A", "B"]}]
    await second.close()


async def test_a_rater_sees_only_own_threads_newest_first(history: History) -> None:
    ann, bob = await new_user(history, "ann"), await new_user(history, "bob")
    old = await new_thread(history, ann, "Old?", minute=1)
    await new_thread(history, bob, "Not mine?", minute=2)
    new = await new_thread(history, ann, "New?", minute=3)
    page = await history.list_threads(Pagination(first=10), ThreadFilter(userId=ann))
    assert [(thread["id"], thread["name"]) for thread in page.data] == [(new, "New?"), (old, "Old?")]
    assert all(thread["steps"] == thread["elements"] == [] for thread in page.data)


async def test_threads_come_in_pages(history: History) -> None:
    ann = await new_user(history, "ann")
    ids = [await new_thread(history, ann, f"Number {n}?", minute=n) for n in range(5)]
    got, cursor = [], None
    for expected_more in (True, True, False):
        page = await history.list_threads(Pagination(first=2, cursor=cursor), ThreadFilter(userId=ann))
        got += [thread["id"] for thread in page.data]
        assert page.pageInfo.hasNextPage is expected_more
        cursor = page.pageInfo.endCursor
    assert got == ids[::-1]


async def test_threads_are_found_by_what_was_asked(history: History) -> None:
    ann = await new_user(history, "ann")
    bees = await new_thread(history, ann, "When do BEES swarm?")
    await new_thread(history, ann, "What do slugs eat?")
    page = await history.list_threads(Pagination(first=10), ThreadFilter(userId=ann, search="bees"))
    assert [thread["id"] for thread in page.data] == [bees]


async def test_a_deleted_thread_takes_its_card_along(history: History) -> None:
    thread_id = await new_thread(history, await new_user(history, "ann"), "Why?")
    await history.save_element(card(thread_id, "x"))
    await history.delete_thread(thread_id)
    assert await history.get_thread(thread_id) is None
    assert await history.execute_sql("SELECT * FROM elements", {}) == []


@pytest.mark.parametrize("thread_id", ["", "x') UNION SELECT * FROM users --", "../../etc", "0" * 31])
async def test_a_thread_id_that_is_no_uuid_is_neither_written_nor_looked_up(history: History, thread_id: str) -> None:
    with pytest.raises(ValueError, match="not a UUID"):
        await history.update_thread(thread_id, name="Why?")
    assert await history.get_thread(thread_id) is None
    assert await history.execute_sql("SELECT * FROM threads", {}) == []


async def test_a_thread_is_named_after_its_question_in_one_short_line(history: History) -> None:
    ann = await new_user(history, "ann")
    await new_thread(history, ann, "Why\n  " + "on earth " * 20_000)
    page = await history.list_threads(Pagination(first=1), ThreadFilter(userId=ann))
    name = page.data[0]["name"]
    assert name.startswith("Why on earth on earth")
    assert len(name) <= NAME_LENGTH
    assert shorten("Why?") == "Why?"


async def test_times_are_utc(history: History) -> None:
    await new_user(history, "ann")
    (row,) = await history.execute_sql('SELECT "createdAt" FROM users', {})  # type: ignore[misc]
    written = datetime.fromisoformat(row["createdAt"].removesuffix("Z")).replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - written) < timedelta(minutes=5)


async def test_a_card_that_cannot_be_stored_is_told_in_one_line(history: History) -> None:
    with sqlite3.connect(history.path) as connection:
        connection.execute("DROP TABLE elements")
    with pytest.raises(StoreFailed, match="cannot be written") as failed:
        await history.save_element(card(str(uuid4()), "x"))
    assert "\n" not in str(failed.value)


def test_a_history_that_is_no_database_is_told_with_its_path_and_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "chat.db").write_text("not a database, and long enough that SQLite reads its header as text" * 20)
    with pytest.raises(StoreFailed, match=r"chat\.db.*move the file away"):
        make_tables(tmp_path / "chat.db")


def test_a_home_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(StoreFailed, match="THUMBTUNE_HOME"):
        make_tables(tmp_path / "home" / "chat.db")
