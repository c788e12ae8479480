"""Kill commands at random moments, or let the disk fill up: `python -m benchmarks.load.stage_faults kill|full [TIMES]`.

For indexing, importing labels, uploading, both trainings, promotion, rollback, backup and restore: after each fault
every rating is there once, all tables open, what served serves on, and the same command then does its work without a
hand. Half of the kills come at a random moment, half right before one of the changes that the command makes to files.
A full disk is a tmpfs, which needs root; each time it has another part of the space that the command needs.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load.forked import KILL_AT, ROOT, STEPS, TRAINING, Forked, status_file
from rag.feedback.ratings import rate_answer
from rag.indexing.uploads import UploadResult, Uploads
from rag.ingest.corpus import load_corpus
from rag.ingest.documents import Unchanged
from rag.models.arms import Arms
from rag.models.registry import Registry
from rag.settings import load_settings
from rag.store.store import Store, open_store
from rag.training_status import read_training

sys.path.insert(0, str(ROOT / "tests" / "support"))
from fakes import make_answer, make_hits
from tiny import build_tiny_model
from train_world import EPOCHS, World, make_world

TIMES = 8
MINUTES = 12.0  # no other command after that
RATED = 20
SECONDS = 300.0  # most that a command may take
MB = 1_000_000
QUESTION = "how do i cat house"


@dataclass(frozen=True)
class Case:
    """A command, the home that it begins with ("" for none), and how many versions there are then, if one serves."""

    name: str
    command: Sequence[str]
    home: str
    versions: int = 0
    champion: bool = False
    more: int = 0  # documents, next to those of the folder


CASES = (
    Case("promote", ("train", "promote", "v1"), "trained", 1, True),
    Case("roll back", ("train", "rollback"), "champion", 1),
    Case("backup", ("rag", "backup", "{backup}"), "champion", 1, True),
    Case("restore", ("rag", "restore", "{kept}", "--replace"), "champion", 1, True),
    Case("upload", ("benchmarks.load.stage_faults", "upload", "{upload}"), "champion", 1, True, 1),
    Case("index", ("rag", "index"), ""),
    Case("import", ("rag", "import", "{labels}"), "labelled"),
    Case("train --fast", ("train", "--fast"), "labelled", 1),
    Case("train", ("train", "--epochs", EPOCHS), "labelled", 1, True),
)
VARYING = re.compile(r"[0-9a-f]{8,}|\d+|/tmp\w+")  # in the names of files


@dataclass
class Found:
    """What came of the faults of a case."""

    times: int = 0
    done: int = 0
    finished: int = 0  # before the fault came
    stages: Counter[str] = field(default_factory=Counter)
    lines: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


@dataclass
class Bench:
    """The process that commands are forked from, and the homes that they begin with."""

    folder: Path
    world: World
    forked: Forked
    until: float  # when to stop, by time.monotonic
    started: int = 0

    def start(self, home: Path, command: Sequence[str], **settings: str) -> tuple[int, Path]:
        """Start a command on a home; return its process id and its log."""
        self.started += 1
        log = self.folder / f"log-{self.started}"
        files = {"backup": home.with_name("backup"), "kept": self.folder / "kept", "upload": self.folder / "upload.md"}
        args = [each.format(labels=self.world.labels, **files) for each in command[1:]]
        environment = {**self.world.environment(home), "OMP_NUM_THREADS": "1", "THUMBTUNE_LLM": "extractive"}
        environment |= settings
        return self.forked.start(command[0], args, environment, log), log

    def run(self, home: Path, command: Sequence[str], **settings: str) -> tuple[int, str]:
        """Run a command to its end; return its exit status and what it printed."""
        _, log = self.start(home, command, **settings)
        return int(ended(log)), log.read_text()

    def copy(self, case: Case, home: Path) -> None:
        """Make the home that a case begins with."""
        if case.home:
            shutil.copytree(self.folder / case.home, home, dirs_exist_ok=True)
        else:
            home.mkdir(exist_ok=True)

    def check(self, case: Case, home: Path, *, complete: bool) -> list[str]:
        """Return what is wrong with a home after a fault; with `complete`, after the command was run again."""
        settings = self.world.settings(home)
        store, registry = open_store(settings.lancedb), Registry(settings.models)
        corpus, champion = load_corpus(settings), None
        found = doubled(store)
        ratings = len(store.feedback.ratings()) if case.home else RATED
        found += [f"{ratings} ratings of {RATED}"] if ratings != RATED else []
        found += ["the labels are gone"] if case.home and not store.feedback.labels() else []
        if champion := registry.champion(corpus.folders_id):
            found += [] if registry.model_folder(champion).is_dir() else [f"{champion.name} serves without its folder"]
        if complete:
            documents, versions = store.documents.hashes(corpus.id), registry.versions()
            expected = len(list(self.world.docs.iterdir())) + case.more
            found += [f"{len(documents)} documents of {expected}"] if len(documents) != expected else []
            if not case.versions <= len(versions) <= case.versions + 1:  # one more, if the first was complete
                found.append(f"versions: {[each.name for each in versions]}")
            found += ["another version serves"] if case.champion != bool(champion) else []
        store.close()
        if case.home or complete:
            status, printed = self.run(home, ("rag", "ask", QUESTION))
            found += [f"rag ask: {printed[-500:]}"] if status else []
        return found


def doubled(store: Store) -> list[str]:
    """Return which ids a table has twice. Raises StoreFailed where a table does not open."""
    found = []
    for name in store.tables.names():
        ids = Counter(row["id"] for row in store.tables.rows(name, columns=["id"]))
        found += [f"{name}: {n} rows of {key}" for key, n in ids.items() if n > 1]
    return found


def ended(log: Path) -> str:
    """Wait for a command's end; return its exit status. Raises TimeoutError."""
    until = time.monotonic() + SECONDS
    while not (status_file(log).exists() and status_file(log).read_text()):
        if time.monotonic() > until:
            raise TimeoutError(log.read_text()[-3000:])
        time.sleep(0.02)
    return status_file(log).read_text()


def stage_of(home: Path) -> str:
    """Return the stage of a training that runs or was killed, "" if none had begun."""
    training = read_training(home)
    return training.stage if training else ""


def kill(bench: Bench, case: Case, times: int) -> Found:
    """Kill a command at random moments of its usual time, and before changes that it makes to files."""
    found, home = Found(times), fresh(bench, case)
    steps, began = bench.folder / "steps", time.monotonic()
    steps.unlink(missing_ok=True)
    _, log = bench.start(home, case.command, **{STEPS: str(steps)})
    if int(ended(log)):
        raise RuntimeError(log.read_text()[-3000:])
    usual, points = time.monotonic() - began, named_points(steps.read_text().splitlines())
    print(f"{case.name}: {usual:.1f} s, {len(points)} kinds of changes", flush=True)
    chosen = random.sample(sorted(points.items()), min(times // 2, len(points)))
    for name, at in [*chosen, *[("", 0)] * (times - len(chosen))]:
        if time.monotonic() > bench.until:
            break
        home = fresh(bench, case)
        pid, log = bench.start(home, case.command, **({STEPS: str(steps), KILL_AT: str(at)} if at else {}))
        if at:
            killed_or_ended(pid, log)
        else:
            time.sleep(random.uniform(0, usual))
        if status_file(log).exists():
            found.finished += 1
        else:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            found.stages[f"before {name}" if at else f"at random, {stage_of(home) or 'no stage'}"] += 1
        where = f"killed {f'before {name}' if at else 'at random'}"
        found.faults += [f"{where}: {each}" for each in bench.check(case, home, complete=False)]
        again(bench, case, home, found)
        found.done += 1
    return found


def fresh(bench: Bench, case: Case) -> Path:
    """Return the home that a case begins with."""
    home = bench.folder / "work" / "home"
    shutil.rmtree(home.parent, ignore_errors=True)
    home.parent.mkdir()
    bench.copy(case, home)
    return home


def named_points(steps: Sequence[str]) -> dict[str, int]:
    """Return the number of the first change of each kind: what is done, and to a file of which name."""
    points: dict[str, int] = {}
    for number, step in enumerate(steps, 1):
        points.setdefault(VARYING.sub("#", step), number)
    return points


def killed_or_ended(pid: int, log: Path) -> None:
    """Wait until a process is gone, by itself or not."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and not status_file(log).exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)


def upload(file: Path) -> int:
    """Add a file to the documents, as the chat does."""
    settings = load_settings()
    store = open_store(settings.lancedb)
    uploads = Uploads(settings, store, Arms(settings, store, load_corpus(settings)))
    outcome = uploads.add(file.name, file)
    uploads.update_text_index()
    store.close()
    print(outcome)
    return 0 if isinstance(outcome, UploadResult | Unchanged) else 2


def again(bench: Bench, case: Case, home: Path, found: Found) -> None:
    """Run the command once more and note what is wrong then."""
    status, printed = bench.run(home, case.command)
    if status and "nothing to roll back" not in printed:
        found.faults.append(f"again: {status} {printed[-800:]}")
    found.faults += [f"in the end: {each}" for each in bench.check(case, home, complete=True)]


@contextmanager
def disk(folder: Path) -> Iterator[Path]:
    """Mount a tmpfs without a limit to speak of."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2g", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def resize(folder: Path, size: int) -> None:
    """Give a mounted tmpfs another size, in bytes."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


def full(bench: Bench, case: Case, times: int) -> Found:
    """Run a command with a part of the space that it needs."""
    found, needed = Found(times), 0
    for number in range(-1, times):
        with disk(bench.folder / "disk") as mounted:
            home = mounted / "home"
            bench.copy(case, home)
            before = shutil.disk_usage(mounted).used
            if number < 0:
                _, log = bench.start(home, case.command)
                while not status_file(log).exists():
                    needed = max(needed, shutil.disk_usage(mounted).used - before)
                    time.sleep(0.02)
                continue
            resize(mounted, before + needed * number // times + 4096)
            champion = Registry(home / "models").champion(load_corpus(bench.world.settings(home)).folders_id)
            status, printed = bench.run(home, case.command)
            found.stages[stage_of(home) or "no stage"] += 1
            if not status:
                found.finished += 1
            else:
                error = [line for line in printed.splitlines() if line.strip()][-1]
                found.lines[error.replace(str(mounted), "")[:200]] += 1
                if "Traceback" in printed:
                    found.faults.append(printed[-1500:])
                now = Registry(home / "models").champion(load_corpus(bench.world.settings(home)).folders_id)
                if (now and now.name) != (champion and champion.name):
                    found.faults.append(f"{now} serves after a failure")
            resize(mounted, 2_000 * MB)
            found.faults += [f"with space: {each}" for each in bench.check(case, home, complete=False)]
            if status:
                again(bench, case, home, found)
            found.done += 1
    return found


def prepare(folder: Path, forked: Forked) -> Bench:
    """Make the homes: indexed and rated, trained and rolled back, and trained."""
    (folder / "model").mkdir()
    build_tiny_model(folder / "model", seed=0)
    world = make_world(folder, folder / "model")
    store = open_store(world.labelled / "lancedb")
    for number in range(RATED):
        store.feedback.put_answer(make_answer(make_hits("one", "two"), cited=(1,), id=f"answer-{number}"))
        rate_answer(store, rater="ann", answer_id=f"answer-{number}", value=1 if number % 3 else -1, blind=True)
    store.close()
    bench = Bench(folder, world, forked, time.monotonic() + MINUTES * 60)
    (folder / "upload.md").write_text("# upload\n\nthe index model opens the second garden door\n")
    shutil.copytree(folder / "labelled", folder / "champion")
    status, printed = bench.run(folder / "champion", ("train", "--epochs", EPOCHS))
    if status:
        raise RuntimeError(printed)
    shutil.copytree(folder / "champion", folder / "trained")
    bench.run(folder / "trained", ("train", "rollback"))
    bench.run(folder / "champion", ("rag", "backup", str(folder / "kept")))
    return bench


def main(args: Sequence[str]) -> int:
    """Print what came of the faults of each command; or upload a file, as one of these."""
    if args[0] == "upload":
        return upload(Path(args[1]))
    mode, times = args[0], int(args[1]) if len(args) > 1 else TIMES
    only, wrong = args[2:], 0
    with tempfile.TemporaryDirectory() as name:
        forked = Forked(*TRAINING)
        bench = prepare(Path(name), forked)
        for case in CASES:
            if (only and case.name not in only) or time.monotonic() > bench.until:
                continue
            found = (kill if mode == "kill" else full)(bench, case, times)
            wrong += len(found.faults)
            print(
                f"{case.name}: {found.done} of {found.times} times, {found.finished} done before, {dict(found.stages)}",
                flush=True,
            )
            for line, n in found.lines.items():
                print(f"  {n} times: {line}")
            for fault in found.faults:
                print(f"  FAULT {fault}", flush=True)
        forked.close()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
