"""Trace what is fsynced before a rating is acknowledged, and what that costs: `python -m benchmarks.load.durability`.

Part one runs votes under strace, as the kernel sees them: of each file that a vote left in the tables, the content and
the name must have been synced before the vote returned. Left out is what may be lost: the hint of the newest version,
and manifests that are not the newest. Part two rates in turns with and without the syncs, in one process. strace is a
Debian package.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.load.forked import ROOT
from rag.feedback.ratings import mark_source, prefer, rate_answer, teach
from rag.store.durability import TableSync
from rag.store.store import Store, open_store

sys.path.insert(0, str(ROOT / "tests" / "support"))
from fakes import make_answer, make_chunk, make_hits

VOTES = 12
TURNS = 300
AT_MOST = 1.5  # times as long as without the syncs
SYNCED = re.compile(r"\b(?:fsync|fdatasync)\(\d+<([^>]*)>\s*\)\s+= 0")
OPENED = r'openat\(.*"([^"]+)", O_\w*(?:WRONLY|RDWR)\S*O_CREAT'
WRITTEN = re.compile(rf'\b(?:{OPENED}|rename\w*\(.*"([^"]+)"|linkat\(.*"([^"]+)")')
ACKNOWLEDGED = re.compile(r'write\(\d+<[^>]*>, "acknowledged (\w+)')
MAY_BE_LOST = re.compile(r"latest_version_hint|\.lock$|/\.tmp|#\d+$")


def vote(folder: Path) -> None:
    """Rate in each way, and say so on standard output after each; this is what is traced."""
    store = open_store(folder)
    for number in range(VOTES):
        store.feedback.put_answer(make_answer(make_hits("one", "two"), cited=(1,), id=f"answer-{number}"))
        say("answer")
        rate_answer(store, rater="ann", answer_id=f"answer-{number}", value=1 if number % 2 else -1, blind=True)
        say("thumb")
        rate_answer(store, rater="ann", answer_id=f"answer-{number}", value=-1, blind=True, comment="too long")
        say("comment")
        mark_source(store, rater="ann", answer_id=f"answer-{number}", rank=1, value=1, blind=True)
        say("mark")
        prefer(store, rater="ann", duel_id="duel", choice="base", blind=True)
        say("preference")
        teach(store, rater="ann", query=f"why {number}?", chunk=make_chunk("three"))
        say("teach")
    store.close()


def say(kind: str) -> None:
    """Acknowledge."""
    os.write(1, f"acknowledged {kind}\n".encode())


def trace(folder: Path) -> tuple[dict[str, int], list[str], int]:
    """Return how many votes of each kind were acknowledged, what was not synced by then, and the number of syncs."""
    log = folder / "strace.log"
    calls = "trace=openat,rename,renameat,renameat2,linkat,link,fsync,fdatasync,write"
    command = [sys.executable, "-m", "benchmarks.load.durability", "vote", str(folder / "lancedb")]
    subprocess.run(
        ["strace", "-f", "-y", "-s", "300", "-e", calls, "-e", "signal=none", "-o", str(log), *command],
        check=True,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    votes: dict[str, int] = {}
    waiting: set[str] = set()  # files whose content, and folders whose names, are not on disk
    lacking, syncs = [], 0
    for line in joined(log.read_text(errors="replace").splitlines()):
        if found := SYNCED.search(line):
            waiting.discard(found[1])
            syncs += 1
        elif found := ACKNOWLEDGED.search(line):
            votes[found[1]] = votes.get(found[1], 0) + 1
            lacking += [f"{found[1]}: {path}" for path in sorted(waiting) if Path(path).exists()]
            waiting.clear()
        elif (found := WRITTEN.search(line)) and " = -1 " not in line:
            path = next(filter(None, found.groups()))
            if path.startswith(str(folder / "lancedb")) and not MAY_BE_LOST.search(path):
                folder_of_it = str(Path(path).parent)
                if path.endswith(".manifest"):  # their names count down
                    waiting = {each for each in waiting if not each.startswith(f"{folder_of_it}/")}
                waiting |= {path, folder_of_it}
    return votes, lacking, syncs


def joined(lines: list[str]) -> list[str]:
    """Join the calls that strace shows in two parts, at the place of the second."""
    begun: dict[str, str] = {}
    found = []
    for line in lines:
        thread, _, call = line.partition(" ")
        if call.endswith("<unfinished ...>"):
            begun[thread] = call.removesuffix("<unfinished ...>")
        elif (resumed := re.match(r"\s*<\.\.\. \w+ resumed>(.*)", call)) and thread in begun:
            found.append(begun.pop(thread) + resumed[1])
        else:
            found.append(call)
    return found


def cost(store: Store) -> tuple[float, float]:
    """Return the median seconds of a vote with the syncs and without, taken in turns."""
    for number in range(20):
        store.feedback.put_answer(make_answer(make_hits("one", "two"), cited=(1,), id=f"answer-{number}"))
    sync, taken = TableSync.sync, {True: list[float](), False: list[float]()}
    for turn in range(TURNS):
        is_synced = bool(turn % 2)
        TableSync.sync = sync if is_synced else lambda self, tables: None  # type: ignore[method-assign]
        began = time.perf_counter()
        value = 1 if turn % 3 else -1
        rate_answer(store, rater="ann", answer_id=f"answer-{turn // 2 % 20}", value=value, blind=True)
        taken[is_synced].append(time.perf_counter() - began)
    TableSync.sync = sync  # type: ignore[method-assign]
    return median(taken[True]), median(taken[False])


def main() -> int:
    """Print both parts."""
    if sys.argv[1:2] == ["vote"]:
        vote(Path(sys.argv[2]))
        return 0
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as name:  # on a disk
        votes, lacking, syncs = trace(Path(name))
        print(f"acknowledged: {votes}; {syncs} syncs; not on disk by then: {len(lacking)}")
        print("\n".join(lacking[:20]))
        store = open_store(Path(name) / "other")
        synced, former = cost(store)
        store.close()
    print(f"a vote: {synced * 1e3:.1f} ms, {former * 1e3:.1f} ms without syncs, {synced / former:.2f} times")
    return 1 if lacking or synced > AT_MOST * former else 0


if __name__ == "__main__":
    sys.exit(main())
