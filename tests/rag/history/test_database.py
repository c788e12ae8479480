"""Statements on the history's file: together where they wait, all or none of each caller's, and never half."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rag.history import Database, DatabaseFailed, SQLiteFile

AT_ONCE = 20


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(sqlite3.connect(tmp_path / "chat.db")) as made:
        made.execute("PRAGMA journal_mode = WAL")
        made.execute("CREATE TABLE bees (id INT PRIMARY KEY, name TEXT NOT NULL)")
    opened = Database(SQLiteFile(tmp_path / "chat.db"))
    yield opened
    opened.close()


def insert(number: int, name: str | None = "a bee") -> tuple[str, dict[str, object]]:
    return "INSERT INTO bees (id, name) VALUES (:id, :name)", {"id": number, "name": name}


def stored(path: Path) -> set[int]:
    with closing(sqlite3.connect(path)) as other:
        return {number for (number,) in other.execute("SELECT id FROM bees")}


def test_rows_come_back_by_their_names_and_writes_say_how_many_they_changed(database: Database) -> None:
    assert asyncio.run(database.run(insert(1))) == 1
    assert asyncio.run(database.run(("SELECT * FROM bees", {}))) == [{"id": 1, "name": "a bee"}]
    assert asyncio.run(database.run(("UPDATE bees SET name = 'x' WHERE id = 2", {}))) == 0


def test_of_many_that_wait_only_the_wrong_one_fails(database: Database, tmp_path: Path) -> None:
    async def write_all() -> list[object]:
        go = threading.Event()
        database.call(go.wait)
        tasks = [database.run(insert(n), insert(100 + n, None if n == 7 else "x")) for n in range(AT_ONCE)]
        waiting = asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.05)
        go.set()
        return list(await waiting)

    found = asyncio.run(write_all())
    assert isinstance(found.pop(7), DatabaseFailed)
    assert found == [1] * (AT_ONCE - 1)
    assert stored(tmp_path / "chat.db") == {n + more for n in range(AT_ONCE) if n != 7 for more in (0, 100)}


def test_a_write_whose_caller_is_cancelled_is_made_all_the_same(database: Database, tmp_path: Path) -> None:
    async def cancel() -> None:
        go = threading.Event()
        database.call(go.wait)
        writing = asyncio.create_task(database.run(insert(1)))
        await asyncio.sleep(0.05)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        go.set()
        await database.run(insert(2))

    asyncio.run(cancel())
    assert stored(tmp_path / "chat.db") == {1, 2}


def test_another_process_that_writes_is_waited_for(database: Database, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "chat.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute(*insert(1))
    threading.Timer(0.3, lambda: other.execute("COMMIT")).start()
    assert asyncio.run(database.run(insert(2))) == 1
    assert stored(tmp_path / "chat.db") == {1, 2}
    other.close()
