"""Run statements on a database in a thread of its own; those that wait at the same time are committed together.

Why: by SQLAlchemy and aiosqlite a statement goes to a thread and back eight times, and each commit waits for the disk.
With ten people at once that was a quarter of the event loop's work. In one thread, what was written first is stored
first, and a write is finished though its caller is cancelled, as by Stop.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

Statement = tuple[str, Mapping[str, Any]]  # with :names, and their values
Result = list[dict[str, Any]] | int  # rows, or how many were changed
RETRY_SECONDS = 2.0  # between two attempts to reach a server that is gone
MOST_MISSED = 2_000  # statements kept for a server that is gone; a card takes some ten kilobytes
log = logging.getLogger("thumbtune")
USERS = uuid.UUID("6d0b7f0e-5c1e-4f6b-9a3f-7a8f3b1c2d4e")  # of the ids of users


class DatabaseFailed(Exception):
    """A statement failed. `is_gone`: because the server cannot be reached; `is_missing`: there is no such table."""

    def __init__(self, reason: str, *, is_gone: bool = False, is_missing: bool = False) -> None:
        super().__init__(reason)
        self.is_gone, self.is_missing = is_gone, is_missing


@dataclass(frozen=True, slots=True)
class Fault:
    """What keeps chats from being kept in a place, and what to do about it."""

    why: str
    step: str

    def __str__(self) -> str:
        return f"{self.why}: {self.step}"


class Connection(Protocol):
    """A connection to a database, used by one thread at a time. Its methods raise DatabaseFailed."""

    def begin(self, *, writing: bool) -> None:
        """Begin a transaction."""

    def execute(self, text: str, values: Mapping[str, Any]) -> Result:
        """Run one statement of the transaction."""

    def commit(self) -> None:
        """Store what the transaction wrote."""

    def rollback(self) -> None:
        """Undo it; nothing happens if the connection is lost."""

    def checkpoint(self) -> None:
        """Remove what was deleted from the database's log, where the database can be asked to."""

    def close(self) -> None:
        """Close the connection."""


class Place(Protocol):
    """Where chats are kept. `shown` names it to whoever runs the chat; `before_delete` precedes a chat's deletion,
    `and_lock` ends a SELECT of rows that must not change until its transaction ends.
    """

    shown: str
    is_shared: bool  # by several chats that run
    before_delete: Sequence[str]
    and_lock: str
    patience: float | None  # seconds after which a statement is taken for failed; None: it always ends

    def make_tables(self) -> None:
        """Create missing tables. Raises StoreFailed."""

    def find_fault(self) -> Fault | None:
        """Return what is known to keep chats from being kept here, None if nothing is; changes nothing."""

    def connect(self) -> Connection:
        """Return a new connection. Raises DatabaseFailed."""


def user_id(identifier: str) -> str:
    """Return the id of a user by their identifier: the same in every chat, also where two see them first at once."""
    return str(uuid.uuid5(USERS, identifier))


@contextmanager
def transaction(connection: Connection, *, writing: bool = True) -> Iterator[Connection]:
    """Run statements, all or none. Raises DatabaseFailed."""
    connection.begin(writing=writing)
    try:
        yield connection
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


@dataclass(slots=True, eq=False)
class _Waiting:
    statements: Sequence[Statement] = ()
    call: Callable[[], object] | None = None
    again: bool = False
    done: Future[Any] = field(default_factory=Future)

    @property
    def writes(self) -> bool:
        return not all(text.lstrip()[:6].upper() == "SELECT" for text, _ in self.statements)

    def finish(self, result: Any = None, error: Exception | None = None) -> None:  # noqa: ANN401
        """Hand over the result, unless nobody waits for it any more."""
        with suppress(InvalidStateError):
            if error:
                self.done.set_exception(error)
            else:
                self.done.set_result(result)


class Database:
    """One connection to a place, and its thread. `run` may be awaited on any event loop."""

    def __init__(self, place: Place) -> None:
        self._place, self._patience = place, place.patience
        self._connection: Connection | None = None
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._missed: list[_Waiting] = []
        self._down: DatabaseFailed | None = None  # why the server could not be reached when it was last tried
        self._tried = self._busy_since = 0.0
        self._thread = threading.Thread(target=self._work, name="history", daemon=True)
        self._thread.start()

    @property
    def is_down(self) -> bool:
        """Return whether the server could not be reached when it was last tried, or has been silent for too long."""
        return self._down is not None or self._is_stuck

    async def run(self, *statements: Statement, again: bool = False) -> Result:
        """Run statements, all or none; return what the last one found or changed. Raises DatabaseFailed.

        What is changed is stored when this returns, and also where its caller is cancelled. With `again`, writes that
        fail because the server is gone are made once it is back, in their order.
        """
        if not self._thread.is_alive():
            raise DatabaseFailed("it is closed")
        waiting = _Waiting(statements, again=again)
        self._queue.put(waiting)
        try:
            async with asyncio.timeout(0 if self._is_stuck else self._patience):
                result: Result = await asyncio.shield(asyncio.wrap_future(waiting.done))
                return result
        except TimeoutError:
            if not again:
                waiting.done.cancel()
            raise DatabaseFailed(f"no answer for {self._patience:.0f} seconds", is_gone=True) from None

    async def checkpoint(self) -> None:
        """Remove what was deleted from the database's log, where the database can be asked to."""
        await asyncio.wrap_future(self.call(self._checkpoint))

    def call(self, work: Callable[[], object]) -> Future[Any]:
        """Run a function in the thread, after what waits."""
        waiting = _Waiting(call=work)
        self._queue.put(waiting)
        return waiting.done

    def close(self) -> None:
        """Close the connection after what waits is done, and what was missed is tried once more."""
        self._queue.put(None)
        self._thread.join(self._patience)

    @property
    def _is_stuck(self) -> bool:
        since = self._busy_since
        return bool(since and self._patience and time.monotonic() - since > self._patience)

    def _checkpoint(self) -> None:
        if self._connection:
            self._connection.checkpoint()

    def _work(self) -> None:
        is_open = True
        while is_open:
            batch = self._next()
            is_open = None not in batch
            self._busy_since = time.monotonic()
            self._run([each for each in batch if each], is_last=not is_open)
            self._busy_since = 0.0
        if self._missed:
            log.warning(
                "%s: %d messages are lost: the chat has ended before it was back", self._place.shown, len(self._missed)
            )
        if self._connection:
            self._connection.close()

    def _next(self) -> list[_Waiting | None]:
        """Return what waits, up to a call, once something does; nothing when it is time to try the server again."""
        batch: list[_Waiting | None] = []
        with suppress(queue.Empty):
            batch.append(self._queue.get(timeout=RETRY_SECONDS if self._missed else None))
            while batch[-1] and not batch[-1].call:
                batch.append(self._queue.get_nowait())
        return batch

    def _run(self, batch: Sequence[_Waiting], *, is_last: bool) -> None:
        due = [each for each in (*self._missed, *batch) if each.statements and not each.done.cancelled()]
        if self._down and not is_last and time.monotonic() - self._tried < RETRY_SECONDS:
            self._miss(due, self._down)  # at once: to look for a server that is gone may take seconds
        elif due:
            self._run_due(due)
        for each in batch:
            if each.call:
                try:
                    each.finish(each.call())
                except Exception as error:  # noqa: BLE001  # raised where it is awaited
                    each.finish(error=error)

    def _run_due(self, due: Sequence[_Waiting]) -> None:
        """Run what waits, in one transaction; where a statement fails one by one, so that it fails where it belongs."""
        try:
            for each, result in zip(due, self._together(due), strict=True):
                each.finish(result)
        except DatabaseFailed as error:
            if error.is_gone:
                self._miss(due, error)
                return
            for nth, each in enumerate(due):
                try:
                    each.finish(self._together([each])[0])
                except DatabaseFailed as failed:
                    if failed.is_gone:
                        self._miss(due[nth:], failed)
                        return
                    if each.done.done():
                        log.warning("%s: what had waited could not be written: %s", self._place.shown, failed)
                    each.finish(error=failed)
        self._reached(sum(each in self._missed for each in due))

    def _together(self, batch: Sequence[_Waiting]) -> list[Result]:
        try:
            self._connection = self._connection or self._place.connect()
            with transaction(self._connection, writing=any(each.writes for each in batch)) as connection:
                return [[connection.execute(*statement) for statement in each.statements][-1] for each in batch]
        except DatabaseFailed:
            raise
        except Exception as error:  # a value that no database takes
            raise DatabaseFailed(f"{type(error).__name__}: {error}") from error

    def _miss(self, due: Sequence[_Waiting], error: DatabaseFailed) -> None:
        """Fail what waits, and keep the writes that are to be made once the server is back."""
        if self._down is None:
            log.warning(
                "%s: %s: what is written to the chats meanwhile waits until it is back", self._place.shown, error
            )
        self._tried, self._down = (self._tried if self._down is error else time.monotonic()), error
        for each in due:
            each.finish(error=error)
        kept = [each for each in due if each.again and each.writes]
        if len(kept) > MOST_MISSED:
            log.warning("%s: %d messages are lost: it is gone for too long", self._place.shown, len(kept) - MOST_MISSED)
        self._missed = kept[:MOST_MISSED]

    def _reached(self, made_up: int) -> None:
        if self._down:
            log.warning("%s: is back, and %d writes that had waited are made", self._place.shown, made_up)
        self._down, self._missed = None, []
