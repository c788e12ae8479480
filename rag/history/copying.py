"""Copy the chats of chat.db into Postgres, for a team that has outgrown the file; the file is only read.

Each thread is copied whole or not at all, and one that is there already is left as it is there, so an interrupted copy
is finished by a second one, and may run while people chat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from rag.errors import StoreFailed
from rag.history.database import Connection, DatabaseFailed, Result, transaction, user_id
from rag.history.postgres import PostgresServer
from rag.history.sqlite import SQLiteFile

PARTS = {  # of a thread: table -> how its rows are found
    "steps": 'SELECT * FROM steps WHERE "threadId" = :id',
    "elements": 'SELECT * FROM elements WHERE "threadId" = :id',
    "feedbacks": 'SELECT * FROM feedbacks WHERE "forId" IN (SELECT id FROM steps WHERE "threadId" = :id)',
}
FLAGS = ("streaming", "waitForAnswer", "isError", "defaultOpen", "autoCollapse", "autoPlay")  # SQLite has 0 and 1
Advance = Callable[[int, int], object]


@dataclass(frozen=True, slots=True)
class Copied:
    """How many chats were copied, and how many were there already, in it or as deleted ones."""

    threads: int
    known: int


def copy_chats(file: SQLiteFile, server: PostgresServer, advance: Advance = lambda done, total: None) -> Copied:
    """Copy all threads of a file with their users, messages and cards. Raises StoreFailed with how far it came.

    `advance` is called after each thread, with 1 and how many there are.
    """
    copied = known = 0
    server.make_tables()
    try:
        with closing(file.connect()) as old, closing(server.connect()) as new:
            threads = _rows(old, "SELECT * FROM threads ORDER BY id")
            users = _copy_users(old, new)
            for thread in threads:
                is_new = _copy_thread(old, new, thread, users)
                copied, known = copied + is_new, known + (not is_new)
                advance(1, len(threads))
    except DatabaseFailed as error:
        done = f"chats copied, which are not copied again: {copied}" if copied else "no chat was copied"
        raise StoreFailed(f"{server.shown}: {error}: {done}: try again") from error
    return Copied(copied, known)


def _copy_users(old: Connection, new: Connection) -> dict[str, str]:
    """Copy users and deletions; return the new id by the old one. A user who has come in since is known by name."""
    rows = _rows(old, "SELECT * FROM users")
    deleted = _rows(old, "SELECT id FROM deleted")
    with transaction(new):
        _insert(new, "users", [{**row, "id": user_id(row["identifier"])} for row in rows])
        _insert(new, "deleted", deleted)
        now = _found(new.execute("SELECT id, identifier FROM users", {}))
    by_name = {row["identifier"]: row["id"] for row in now}
    return {row["id"]: by_name[row["identifier"]] for row in rows}


def _copy_thread(old: Connection, new: Connection, thread: dict[str, Any], users: dict[str, str]) -> bool:
    """Copy a thread that is not there yet; return whether it was not."""
    key = {"id": thread["id"]}
    parts = {table: _rows(old, text, key) for table, text in PARTS.items()}
    with transaction(new):
        known = "SELECT id FROM threads WHERE id = :id UNION ALL SELECT id FROM deleted WHERE id = :id"
        if _found(new.execute(known, key)):
            return False
        _insert(new, "threads", [{**thread, "userId": users.get(thread["userId"], thread["userId"])}])
        for table, rows in parts.items():
            _insert(new, table, rows)
    return True


def _insert(new: Connection, table: str, rows: Sequence[dict[str, Any]]) -> None:
    for row in rows:
        given = {name: bool(value) if name in FLAGS and value is not None else value for name, value in row.items()}
        columns, values = ", ".join(f'"{name}"' for name in row), ", ".join(f":{name}" for name in row)
        new.execute(f"INSERT INTO {table} ({columns}) VALUES ({values}) ON CONFLICT DO NOTHING", given)


def _rows(old: Connection, text: str, values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    with transaction(old, writing=False):
        return _found(old.execute(text, values or {}))


def _found(result: Result) -> list[dict[str, Any]]:
    return result if isinstance(result, list) else []
