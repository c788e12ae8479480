"""The training that is under way in a home, or was last: home/training.json, which its process writes and others read.

The idea a reader would miss: a process id alone names nobody, since ids are used again. So the file has the time at
which the process started as well, and only where both fit is it the training, and may be signalled. Nothing has to tidy
up after a training that was killed: its file says "running", and its process is not there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import psutil

STATE_FILE = "training.json"
LOCK_FILE = "training.lock"  # its process holds it; the system frees it with the process, however that ends
SAME_START = 2.0  # seconds: clocks are set, and the time since boot is counted in hundredths

State = Literal["running", "done", "stopped", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class Bar:
    """How far one piece of work is. `left_s` is None as long as nothing of it is done."""

    what: str
    done: int
    total: int
    left_s: float | None


@dataclass(frozen=True, slots=True)
class Training:
    """What a training says of itself. `started` is its process's start, in seconds since 1970.

    `stages` are all that are planned, `passed` the seconds of those that are over; `lines` is what it printed last,
    `told` why it ended, `version` what it made.
    """

    command: str
    pid: int
    started: float
    since: datetime
    state: State = "running"
    stages: tuple[str, ...] = ()
    passed: Mapping[str, float] = field(default_factory=dict)
    bar: Bar | None = None
    lines: tuple[str, ...] = ()
    told: str = ""
    version: str = ""
    ended: datetime | None = None

    @property
    def stage(self) -> str:
        """Return the stage that is under way, "" where all that were planned are over."""
        return next((stage for stage in self.stages if stage not in self.passed), "")

    @property
    def is_running(self) -> bool:
        """Return whether its process is still there and has not said that it ended."""
        return self.state == "running" and is_process(self.pid, self.started)

    @property
    def who(self) -> str:
        """Return in words which process it is."""
        return f"process {self.pid} since {self.since:%Y-%m-%d %H:%M} UTC: {self.command}"


def this_process(command: str) -> Training:
    """Return the training that the calling process is."""
    return Training(command, os.getpid(), psutil.Process().create_time(), datetime.now(UTC))


def is_process(pid: int, started: float) -> bool:
    """Return whether a process with this id runs that started at this time."""
    try:
        process = psutil.Process(pid)
        same = abs(float(process.create_time()) - started) < SAME_START
        return same and bool(process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, ValueError):
        return False


def read_training(home: Path) -> Training | None:
    """Return the training that is under way or was last; None where there was none, or its file cannot be read."""
    try:
        return _parse(json.loads((home / STATE_FILE).read_text("utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_training(home: Path, training: Training) -> None:
    """Replace the file whole. Raises OSError."""
    draft = home / f"{STATE_FILE}.{os.getpid()}"
    draft.write_text(json.dumps(asdict(training), default=datetime.isoformat), "utf-8")
    draft.replace(home / STATE_FILE)


def _parse(row: dict[str, Any]) -> Training:
    return Training(
        **{
            **row,
            "since": datetime.fromisoformat(row["since"]),
            "ended": datetime.fromisoformat(row["ended"]) if row["ended"] else None,
            "stages": tuple(row["stages"]),
            "lines": tuple(row["lines"]),
            "bar": Bar(**row["bar"]) if row["bar"] else None,
        }
    )
