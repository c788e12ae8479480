"""Run statements on an SQLite file in a thread of its own; those that wait at the same time are committed together.

Why: by SQLAlchemy and aiosqlite a statement goes to a thread and back eight times, and each commit waits for the disk.
With ten people at once that was a quarter of the event loop's work.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Statement = tuple[str, Mapping[str, Any]]  # with :names, and their values
Result = list[dict[str, Any]] | int  # rows, or how many were changed


@dataclass(frozen=True, slots=True)
class _Waiting:
    statements: Sequence[Statement]
    done: Future[Result] = field(default_factory=Future)

    @property
    def writes(self) -> bool:
        return not all(text.lstrip()[:6].upper() == "SELECT" for text, _ in self.statements)


class Database:
    """One connection to an SQLite file: SQLite has one writer. `run` may be awaited on any event loop."""

    def __init__(self, path: Path, wait_seconds: float) -> None:
        self._connection = sqlite3.connect(path, timeout=wait_seconds, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._thread = ThreadPoolExecutor(1, "history")
        self._waiting: deque[_Waiting] = deque()

    async def run(self, *statements: Statement) -> Result:
        """Run statements, all or none; return what the last one found or changed. Raises sqlite3.Error.

        What is changed is on disk when this returns, and also where its caller is cancelled.
        """
        mine = _Waiting(statements)
        self._waiting.append(mine)
        self._thread.submit(self._run_waiting)
        return await asyncio.shield(asyncio.wrap_future(mine.done))

    async def checkpoint(self) -> None:
        """Move all of the write-ahead log into the file, and empty it."""
        work = self._thread.submit(self._execute, "PRAGMA wal_checkpoint(TRUNCATE)", {})
        await asyncio.wrap_future(work)

    def close(self) -> None:
        """Close the file after what waits is done."""
        self._thread.shutdown()
        self._connection.close()

    def _run_waiting(self) -> None:
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if len(batch) < 2 or not self._try_all(batch):
            for each in batch:  # one by one, so that an error is raised where it belongs
                try:
                    each.done.set_result(self._transaction([each])[0])
                except Exception as error:  # noqa: BLE001  # raised where it is awaited
                    each.done.set_exception(error)

    def _try_all(self, batch: Sequence[_Waiting]) -> bool:
        try:
            results = self._transaction(batch)
        except Exception:  # noqa: BLE001  # raised by the one whose statement it is, when it is tried alone
            return False
        for each, result in zip(batch, results, strict=True):
            each.done.set_result(result)
        return True

    def _transaction(self, batch: Sequence[_Waiting]) -> list[Result]:
        self._connection.execute("BEGIN IMMEDIATE" if any(each.writes for each in batch) else "BEGIN")
        try:
            results = [[self._execute(*statement) for statement in each.statements][-1] for each in batch]
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return results

    def _execute(self, text: str, values: Mapping[str, Any]) -> Result:
        cursor = self._connection.execute(text, values)
        return cursor.rowcount if cursor.description is None else [dict(row) for row in cursor.fetchall()]
