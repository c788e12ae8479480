"""Rows in and out of LanceDB, whatever they mean: opened, read, upserted, deleted, compacted; errors become one line.

All writes of a process go through one thread (LanceDB retries conflicting writers unfairly: with 8 of them one waited
18 s). Readers see every other process's writes (read_consistency_interval 0, 11% slower than never looking).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import lancedb
from filelock import FileLock
from lancedb import col, lit

from rag.errors import StoreFailed
from rag.store import schema as tables

COMPACT_EVERY = 100  # writes; by 1,000 uncompacted single rows an append is three times slower and a read takes 0.8 s
KEEP_OLD_VERSIONS = timedelta(minutes=10)  # never 0 while others read: their manifest would vanish under them
MAKING_SECONDS = 60  # that another process may take to make a table; it takes milliseconds
IN_LIST = 1_000  # ids per filter; 5,000 take 65 ms

T = TypeVar("T")
log = logging.getLogger(__name__)


class LanceTables:
    """The tables of one folder, by name. What their rows mean is said by `rag.store.Store`, which stands on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._db = guard(folder, lambda: lancedb.connect(folder, read_consistency_interval=timedelta(0)))
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-writer")
        self._writes: Counter[str] = Counter()

    def has_table(self, name: str) -> bool:
        """Return whether a table of this name exists. Raises StoreFailed where its data is there but not its index.

        A folder without either is what a full disk leaves of a table that was being made: it counts as none.
        """
        if name not in self._names():
            return False
        folder = self.folder / f"{name}.lance"
        if any((folder / "_versions").glob("*")):
            return True
        if any((folder / "data").glob("*")):
            raise StoreFailed(f"{folder}: its _versions are gone: put the folder back from a copy before going on")
        return False

    def close(self) -> None:
        """Wait for the writes under way."""
        self._writer.shutdown(wait=True)

    def _names(self) -> list[str]:
        return guard(self.folder, lambda: list(self._db.list_tables(limit=100_000).tables))

    def _open(self, name: str, schema: Any = None) -> Any:  # noqa: ANN401  # lancedb ships no types
        """Open a table; with a schema, make it if need be, and add the columns that an earlier release lacked.

        One process makes tables at a time: of two that make the same one, LanceDB lets the later overwrite the former.
        """
        if schema is None:
            return self._db.open_table(name)
        if not self.has_table(name):
            with FileLock(self.folder / "tables.lock", timeout=MAKING_SECONDS):
                self._db.create_table(name, schema=schema, exist_ok=True)
        return tables.add_missing_columns(self._db.open_table(name), schema)

    def _rows(self, name: str, where: Any = None, columns: list[str] | None = None) -> list[tables.Row]:  # noqa: ANN401
        found = self._arrow(name, where, columns)
        return [] if found is None else list(found.to_pylist())

    def _arrow(self, name: str, where: Any = None, columns: list[str] | None = None) -> Any:  # noqa: ANN401
        """Return rows as an Arrow table, or None where there is no table of this name."""
        if not self.has_table(name):
            return None

        def read() -> Any:  # noqa: ANN401
            query = self._open(name).search()
            query = query if where is None else query.where(where)
            query = query if columns is None else query.select(columns)
            return query.to_arrow()

        return guard(self.folder, read)

    def _upsert(self, name: str, rows: Iterable[tables.Row], schema: Any = None) -> None:  # noqa: ANN401
        unique = {
            row["id"]: row for row in rows
        }  # one key twice in a source is an error to LanceDB; the last one counts
        if not unique:
            return
        schema = schema or tables.SCHEMAS[name]
        data = tables.to_arrow(unique.values(), schema)
        self._write(
            name,
            lambda: (
                self._open(name, schema)
                .merge_insert("id")
                .when_matched_update_all()
                .when_not_matched_insert_all()
                .execute(data)
            ),
        )

    def _delete(self, name: str, ids: list[str]) -> None:
        if not self.has_table(name):
            return
        for start in range(0, len(ids), IN_LIST):
            where = col("id").isin(ids[start : start + IN_LIST]).to_sql()
            self._write(name, lambda where=where: self._open(name).delete(where))  # type: ignore[misc]

    def _forget(self, name: str, rater: str) -> int:
        """Delete a rater's rows, and see to it that their bytes go, too, once older versions may be removed."""
        if not self.has_table(name):
            return 0
        ids = [row["id"] for row in self._rows(name, col("rater") == lit(rater), ["id"])]
        self._delete(name, ids)
        if ids:  # a deleted row is only marked: it stays in its file until all other rows have moved to a new one
            self._write(name, lambda: self._open(name).update(values_sql={"rater": "rater"}))
        self._write(name, lambda: self._compact(name))
        return len(ids)

    def _write(self, name: str, action: Callable[[], object]) -> None:
        """Run a write in the one writer thread, and return (or raise StoreFailed) when it is done."""

        def act() -> None:
            guard(self.folder, action)
            self._writes[name] += 1
            if self._writes[name] % COMPACT_EVERY == 0:
                self._compact(name)

        self._writer.submit(act).result()

    def _compact(self, name: str) -> None:
        try:
            self._open(name).optimize(cleanup_older_than=KEEP_OLD_VERSIONS)
        except (RuntimeError, OSError) as error:
            # Another process compacts at the same time, or the disk is full: the data is written and stays readable.
            log.warning("table %s was not compacted: %s", name, error)


def guard(folder: Path, action: Callable[[], T]) -> T:
    """Run an action on LanceDB; what it throws becomes one line that names the folder and the next step."""
    try:
        return action()
    except (RuntimeError, OSError, ValueError) as error:
        text = " ".join(str(error).split())
        if "os error 28" in text:
            raise StoreFailed(
                f"{folder}: the disk is full; what was stored is safe: free some space, do it again"
            ) from error
        if "os error 30" in text or "os error 13" in text:
            raise StoreFailed(f"{folder}: cannot be written: make it writable, or move THUMBTUNE_HOME") from error
        raise StoreFailed(f"{folder}: LanceDB failed: {text[:300]}") from error
