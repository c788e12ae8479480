"""How far the training of this process is, written down for whoever looks: the chat, another terminal.

The idea a reader would miss: bars on a terminal draw nothing where there is no terminal, so nothing here hangs on them.
What is told comes from deep inside (a step of the trainer, a batch of embeddings), and a process trains once: so there
is one progress, `now()`, instead of one handed down through every call.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from rag.errors import ThumbtuneError
from rag.training_status import Bar, State, Training, this_process, write_training
from train import progress

if TYPE_CHECKING:
    from rag.indexing.update import Embedded

EVERY_SECONDS = 0.5  # between two writes; a reader sees no more than that
STOPPED = "stopped: what served before serves on; the same training goes on where it was"
LINES = 20  # kept of what was printed: a screenful


class Progress:
    """What a training says of itself. Without a home nothing is written: the tests, the helpers of torchrun."""

    def __init__(self, home: Path | None, training: Training, clock: Callable[[], float] = time.monotonic) -> None:
        self.training = training
        self._home, self._clock = home, clock
        self._stage_began = self._bar_began = clock()
        self._bar_from = 0
        self._written = float("-inf")
        self._write()

    def plan(self, stages: Sequence[str]) -> None:
        """Say which stages there will be, those that are over included."""
        self._change(stages=tuple(stages))

    def done(self, stage: str) -> None:
        """Say that a stage is over."""
        now = self._clock()
        passed = {**self.training.passed, stage: round(now - self._stage_began, 1)}
        self._stage_began = now
        self._change(passed=passed, bar=None)

    def step(self, what: str, done: int, total: int) -> None:
        """Say how much of a piece of work is done; written when a write is due."""
        bar, now = self.training.bar, self._clock()
        if bar is None or bar.what != what or bar.total != total or done < bar.done:
            self._bar_began, self._bar_from = now, done
        made = done - self._bar_from
        left = (now - self._bar_began) / made * (total - done) if made else None
        over = done >= total
        self.training = replace(self.training, bar=None if over else Bar(what, done, total, left and round(left, 1)))
        if now - self._written >= EVERY_SECONDS:
            self._write()

    def line(self, line: str) -> None:
        """Keep a line that was printed."""
        self._change(lines=(*self.training.lines, *line.splitlines())[-LINES:])

    def end(self, state: State, told: str = "", version: str = "") -> None:
        """Say how it ended; the first word on that counts."""
        if self.training.state == "running":
            self._change(state=state, told=told, version=version, bar=None, ended=datetime.now(UTC))

    def _change(self, **changed: object) -> None:
        self.training = replace(self.training, **changed)  # type: ignore[arg-type]
        self._write()

    def _write(self) -> None:
        if self._home is not None:
            with contextlib.suppress(OSError):  # a full disk costs the view, not the training
                write_training(self._home, self.training)
        self._written = self._clock()


_nobodys = Training("", 0, 0.0, datetime.now(UTC))
_now = Progress(None, _nobodys)


def now() -> Progress:
    """Return the progress of the training that this process is, or one that nobody reads."""
    return _now


@contextmanager
def publish_progress(home: Path | None, command: str) -> Iterator[Progress]:
    """Write down how a training goes, from here to its end, whatever that is."""
    global _now
    _now = Progress(home, this_process(command))
    try:
        yield _now
        _now.end("done")
    except ThumbtuneError as error:
        _now.end("refused", str(error))
        raise
    except KeyboardInterrupt:
        _now.end("stopped", STOPPED)
        raise
    except BaseException as error:
        _now.end("failed", f"{type(error).__name__}: {error}")
        raise
    finally:
        _now = Progress(None, _nobodys)


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


class StageReporter:
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
