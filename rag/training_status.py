"""Status file of the current or last training, home/training.json: written by its process, read by others.

Why the start time: process ids are reused, so the file also has the start time of the process. Only a process that
matches both is the training and may be signalled. A killed training needs no cleanup: its file says "running", but its
process does not exist.
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

from rag.home_address import shared_home

STATE_FILE = "training.json"
LOCK_FILE = "training.lock"  # held by the training process; the system releases it however the process ends
LEASE = "training"  # the same in a shared home, among all machines
START_TOLERANCE = 2.0  # seconds: clocks are adjusted, and boot time has a resolution of 1/100 s

State = Literal["running", "done", "stopped", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class Bar:
    """Progress of one stage. `left_s` is the estimated remaining time, None until something is done."""

    what: str
    done: int
    total: int
    left_s: float | None


@dataclass(frozen=True, slots=True)
class Training:
    """Status of a training. `started` is the start of its process, in seconds since 1970.

    `stages` are all planned stages, `passed` maps finished ones to their seconds, `lines` are its last lines of output,
    `told` is the message with which it ended, `version` the version it created.
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
        """Return the current stage, "" if all have finished."""
        return next((stage for stage in self.stages if stage not in self.passed), "")

    @property
    def is_running(self) -> bool:
        """Return whether the status is "running" and the process exists."""
        return self.state == "running" and is_process(self.pid, self.started)

    @property
    def who(self) -> str:
        """Return a description of the process for messages."""
        return f"process {self.pid} since {self.since:%Y-%m-%d %H:%M} UTC: {self.command}"


def this_process(command: str) -> Training:
    """Return the status of the calling process as a training."""
    return Training(command, os.getpid(), psutil.Process().create_time(), datetime.now(UTC))


def is_process(pid: int, started: float) -> bool:
    """Return whether a process with this id and this start time is running."""
    try:
        process = psutil.Process(pid)
        same_start = abs(float(process.create_time()) - started) < START_TOLERANCE
        return same_start and bool(process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, ValueError):
        return False


def read_training(home: Path) -> Training | None:
    """Return the status of the current or last training; None if there is none or its file cannot be read."""
    try:
        return _parse(json.loads((home / STATE_FILE).read_text("utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def trains_elsewhere(home: Path) -> bool:
    """Return whether a machine trains on a shared home; False where a home is not shared. A few requests."""
    shared = shared_home(home)
    return bool(shared and shared.holder(LEASE))


def write_training(home: Path, training: Training) -> None:
    """Write the status file atomically. Raises OSError."""
    temporary = home / f"{STATE_FILE}.{os.getpid()}"
    temporary.write_text(json.dumps(asdict(training), default=datetime.isoformat), "utf-8")
    temporary.replace(home / STATE_FILE)


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
