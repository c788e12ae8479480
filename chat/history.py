"""Threads that survive a reload: Chainlit's SQLAlchemy data layer on one SQLite file, `chat.db`.

A card is kept as its props, in the row of its element: what the browser was sent, and nothing else. No file of it is
written and no route serves one. What only the server may know stands in LanceDB's table `answers`.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chainlit.data.sql_alchemy import SQLAlchemyDataLayer
from chainlit.element import Element, ElementDict
from chainlit.types import PageInfo, PaginatedResponse, Pagination, ThreadDict, ThreadFilter
from sqlalchemy import URL, text
from sqlalchemy.exc import SQLAlchemyError

from rag.errors import StoreFailed

NAME_LENGTH = 80  # a thread is named after its first question, which may be pages long
TABLES = """
CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY, identifier TEXT NOT NULL UNIQUE, metadata TEXT NOT NULL,
    "createdAt" TEXT);
CREATE TABLE IF NOT EXISTS threads (id TEXT PRIMARY KEY, "createdAt" TEXT, name TEXT, "userId" TEXT,
    "userIdentifier" TEXT, tags TEXT, metadata TEXT);
CREATE TABLE IF NOT EXISTS steps (id TEXT PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
    "threadId" TEXT NOT NULL, "parentId" TEXT, streaming BOOLEAN NOT NULL, "waitForAnswer" BOOLEAN, "isError" BOOLEAN,
    metadata TEXT, tags TEXT, input TEXT, output TEXT, "createdAt" TEXT, command TEXT, modes TEXT, start TEXT,
    "end" TEXT, generation TEXT, "showInput" TEXT, language TEXT, indent INT, "defaultOpen" BOOLEAN,
    "autoCollapse" BOOLEAN, icon TEXT);
CREATE TABLE IF NOT EXISTS elements (id TEXT PRIMARY KEY, "threadId" TEXT, type TEXT, url TEXT, "chainlitKey" TEXT,
    name TEXT NOT NULL, display TEXT, "objectKey" TEXT, size TEXT, page INT, language TEXT, "forId" TEXT, mime TEXT,
    props TEXT, "autoPlay" BOOLEAN, "playerConfig" TEXT);
CREATE TABLE IF NOT EXISTS feedbacks (id TEXT PRIMARY KEY, "forId" TEXT NOT NULL, "threadId" TEXT, value INT NOT NULL,
    comment TEXT);
CREATE INDEX IF NOT EXISTS threads_user ON threads ("userId");
CREATE INDEX IF NOT EXISTS steps_thread ON steps ("threadId");
CREATE INDEX IF NOT EXISTS elements_thread ON elements ("threadId");
"""
SAVE_ELEMENT = """
INSERT INTO elements (id, "threadId", type, name, display, "forId", mime, props)
VALUES (:id, :threadId, :type, :name, :display, :forId, :mime, :props)
ON CONFLICT (id) DO UPDATE SET props = excluded.props
"""
LIST_THREADS = """
SELECT t.id, t."createdAt", t.name FROM threads t LEFT JOIN steps s ON s."threadId" = t.id
WHERE t."userId" = :user GROUP BY t.id HAVING :search = '' OR MAX(instr(lower(s.output), :search)) > 0
ORDER BY MAX(s."createdAt") DESC NULLS LAST, t.id
"""


def make_tables(path: Path) -> None:
    """Make the tables that are missing. Raises StoreFailed where the file cannot be opened or is no database."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")  # a reader never waits for a writer
            connection.executescript(TABLES)
    except (OSError, sqlite3.Error) as error:
        raise StoreFailed(f"{path}: the chat history cannot be opened ({error}): {_next_step(error)}") from error


class History(SQLAlchemyDataLayer):
    """Chainlit's data layer, with what it needs to be right on SQLite."""

    def __init__(self, path: Path) -> None:
        make_tables(path)
        self.path = path
        super().__init__(URL.create("sqlite+aiosqlite", database=str(path)))  # type: ignore[arg-type]  # passed on as is

    async def save_element(self, element: ElementDict) -> None:
        """Write an element with its props, and return when they are stored. Raises StoreFailed."""
        row = {name: element.get(name) for name in ("id", "threadId", "type", "name", "display", "forId", "mime")}
        row["props"] = json.dumps(element.get("props") or {})
        try:
            async with self.engine.begin() as connection:
                await connection.execute(text(SAVE_ELEMENT), row)
        except SQLAlchemyError as error:
            reason = getattr(error, "orig", None) or error
            raise StoreFailed(
                f"{self.path}: the chat history cannot be written ({reason}): {_next_step(reason)}"
            ) from error

    async def create_element(self, element: Element) -> None:
        """Write what Chainlit itself sends as an element (the room sends its cards by `save_element`)."""
        await self.save_element(element.to_dict())

    async def get_thread(self, thread_id: str) -> ThreadDict | None:
        """Return a thread with its steps and elements; props as a dict (SQLite hands back the text)."""
        if not _is_uuid(thread_id):
            return None
        thread = await super().get_thread(thread_id)
        for element in (thread["elements"] if thread else None) or []:
            if isinstance(element.get("props"), str):
                element["props"] = json.loads(str(element["props"]))
        return thread

    async def list_threads(self, pagination: Pagination, filters: ThreadFilter) -> PaginatedResponse[Any]:
        """Return one page of a rater's threads, newest first, without their content (Chainlit reads all of it)."""
        search = (filters.search or "").lower()
        found = await self.execute_sql(LIST_THREADS, {"user": filters.userId, "search": search})
        rows = found if isinstance(found, list) else []
        ids = [row["id"] for row in rows]
        start = ids.index(pagination.cursor) + 1 if pagination.cursor in ids else 0
        page = [{**row, "steps": [], "elements": [], "metadata": {}} for row in rows[start : start + pagination.first]]
        more = len(rows) > start + len(page)
        first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
        return PaginatedResponse(pageInfo=PageInfo(hasNextPage=more, startCursor=first, endCursor=last), data=page)

    async def update_thread(
        self,
        thread_id: str,
        name: str | None = None,
        user_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        tags: list[str] | None = None,
    ) -> None:
        """Write a thread under a short name. Its id comes from the browser and ends up in SQL: a UUID or nothing."""
        if not _is_uuid(thread_id):
            raise ValueError(f"thread id {thread_id[:40]!r} is not a UUID")
        if name is not None:
            name = shorten(name)
        await super().update_thread(thread_id, name=name, user_id=user_id, metadata=metadata, tags=tags)

    async def get_current_timestamp(self) -> str:
        """Return the time in UTC (Chainlit writes local time and calls it UTC)."""
        return datetime.now(UTC).replace(tzinfo=None).isoformat() + "Z"


def shorten(question: str) -> str:
    """Return a question as the name of its thread: one line of at most NAME_LENGTH characters."""
    line = " ".join(question[: 4 * NAME_LENGTH].split())
    return line if len(line) <= NAME_LENGTH else line[: NAME_LENGTH - 1] + "…"


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except (ValueError, AttributeError, TypeError):
        return False


def _next_step(error: object) -> str:
    if "full" in str(error):
        return "free some space, then ask again"
    if "not a database" in str(error) or "malformed" in str(error):
        return "move the file away; ratings and models are stored elsewhere and stay"
    return "make THUMBTUNE_HOME writable, or move it"
