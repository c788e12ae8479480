"""Open, read, upsert, delete and compact LanceDB tables, by name.

Why one writer thread: LanceDB retries conflicting writers unfairly; of 8 writers in one process one waited 18 s. Rows
that wait for it are written together, one commit for each table, and wait for the disk once: a commit and its sync cost
as much for one row as for twenty. A write returns when it is kept: on disk, or by the object store. What depends on
where the tables lie is its backend's (`rag.store.lance.backend`).
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from lancedb import col, lit

from rag.errors import StoreFailed
from rag.home_address import shared_home
from rag.store import schema
from rag.store.lance.backend import Backend
from rag.store.lance.on_disk import DiskBackend

COMPACT_EVERY = 100  # writes; by 1,000 uncompacted single rows an append is three times slower and a read takes 0.8 s
COMPACT_LARGE_EVERY = 400  # of a table of more rows: with 100,000 each 100th write waited 1.4 s for its compaction
LARGE_ROWS = 20_000
READ_TRIES = 5  # a version that was the latest may be removed while another process reads it
# What LanceDB remembers of files and versions: by default up to 1 GB, of which a duel with its votes, that is some four
# versions, added 0.35 MB; a home of a million chunks needs a few.
METADATA_BYTES = 32_000_000
NOT_FOUND = re.compile("not found|no such file", re.IGNORECASE)  # in LanceDB's errors
BATCH = 8_192  # rows; of answers with their passages 20 MB
IN_LIST = 1_000  # ids per filter; 5,000 take 65 ms

ORDER = {name: place for place, name in enumerate(schema.SCHEMAS)}  # what refers to a row is written after it

T = TypeVar("T")
Committed = Callable[[int, int, Any], None]  # version before and after, and the Arrow table that was upserted
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows for one table; appended, or put in place of those with the same ids."""

    data: Any
    schema: Any
    appended: bool = False


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Rows for some tables that wait to be written, and who waits for them."""

    parts: Mapping[str, _Rows]
    done: Future[None] = field(default_factory=Future)


class LanceTables:
    """The LanceDB tables of one home, by name. Methods may be called from any thread; each raises StoreFailed."""

    def __init__(self, folder: Path, metadata_bytes: int = METADATA_BYTES) -> None:
        self.folder = folder
        self._backend = _backend_of(folder, metadata_bytes)
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-writer")
        self._writes: Counter[str] = Counter()
        self._compacted: dict[str, float] = {}  # by name of table: when, by time.monotonic
        self._large = set[str]()  # names of tables with many rows
        self._unsynced = set[str]()  # all four are the writer thread's
        self._waiting: deque[_Waiting] = deque()
        self._committed: dict[str, Committed] = {}
        self.committing = threading.Lock()  # held from an upsert until whom `on_upsert` named has heard of it

    def forget_replaced_indexes(self) -> None:
        """Close the files of indexes that have been replaced, by whom ever; a running chat calls it each minute.

        Why: LanceDB keeps an index that was searched in its cache, with a file handle and up to 6 GB, also when a newer
        one serves. A limit in bytes does not help: each of these has one open file, however small.
        """
        if self._backend.holds_replaced_indexes():
            self._backend.connect()
            self.forget()

    def exists(self, name: str) -> bool:
        """Return whether a table of this name exists. Raises StoreFailed where its data is there but not its versions.

        A folder without either is what a full disk leaves of a table that was being created: it counts as none.
        """
        return self._backend.exists(name)

    def names(self) -> list[str]:
        """Return the names of all tables."""
        return self._backend.names()

    @property
    def cached_bytes(self) -> int:
        """Return what LanceDB remembers of files, versions and indexes."""
        return self._backend.cached_bytes

    def close(self) -> None:
        """Wait for the pending writes."""
        self._writer.shutdown(wait=True)
        self._backend.close()

    def open(self, name: str, arrow_schema: Any = None) -> Any:  # noqa: ANN401  # lancedb ships no types
        """Open a table; with a schema, create it if need be, and add the columns that an earlier release lacked.

        Why the lock: of two processes that create the same table, LanceDB lets the later one overwrite the former.
        """
        if arrow_schema is None:
            return self._backend.open(name)
        if not self.exists(name):
            with self._backend.creating():
                self._backend.db.create_table(name, schema=arrow_schema, exist_ok=True)
        return schema.add_missing_columns(self._backend.open(name), arrow_schema)

    def pinned(self, name: str, version: int) -> Any:  # noqa: ANN401
        """Open a table of a shared home at one version, which never asks for a newer one; None for a local home.

        Its files stay for KEEP_OLD_VERSIONS after a newer version has replaced them.
        """
        return self._backend.pinned(name, version)

    def forget(self) -> None:
        """See at once what other processes have written until now."""
        self._backend.forget()

    def fence(self, name: str) -> None:
        """Add a version to a table that makes every write fail that another process has begun before now."""
        if self.exists(name):
            table = self._backend.db.open_table(name)
            self.write(name, lambda: (table.checkout(table.version), table.restore()))

    def run(self, action: Callable[[], T], name: str = "") -> T:
        """Run an action on LanceDB, on a table of this name, in the caller's thread. Raises StoreFailed."""
        return self._backend.guard(action, name)

    def count(self, name: str) -> int:
        """Return how many rows a table has; 0 where there is none."""
        return self._backend.guard(lambda: int(self.open(name).count_rows()), name) if self.exists(name) else 0

    def read_in_full(self, name: str) -> int:
        """Read all columns of all rows of a table, and return how many rows it has."""
        return self.read(name, lambda table: sum(int(batch.num_rows) for batch in table.search().to_batches(BATCH)))

    def version(self, name: str) -> int:
        """Return the version number of a table, which each write raises; on disk that takes a tenth of a ms."""
        return self._backend.version(name)

    def version_or_none(self, name: str) -> int:
        """Return the version number of a table, 0 where there is none. Raises StoreFailed where it is damaged."""
        return self._backend.version_or_none(name)

    def on_upsert(self, name: str, heard: Committed) -> None:
        """Call `heard` in the writer's thread after each upsert into a table by this process, before it is on disk."""
        self._committed[name] = heard

    def rows(self, name: str, where: Any = None, columns: list[str] | None = None) -> list[schema.Row]:  # noqa: ANN401
        """Return the rows of a table, none where there is no such table."""
        found = self.arrow(name, where, columns)
        return [] if found is None else list(found.to_pylist())

    def arrow(self, name: str, where: Any = None, columns: list[str] | None = None) -> Any:  # noqa: ANN401
        """Return rows as an Arrow table, or None where there is no table of this name."""
        if not self.exists(name):
            return None

        def read(table: Any) -> Any:  # noqa: ANN401
            query = table.search()
            query = query if where is None else query.where(where)
            query = query if columns is None else query.select(columns)
            return query.to_arrow()

        return self.read(name, read)

    def read_columns(
        self,
        name: str,
        columns: Sequence[str],
        action: Callable[[Iterable[Any]], T],
        where: Any = None,  # noqa: ANN401
        batch: int = BATCH,
    ) -> T:
        """Return what `action` makes of a table's record batches; these have the columns that the table has.

        Without such a table there are no batches.
        """
        if not self.exists(name):
            return action([])

        def read(table: Any) -> T:  # noqa: ANN401
            present = set(table.schema.names)
            query = table.search().select([each for each in columns if each in present])
            query = query if where is None else query.where(where)
            return action(query.to_batches(batch_size=batch))

        return self.read(name, read)

    def read(self, name: str, action: Callable[[Any], T]) -> T:
        """Read a table; once more if its files were removed meanwhile, because newer ones have replaced them."""
        return self._backend.guard(lambda: self._read(name, action), name)

    def _read(self, name: str, action: Callable[[Any], T]) -> T:
        for _ in range(READ_TRIES - 1):
            try:
                return action(self.open(name))
            except (RuntimeError, OSError, ValueError) as error:
                if not NOT_FOUND.search(str(error)):
                    raise
                self.forget()
        return action(self.open(name))

    def upsert(self, name: str, rows: Iterable[schema.Row], arrow_schema: Any = None) -> None:  # noqa: ANN401
        """Write rows in one atomic step; a row with an id that is there replaces it. Creates the table if need be."""
        self._put({name: _latest(rows, arrow_schema or schema.SCHEMAS[name])})

    def upsert_each(self, parts: Mapping[str, Iterable[schema.Row]]) -> None:
        """Write rows of several tables, by name, one table after the other in ORDER; they wait for the disk once."""
        self._put({name: _latest(rows, schema.SCHEMAS[name]) for name, rows in parts.items()})

    def append(self, name: str, rows: Iterable[schema.Row]) -> None:
        """Write rows whose ids are new, in one atomic step; nothing looks for them. Creates the table if need be.

        Why: an upsert searches all the table's files for the id, 100 before they are compacted: 42 to 105 ms of
        processor time for one answer, an append 15.
        """
        arrow_schema = schema.SCHEMAS[name]
        appended = self._backend.may_append
        self._put({name: _Rows(schema.to_arrow(rows, arrow_schema), arrow_schema, appended=appended)})

    def delete(self, name: str, ids: list[str]) -> None:
        """Delete the rows of these ids."""
        if not self.exists(name):
            return
        for start in range(0, len(ids), IN_LIST):
            where = col("id").isin(ids[start : start + IN_LIST]).to_sql()
            self.write(name, lambda where=where: self._backend.open_to_write(name).delete(where))  # type: ignore[misc]

    def delete_rater(self, name: str, rater: str) -> int:
        """Delete a rater's rows and return how many; their bytes go, too, once older versions may be removed."""
        if not self.exists(name):
            return 0
        ids = [row["id"] for row in self.rows(name, col("rater") == lit(rater), ["id"])]
        self.erase(name, ids, "rater")
        return len(ids)

    def erase(self, name: str, ids: list[str], column: str) -> None:
        """Delete rows so that their bytes go, too, once older versions may be removed; `column` is any but the key."""
        if not self.exists(name):
            return
        self.delete(name, ids)
        if ids:  # a deleted row is only marked: it stays in its file until all other rows have moved to a new one
            self.write(name, lambda: self.open(name).update(values_sql={column: column}))
        self.write(name, lambda: self._compact(name))

    def write(self, name: str, action: Callable[[], object]) -> None:
        """Run a write in the one writer thread, and return (or raise StoreFailed) when it is done and on disk."""

        def act() -> None:
            self._unsynced.add(name)
            self._backend.guard(action, name)
            self._wrote(name)

        self._writer.submit(act).result()
        self._writer.submit(self._sync).result()
        self._compact_later(name)

    def remove_old_versions(self) -> None:
        """Remove what compactions by this process have kept for readers, and no reader needs any more.

        Returns at once; a running chat calls it each minute. LanceDB does so only with another compaction.
        """
        self._writer.submit(self._remove_old_versions)

    def sync(self, name: str) -> None:
        """Return when what was done to a table outside `write` is on disk, too."""
        self._writer.submit(self._unsynced.add, name)
        self._writer.submit(self._sync).result()

    def _put(self, parts: Mapping[str, _Rows]) -> None:
        """Write rows, together with those of other threads that wait; return when they are on disk, or raise."""
        mine = _Waiting({name: rows for name, rows in parts.items() if rows.data.num_rows})
        if mine.parts:
            self._waiting.append(mine)
            self._writer.submit(self._write_waiting)
            mine.done.result()

    def _write_waiting(self) -> None:
        """Write all rows that wait, table by table, sync them, and tell their threads.

        Rows that could not be written, and those of later tables that came with them, are refused.
        """
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        refused: dict[int, Exception] = {}
        places = {(name, rows.appended) for each in batch for name, rows in each.parts.items()}
        for name, appended in sorted(places, key=lambda place: (ORDER.get(place[0], -1), place)):
            those = [
                (nth, each.parts[name])
                for nth, each in enumerate(batch)
                if nth not in refused and name in each.parts and each.parts[name].appended == appended
            ]
            try:
                self._commit(name, [rows for _, rows in those])
            except Exception as error:  # noqa: BLE001  # raised where it is waited for
                refused |= {nth: error for nth, _ in those}
        try:
            self._sync()
        except Exception as error:  # noqa: BLE001  # as above
            refused = {nth: refused.get(nth, error) for nth in range(len(batch))}
        for nth, each in enumerate(batch):
            if nth in refused:
                each.done.set_exception(refused[nth])
            else:
                each.done.set_result(None)
        for name in {name for name, _ in places}:
            self._compact_later(name)

    def _commit(self, name: str, rows: list[_Rows]) -> None:
        """Write the rows of one table in one step; of two with one id the later one counts, unless they are appended.

        LanceDB refuses one key twice in a source.
        """
        if not rows:
            return
        data = pa.concat_tables([each.data for each in rows])

        def act() -> None:
            table = self.open(name, rows[0].schema)
            if rows[0].appended:
                table.add(data)
                self._wrote(name)
                return
            new = _last_of_each_id(data) if len(rows) > 1 else data
            heard = self._committed.get(name)
            with self.committing:
                before = self.version(name) if heard else 0
                self._merge(name, table, new)
                self._wrote(name)
                if heard:
                    heard(before, self.version(name), new)

        self._unsynced.add(name)
        self._backend.guard(act, name)

    def _merge(self, name: str, table: Any, new: Any) -> None:  # noqa: ANN401
        """Upsert; again where LanceDB gives up for other writers' commits, as often as the backend says."""
        for left in reversed(range(self._backend.merge_tries)):
            table = self._backend.open_to_write(name, table)
            try:
                table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(new)
                return
            except RuntimeError as error:
                if not left or "Too many concurrent writers" not in str(error):
                    raise

    def _wrote(self, name: str) -> None:
        self._writes[name] += 1
        self._backend.wrote(name)

    def _compact_later(self, name: str) -> None:
        """Compact a table where that is due: nobody waits for it but whoever writes next."""
        if self._is_due(name):
            self._writer.submit(self._compact_if_due, name)

    def _sync(self) -> None:
        """Sync what was written since the last call; nothing where another write's call has done it."""
        self._backend.sync(self._unsynced)
        self._unsynced.clear()

    def _compact_if_due(self, name: str) -> None:
        if self._is_due(name):
            self._compact(name)

    def _is_due(self, name: str) -> bool:
        return self._writes[name] >= (COMPACT_LARGE_EVERY if name in self._large else COMPACT_EVERY)

    def _compact(self, name: str) -> None:
        """Rewrite a table in few files, and remove its old versions once these are on disk."""
        self._writes[name] = 0
        self._compacted[name] = time.monotonic()
        try:
            table = self.open(name)
            self._backend.compact(table, name)
            (self._large.add if table.count_rows() > LARGE_ROWS else self._large.discard)(name)
        except (RuntimeError, OSError, StoreFailed) as error:
            # Another process compacts at the same time, or the disk is full: the data is written and stays readable.
            log.warning("table %s was not compacted: %s", name, error)

    def _remove_old_versions(self) -> None:
        for name, at in list(self._compacted.items()):
            if time.monotonic() - at > self._backend.keep(name).total_seconds():
                written = self._writes[name]
                self._compact(name)
                if not written:  # else the versions since then are too young to go now
                    del self._compacted[name]


def _latest(rows: Iterable[schema.Row], arrow_schema: Any) -> _Rows:  # noqa: ANN401
    """Return rows to upsert, the last one of each id."""
    unique = {row["id"]: row for row in rows}
    return _Rows(schema.to_arrow(unique.values(), arrow_schema), arrow_schema)


def _last_of_each_id(data: Any) -> Any:  # noqa: ANN401
    last = {row_id: nth for nth, row_id in enumerate(data["id"].to_pylist())}
    return data.take(list(last.values()))


def _backend_of(folder: Path, metadata_bytes: int) -> Backend:
    """Return the backend of a home's tables."""
    home = shared_home(folder.parent)
    if home is None:
        return DiskBackend(folder, metadata_bytes)
    from rag.store.lance.on_object_store import ObjectStoreBackend  # with what a local home does not load

    return ObjectStoreBackend(folder, metadata_bytes, home)
