"""Index the documents and train the first model in child processes, while the chat is open already.

Why child processes: the chat then never loads torch (500 MB), and both run at a lower priority on all cores. Each is a
session of its own, ends with the chat, also when that is killed (rag.cli), and continues at the next start.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from chat.language import Phrase, said
from chat.training.process import LOG_FILE, exit_reason, last_lines
from rag import cli
from rag.errors import ThumbtuneError
from rag.indexing.running import read_indexing
from rag.ingest.corpus import load_corpus
from rag.models.registry import Registry
from rag.models.trials import trial_of
from rag.settings import ROOT, Settings
from rag.training_status import Training, read_training, trains_elsewhere

PATIENCE = 5.0  # seconds of indexing after which the chat opens with what can be searched by then
LOOK_SECONDS = 0.2
ELSEWHERE_SECONDS = 5.0  # between two looks whether another machine still trains
LINE_SECONDS = 10.0  # between two lines of progress in the terminal or log
GRACE_SECONDS = 10.0  # for a child to clean up before it is killed
PROGRAM = cli.python_of()
# Stage -> its usual share of a first training, measured on the shipped documents; unknown stages count as 1.
SHARES = {"gathering": 1, "base, champion and hard negatives": 60, "tuning": 15, "judging, part 1 of 1": 14}

State = Literal["idle", "indexing", "training", "ready", "failed"]


@dataclass(frozen=True, slots=True)
class Progress:
    """What the first start is doing, as one line for the page. `version` is the model it has made, "" for none."""

    state: State = "idle"
    text: str = ""
    version: str = ""


class FirstStart:
    """Runs `python -m rag index`, then `python -m train --bootstrap --fast` if these documents never had one."""

    def __init__(self, settings: Settings, program: Sequence[str] = PROGRAM) -> None:
        self._settings, self._program = settings, tuple(program)
        self._thread = threading.Thread(target=self._work, name="first-start", daemon=True)
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()  # no child starts after `stop`
        self._stopping = threading.Event()
        self._indexed = threading.Event()
        self._is_open = False  # the chat opened before indexing had ended
        self._index_status = 0
        self._ended: Progress | None = None
        self._state: State = "idle"
        same = settings.base_model == settings.start_model
        self._is_same = same  # until then both sides use the same model

    def start(self) -> None:
        """Start indexing in the background, and then training."""
        self._state = "indexing"
        self._thread.start()

    def wait_until_searchable(self) -> int:
        """Return 0 as soon as the chat can open, else the exit status of indexing, which has printed its error."""
        while not self._indexed.wait(LOOK_SECONDS):
            status = read_indexing(self._settings.home)
            if status and status.searchable and time.time() - status.since >= PATIENCE:
                self._is_open = True
                return 0
        return self._index_status

    def stop(self) -> None:
        """Stop the running child, and start no other."""
        with self._lock:
            self._stopping.set()
            child = self._child
        if child is None or child.poll() is not None:
            return
        _signal(child, signal.SIGTERM)
        try:
            child.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            _signal(child, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)

    def progress(self) -> Progress:
        """Return what is going on now."""
        if self._ended:
            return self._ended
        if self._state == "indexing":
            return Progress("indexing", self._indexing_line())
        if self._state == "training":
            line = training_line(self._training())
            return Progress("training", Phrase("first.until_then", line=line) if self._is_same else line)
        return Progress()

    # --- the background thread ---------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            self._index()
            if not self._stopping.is_set() and not self._index_status:
                self._train()
        except (OSError, ThumbtuneError) as error:
            self._fail(Phrase("first.cannot", error=said(error)))
        finally:
            self._indexed.set()

    def _index(self) -> None:
        self._index_status = self._run(f"{cli.PACKAGE}rag", "index")
        self._indexed.set()
        if self._index_status and self._is_open and not self._stopping.is_set():
            why = exit_reason(self._index_status) if self._index_status < 0 else Phrase("first.terminal")
            self._fail(Phrase("first.not_indexed", reason=why))

    def _train(self) -> None:
        settings = self._settings
        folders = load_corpus(settings).folders_id
        tried = False
        while not self._stopping.is_set():
            registry = Registry(settings.models)
            if why := registry.why_no_bootstrap(folders):
                if self._state == "indexing":
                    print(why, flush=True)
                    self._ended = Progress()
                else:
                    self._finish(registry, folders)
                return
            other = read_training(settings.home)
            if other and other.is_running:  # in another terminal, or by another chat on this home
                self._state = "training"
                self._stopping.wait(1.0)
            elif trains_elsewhere(settings.home):
                self._state = "training"
                self._stopping.wait(ELSEWHERE_SECONDS)
            elif tried:
                self._finish(registry, folders)
                return
            else:
                self._state = "training"
                tried = self._bootstrap()

    def _bootstrap(self) -> bool:
        """Train the first model; return whether that was tried, which it is not while another training runs."""
        print("Training the first model in the background; the chat can be used meanwhile.", flush=True)
        log = self._settings.home / LOG_FILE
        with log.open("wb") as output:
            status = self._run(f"{cli.PACKAGE}train", "--bootstrap", "--fast", output=output)
        other = read_training(self._settings.home)
        if self._stopping.is_set() or not status:
            return True
        if (other and other.is_running) or (status > 0 and trains_elsewhere(self._settings.home)):
            return False
        mine = other if other and self._child and other.pid == self._child.pid else None
        if mine and mine.state == "stopped":
            self._fail(Phrase("first.cancelled"))
        else:
            why = (mine.told if mine else "") or (exit_reason(status) if status < 0 else _tail(log))
            self._fail(Phrase("first.failed", reason=why if isinstance(why, Phrase) else why.rstrip(".")))
        return True

    def _finish(self, registry: Registry, folders: str) -> None:
        """Say how the first training ended, unless that has been said."""
        if self._ended:
            return
        champion, training = registry.champion(folders), read_training(self._settings.home)
        trial = trial_of(self._settings, folders)
        if champion:
            text = Phrase("first.ready", version=champion.name)
        elif trial:
            text = Phrase("first.on_trial", version=trial.name)
        elif registry.bootstrapped(folders):
            text = Phrase("first.no_gain")
        else:
            why = next((line for line in reversed(training.lines if training else ()) if line), "bootstrap: no model")
            print(why, flush=True)
            text = Phrase("first.too_few")
        print(text, flush=True)
        serving = champion or trial
        self._ended = Progress("ready", text, serving.name if serving else "")

    def _fail(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)
        self._ended = Progress("failed", text)

    def _run(self, *command: str, output: IO[bytes] | None = None) -> int:
        """Run a command to its end, with a line of progress now and then, and return its exit status."""
        with self._lock:
            if self._stopping.is_set():
                return cli.INTERRUPTED
            self._child = subprocess.Popen(
                [*self._program, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=None if output is None else subprocess.STDOUT,
                env=self._environment(),
                start_new_session=True,
            )
        said = time.monotonic()
        while True:
            with suppress(subprocess.TimeoutExpired):
                return self._child.wait(LOOK_SECONDS)
            if output is not None and time.monotonic() - said >= LINE_SECONDS:
                said = time.monotonic()
                print(training_line(self._training()), flush=True)

    def _training(self) -> Training | None:
        """Return the training that runs, or the one of the child, which may be ending; None for an earlier one."""
        training, child = read_training(self._settings.home), self._child
        is_mine = training is not None and child is not None and training.pid == child.pid
        return training if training and (is_mine or training.is_running) else None

    def _environment(self) -> dict[str, str]:
        given = {**cli.environment_of(ROOT), cli.PARENT: str(os.getpid())}
        if "train_threads" not in self._settings.model_fields_set:
            given["THUMBTUNE_TRAIN_THREADS"] = str(os.cpu_count() or 1)  # at a lower priority than the chat
        given.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a thread that waits leaves its core to others
        return given

    def _indexing_line(self) -> str:
        status = read_indexing(self._settings.home)
        if status and status.files:
            return Phrase("first.indexing_files", done=status.done, n=status.files)
        return Phrase("first.indexing")


_started: FirstStart | None = None


def set_current(first: FirstStart) -> None:
    """Make this the first start that `current` returns: the app is loaded later, by Chainlit."""
    global _started
    _started = first


def current(settings: Settings) -> FirstStart:
    """Return the first start of this process; one that does nothing where `python -m chat` did not start the app."""
    return _started or FirstStart(settings)


def training_line(training: Training | None) -> str:
    """Return a training's progress, such as "First model: 40%, ready in about a minute."."""
    if training is None:
        return Phrase("first.starting")
    if not training.is_running:
        return Phrase("first.ending")
    share = share_done(training)
    elapsed = time.time() - training.since.timestamp()
    if share < 0.05:
        return Phrase("first.share", n=int(100 * share))
    return Phrase("first.share_left", n=int(100 * share), time=in_words(elapsed * (1 - share) / share))


def share_done(training: Training) -> float:
    """Return the share of a training that is done, from 0 to 1, by the usual share of each stage."""
    stages = training.stages or ("",)
    whole = sum(SHARES.get(stage, 10) for stage in stages)
    passed = sum(SHARES.get(stage, 10) for stage in training.passed)
    bar = training.bar
    within = bar.done / bar.total * SHARES.get(training.stage, 10) if bar and bar.total and len(stages) > 1 else 0.0
    return min(0.99, (passed + within) / whole) if len(stages) > 1 else 0.0


def in_words(seconds: float) -> str:
    """Return a time in plain words, such as "about 2 minutes"."""
    minutes = round(seconds / 60)
    if seconds < 45:
        return Phrase("first.less_than_minute")
    return Phrase("first.minutes", n=max(1, minutes))


def _tail(log: Path) -> str:
    with suppress(OSError):
        return last_lines(log.read_text("utf-8", "replace")).splitlines()[-1].removeprefix("error: ")
    return Phrase("process.silent")


def _signal(child: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to a child and what it has started."""
    with suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(child.pid, number)
        else:
            child.terminate()
