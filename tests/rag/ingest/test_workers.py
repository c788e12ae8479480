"""A file that crashes, hangs or bloats its parser costs that file, and no worker outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdfs import make_pdf
from rag.errors import Unreadable
from rag.ingest import workers
from rag.ingest.parse_cache import ParseCache
from rag.ingest.workers import ROOT, WorkerPool, worker_count

HOSTILE = """
import sys, os, time
sys.path.insert(0, sys.argv[1])
from rag.ingest import workers
from rag.loaders.text import load_text
from rag.loaders import formats
def load(data):
    word = data.decode().split()[0]
    if word == "abort": os.abort()
    if word == "sleep": time.sleep(60)
    if word == "spin":
        while True: pass
    if word == "eat": return [bytearray(10**7) for _ in range(10**4)]
    if word == "bug": raise KeyError("page")
    if word == "print": print("noise", flush=True)
    return load_text(data)
formats.LOADERS[".pdf"] = load
workers.work()
"""
SECONDS = 8  # a busy machine takes three of them to start a worker
COMMAND = (sys.executable, "-P", "-c", HOSTILE, os.fspath(ROOT))


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[WorkerPool]:
    with WorkerPool(ParseCache(tmp_path), 2, seconds=SECONDS, memory=500_000_000, command=COMMAND) as pool:
        yield pool


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("abort", r"it made its parser crash \(SIGABRT\), or needed more than 0.5 GB of memory"),
        ("sleep", "reading it took more than 8 s"),
        ("spin", "reading it took more than 8 s"),
        ("eat", "reading it took more memory than 0.5 GB"),
        ("bug", r"its parser failed \(KeyError: \'page\'\)"),
    ],
)
def test_a_hostile_file_costs_itself_and_the_next_one_is_read(pool: WorkerPool, word: str, why: str) -> None:
    futures = [pool.submit(".pdf", text) for text in (b"print a", word.encode(), b"good b")]
    assert futures[0].result().text == "print a"
    with pytest.raises(Unreadable, match=why):
        futures[1].result()
    assert futures[2].result().text == "good b"


def test_a_stopped_file_ends_its_worker_at_once(pool: WorkerPool) -> None:
    began = time.monotonic()
    with pytest.raises(Unreadable, match="stopped"):
        pool.load(".pdf", b"sleep", lambda: time.monotonic() - began > 0.5)
    assert time.monotonic() - began < 2.5


def test_a_small_file_of_a_fast_format_starts_no_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.setattr(workers, "Worker", started.append)
    with WorkerPool(ParseCache(tmp_path)) as pool:
        assert pool.load(".md", b"# Cats").text == "# Cats"
    assert started == []


def test_a_parsed_file_comes_from_the_cache_without_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with WorkerPool(ParseCache(tmp_path)) as pool:
        first = pool.load(".pdf", make_pdf("Cats sleep."))
    monkeypatch.setattr(workers, "Worker", None)
    with WorkerPool(ParseCache(tmp_path)) as pool:
        assert pool.load(".pdf", make_pdf("Cats sleep.")) == first


def test_more_workers_start_only_for_enough_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(4)), raising=False)
    assert [worker_count(sizes) for sizes in ([], [10] * 7, [10] * 16, [9_000_000], [10] * 999)] == [1, 1, 2, 2, 4]


PARENT = """
import sys
from pathlib import Path
from rag.ingest.parse_cache import ParseCache
from rag.ingest.workers import WorkerPool
with WorkerPool(ParseCache(Path(sys.argv[1])), command=(sys.executable, "-P", *sys.argv[2:])) as pool:
    future = pool.submit(".pdf", sys.stdin.buffer.read())
    while not pool._all:
        pass
    print(next(iter(pool._all))._process.pid, flush=True)
    future.result()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_parent_that_ends_leaves_no_worker(tmp_path: Path, how: signal.Signals) -> None:
    command = [sys.executable, "-c", PARENT, os.fspath(tmp_path), *COMMAND[2:]]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdin
        assert parent.stdout
        parent.stdin.write(b"sleep")
        parent.stdin.close()
        worker = int(parent.stdout.readline())
        time.sleep(1)
        parent.send_signal(how)
        parent.wait(10)
    end = time.monotonic() + 10
    while Path(f"/proc/{worker}/cmdline").exists() and Path(f"/proc/{worker}/cmdline").read_bytes():
        assert time.monotonic() < end
        time.sleep(0.1)
