"""LanceDB tables in a folder on this machine's disk.

Why read_consistency_interval is 0: readers must see every other process's writes; it costs 11% of a read. A version is
read from the name of a file, in a tenth of a millisecond.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import lancedb
from filelock import FileLock

from rag.errors import StoreFailed, is_out_of_memory
from rag.store import durability, schema
from rag.store.durability import SUFFIX, TableSync, drop_empty_manifests, newest_version
from rag.store.lance.backend import CREATE_SECONDS, Backend
from rag.store.table_files import INDICES


class DiskBackend(Backend):
    """The tables in a folder on disk."""

    def __init__(self, folder: Path, metadata_bytes: int) -> None:
        super().__init__(folder, metadata_bytes)
        self._on_disk = TableSync(folder)
        self.guard(lambda: drop_empty_manifests(folder))

    def connect(self) -> None:
        self._indexes = self._index_folders()
        super().connect()

    def _database(self, session: lancedb.Session) -> Any:  # noqa: ANN401
        return lancedb.connect(self.folder, session=session, read_consistency_interval=timedelta(0))

    def _index_folders(self) -> frozenset[Path]:
        return frozenset(self.folder.glob(f"*{SUFFIX}/{INDICES}/*"))

    def holds_replaced_indexes(self) -> bool:
        return self._indexes != self._index_folders()

    def exists(self, name: str) -> bool:
        """Return whether a table of this name exists. Raises StoreFailed where its data is there but not its versions.

        A folder without either is what a full disk leaves of a table that was being created: it counts as none.
        """
        if name not in self.names():
            return False
        folder = self.folder / f"{name}{SUFFIX}"
        if any((folder / "_versions").glob("*")):
            return True
        if any((folder / "data").glob("*")):
            raise StoreFailed(f"{folder}: its _versions are gone: run `python -m rag doctor`")
        return False

    def creating(self) -> AbstractContextManager[object]:
        return FileLock(self.folder / "tables.lock", timeout=CREATE_SECONDS)

    def version(self, name: str) -> int:
        return newest_version(self.folder / f"{name}{SUFFIX}") or self._ask_version(name)

    def version_or_none(self, name: str) -> int:
        return newest_version(self.folder / f"{name}{SUFFIX}") or super().version_or_none(name)

    def pinned(self, name: str, version: int) -> None:
        """Return None: looking for a newer version costs next to nothing."""

    def forget(self) -> None:
        """Do nothing: each look is at the disk."""

    def wrote(self, name: str) -> None:
        """Do nothing: nothing of a table is remembered."""

    def sync(self, names: Iterable[str]) -> None:
        self.guard(lambda: self._on_disk.sync(names))

    def compact(self, table: Any, name: str) -> None:  # noqa: ANN401
        durability.compact(table, self._on_disk, self.keep(name))

    def keep(self, name: str) -> timedelta:
        if name in schema.VOTES:
            return durability.KEEP_OLD_VOTES
        return durability.KEEP_OLD_FEEDBACK if name in schema.FEEDBACK else durability.KEEP_OLD_VERSIONS

    def close(self) -> None:
        self._on_disk.close()

    def _failed(self, error: BaseException, table: str) -> StoreFailed:
        text = " ".join(str(error).split())
        if "os error 28" in text:
            return StoreFailed(
                f"{self.folder}: the disk is full; what was stored is safe: free some space and try again"
            )
        if "os error 30" in text or "os error 13" in text:
            return StoreFailed(f"{self.folder}: cannot be written: make it writable, or move THUMBTUNE_HOME")
        if is_out_of_memory(error):
            return StoreFailed(
                f"{self.folder}: the memory ran out; what was stored is safe: close other programs, or give it more "
                "memory, and try again"
            )
        which = f"{self.folder}: table {table}" if table else str(self.folder)
        return StoreFailed(f"{which}: LanceDB failed: run `python -m rag doctor` ({text[:300]})")
