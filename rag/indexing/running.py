"""Status file of a running index update, home/indexing.json: written by its process, read by the chat.

Why the start time: process ids are reused, so the file also has the start time of the process. An update that was
killed needs no cleanup: its file stays, but its process does not exist.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from rag.training_status import is_process

STATUS_FILE = "indexing.json"
EVERY_SECONDS = 0.5  # between two writes; a reader sees no more than that


@dataclass(frozen=True, slots=True)
class Indexing:
    """Status of an index update: its process, when it began to read, and how many of the new files can be searched.

    `searchable` says whether every arm has a table that can be searched, with whatever it holds so far.
    """

    pid: int
    started: float
    since: float
    files: int = 0
    done: int = 0
    searchable: bool = False

    @property
    def is_running(self) -> bool:
        """Return whether the process exists."""
        return is_process(self.pid, self.started)


def read_indexing(home: Path) -> Indexing | None:
    """Return the status of the index update that runs in this home, None if there is none."""
    try:
        status = Indexing(**json.loads((home / STATUS_FILE).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return status if status.is_running else None


class IndexingStatus:
    """Publishes the status of this process's index update; `publish_indexing` makes one."""

    def __init__(self, home: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._home, self._clock = home, clock
        self._written = float("-inf")
        self._read: set[str] = set()
        self._files: frozenset[str] = frozenset()
        self._before = 0  # files that were searchable when the current embedding began
        self.status = Indexing(os.getpid(), psutil.Process().create_time(), time.time())

    def expect(self, files: list[str]) -> None:
        """Set the sources of the files that will be read."""
        self._files = frozenset(files)
        self._change(files=len(self._files))

    def read(self, source: str) -> None:
        """Note that a document was read. One inside an archive or a mail counts for its file."""
        while source not in self._files and "/" in source:
            source = source.rpartition("/")[0]
        if source in self._files:
            self._read.add(source)

    def embedded(self, share: float) -> None:
        """Note which share of what was read so far is embedded."""
        done = self._before + int(min(1.0, share) * (len(self._read) - self._before))
        self.status = replace(self.status, done=done)
        if share >= 1:
            self._before = done
        if self._clock() - self._written >= EVERY_SECONDS:
            self._write()

    def searchable(self) -> None:
        """Note that both arms can be searched."""
        self._change(searchable=True)

    def remove(self) -> None:
        """Remove the status file."""
        with contextlib.suppress(OSError):
            (self._home / STATUS_FILE).unlink(missing_ok=True)

    def _change(self, **changed: int) -> None:
        self.status = replace(self.status, **changed)  # type: ignore[arg-type]
        self._write()

    def _write(self) -> None:
        temporary = self._home / f"{STATUS_FILE}.{os.getpid()}"
        with contextlib.suppress(OSError):  # a full disk fails the update where its tables are written
            self._home.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(asdict(self.status)), "utf-8")
            temporary.replace(self._home / STATUS_FILE)
        self._written = self._clock()


@contextmanager
def publish_indexing(home: Path) -> Iterator[IndexingStatus]:
    """Publish the status of an index update in `home` while it runs."""
    status = IndexingStatus(home)
    try:
        yield status
    finally:
        status.remove()
