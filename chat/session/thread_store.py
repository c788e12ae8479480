"""Store threads: Chainlit's SQLAlchemy data layer on `chat.db`, or on a Postgres database that several chats share.

A card is saved as its props, exactly as they were sent to the browser, in the row of its element; there are no element
files and no route serves any. What the browser must not know is in LanceDB's table `answers`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, cast

from chainlit.auth.jwt import decode_jwt
from chainlit.data.sql_alchemy import SQLAlchemyDataLayer
from chainlit.element import Element, ElementDict
from chainlit.session import WebsocketSession, ws_sessions_id
from chainlit.types import PageInfo, PaginatedResponse, Pagination, ThreadDict, ThreadFilter
from chainlit.user import PersistedUser, User
from chainlit.user_session import user_sessions
from fastapi import HTTPException
from jwt import InvalidTokenError
from sqlalchemy import URL

from chat.language import Phrase, as_saved, from_saved
from chat.session import thread_search
from rag.errors import StoredLater, StoreFailed
from rag.history import Database, DatabaseFailed, Place, Result, deletion, user_id

log = logging.getLogger("thumbtune")
MAX_PAGE = 100  # threads per page; a browser may ask for more
DELETED = Phrase("app.deleted")
LEAVE = "thumbtune:leave"  # public/app.js listens for it
NAME_LENGTH = 80  # a thread is named after its first question, which may be pages long
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
) AS listed WHERE :after = '' OR last || ' ' || id < :after ORDER BY last || ' ' || id DESC LIMIT :limit
"""
SAVE_THREAD = """
INSERT INTO threads (id, "createdAt", name, "userId", "userIdentifier", tags, metadata)
VALUES (:id, :at, :name, :user, (SELECT identifier FROM users WHERE id = :user), :tags, COALESCE(:metadata, '{}'))
ON CONFLICT (id) DO UPDATE SET name = COALESCE(excluded.name, threads.name),
    "userId" = COALESCE(excluded."userId", threads."userId"),
    "userIdentifier" = COALESCE(excluded."userIdentifier", threads."userIdentifier"),
    tags = COALESCE(excluded.tags, threads.tags), metadata = COALESCE(:metadata, threads.metadata)
"""
BEGIN_THREAD = """
INSERT INTO threads (id, "createdAt", metadata) VALUES (:id, :at, '{}') ON CONFLICT (id) DO NOTHING
"""
ADD_USER = """
INSERT INTO users (id, identifier, "createdAt", metadata) VALUES (:id, :identifier, :at, :metadata)
ON CONFLICT (identifier) DO UPDATE SET metadata = excluded.metadata
"""


class ThreadStore(SQLAlchemyDataLayer):
    """Chainlit's data layer, with the fixes it needs.

    Why its statements are run by `Database`: with Chainlit's 15 connections to SQLite, some wrote at the same moment,
    waited in sleeps of up to 5 seconds, and then lost their step ("database is locked") when eight people asked at
    once; with several to Postgres, an older state of a step could be written over a newer one.
    """

    def __init__(self, place: Place) -> None:
        place.make_tables()
        self.place = place
        super().__init__(URL.create("sqlite+aiosqlite"))  # type: ignore[arg-type]  # never connects
        self._database = Database(place)
        self._folding = ThreadPoolExecutor(1, "folding")

    @property
    def is_shared(self) -> bool:
        """Return whether other chats write to it, too."""
        return self.place.is_shared

    @property
    def is_down(self) -> bool:
        """Return whether its server could not be reached when it was last tried."""
        return self._database.is_down

    async def execute_sql(self, query: str, parameters: dict[str, Any]) -> Result | None:
        """Run one of Chainlit's statements; return its rows or how many it changed, None where it failed.

        What cannot be written because the server is gone is written when it is back.
        """
        lists = {name: json.dumps(each) for name, each in parameters.items() if isinstance(each, dict | list)}
        try:
            return await self._database.run((query, {**parameters, **lists}), again=True)
        except DatabaseFailed as error:
            if not error.is_gone:  # of which `Database` reports once
                log.warning("the history could not be read or written: %s", error)
            return None

    async def close(self) -> None:
        """Write what waits, and close the connection."""
        self._folding.shutdown(wait=False)
        await asyncio.to_thread(self._database.close)

    async def create_user(self, user: User) -> PersistedUser | None:
        """Write a user who comes in; two requests of a new one, or two chats, write one row."""
        row = {"id": user_id(user.identifier), "identifier": user.identifier}
        at = await self.get_current_timestamp()
        written = await self.execute_sql(ADD_USER, {**row, "at": at, "metadata": json.dumps(user.metadata)})
        if written is None and self.is_down:  # the row is written later, and has this id unless it was there before
            return PersistedUser(id=row["id"], identifier=user.identifier, createdAt=at, metadata=user.metadata)
        return await self.get_user(user.identifier)

    async def save_element(self, element: ElementDict) -> None:
        """Write an element with its props; return when they are stored. Raises StoreFailed."""
        row = {name: element.get(name) for name in ("id", "threadId", "type", "name", "display", "forId", "mime")}
        row["props"] = json.dumps(as_saved(element.get("props") or {}))
        try:
            written = await self._database.run((SAVE_ELEMENT, row), again=True)
        except DatabaseFailed as error:
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
        """Return a thread's owner, "" if there is no such thread (Chainlit would answer 500 instead of 404).

        Raises HTTPException where that cannot be known now: Chainlit's routes ask, and would say that it is not there.
        """
        author = await self.find_author(thread_id)
        if author is None:
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, Phrase("app.history_gone"))
        return author

    async def find_author(self, thread_id: str) -> str | None:
        """Return a thread's owner, "" if there is no such thread, None where that cannot be known now."""
        found = await self.execute_sql(
            'SELECT "userIdentifier" AS author FROM threads WHERE id = :id', {"id": thread_id}
        )
        if not isinstance(found, list):
            return None
        return str(found[0]["author"] or "") if found else ""

    async def delete_thread(self, thread_id: str) -> None:
        """Delete a thread permanently: SQLite overwrites its text, its tabs leave it, and none can write it again."""
        try:
            await self._database.run(*deletion(self.place, thread_id))
            await self._database.checkpoint()  # the log has the text, too
        except DatabaseFailed as error:
            if error.is_gone:
                raise StoreFailed(Phrase("app.history_gone")) from error
            raise self._failed(error) from error
        await _leave(thread_id)

    async def leave_deleted(self) -> None:
        """Have the tabs that show a deleted thread leave it, as after a deletion by another process."""
        for thread_id in {session.thread_id for session in ws_sessions_id.values()}:
            if await self.execute_sql("SELECT id FROM deleted WHERE id = :id", {"id": thread_id}):
                await _leave(thread_id)

    def _failed(self, error: DatabaseFailed) -> StoreFailed:
        if error.is_gone:
            return StoredLater(Phrase("app.history_later"))
        where = str(Phrase("app.history")) if self.is_shared else self.place.shown  # the address is nobody's business
        step = Phrase("app.step_database") if self.is_shared else _next_step(error)
        return StoreFailed(Phrase("app.history_unwritten", path=where, reason=str(error), step=step))

    async def list_threads(self, pagination: Pagination, filters: ThreadFilter) -> PaginatedResponse[Any]:
        """Return one page of a rater's threads, newest first, without their content (Chainlit reads all of it).

        With a search: those whose name, questions and answers contain every word of it. A cursor is a time and id, so
        it stays valid when its thread is deleted.
        """
        if filters.search:
            await self._catch_up(filters.userId or "")
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

    async def _catch_up(self, user_id: str) -> None:
        """Fold what was added to a user's threads. A server that is gone or silent holds up one thread of ours."""
        folding = self._folding.submit(thread_search.catch_up, self.place, user_id)
        try:
            async with asyncio.timeout(self.place.patience):
                await asyncio.wrap_future(folding)
        except (StoreFailed, TimeoutError):
            if not self.is_shared:
                raise

    async def update_thread(
        self,
        thread_id: str,
        name: str | None = None,
        user_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        tags: list[str] | None = None,
    ) -> None:
        """Write what is given of a thread, its name shortened. The id is the browser's: ValueError unless it is a UUID.

        Why not Chainlit's: it looks up the owner first, so a thread begun while the server was gone had none for ever.
        """
        if not _is_uuid(thread_id):
            raise ValueError(f"thread id {thread_id[:40]!r} is not a UUID")
        row: dict[str, Any] = {"id": thread_id, "at": await self.get_current_timestamp()}
        if all(given is None for given in (name, user_id, metadata, tags)):  # before each step: it needs a thread
            await self.execute_sql(BEGIN_THREAD, row)
            return
        row |= {"name": None if name is None else shorten(name), "user": user_id, "tags": tags, "metadata": None}
        if metadata is not None:
            before = await self.execute_sql("SELECT metadata FROM threads WHERE id = :id", {"id": thread_id})
            known = json.loads(before[0]["metadata"] or "{}") if isinstance(before, list) and before else {}
            row["metadata"] = {key: value for key, value in {**known, **metadata}.items() if value is not None}
        await self.execute_sql(SAVE_THREAD, row)

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
        author = await history.find_author(str(auth.get("threadId") or ""))
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
