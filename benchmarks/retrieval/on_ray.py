"""Cost of a chunk by `index --engine ray` beside the local engine: `python -m benchmarks.retrieval.on_ray FILES`.

Both index the same files into an empty home, one after the other, in processes of their own; processor time is that of
the whole tree, Ray's own processes included, read before they end. Ray starts and loads the model once; what that costs
is told by a run over one file, and is left out of the cost of a chunk. Then a driver is killed in the middle of its
run, and the command repeated: the tables must be those of the local engine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil

from benchmarks.retrieval.growth import write
from rag.ingest.corpus import load_corpus
from rag.settings import ROOT, Settings
from rag.store.store import open_store

POLL = 0.05
KILL_AFTER = 0.5  # of the chunks


def run(home: Path, docs: Path, engine: str, kill_at: int = 0) -> tuple[float, float]:
    """Index; return the processor seconds of all processes and the seconds. `kill_at`: kill it at so many chunks."""
    env = {**os.environ, "THUMBTUNE_HOME": str(home), "THUMBTUNE_DEVICE": "cpu", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "rag", "index", "--engine", engine, str(docs)]
    spent: dict[int, float] = {}
    began = time.monotonic()
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        root = psutil.Process(process.pid)
        while process.poll() is None:
            with suppress(psutil.Error):
                for each in [root, *root.children(recursive=True)]:
                    with suppress(psutil.Error):
                        times = each.cpu_times()
                        spent[each.pid] = times.user + times.system
            if kill_at and len(ids(home, docs)) >= kill_at:
                process.send_signal(signal.SIGKILL)
            time.sleep(POLL)
    return sum(spent.values()), time.monotonic() - began


def settings_of(home: Path, docs: Path) -> Settings:
    """Return the settings of a run."""
    return Settings(home=home, docs=(docs,), base_model="builtin", start_model="builtin", device="cpu")


def ids(home: Path, docs: Path) -> set[str]:
    """Return the ids of the chunks that are embedded."""
    if not (home / "lancedb").exists():
        return set()
    settings = settings_of(home, docs)
    store = open_store(settings.lancedb)
    try:
        names = store.chunks.table_names(load_corpus(settings).id)
        return store.chunks.ids(names[0]) if names else set()
    finally:
        store.close()


def differences(one: Path, other: Path, docs: Path) -> str:
    """Say how the tables of two homes differ."""
    tables = []
    for home in (one, other):
        settings = settings_of(home, docs)
        store = open_store(settings.lancedb)
        tables.append(store.chunks.read(store.chunks.table_names(load_corpus(settings).id)[0]))
        store.close()
    (chunks, vectors), (others, other_vectors) = tables
    if chunks != others:
        return f"{len(chunks)} and {len(others)} chunks, not the same"
    return f"{len(chunks)} equal chunks, vectors differ by at most {np.abs(vectors - other_vectors).max():.1e}"


def main() -> None:
    """Print both costs, their ratio, and what a killed driver leaves."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval.on_ray")
    parser.add_argument("files", type=int, nargs="?", default=1_000, help="of two chunks each")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="on-ray-"))
    write(folder / "docs", given.files)
    write(folder / "one", 1)
    costs = {}
    for engine in ("local", "ray"):
        start, _ = run(folder / f"{engine}-one", folder / "one", engine)
        spent, seconds = run(folder / engine, folder / "docs", engine)
        costs[engine] = (spent - start) / (2 * given.files)
        print(f"{engine}: {spent:.1f} processor s ({start:.1f} for one file), {seconds:.0f} s", flush=True)
    print(
        f"a chunk costs {1e3 * costs['ray']:.1f} and {1e3 * costs['local']:.1f} ms: {costs['ray'] / costs['local']:.2f}"
    )
    print("ray and local:", differences(folder / "local", folder / "ray", folder / "docs"))
    run(folder / "killed", folder / "docs", "ray", int(KILL_AFTER * 2 * given.files))
    print(f"killed at {len(ids(folder / 'killed', folder / 'docs'))} chunks", flush=True)
    run(folder / "killed", folder / "docs", "ray")
    print("after the same command again:", differences(folder / "local", folder / "killed", folder / "docs"))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
