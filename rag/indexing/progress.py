"""Show the progress of an index run: a bar in a terminal, a line every ten seconds in a pipe or log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

SECONDS = 10.0  # between two lines; a run that is shorter prints none
Item = TypeVar("Item")


class Progress:
    """A bar or lines on stderr for one step of a run. Use it as a context manager."""

    def __init__(self, what: str, unit: str, total: int = 0, now: Callable[[], float] = time.monotonic) -> None:
        self._what, self._unit, self.total, self.done, self._now = what, unit, total, 0, now
        self._began = self._last = now()
        self._bar = tqdm(desc=what, unit=unit, total=total or None, disable=None, leave=False)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *raised: object) -> None:
        self._bar.close()

    def advance(self, done: int = 1, total: int | None = None) -> None:
        """Count `done` more; `total` replaces the expected number."""
        self.done += done
        if total is not None:
            self.total = self._bar.total = total
        self._bar.update(done)
        if self._bar.disable and self._now() - self._last >= SECONDS:
            self._last = self._now()
            print(self.line(), file=sys.stderr, flush=True)

    def line(self) -> str:
        """Return the progress in one line, such as "reading: 120 of 300 files (40%), 24 s"."""
        share = (
            f" of {self.total:,} {self._unit}s ({100 * self.done // self.total}%)" if self.total else f" {self._unit}s"
        )
        return f"{self._what}: {self.done:,}{share}, {self._now() - self._began:.0f} s"


def each_with_progress(what: str, unit: str, items: Collection[Item]) -> Iterable[Item]:
    """Yield the items and show how many were taken."""

    def advancing() -> Iterator[Item]:
        with Progress(what, unit, len(items)) as progress:
            for item in items:
                yield item
                progress.advance()

    return advancing()
