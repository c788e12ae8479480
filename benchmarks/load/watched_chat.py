"""Run the chat, and write how long its event loop was blocked: `python -m benchmarks.load.watched_chat FILE`.

The longest callback since the file was last removed, and those above LONG seconds, as JSON: how long each took, how
much of it its thread computed, its name, and where it was when it had taken LONG seconds. What it did not compute, it
waited: for a turn on a processor of a busy machine, for other Python threads, or for the disk.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from chat import __main__ as program

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
        self._began = 0.0  # when the callback that runs began; 0 for none
        self._computed = 0.0  # seconds of the loop's thread until some hundredth of a second before that
        self._stack = ""
        self._gc_began = 0.0

    def start(self) -> None:
        """Time every callback from now on, and keep the file up to date."""
        watch, run = self, self._run

        def timed(handle: asyncio.Handle) -> None:
            watch._began = began = time.perf_counter()
            run(handle)
            watch._began = 0.0
            if (seconds := time.perf_counter() - began) > watch.longest or seconds > LONG:
                watch.add(seconds, handle)

        asyncio.Handle._run = timed  # type: ignore[method-assign]
        gc.callbacks.append(self._collected)
        threading.Thread(target=self._write, daemon=True).start()
        threading.Thread(target=self._look, daemon=True).start()

    def add(self, seconds: float, handle: Any) -> None:  # a private class of asyncio
        """Count a long callback."""
        if seconds > LONG:
            computed = time.thread_time() - self._computed
            self.long.append((round(seconds, 3), round(computed, 3), _name(handle), self._stack))
        self.longest, self._stack = max(self.longest, seconds), ""

    def _collected(self, phase: str, about: dict[str, int]) -> None:
        """Name a garbage collection, during which no thread runs Python, as what a callback did."""
        if phase == "start":
            self._gc_began = time.perf_counter()
        elif (seconds := time.perf_counter() - self._gc_began) > LONG:
            self._stack += f"garbage collection {about['generation']}, {seconds:.3f} s "

    def _look(self) -> None:
        main = threading.main_thread().ident or 0  # where the loop runs
        clock = time.pthread_getcpuclockid(main)
        while True:
            time.sleep(LOOK_SECONDS)
            began = self._began
            if not began or time.perf_counter() - began < LOOK_SECONDS:
                self._computed = time.clock_gettime(clock)
            elif not self._stack and time.perf_counter() - began > LONG:
                frames = traceback.extract_stack(sys._current_frames().get(main))[-FRAMES:]
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


def forget_sessions_after(seconds: int) -> None:
    """Have the chat forget a session these seconds after its connection is gone, instead of an hour."""
    serve = program.serve

    def forgetful() -> None:
        from chainlit.config import config  # the chat has prepared its environment by now

        config.project.session_timeout = seconds
        serve()

    program.serve = forgetful


if __name__ == "__main__":
    Watch(Path(sys.argv.pop(1))).start()
    if "BENCH_SESSION_SECONDS" in os.environ:
        forget_sessions_after(int(os.environ["BENCH_SESSION_SECONDS"]))
    sys.exit(program.main())
