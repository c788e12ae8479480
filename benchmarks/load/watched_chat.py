"""Run the chat, and write how long its event loop was blocked: `python -m benchmarks.load.watched_chat FILE`.

The longest callback since the file was last removed, and those above LONG seconds, as JSON: how long each took, how
much of it its thread computed, its name, and where it was when it had taken LONG seconds. What it did not compute, it
waited: for a turn on a processor of a busy machine, for other Python threads, or for the disk.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

LONG = 0.05
WRITE_SECONDS = 0.5
LOOK_SECONDS = 0.01  # between two looks whether a callback takes long
FRAMES = 6  # of a stack, the innermost


class Watch:
    """The longest callbacks of asyncio's loops in this process."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.longest = 0.0
        self.long: list[tuple[float, float, str, str]] = []
        self._run = asyncio.Handle._run
        self._now: tuple[float, int] | None = None  # when the callback that runs began, in which thread
        self._stack = ""
        self._gc_began = 0.0

    def start(self) -> None:
        """Time every callback from now on, and keep the file up to date."""
        watch, run = self, self._run

        def timed(handle: asyncio.Handle) -> None:
            computed, began = time.thread_time(), time.perf_counter()
            watch._now, watch._stack = (began, threading.get_ident()), ""
            run(handle)
            watch._now = None
            watch.add(time.perf_counter() - began, time.thread_time() - computed, handle)

        asyncio.Handle._run = timed  # type: ignore[method-assign]
        gc.callbacks.append(self._collected)
        threading.Thread(target=self._write, daemon=True).start()
        threading.Thread(target=self._look, daemon=True).start()

    def add(self, seconds: float, computed: float, handle: Any) -> None:  # a private class of asyncio
        """Count one callback."""
        if seconds > LONG:
            self.long.append((round(seconds, 3), round(computed, 3), _name(handle), self._stack))
        self.longest = max(self.longest, seconds)

    def _collected(self, phase: str, about: dict[str, int]) -> None:
        """Name a garbage collection, during which no thread runs Python, as what a callback did."""
        if phase == "start":
            self._gc_began = time.perf_counter()
        elif (seconds := time.perf_counter() - self._gc_began) > LONG:
            self._stack += f"garbage collection {about['generation']}, {seconds:.3f} s "

    def _look(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            now = self._now
            if now and not self._stack and time.perf_counter() - now[0] > LONG:
                frames = traceback.extract_stack(sys._current_frames().get(now[1]))[-FRAMES:]
                self._stack += " < ".join(f"{at.name} {at.filename[-30:]}:{at.lineno}" for at in reversed(frames))

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
