"""Store threads: Chainlit's SQLAlchemy data layer on one SQLite file, `chat.db`.

A card is saved as its props, exactly as they were sent to the browser, in the row of its element; there are no element
files and no route serves any. What the browser must not know is in LanceDB's table `answers`.

Why triggers: a message has the id that its browser chose, and Chainlit writes it over the step of that id, whoever's.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import uuid
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from chainlit.auth.jwt import decode_jwt
from chainlit.data.sql_alchemy import SQLAlchemyDataLayer
from chainlit.element import Element, ElementDict
from chainlit.session import WebsocketSession, ws_sessions_id
from chainlit.types import PageInfo, PaginatedResponse, Pagination, ThreadDict, ThreadFilter
from chainlit.user_session import user_sessions
from jwt import InvalidTokenError
from sqlalchemy import URL

from chat.language import Phrase, as_saved, from_saved
from chat.session import thread_search
from chat.session.database import Database, Result
from rag.errors import StoreFailed

log = logging.getLogger("thumbtune")
MAX_PAGE = 100  # threads per page; a browser may ask for more
DELETED = Phrase("app.deleted")
LEAVE = "thumbtune:leave"  # public/app.js listens for it
WAIT_SECONDS = 60  # for a turn to write; a statement takes milliseconds
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
DROP INDEX IF EXISTS steps_thread;
CREATE INDEX IF NOT EXISTS steps_time ON steps ("threadId", "createdAt");
CREATE INDEX IF NOT EXISTS elements_thread ON elements ("threadId");
CREATE TABLE IF NOT EXISTS deleted (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS threads_stay_deleted BEFORE INSERT ON threads
    WHEN EXISTS (SELECT 1 FROM deleted WHERE id = NEW.id) BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER IF NOT EXISTS steps_stay_deleted BEFORE INSERT ON steps
    WHEN EXISTS (SELECT 1 FROM deleted WHERE id = NEW."threadId") BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER IF NOT EXISTS steps_stay_in_thread BEFORE UPDATE OF "threadId" ON steps
    WHEN NEW."threadId" <> OLD."threadId" BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER IF NOT EXISTS threads_stay_with_user BEFORE UPDATE OF "userId" ON threads
    WHEN NEW."userId" <> OLD."userId" BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER IF NOT EXISTS elements_stay_deleted BEFORE INSERT ON elements
    WHEN EXISTS (SELECT 1 FROM deleted WHERE id = NEW."threadId") BEGIN SELECT RAISE(IGNORE); END;
"""
SAVE_ELEMENT = """
INSERT INTO elements (id, "threadId", type, name, display, "forId", mime, props)
VALUES (:id, :threadId, :type, :name, :display, :forId, :mime, :props)
ON CONFLICT (id) DO UPDATE SET props = excluded.props WHERE elements."threadId" = excluded."threadId"
"""
LIST_THREADS = """
SELECT * FROM (
    SELECT t.id, t."createdAt", t.name,
        COALESCE((SELECT MAX(s."createdAt") FROM steps s WHERE s."threadId" = t.id), t."createdAt", '') AS last
    FROM threads t WHERE t."userId" = :user AND {having}
) WHERE :after = '' OR last || ' ' || id < :after ORDER BY last || ' ' || id DESC LIMIT :limit
"""
DELETE_THREAD = (
    "INSERT OR IGNORE INTO deleted (id) VALUES (:id)",
    'DELETE FROM feedbacks WHERE "forId" IN (SELECT id FROM steps WHERE "threadId" = :id)',
    'DELETE FROM elements WHERE "threadId" = :id',
    'DELETE FROM steps WHERE "threadId" = :id',
    'DELETE FROM folded WHERE "threadId" = :id',
    "DELETE FROM threads WHERE id = :id",
)


def make_tables(path: Path) -> None:
    """Create missing tables. Raises StoreFailed if the file cannot be opened or is not a database."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")  # a reader never waits for a writer
            connection.executescript(TABLES + thread_search.TABLES)
    except (OSError, sqlite3.Error) as error:
        step = _next_step(error)
        raise StoreFailed(Phrase("app.history_unopened", path=str(path), reason=str(error), step=step)) from error


class ThreadStore(SQLAlchemyDataLayer):
    """Chainlit's data layer, with the fixes it needs on SQLite.

    Why its statements are run by `Database`: with Chainlit's 15 connections, some wrote at the same moment, waited in
    sleeps of up to 5 seconds, and then lost their step ("database is locked") when eight people asked at once.
    """

    def __init__(self, path: Path) -> None:
        make_tables(path)
        self.path = path
        super().__init__(URL.create("sqlite+aiosqlite", database=str(path)))  # type: ignore[arg-type]  # never connects
        self._database = Database(path, WAIT_SECONDS)

    async def execute_sql(self, query: str, parameters: dict[str, Any]) -> Result | None:
        """Run one of Chainlit's statements; return its rows or how many it changed, None where it failed."""
        try:
            return await self._database.run((query, parameters))
        except sqlite3.Error as error:
            log.warning("the history could not be read or written: %s", error)
            return None

    async def close(self) -> None:
        """Close the file."""
        await asyncio.to_thread(self._database.close)

    async def save_element(self, element: ElementDict) -> None:
        """Write an element with its props; return when they are stored. Raises StoreFailed."""
        row = {name: element.get(name) for name in ("id", "threadId", "type", "name", "display", "forId", "mime")}
        row["props"] = json.dumps(as_saved(element.get("props") or {}))
        try:
            written = await self._database.run((SAVE_ELEMENT, row))
        except sqlite3.Error as error:
            raise self._failed(error) from error
        if written == 0:
            raise StoreFailed(DELETED)

    async def create_element(self, element: Element) -> None:
        """Write an element that Chainlit sends itself (our elements are written by `save_element`)."""
        await self.save_element(element.to_dict())

    async def get_thread(self, thread_id: str) -> ThreadDict | None:
        """Return a thread with its steps and elements; props as a dict (SQLite hands back the text)."""
        if not _is_uuid(thread_id):
            return None
        thread = await super().get_thread(thread_id)
        for element in (thread["elements"] if thread else None) or []:
            if isinstance(element.get("props"), str):
                element["props"] = from_saved(json.loads(str(element["props"])))
        return thread

    async def get_thread_author(self, thread_id: str) -> str:
        """Return a thread's owner, "" if there is no such thread (Chainlit would answer 500 instead of 404)."""
        found = await self.execute_sql(
            'SELECT "userIdentifier" AS author FROM threads WHERE id = :id', {"id": thread_id}
        )
        return str(found[0]["author"] or "") if isinstance(found, list) and found else ""

    async def delete_thread(self, thread_id: str) -> None:
        """Delete a thread permanently: its text is overwritten, its tabs leave it, and none can write it again."""
        try:
            overwrite = "PRAGMA secure_delete = ON", dict[str, str]()
            await self._database.run(overwrite, *((statement, {"id": thread_id}) for statement in DELETE_THREAD))
            await self._database.checkpoint()  # the log has the text, too
        except sqlite3.Error as error:
            raise self._failed(error) from error
        await _leave(thread_id)

    async def leave_deleted(self) -> None:
        """Have the tabs that show a deleted thread leave it, as after a deletion by another process."""
        for thread_id in {session.thread_id for session in ws_sessions_id.values()}:
            if await self.execute_sql("SELECT id FROM deleted WHERE id = :id", {"id": thread_id}):
                await _leave(thread_id)

    def _failed(self, error: sqlite3.Error) -> StoreFailed:
        step = _next_step(error)
        return StoreFailed(Phrase("app.history_unwritten", path=str(self.path), reason=str(error), step=step))

    async def list_threads(self, pagination: Pagination, filters: ThreadFilter) -> PaginatedResponse[Any]:
        """Return one page of a rater's threads, newest first, without their content (Chainlit reads all of it).

        With a search: those whose name, questions and answers contain every word of it. A cursor is a time and id, so
        it stays valid when its thread is deleted.
        """
        if filters.search:
            await asyncio.to_thread(thread_search.catch_up, self.path, filters.userId or "")
        condition, words = thread_search.threads_matching(filters.search or "")
        size = max(1, min(pagination.first, MAX_PAGE))
        parameters = {"user": filters.userId, "after": pagination.cursor or "", "limit": size + 1, **words}
        found = await self.execute_sql(LIST_THREADS.format(having=condition), parameters)
        rows = found if isinstance(found, list) else []
        cursors = [f"{row.pop('last')} {row['id']}" for row in rows][:size]
        page = [{**row, "steps": [], "elements": [], "metadata": {}} for row in rows[:size]]
        first, last = (cursors[0], cursors[-1]) if cursors else (None, None)
        info = PageInfo(hasNextPage=len(rows) > size, startCursor=first, endCursor=last)
        return PaginatedResponse(pageInfo=info, data=page)

    async def update_thread(
        self,
        thread_id: str,
        name: str | None = None,
        user_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        tags: list[str] | None = None,
    ) -> None:
        """Write a thread with a shortened name. Its id comes from the browser: ValueError unless it is a UUID."""
        if not _is_uuid(thread_id):
            raise ValueError(f"thread id {thread_id[:40]!r} is not a UUID")
        if name is not None:
            name = shorten(name)
        await super().update_thread(thread_id, name=name, user_id=user_id, metadata=metadata, tags=tags)

    async def get_current_timestamp(self) -> str:
        """Return the time in UTC (Chainlit writes local time and calls it UTC)."""
        return datetime.now(UTC).replace(tzinfo=None).isoformat() + "Z"


async def _leave(thread_id: str) -> None:
    """Have the tabs that show a thread open a new one, and drop the cards that are kept for them."""
    for session in list(ws_sessions_id.values()):
        if session.thread_id == thread_id:
            open_new_thread(session)
            user_sessions.get(session.id, {}).pop("state", None)
            await cast(Any, session.emit)("window_message", LEAVE)  # annotated as returning None


def open_new_thread(session: WebsocketSession) -> None:
    """Make the next question of a tab open a new thread; the one it shows was deleted."""
    session.thread_id, session.thread_id_to_resume, session.has_first_interaction = str(uuid.uuid4()), None, False


async def write_waiting(session: WebsocketSession) -> None:
    """Write what waited for a session's first message, in place of Chainlit's `flush_method_queue`.

    Why: Chainlit's ends with an error where something is added meanwhile, and the rest of the steps is lost.
    """
    while waiting := [queue for queue in session.thread_queues.values() if queue]:
        for queue in waiting:
            method, layer, args, kwargs = queue.popleft()
            await method(layer, *args, **kwargs)


def redirect_other_raters(sio: Any, history: ThreadStore) -> None:  # noqa: ANN401  # socketio ships no types
    """Open a new thread for a rater who follows the URL of another rater's thread.

    Why: Chainlit would refuse the connection, and the page would not work.
    """
    from chainlit.socket import _get_token  # imported here: the module starts what only a running chat needs

    connect = sio.handlers["/"]["connect"]

    async def connect_mine(sid: str, environ: dict[str, Any], auth: dict[str, Any]) -> Any:  # noqa: ANN401
        author = await history.get_thread_author(str(auth.get("threadId") or ""))
        if author and author != _name_in(_get_token(environ)):
            auth = {**auth, "threadId": str(uuid.uuid4())}  # an unused id
        return await connect(sid, environ, auth)

    sio.on("connect", connect_mine)
    WebsocketSession.flush_method_queue = write_waiting  # type: ignore[method-assign]


def _name_in(token: str | None) -> str:
    """Return a token's user, "" if it is missing or invalid; Chainlit reports that to the browser itself."""
    try:
        return decode_jwt(token).identifier if token else ""
    except InvalidTokenError:
        return ""


def shorten(question: str) -> str:
    """Return a question as a thread name: one line of at most NAME_LENGTH characters."""
    line = " ".join(question[: 4 * NAME_LENGTH].split())
    return line if len(line) <= NAME_LENGTH else line[: NAME_LENGTH - 1] + "…"


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except (ValueError, AttributeError, TypeError):
        return False


def _next_step(error: object) -> str:
    if "full" in str(error):
        return Phrase("app.step_space")
    if "not a database" in str(error) or "malformed" in str(error):
        return Phrase("app.step_move")
    return Phrase("app.step_home")
