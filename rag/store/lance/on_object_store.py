"""LanceDB tables of a shared home on object storage.

What a look costs there is a request, so tables are remembered and another process's write is seen within a second
(`rag.shared_home.tables`). What the store has acknowledged needs no sync. A process that slept through its turn must
not write: see `open_to_write`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lancedb

from rag.errors import StoreFailed
from rag.store import durability, schema
from rag.store.lance.backend import Backend

if TYPE_CHECKING:
    from rag.shared_home.home import SharedHome

MOST_PINS = 20  # then the indexes that newer ones have replaced are forgotten


class ObjectStoreBackend(Backend):
    """The tables of a shared home."""

    may_append = False  # a commit may be repeated whose answer was lost
    merge_tries = 3  # LanceDB gives up after half a minute of other writers' commits

    def __init__(self, folder: Path, metadata_bytes: int, home: SharedHome) -> None:
        self._home, self._known = home, home.tables
        super().__init__(folder, metadata_bytes)

    def _database(self, session: lancedb.Session) -> Any:  # noqa: ANN401
        connect = partial(lancedb.connect, **self._known.connection, session=session)
        self._pins = 0  # text indexes that `pinned` has warmed since
        self._pinned = connect()  # its tables stay at the version at which they are opened
        return connect(read_consistency_interval=timedelta(seconds=self._known.seen_seconds))

    def holds_replaced_indexes(self) -> bool:
        return self._pins > MOST_PINS

    def exists(self, name: str) -> bool:
        return self._known.has(name, self.names)

    def creating(self) -> AbstractContextManager[object]:
        return self._known.creating()

    def open(self, name: str) -> Any:  # noqa: ANN401
        return self._known.handle(name, self.db.open_table)

    def open_to_write(self, name: str, opened: Any = None) -> Any:  # noqa: ANN401
        """Open an existing table to write to it, if this process may: one that slept through its turn may not.

        Of the documents table it is the version before the turn is looked at. Whoever takes over the index adds a
        version that no older write is compatible with (`fence`), so one that began before then fails.
        """
        if name != schema.DOCUMENTS:
            if name not in schema.FEEDBACK:
                self._known.require_turn_if_late()
            return self.open(name)
        table = self._pinned.open_table(name)
        self._known.require_turn()
        return table

    def pinned(self, name: str, version: int) -> Any:  # noqa: ANN401
        self._pins += 1
        table = self._pinned.open_table(name)
        table.checkout(version)
        return table

    def version(self, name: str) -> int:
        return self._known.version(name, lambda: self._ask_version(name))

    def forget(self) -> None:
        self._known.forget()

    def wrote(self, name: str) -> None:
        self._known.wrote(name)

    def sync(self, names: Iterable[str]) -> None:
        """Do nothing: an object store acknowledges what it has kept."""

    def compact(self, table: Any, name: str) -> None:  # noqa: ANN401
        """Do it where no other process does already."""
        with self._known.alone(f"compaction-{name}") as is_alone:
            if is_alone:
                durability.compact(table, keep=self.keep(name))
                self._known.wrote(name)

    def keep(self, name: str) -> timedelta:
        """Return the longest time, for every table: a reader may be slow, and versions cost little there."""
        del name
        return durability.KEEP_OLD_VERSIONS

    def close(self) -> None:
        """Do nothing."""

    def _failed(self, error: BaseException, table: str) -> StoreFailed:
        return self._home.table_failed(error, table)
