"""What a training shows while it runs: a line for each stage, bars with the time left, and how long each stage took.

Where torchrun started several processes, all of them compute and the first one alone speaks and writes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from rag.index import Embedded
from train import progress

GATHERING, MEETING, TUNING, SETTLING = "gathering", "base, champion and hard negatives", "tuning", "verdict and report"


def stages(parts: int) -> list[str]:
    """Return the stages of a training whose trial has this many parts, in their order."""
    return [GATHERING, MEETING, TUNING, *(judging(part, parts) for part in range(1, parts + 1)), SETTLING]


def judging(part: int, parts: int) -> str:
    """Return the name of the stage in which one part of the trial is judged."""
    return f"judging, part {part} of {parts}"


def leads() -> bool:
    """Return whether this process is the only one, or the first of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


class Clock:
    """Tells the user what a stage came to, and keeps how long it took, in seconds."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.seconds: dict[str, float] = {}
        self._say, self._since = say, time.monotonic()

    def done(self, stage: str, line: str = "") -> None:
        """End a stage, and say its line."""
        now = time.monotonic()
        self.seconds[stage], self._since = now - self._since, now
        progress.now().done(stage)
        if line:
            self.say(line)

    def say(self, line: str) -> None:
        """Say a line, once, however many processes compute."""
        if leads():
            self._say(line)

    def bar(self, name: str) -> Embedded:
        """Return a progress to be told (done in this step, total); on a terminal it draws a bar with the time left."""
        return bar(f"embedding ({name})")


def bar(text: str) -> Embedded:
    """Return a progress to be told (done in this step, total); on a terminal it draws a bar with the time left."""
    drawn: list[tqdm[Any]] = []
    so_far = 0

    def tell(done: int, total: int) -> None:
        nonlocal so_far
        so_far += done
        progress.now().step(text, so_far, total)
        if total and not drawn:
            drawn.append(tqdm(total=total, desc=text, unit="chunk", disable=None if leads() else True, leave=False))
        for each in drawn:
            each.update(done)
            if each.n >= total:
                each.close()

    return tell
