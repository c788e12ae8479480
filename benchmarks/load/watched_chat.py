"""Run the chat, and write how long its event loop was blocked: `python -m benchmarks.load.watched_chat FILE`.

The longest callback since the file was last removed, and the names of those above LONG seconds, as JSON. On a busy
machine a callback also waits for its turn on a processor and for other Python threads: that counts, too.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

LONG = 0.05
WRITE_SECONDS = 0.5


class Watch:
    """The longest callbacks of asyncio's loops in this process."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.longest = 0.0
        self.long: list[tuple[float, str]] = []
        self._run = asyncio.Handle._run

    def start(self) -> None:
        """Time every callback from now on, and keep the file up to date."""
        watch, run = self, self._run

        def timed(handle: asyncio.Handle) -> None:
            began = time.perf_counter()
            run(handle)
            watch.add(time.perf_counter() - began, handle)

        asyncio.Handle._run = timed  # type: ignore[method-assign]
        threading.Thread(target=self._write, daemon=True).start()

    def add(self, seconds: float, handle: Any) -> None:  # a private class of asyncio
        """Count one callback."""
        if seconds > LONG:
            self.long.append((round(seconds, 3), _name(handle)))
        self.longest = max(self.longest, seconds)

    def _write(self) -> None:
        draft = self.file.with_suffix(".draft")
        while True:
            if not self.file.exists():
                self.longest, self.long = 0.0, []
            found = {"longest": self.longest, "long": sorted(self.long, reverse=True)[:20]}
            draft.write_text(json.dumps(found))
            draft.replace(self.file)
            time.sleep(WRITE_SECONDS)


def _name(handle: Any) -> str:
    callback = handle._callback
    task = getattr(callback, "__self__", None)
    coroutine = task.get_coro() if isinstance(task, asyncio.Task) else callback
    return getattr(coroutine, "__qualname__", repr(coroutine))


if __name__ == "__main__":
    Watch(Path(sys.argv.pop(1))).start()
    from chat.__main__ import main

    sys.exit(main())
