"""Small files of a shared home (registry, groups, pins, keys): one object each, with a copy in the local cache."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rag.errors import StoreFailed
from rag.shared_home.objects import Changed, Found, Objects, Stamp

FRESH_SECONDS = 2.0  # between two looks at an object: a promotion is seen by all within seconds
ASKED_SECONDS = 60.0  # a file that nobody has asked for in this time is not followed
TRIES = 20  # of a change, each after somebody else's


class SharedFile:
    """An object and its copy at `path`, which readers read as any file. Methods may be called from any thread."""

    def __init__(self, objects: Objects, name: str, path: Path) -> None:
        self._objects, self.name, self.path = objects, name, path
        self._stamp: Stamp | None = None  # of the copy; None for no object
        self._looked = float("-inf")  # when, by time.monotonic
        self._asked = float("-inf")
        self.is_followed = False  # a thread keeps the copy up to date, and no reader waits for the store
        self._lock = threading.Lock()

    def refresh(self, seconds: float | None = None) -> Path:
        """Bring the copy up to date unless that was done less than `seconds` (FRESH_SECONDS) ago; return its path."""
        recent = FRESH_SECONDS if seconds is None else seconds
        if seconds is None:
            was_asked = time.monotonic() - self._asked < ASKED_SECONDS
            self._asked = time.monotonic()
            if self.is_followed and was_asked and self._looked > float("-inf"):
                return self.path
        with self._lock:
            if time.monotonic() - self._looked < recent:
                return self.path
            known = self._stamp if self.path.exists() else None
            found, is_same = self._objects.get_unless(self.name, known)
            if not is_same or (known is None and self.path.exists()):
                self._keep(found)
            self._looked = time.monotonic()
        return self.path

    def follow(self) -> None:
        """Bring the copy up to date if somebody has asked for it lately. Raises StoreFailed."""
        if time.monotonic() - self._asked < ASKED_SECONDS:
            self.refresh(0)

    def change(self, edit: Callable[[bytes | None], bytes], before_put: Callable[[], None] = lambda: None) -> None:
        """Put what `edit` makes of the content, which may be called again where somebody else was faster.

        `before_put` is called between reading and putting. Raises StoreFailed, and what both raise.
        """
        for _ in range(TRIES):
            found = self._objects.get(self.name)
            data = edit(found.data if found else None)
            before_put()
            try:
                stamp = self._objects.put_changed(self.name, data, found.stamp if found else None)
            except Changed:
                continue
            with self._lock:
                self._keep(Found(data, stamp))
                self._looked = time.monotonic()
            return
        raise StoreFailed(f"{self._objects.address}/{self.name}: changed {TRIES} times meanwhile: try again")

    def push(self, *, over: bool = False) -> None:
        """Put the copy as it is now; `over`: whatever is in the store. Else raises StoreFailed if that has changed."""
        data = self.path.read_bytes()
        with self._lock:
            try:
                put = self._objects.put if over else self._put_known
                self._stamp, self._looked = put(self.name, data), time.monotonic()
            except Changed:
                self._looked = float("-inf")
                raise StoreFailed(
                    f"{self._objects.address}/{self.name}: another process has changed it meanwhile: try again"
                ) from None

    def create(self, data: bytes) -> None:
        """Put the object unless there is one, and bring the copy up to date."""
        with suppress(Changed):
            self._objects.put_new(self.name, data)
        self.refresh(0)

    def remove(self) -> None:
        """Delete the object and its copy."""
        self._objects.delete(self.name)
        with self._lock:
            self._keep(None)

    def _put_known(self, name: str, data: bytes) -> Stamp:
        return self._objects.put_changed(name, data, self._stamp)

    def _keep(self, found: Found | None) -> None:
        """Replace the copy, which readers in other processes see whole, readable by its owner only."""
        self._stamp = found.stamp if found else None
        if found is None:
            self.path.unlink(missing_ok=True)
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}-{threading.get_ident()}")
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as out:
            out.write(found.data)
        draft.replace(self.path)
