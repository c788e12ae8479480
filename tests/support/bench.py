"""A real training process that does what a test tells it, and labels and versions for the panel."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from chat.training.process import TrainingProcess
from rag.models.registry import Version
from rag.records import Chunk, LabelledPair
from rag.training_status import read_training

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
PATIENCE = 30.0  # seconds; a busy machine takes long to start Python
# A training that learns nothing and writes its status as the real one does. It waits for a line in a pipe.
SCRIPT = """
import os, signal, sys
from pathlib import Path
signal.signal(signal.SIGTERM, signal.default_int_handler)
from rag.errors import NotEnoughFeedback
from train.progress import publish_progress
home, words = Path(sys.argv[1]), sys.argv[2:]
if words[:1] == ["promote"]:
    sys.exit(print(f"error: {words[1]}: no such version") or 2)
if words[:1] == ["rollback"]:
    sys.exit(print("start weights serves now"))
try:
    with publish_progress(home, " ".join(["python -m train", *words])) as progress:
        progress.plan(["gathering", "tuning"])
        progress.done("gathering")
        progress.line("labels: 60 pairs")
        what = (home / "pipe").open().readline().strip()
        if what == "few":
            raise NotEnoughFeedback("7 rated queries, need 50")
        if what == "crash":
            raise ZeroDivisionError("nothing to divide")
        if what == "vanish":
            os.kill(os.getpid(), 9)
except NotEnoughFeedback as error:
    sys.exit(print(f"error: {error}") or 2)
except KeyboardInterrupt:
    sys.exit(130)
"""


def wait_for(what: Callable[[], Any]) -> Any:
    """Return the first true result of `what`, called until PATIENCE is over."""
    never = threading.Event()
    for _ in range(int(PATIENCE / 0.02)):
        if found := what():
            return found
        never.wait(0.02)
    pytest.fail("the process did not reach the expected state")


class Bench:
    """A home folder, and training processes that do what a test writes into a pipe."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir()
        os.mkfifo(home / "pipe")
        (home / "script.py").write_text(SCRIPT)
        self.program = (sys.executable, str(home / "script.py"), str(home))

    def trainer(self) -> TrainingProcess:
        return TrainingProcess(self.home, self.program)

    def tell(self, word: str) -> None:
        with (self.home / "pipe").open("w") as pipe:
            pipe.write(word + "\n")

    def stage(self) -> str:
        training = read_training(self.home)
        return training.stage if training and training.is_running else ""

    def until_tuning(self) -> None:
        wait_for(lambda: self.stage() == "tuning")


def version(name: str = "v2", verdict: str = "keep", kind: str = "ratings", folders: str = "f") -> Version:
    return Version(name, folders, "print", "builtin", cast(Any, kind), cast(Any, verdict), f"VERDICT: {name}", NOON)


def chunk(n: int) -> Chunk:
    text = f"The passage with number {n} stands here for itself alone."
    return Chunk(f"c{n}", "d", "a.md", "A", "", None, text, 0, len(text))


def label(query: str, n: int, value: int = 1, rater: str = "ann", **more: Any) -> LabelledPair:
    given = {"origin": "mark", "weight": 1.0, **more}
    return LabelledPair(rater, f"mark:{query}", query, f"c{n}", chunk(n).text, cast(Any, value), NOON, **given)
