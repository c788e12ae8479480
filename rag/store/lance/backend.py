"""What depends on where LanceDB tables lie: each home has one backend, for `LanceTables`.

A backend holds the connection, so that whatever is closed with it, is. LanceDB's errors become StoreFailed here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import lancedb

from rag.errors import StoreFailed

CREATE_SECONDS = 60  # most that another process may take to create a table; it takes milliseconds

T = TypeVar("T")


class Backend(ABC):
    """The LanceDB database of one home. `sync` and `compact` are for one thread at a time, the rest for any thread."""

    may_append = True  # whether a commit whose answer is lost is not repeated, so that no row is appended twice
    merge_tries = 1  # where LanceDB may give up for other writers' commits

    def __init__(self, folder: Path, metadata_bytes: int) -> None:
        """`folder` holds the tables, or is their place in the cache of a shared home."""
        self.folder, self._metadata_bytes = folder, metadata_bytes
        self.connect()

    def connect(self) -> None:
        """Connect with empty caches, instead of an earlier connection, which ends with the last use of its tables."""
        self._session = lancedb.Session(metadata_cache_size_bytes=self._metadata_bytes)
        self.db = self.guard(lambda: self._database(self._session))

    @property
    def cached_bytes(self) -> int:
        """Return what LanceDB remembers of files, versions and indexes."""
        return int(self._session.size_bytes)

    def guard(self, action: Callable[[], T], table: str = "") -> T:
        """Run an action on LanceDB, on a table of this name; re-raise its errors as StoreFailed: one line."""
        try:
            return action()
        except (RuntimeError, OSError, ValueError) as error:
            raise self._failed(error, table) from error

    def names(self) -> list[str]:
        """Return the names of all tables."""
        return self.guard(lambda: list(self.db.list_tables(limit=100_000).tables))

    def open(self, name: str) -> Any:  # noqa: ANN401  # lancedb ships no types
        """Open an existing table."""
        return self.db.open_table(name)

    def open_to_write(self, name: str, opened: Any = None) -> Any:  # noqa: ANN401
        """Open an existing table to write to it, if this process may; `opened` is the same table, opened to read."""
        return self.open(name) if opened is None else opened

    def version_or_none(self, name: str) -> int:
        """Return the version number of a table, 0 where there is none. Raises StoreFailed where it is damaged."""
        return self.version(name) if self.exists(name) else 0

    def _ask_version(self, name: str) -> int:
        return self.guard(lambda: int(self.open(name).version), name)

    @abstractmethod
    def _database(self, session: lancedb.Session) -> Any:  # noqa: ANN401
        """Return a connection with these caches."""

    @abstractmethod
    def _failed(self, error: BaseException, table: str) -> StoreFailed:
        """Return an error of LanceDB as one line with the place, the table and the next step."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Return whether a table of this name exists. Raises StoreFailed where it is damaged."""

    @abstractmethod
    def creating(self) -> AbstractContextManager[object]:
        """Return what keeps other processes from creating a table meanwhile. Raises TimeoutError."""

    @abstractmethod
    def version(self, name: str) -> int:
        """Return the version number of a table, which each write raises."""

    @abstractmethod
    def pinned(self, name: str, version: int) -> Any:  # noqa: ANN401
        """Open a table at one version where a newer one is asked for at each use; None where that costs nothing."""

    @abstractmethod
    def forget(self) -> None:
        """See at once what other processes have written until now."""

    @abstractmethod
    def holds_replaced_indexes(self) -> bool:
        """Return whether this connection may hold indexes that newer ones have replaced."""

    @abstractmethod
    def wrote(self, name: str) -> None:
        """Note that this process has written to a table."""

    @abstractmethod
    def sync(self, names: Iterable[str]) -> None:
        """Return when what was written to these tables survives a power cut."""

    @abstractmethod
    def compact(self, table: Any, name: str) -> None:  # noqa: ANN401
        """Rewrite a table in few files and remove versions older than `keep`. Raises what LanceDB does."""

    @abstractmethod
    def keep(self, name: str) -> timedelta:
        """Return for how long a version of a table stays after a newer one has replaced it."""

    @abstractmethod
    def close(self) -> None:
        """End what works for `sync`."""
