"""Run `python -m train` as a separate process: start it, find it, cancel it.

Why: the process gets a session of its own, so neither a closed tab nor a stopped chat ends it. Its state is read from
the status file under the home folder, so a training that was started in a terminal, or by an earlier chat, is found in
the same way. Its output goes to training.log, where the reason is if it ends without writing a status.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from chat.language import Phrase, joined, said
from rag import cli
from rag.errors import TrainingRefused
from rag.settings import ROOT
from rag.training_status import Training, read_training, this_process

LOG_FILE = "training.log"
LAST_CHARS, LAST_LINES = 4000, 12  # of the log, shown after a failure
PROGRAM = cli.python_of("train")
DRY_RUN, FAST = "--dry-run", "--fast"
ORDERS: dict[str, tuple[str, ...]] = {"train": (), "fast": (FAST,), "dry run": (DRY_RUN,)}
VERSION = re.compile(r"v[1-9]\d{0,8}")


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The outcome of a short command; `output` is what it printed last."""

    ok: bool
    output: str


class TrainingProcess:
    """Starts, finds and stops the one training of a home folder. Tests replace `program`."""

    def __init__(self, home: Path, program: Sequence[str] = PROGRAM) -> None:
        self._home, self._program = home, tuple(program)
        self._child: subprocess.Popen[bytes] | None = None
        self._started: Training | None = None
        self._by_hand = asyncio.Lock()

    def under_way(self) -> Training | None:
        """Return the training that runs in this home folder, whoever started it; None if there is none."""
        training, child = read_training(self._home), self._child
        if training and training.is_running:
            return training
        if child is None or child.poll() is not None:
            return None
        if training is None or training.pid != child.pid:  # it has not written its status yet
            return self._started
        # failed: it has yet to print its traceback; running: it has just died, and its exit code is not known yet
        return training if training.state in ("failed", "running") else None

    def last(self) -> Training | None:
        """Return the last training, or None. If it could not write why it ended, the exit code and log say it.

        Call it when no training is running.
        """
        training, child = read_training(self._home), self._child
        if child and self._started and (training is None or training.since < self._started.since):  # it wrote no status
            stopped = child.returncode == -signal.SIGTERM
            message = Phrase("process.cancelled") if stopped else self._log_tail() or exit_reason(child.returncode)
            return replace(self._started, state="stopped" if stopped else "refused", told=message)
        if training and training.state == "running":
            mine = child is not None and child.pid == training.pid
            why = exit_reason(child.returncode) if mine and child else exit_reason(None)
            return replace(
                training, state="failed", told=joined(why, self._log_tail() if mine else "", by="page.lines")
            )
        if training and training.state == "failed" and child and child.pid == training.pid:
            return replace(training, lines=tuple(self._log_tail().splitlines()))
        return training

    def start(self, order: str) -> Training:
        """Start a training and return its status. Raises TrainingRefused if one is running or none can start."""
        if order not in ORDERS:
            raise TrainingRefused(Phrase("process.unknown_kind", order=repr(order[:40])))
        if other := self.under_way():
            raise TrainingRefused(Phrase("process.running", who=other.who))
        flags = ORDERS[order]
        try:
            with (self._home / LOG_FILE).open("wb") as log:
                child = self._spawn(flags, log.fileno())
        except OSError as error:
            raise TrainingRefused(Phrase("process.cannot_start", error=said(error), folder=str(self._home))) from error
        threading.Thread(target=child.wait, name="reap-training", daemon=True).start()
        command = " ".join(["python -m train", *flags])
        self._child = child
        self._started = replace(this_process(command), pid=child.pid, since=datetime.now(UTC))
        return self._started

    def cancel(self) -> Training:
        """Stop the running training as Ctrl-C would, and return it. Raises TrainingRefused if none is running.

        Process id and start time are compared right before, so an unrelated process with a reused id is not stopped. A
        training that the chat started leads a process group, which is stopped as a whole.
        """
        training = self.under_way()
        if training is None:
            raise TrainingRefused(Phrase("process.not_running"))
        try:
            if hasattr(os, "killpg") and os.getpgid(training.pid) == training.pid:
                os.killpg(training.pid, signal.SIGTERM)
            else:  # in a terminal its group may hold more than itself
                os.kill(training.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass  # it has just ended by itself
        except PermissionError:
            raise TrainingRefused(Phrase("process.other_user", who=training.who)) from None
        return training

    async def by_hand(self, *words: str) -> CommandResult:
        """Run `python -m train promote VERSION` or `rollback` to its end. Raises TrainingRefused if one is running."""
        if self._by_hand.locked():
            raise TrainingRefused(Phrase("process.switching"))
        async with self._by_hand:
            child = await asyncio.create_subprocess_exec(
                *self._program,
                *words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=cli.environment_of(ROOT),
                start_new_session=True,
            )
            output, _ = await child.communicate()
        text = last_lines(output.decode("utf-8", "replace"))
        return CommandResult(child.returncode == 0, text.removeprefix("error: ") or exit_reason(child.returncode))

    def _spawn(self, flags: Sequence[str], output: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self._program, *flags],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=cli.environment_of(ROOT),
            start_new_session=True,
        )

    def _log_tail(self) -> str:
        with contextlib.suppress(OSError):
            return last_lines((self._home / LOG_FILE).read_text("utf-8", "replace")).removeprefix("error: ")
        return ""


def last_lines(text: str) -> str:
    """Return the end of an output: at most LAST_CHARS characters and LAST_LINES lines."""
    return "\n".join(text[-LAST_CHARS:].strip().splitlines()[-LAST_LINES:])


def exit_reason(code: int | None) -> str:
    """Return how a process ended that printed nothing; None: its exit code is not known."""
    if code is None:
        return Phrase("process.unknown")
    if code < 0:
        return Phrase("process.signal", number=-code, name=signal.strsignal(-code))
    return Phrase("process.code", code=code)
