"""Progress of this process's training: stage, bar and time left, published in home/training.json for the chat.

Why one global progress, `now()`: updates come from deep inside (a trainer step, a batch of embeddings), and a process
trains once. Why not tqdm alone: without a terminal tqdm draws nothing.
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
LINES = 20  # kept of what was printed: a screenful
STOPPED = "stopped: the current model stays active; the same command resumes the training"


class Progress:
    """Status of one training, written to its home. Without a home nothing is written (tests, torchrun workers)."""

    def __init__(self, home: Path | None, training: Training, clock: Callable[[], float] = time.monotonic) -> None:
        self.training = training
        self._home, self._clock = home, clock
        self._stage_began = self._bar_began = clock()
        self._bar_from = 0
        self._written = float("-inf")
        self._write()

    def plan(self, stages: Sequence[str]) -> None:
        """Set the names of all stages, finished ones included."""
        self._change(stages=tuple(stages))

    def done(self, stage: str) -> None:
        """End a stage and record its seconds."""
        now = self._clock()
        passed = {**self.training.passed, stage: round(now - self._stage_began, 1)}
        self._stage_began = now
        self._change(passed=passed, bar=None)

    def step(self, task: str, done: int, total: int) -> None:
        """Update the bar of a task; written to disk at most every EVERY_SECONDS."""
        bar, now = self.training.bar, self._clock()
        if bar is None or bar.what != task or bar.total != total or done < bar.done:
            self._bar_began, self._bar_from = now, done
        since_start = done - self._bar_from
        left = (now - self._bar_began) / since_start * (total - done) if since_start else None
        over = done >= total
        self.training = replace(self.training, bar=None if over else Bar(task, done, total, left and round(left, 1)))
        if now - self._written >= EVERY_SECONDS:
            self._write()

    def line(self, line: str) -> None:
        """Keep a printed line for the status file."""
        self._change(lines=(*self.training.lines, *line.splitlines())[-LINES:])

    def end(self, state: State, message: str = "", version: str = "") -> None:
        """Set the final state; only the first call counts."""
        if self.training.state == "running":
            self._change(state=state, told=message, version=version, bar=None, ended=datetime.now(UTC))

    def _change(self, **changed: object) -> None:
        self.training = replace(self.training, **changed)  # type: ignore[arg-type]
        self._write()

    def _write(self) -> None:
        if self._home is not None:
            with contextlib.suppress(OSError):  # a full disk must not stop the training
                write_training(self._home, self.training)
        self._written = self._clock()


_unpublished = Training("", 0, 0.0, datetime.now(UTC))
_now = Progress(None, _unpublished)


def now() -> Progress:
    """Return this process's progress; outside `publish_progress` it is not written anywhere."""
    return _now


@contextmanager
def publish_progress(home: Path | None, command: str) -> Iterator[Progress]:
    """Publish the progress of a training in `home`, with its final state: done, refused, stopped or failed."""
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
        _now = Progress(None, _unpublished)


GATHERING, PREPARING = "gathering", "base, champion and hard negatives"
TUNING, REPORTING = "tuning", "verdict and report"


def stages(parts: int) -> list[str]:
    """Return the stages of a training with this many evaluation splits, in order."""
    return [GATHERING, PREPARING, TUNING, *(judging(part, parts) for part in range(1, parts + 1)), REPORTING]


def judging(part: int, parts: int) -> str:
    """Return the name of the stage that evaluates one split."""
    return f"judging, part {part} of {parts}"


def leads() -> bool:
    """Return whether this is the only process, or rank 0 of torchrun."""
    return os.environ.get("RANK", "0") == "0"


class StageReporter:
    """Print a line per stage, and record the seconds that each took."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.seconds: dict[str, float] = {}
        self._say, self._since = say, time.monotonic()

    def done(self, stage: str, line: str = "") -> None:
        """End a stage, and print its line."""
        now = time.monotonic()
        self.seconds[stage], self._since = now - self._since, now
        progress.now().done(stage)
        if line:
            self.say(line)

    def say(self, line: str) -> None:
        """Print a line, in rank 0 only."""
        if leads():
            self._say(line)

    def bar(self, name: str) -> Embedded:
        """Return a callback (done in this step, total) that updates the progress and, on a terminal, a tqdm bar."""
        return bar(f"embedding ({name})")


def bar(text: str) -> Embedded:
    """Return a callback (done in this step, total) that updates the progress and, on a terminal, a tqdm bar."""
    drawn: list[tqdm[Any]] = []
    so_far = 0

    def update(done: int, total: int) -> None:
        nonlocal so_far
        so_far += done
        progress.now().step(text, so_far, total)
        if total and not drawn:
            drawn.append(tqdm(total=total, desc=text, unit="chunk", disable=None if leads() else True, leave=False))
        for each in drawn:
            each.update(done)
            if each.n >= total:
                each.close()

    return update
