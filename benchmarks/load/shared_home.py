"""Several writers on one home on S3, killed, stopped and throttled: `python -m benchmarks.load.shared_home [WRITERS]`.

Each writer is a process with a cache of its own, as on a machine of its own; it stores answers and rates them, and says
what was acknowledged. Then each acknowledged row must be there once, with its last acknowledged value or a later one.
The server is ministack on loopback; the proxy before it throttles, fails, and loses answers to what it has carried out.
With azurite on its port and AZURITE_CONTAINER set to a container there, writers are killed on that, too.
Part two stops an index run with SIGSTOP until another machine has taken over. Part three measures question to hits.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.load.forked import ROOT
from rag.answering.service import QueryService, open_service
from rag.feedback.ratings import rate_answer
from rag.indexing.indexer import index
from rag.settings import Settings, load_settings
from rag.store.store import open_store

sys.path.insert(0, str(ROOT / "tests" / "support"))
from fakes import make_answer, make_hits
from object_store import BUCKET, KEYS, Fault, faulty, s3_server
from tiny import build_tiny_model

WRITERS = 4
ANSWERS = 25  # of each writer, each rated twice
KILLS = 12
ROOT_S3 = f"s3://{BUCKET}"
AT_MOST = 3.0  # times the local home's question to hits
QUESTIONS = 60
CLOUD_SECONDS = 0.02  # that a request takes longer in a cloud
RUN_SECONDS = 600.0


def write(name: str, first: int, last: int) -> None:
    """Store answers and rate them; print what was acknowledged. This is what is killed."""
    store = open_store(load_settings().lancedb)
    for number in range(first, last):
        id_ = f"{name}-{number}"
        store.feedback.add_answer(make_answer(make_hits("one", "two"), cited=(1,), id=id_))
        say(f"answer {id_} 0")
        for value in (1, -1):
            rate_answer(store, rater=name, answer_id=id_, value=value, blind=True)
            say(f"rating {id_} {value}")
    store.close()


def say(line: str) -> None:
    """Acknowledge, in one write."""
    os.write(1, f"{line}\n".encode())


@dataclass
class Writer:
    """A writer's process on a machine of its own, and the lines it has printed."""

    name: str
    folder: Path
    endpoint: str
    home: str
    first: int = 0
    process: subprocess.Popen[str] | None = None
    lines: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Start it, or start it again after what it had acknowledged."""
        command = [sys.executable, "-m", "benchmarks.load.shared_home", "write", self.name, str(self.first)]
        environment = {**machine(self.folder / self.name, self.endpoint, self.home)}
        log = (self.folder / f"{self.name}.out").open("a")
        self.process = subprocess.Popen(
            [*command, str(ANSWERS)], cwd=ROOT, env=environment, stdout=log, stderr=subprocess.PIPE, text=True
        )

    def read(self) -> None:
        """Read what it has printed so far."""
        self.lines = (self.folder / f"{self.name}.out").read_text().splitlines()
        last = [line.split() for line in self.lines[-1:]]
        self.first = max((int(id_.rpartition("-")[2]) + (value == "-1") for _, id_, value in last), default=0)

    def end(self) -> None:
        """Wait for its end."""
        assert self.process
        _, err = self.process.communicate(timeout=RUN_SECONDS)
        if self.process.returncode > 0:
            self.errors.append(err.strip().splitlines()[-1])
        self.read()


def machine(cache: Path, endpoint: str, home: str) -> dict[str, str]:
    """Return the environment of a machine with a cache of its own."""
    return {**os.environ, **KEYS, "AWS_ENDPOINT_URL": endpoint, "THUMBTUNE_HOME": home, "XDG_CACHE_HOME": str(cache)}


def check(writers: list[Writer], settings: Settings) -> str:
    """Return what is missing, doubled or older than what was acknowledged."""
    with closing(open_store(settings.lancedb)) as store:
        answers = Counter(answer.id for answer in store.feedback.answers())
        ratings = store.feedback.ratings()
    values = {rating.target_id: rating.value for rating in ratings}
    acknowledged = [line.split() for writer in writers for line in writer.lines]
    said = {id_: int(value) for kind, id_, value in acknowledged if kind == "rating"}
    lost = [id_ for kind, id_, _ in acknowledged if kind == "answer" and not answers[id_]]
    lost += [id_ for id_, value in said.items() if id_ not in values or (value == -1 and values[id_] == 1)]
    doubled = [id_ for id_, n in answers.items() if n > 1]
    doubled += [id_ for id_, n in Counter(rating.target_id for rating in ratings).items() if n > 1]
    errors = [line for writer in writers for line in writer.errors]
    told = f"; refused: {errors}" if errors else ""
    return f"{len(acknowledged)} acknowledged, {len(lost)} lost, {len(doubled)} doubled{told}"


def run(
    folder: Path, s3: str, name: str, count: int, fault: Fault | None = None, kills: int = 0, root: str = ROOT_S3
) -> None:
    """Run writers on a new home, and print what became of what they had acknowledged."""
    home, began, draw = f"{root}/{name}", time.monotonic(), random.Random(0)
    with ExitStack() as stack:
        endpoint = stack.enter_context(faulty(s3, fault)) if fault else s3
        (folder / name).mkdir()
        writers = [Writer(f"w{n}", folder / name, endpoint, home) for n in range(count)]
        for writer in writers:
            writer.start()
        for _ in range(kills):
            time.sleep(draw.uniform(2.0, 6.0))
            writer = draw.choice(writers)
            assert writer.process
            writer.process.kill()
            writer.process.communicate()
            writer.read()
            writer.start()
        for writer in writers:
            writer.end()
    settings = use(folder / name / "reader", s3, home)
    print(f"{name}: {count} writers, {kills} kills, {time.monotonic() - began:.0f} s: {check(writers, settings)}")


def use(cache: Path, endpoint: str, home: str) -> Settings:
    """Make this process a machine, and return its settings."""
    os.environ.update(machine(cache, endpoint, home))
    return load_settings()


def stop_indexing(folder: Path, s3: str) -> None:
    """Stop an index run until another one has taken over and changed the documents; print how both ended."""
    home, docs = f"s3://{BUCKET}/stopped", folder / "docs"
    docs.mkdir()
    for n in range(400):
        (docs / f"{n}.md").write_text(f"# Number {n}\n\nThe cat sleeps in house {n} at night.\n" * 20)
    os.environ["THUMBTUNE_DOCS"] = str(docs)
    command = [sys.executable, "-m", "rag", "index"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    settings = use(folder / "reader", s3, home)
    sleeper = subprocess.Popen(command, cwd=ROOT, env=machine(folder / "sleeper", s3, home), **streams)
    with closing(open_store(settings.lancedb)) as store:
        while not store.tables.exists("documents") or store.tables.count("documents") < 8:
            time.sleep(0.2)
        os.kill(sleeper.pid, signal.SIGSTOP)
        before = store.tables.count("documents")
        began = time.monotonic()
        other = subprocess.run(command, cwd=ROOT, env=machine(folder / "other", s3, home), check=True, **streams)
        seconds, version = time.monotonic() - began, store.tables.version("documents")
        os.kill(sleeper.pid, signal.SIGCONT)
        said, _ = sleeper.communicate(timeout=RUN_SECONDS)
        time.sleep(2)
        after, same = store.tables.count("documents"), store.tables.version("documents") == version
    print(f"stopped with {before} documents; the other one took {seconds:.0f} s: {other.stdout.splitlines()[-2:]}")
    print(f"the stopped one, exit {sleeper.returncode}: {said.splitlines()[-1]}")
    print(f"documents {after}, not written to since: {same}")


def question_to_hits(folder: Path, s3: str, name: str) -> None:
    """Print the median seconds from question to hits, local and shared in turns, with questions never asked before."""
    os.environ["THUMBTUNE_DOCS"] = str(ROOT / "docs" / "how-to")
    services: dict[str, QueryService] = {}
    for kind, home in {"local": str(folder / "local"), "shared": f"s3://{BUCKET}/hits"}.items():
        settings = use(folder / name, s3, home)
        index(settings)
        services[kind] = open_service(settings)
    words = [f"{one} {other}" for one in ["chat", "model", "port"] for other in map(str, range(1000))]
    took: dict[str, list[float]] = {kind: [] for kind in services}
    for n in range(QUESTIONS):
        for kind, service in services.items():
            began = time.perf_counter()
            hits = service.search(f"how do i train {words[n * 7]}", "base")
            took[kind].append(time.perf_counter() - began)
            assert hits
    middle = {kind: median(seconds[10:]) for kind, seconds in took.items()}
    worst = {kind: sorted(seconds[10:])[-3] for kind, seconds in took.items()}
    times = [f"{kind} {middle[kind] * 1e3:.1f} ms (third slowest {worst[kind] * 1e3:.0f})" for kind in services]
    ratio = middle["shared"] / middle["local"]
    count = services["local"].store.chunks.count(services["local"].served("base").table)
    print(
        f"question to hits, {name}, {QUESTIONS - 10} new questions each on {count:,} chunks: {', '.join(times)}: "
        f"{ratio:.2f} times, at most {AT_MOST:.0f}",
        flush=True,
    )
    for service in services.values():
        service.close()


def main() -> None:
    """Run all parts."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else WRITERS
    draw = random.Random(1)

    def flaky(method: str, path: str) -> str:
        chance = draw.random()
        if chance < 0.05:
            return "503 SlowDown"
        if chance < 0.07:
            return "500 InternalError"
        return "after 503 SlowDown" if chance < 0.09 and method == "PUT" else ""

    with tempfile.TemporaryDirectory(prefix="thumbtune-") as name:
        folder = Path(name)
        (folder / "model").mkdir()
        build_tiny_model(folder / "model", seed=0)
        model = str(folder / "model")
        os.environ.update(THUMBTUNE_BASE_MODEL=model, THUMBTUNE_START_MODEL=model, THUMBTUNE_DEVICE="cpu")
        with s3_server(folder) as s3:
            question_to_hits(folder, s3, "loopback")
            with faulty(s3, lambda method, path: time.sleep(CLOUD_SECONDS) or "") as endpoint:
                question_to_hits(folder, endpoint, f"{CLOUD_SECONDS * 1e3:.0f} ms a request")
            run(folder, s3, "quiet", count)
            run(folder, s3, "killed", count, kills=KILLS)
            run(folder, s3, "flaky", count, fault=flaky)
            if container := os.environ.get("AZURITE_CONTAINER"):
                run(folder, s3, f"azure-{random.randrange(10**6)}", count, kills=KILLS, root=f"az://{container}")
            stop_indexing(folder, s3)


if __name__ == "__main__":
    if sys.argv[1:2] == ["write"]:
        write(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
