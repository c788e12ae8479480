"""`python -m train` as a process of its own: started here, found again by whoever looks, stopped.

The idea a reader would miss: the chat owns no training. It starts one in a session of its own, so that neither a closed
tab nor a stopped chat ends it, and then knows of it what everybody else knows: what it writes under the home folder. So
a training that was started in a terminal, or by a chat that is gone, is found in the same way.

No chainlit here. What a training prints goes to training.log in the home folder, for the case that it dies wordless.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from rag.errors import TrainingRefused
from rag.settings import ROOT
from rag.training_status import Training, read_training, this_process

LOG_FILE = "training.log"
LAST_CHARS, LAST_LINES = 4000, 12  # of a log: what a person reads of a failure
PROGRAM = (sys.executable, "-m", "train")
DRY_RUN, FAST = "--dry-run", "--fast"
ORDERS: dict[str, tuple[str, ...]] = {"train": (), "fast": (FAST,), "dry run": (DRY_RUN,)}
VERSION = re.compile(r"v[1-9]\d{0,8}")


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a short command came to."""

    ok: bool
    told: str


class TrainingProcess:
    """Starts, finds and stops the one training of a home. `program` is what is run; tests put another one there."""

    def __init__(self, home: Path, program: Sequence[str] = PROGRAM) -> None:
        self._home, self._program = home, tuple(program)
        self._child: subprocess.Popen[bytes] | None = None
        self._started: Training | None = None
        self._by_hand = asyncio.Lock()

    def under_way(self) -> Training | None:
        """Return the training that runs in this home, whoever started it; None where there is none."""
        seen, child = read_training(self._home), self._child
        if seen and seen.is_running:
            return seen
        if child is None or child.poll() is not None:
            return None
        if seen is None or seen.pid != child.pid:  # it has not written yet
            return self._started
        return seen if seen.state == "failed" else None  # it has yet to print why

    def last(self) -> Training | None:
        """Return the training that ran last, with why it ended where it could not say so itself; None: there was none.

        Call it when nothing is under way.
        """
        seen, child = read_training(self._home), self._child
        if (
            child and self._started and (seen is None or seen.since < self._started.since)
        ):  # it ended before it could write
            stopped = child.returncode == -signal.SIGTERM
            told = "cancelled before it began" if stopped else self._last_words() or _how(child.returncode)
            return replace(self._started, state="stopped" if stopped else "refused", told=told)
        if seen and seen.state == "running":
            mine = child is not None and child.pid == seen.pid
            why = _how(child.returncode) if mine and child else _how(None)
            return replace(seen, state="failed", told=f"{why}\n{self._last_words() if mine else ''}".strip())
        if seen and seen.state == "failed" and child and child.pid == seen.pid:
            return replace(seen, lines=tuple(self._last_words().splitlines()))
        return seen

    def start(self, order: str) -> Training:
        """Start a training and return what is known of it. Raises TrainingRefused where one runs or none can start."""
        if order not in ORDERS:
            raise TrainingRefused(f"{order[:40]!r} is no training: reload the page, then start one")
        if other := self.under_way():
            raise TrainingRefused(f"a training is under way already ({other.who}): wait for it, or cancel it")
        words = ORDERS[order]
        try:
            with (self._home / LOG_FILE).open("wb") as log:
                child = self._spawn(words, log.fileno())
        except OSError as error:
            raise TrainingRefused(f"no training can be started ({error}): see that {self._home} is writable") from error
        threading.Thread(target=child.wait, name="reap-training", daemon=True).start()
        command = " ".join(["python -m train", *words])
        self._child = child
        self._started = replace(this_process(command), pid=child.pid, since=datetime.now(UTC))
        return self._started

    def cancel(self) -> Training:
        """Stop the training that runs, as Ctrl-C would, and return it. Raises TrainingRefused where none does.

        Its id and start are compared right before, so that no stranger who has its id by now is stopped. One of ours is
        the first of a group of its own, which is stopped whole.
        """
        training = self.under_way()
        if training is None:
            raise TrainingRefused("no training is under way: there is nothing to cancel")
        try:
            if hasattr(os, "killpg") and os.getpgid(training.pid) == training.pid:
                os.killpg(training.pid, signal.SIGTERM)
            else:  # in a terminal its group may hold more than itself
                os.kill(training.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass  # it has ended by itself this very moment
        except PermissionError:
            raise TrainingRefused(
                f"{training.who} belongs to another user of this machine: cancel it there, with Ctrl-C"
            ) from None
        return training

    async def by_hand(self, *words: str) -> CommandResult:
        """Run `python -m train promote VERSION` or `rollback` to its end. Raises TrainingRefused where one runs."""
        if self._by_hand.locked():
            raise TrainingRefused("another version is being put in place right now: wait a moment")
        async with self._by_hand:
            child = await asyncio.create_subprocess_exec(
                *self._program,
                *words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=_environment(),
                start_new_session=True,
            )
            said, _ = await child.communicate()
        told = _readable(said.decode("utf-8", "replace"))
        return CommandResult(child.returncode == 0, told.removeprefix("error: ") or _how(child.returncode))

    def _spawn(self, words: Sequence[str], output: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self._program, *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(),
            start_new_session=True,
        )

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            return _readable((self._home / LOG_FILE).read_text("utf-8", "replace")).removeprefix("error: ")
        return ""


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))  # works from any folder
    return {**os.environ, "PYTHONPATH": path}


def _readable(text: str) -> str:
    """Return the last lines of what was printed."""
    return "\n".join(text[-LAST_CHARS:].strip().splitlines()[-LAST_LINES:])


def _how(code: int | None) -> str:
    """Return how a process ended that said nothing."""
    if code is None:
        return "it ended without a word: it was killed, or the machine was restarted"
    if code < 0:
        return f"it was killed by signal {-code} ({signal.strsignal(-code)}); 9 often means that memory ran out"
    return f"it ended with exit code {code}"
