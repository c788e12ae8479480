"""LanceDB tables on object storage: what is remembered of them, who may compact one, and which writes are fenced.

Why remember: opening a table, or asking whether there is a newer version, is a request of a few to 50 ms, and a
question would make ten. So another process's write is seen within SEEN_SECONDS, this one's own at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from rag.shared_home.lease import Leases

SEEN_SECONDS = 1.0  # until a write of another process is seen
CREATE_SECONDS = 60.0  # most that another process may take to create a table


class SharedTables:
    """What this process knows of the tables of one shared home. Thread-safe."""

    def __init__(self, address: str, options: Mapping[str, str], leases: Leases) -> None:
        """`options` are what LanceDB needs besides the environment, which it reads itself."""
        self._address, self._options, self._leases = address, dict(options), leases
        self._names: tuple[float, frozenset[str]] = (float("-inf"), frozenset())
        self._versions: dict[str, tuple[float, int]] = {}
        self._handles: dict[str, Any] = {}
        self._writes = 0  # by this process, of any table
        self._lock = threading.Lock()

    @property
    def seen_seconds(self) -> float:
        """Return within how many seconds a write of another process is seen."""
        return SEEN_SECONDS

    @property
    def connection(self) -> dict[str, Any]:
        """Return the arguments of lancedb.connect."""
        return {"uri": self._address, "storage_options": self._options}

    def has(self, name: str, list_names: Callable[[], list[str]]) -> bool:
        """Return whether there is a table of this name: tables are never dropped."""
        with self._lock:
            at, names = self._names
            if name in names or time.monotonic() - at < SEEN_SECONDS:
                return name in names
        found = time.monotonic(), frozenset(list_names())
        with self._lock:
            self._names = found
        return name in found[1]

    def handle(self, name: str, open_table: Callable[[str], Any]) -> Any:  # noqa: ANN401  # lancedb ships no types
        """Return an open table, which follows the writes of others by itself."""
        with self._lock:
            handle = self._handles.get(name)
        if handle is None:
            handle = open_table(name)
            with self._lock:
                self._handles[name] = handle
                self._names = self._names[0], self._names[1] | {name}
        return handle

    def version(self, name: str, ask: Callable[[], int]) -> int:
        """Return the version of a table."""
        with self._lock:
            at, known = self._versions.get(name, (float("-inf"), 0))
            if time.monotonic() - at < SEEN_SECONDS:
                return known
            writes = self._writes
        now, found = time.monotonic(), ask()
        with self._lock:
            if writes == self._writes:
                self._versions[name] = now, found
        return found

    def wrote(self, name: str) -> None:
        """Note that this process has written to a table: what is known of it is out of date."""
        with self._lock:
            self._writes += 1
            self._versions.pop(name, None)
            self._handles.pop(name, None)

    def forget(self) -> None:
        """Forget all, so that the next look sees what others have written before now."""
        with self._lock:
            self._writes += 1
            self._names = float("-inf"), self._names[1]
            self._versions.clear()
            self._handles.clear()

    @contextmanager
    def creating(self) -> Iterator[None]:
        """Hold the lease for creating tables. Raises TimeoutError."""
        with self._leases.hold("tables", CREATE_SECONDS):
            yield

    @contextmanager
    def alone(self, what: str) -> Iterator[bool]:
        """Hold a lease for maintaining a table; yield False where another process does that already."""
        with ExitStack() as held:
            try:
                held.enter_context(self._leases.hold(what, 0))
                is_alone = True
            except TimeoutError:
                is_alone = False
            yield is_alone

    def require_turn(self) -> None:
        """Raise StoreFailed where this process has lost a lease that it took, by asking the store."""
        self._leases.require()

    def require_turn_if_late(self) -> None:
        """Do the same only where a renewal is overdue."""
        self._leases.require_if_late()
