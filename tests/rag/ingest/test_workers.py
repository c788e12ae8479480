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

import hostile
from pdfs import make_pdf
from rag.errors import StoreFailed, Unreadable
from rag.ingest import workers
from rag.ingest.parse_cache import ParseCache
from rag.ingest.workers import WorkerPool, worker_count
from rag.settings import ROOT

SECONDS = 4.0  # for a file; the start of a worker is not counted


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerPool]:
    monkeypatch.setattr(workers, "begin_work", hostile.begin_work)
    with WorkerPool(ParseCache(tmp_path), 2, seconds=SECONDS, memory=1_000_000_000) as pool:
        yield pool


def test_a_hostile_file_costs_itself_and_the_others_are_read(
    pool: WorkerPool, capfd: pytest.CaptureFixture[str]
) -> None:
    files = {
        "print a": "print a",
        "spin": "reading it took more than 4 s: split it",
        "good b": "good b",
        "abort": r"it made its parser crash \(status -6\)",
        "exit": r"it made its parser crash \(status 7\)",
        "good c": "good c",
        "eat": "reading it took more memory than 1.0 GB: split it",
        "arena": "reading it took more memory than 1.0 GB: split it",
        "sleep": "reading it took more than 4 s: split it",
        "bug": r"its parser failed \(KeyError: 'page'\)",
        "good d": "good d",
    }
    parsings = [pool.submit(".pdf", name.encode()) for name in files]
    for parsing, (name, expected) in zip(parsings, files.items(), strict=True):
        if name == expected:
            assert parsing.result().text == name
        else:
            with pytest.raises(Unreadable, match=expected):
                parsing.result()
    assert "noise" not in capfd.readouterr().out


def test_a_stopped_file_ends_its_worker_and_the_pool_still_reads(pool: WorkerPool) -> None:
    assert pool.load(".pdf", b"good").text == "good"
    began = time.monotonic()
    with pytest.raises(Unreadable, match="stopped"):
        pool.check(".pdf", b"sleep", lambda: time.monotonic() - began > 0.5)
    assert time.monotonic() - began < 2.5
    assert pool.load(".pdf", b"fine").text == "fine"


def test_a_stopped_file_ends_the_programs_that_its_loader_runs(pool: WorkerPool, tmp_path: Path) -> None:
    note, end = tmp_path / "program", time.monotonic() + 30

    def is_running() -> bool:
        return note.exists() and note.read_text().endswith("\n")

    with pytest.raises(Unreadable, match="stopped"):
        pool.check(".pdf", f"program {note}".encode(), lambda: is_running() or time.monotonic() > end)
    program = Path("/proc") / note.read_text().strip() / "cmdline"
    while program.exists() and program.read_bytes():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_worker_that_cannot_start_fails_the_run_and_skips_no_file(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "begin_work", hostile.begin_in_vain)
    with pytest.raises(StoreFailed, match=r"no process can be started to read \.pdf files"):
        pool.load(".pdf", b"good")


@pytest.mark.parametrize(("suffix", "data"), [(".md", b"# Cats"), (".txt", b"Cats")])
def test_a_small_file_of_a_fast_format_starts_no_worker(tmp_path: Path, suffix: str, data: bytes) -> None:
    with WorkerPool(ParseCache(tmp_path)) as pool:
        assert pool.load(suffix, data).text == data.decode()
        assert pool._pool is None


@pytest.mark.parametrize(("suffix", "data"), [(".txt", make_pdf("Cats sleep.")), (".md", b"Cats sleep. " * 99_999)])
def test_a_large_file_and_one_of_another_format_than_its_name_says_start_one(
    tmp_path: Path, suffix: str, data: bytes
) -> None:
    with WorkerPool(ParseCache(tmp_path)) as pool:
        assert pool.load(suffix, data).text.startswith("Cats sleep.")
        assert pool._pool is not None


def test_a_parsed_file_comes_from_the_cache_without_a_worker(tmp_path: Path) -> None:
    with WorkerPool(ParseCache(tmp_path)) as pool:
        first = pool.load(".pdf", make_pdf("Cats sleep."))
    with WorkerPool(ParseCache(tmp_path)) as pool:
        assert pool.load(".pdf", make_pdf("Cats sleep.")) == first
        pool.check(".pdf", make_pdf("Cats sleep."), lambda: False)
        assert pool._pool is None


def test_more_workers_start_only_for_enough_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(4)), raising=False)
    assert [worker_count(sizes) for sizes in ([], [10] * 7, [10] * 16, [9_000_000], [10] * 999)] == [1, 1, 2, 2, 4]


def test_a_worker_imports_neither_torch_nor_the_store_nor_the_chat() -> None:
    heavy = "{'torch', 'lancedb', 'pyarrow', 'chainlit', 'onnxruntime', 'transformers'}"
    code = f"import sys, rag.__main__, chat.__main__, rag.ingest.workers; print({heavy} & {{*sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


PARENT = """
import signal, sys
from pathlib import Path
import hostile
from rag.ingest import workers
from rag.ingest.parse_cache import ParseCache
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell runs the tests in the background
    workers.begin_work = hostile.begin_work
    with workers.WorkerPool(ParseCache(Path(sys.argv[1]))) as pool:
        pool.load(".pdf", f"sleep {sys.argv[1]}/worker".encode())
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_parent_that_ends_leaves_no_worker(tmp_path: Path, how: signal.Signals) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    paths = os.pathsep.join([os.fspath(ROOT), os.fspath(ROOT / "tests" / "support")])
    command = [sys.executable, os.fspath(tmp_path / "parent.py"), os.fspath(tmp_path)]
    end = time.monotonic() + 30
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths}, stderr=subprocess.DEVNULL) as parent:
        while not (tmp_path / "worker").exists() or not (tmp_path / "worker").read_text().endswith("\n"):
            assert time.monotonic() < end
            time.sleep(0.1)
        worker = Path("/proc") / (tmp_path / "worker").read_text().strip() / "cmdline"
        assert worker.read_bytes()
        parent.send_signal(how)
        parent.wait(10)
    while worker.exists() and worker.read_bytes():
        assert time.monotonic() < end
        time.sleep(0.1)
