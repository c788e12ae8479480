"""Measure the chat with many raters at once who ask, read and rate over real sockets, answers without an LLM.

`python -m benchmarks.load.duels 20 100` prints a row for 20 and one for 100 raters. Each asks ROUNDS questions, one
after another, gives a thumb and presses it a second time. BENCH_HOME=folder copies a home that is indexed and trained,
BENCH_CODE=folder measures another checkout. Processor seconds of the chat are steadier than wall-clock time, in which
the raters and whatever else runs on the machine have their share.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load.chat_process import ROOT, ChatProcess, running_chat
from benchmarks.load.raters import Asked, Rater
from rag.store.store import open_store

ROUNDS = int(os.environ.get("ROUNDS", "3"))
WARM_UP = 10  # questions asked before, one after another
REST_SECONDS = float(os.environ.get("REST", "5"))  # before memory is read again


@dataclass
class Load:
    """What a number of raters found."""

    asked: list[Asked] = field(default_factory=list)
    votes_s: list[float] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)


def questions() -> list[str]:
    """Return the questions about the shipped documents."""
    lines = (ROOT / "docs" / "questions.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["question"] for line in lines]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that this share of the values does not exceed; nan for none."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else float("nan")


async def use(rater: Rater, question: str, load: Load) -> None:
    """Ask a question and rate one answer twice, as a double click does."""
    try:
        asked = await rater.ask(question)
        load.asked.append(asked)
        states = [side["state"] for side in asked.card["sides"]]
        if states != ["done", "done"]:
            load.failures.append(f"{question}: {states} {[side['error'] for side in asked.card['sides']]}")
            return
        vote = {"answer": asked.answers["A"], "value": 1}
        for seconds, said in await asyncio.gather(rater.act("vote", vote), rater.act("vote", vote)):
            load.votes_s.append(seconds)
            if "error" in said:
                load.failures.append(f"vote: {said['error']}")
                return
        load.acknowledged.add(asked.answers["A"])
    except Exception as error:  # noqa: BLE001  # counted and shown
        load.failures.append(f"{question}: {type(error).__name__} {error}")


async def at_once(url: str, n: int, ask: Callable[[], str], rounds: int) -> tuple[Load, float]:
    """Let n raters connect, then ask all at once; return what they found and the seconds that it took."""
    load = Load()
    raters = [Rater(url) for _ in range(n)]
    for rater in raters:
        await rater.__aenter__()
    await asyncio.sleep(1.0)

    async def one(rater: Rater) -> None:
        for _ in range(rounds):
            await use(rater, ask(), load)

    began = time.perf_counter()
    await asyncio.gather(*(one(rater) for rater in raters))
    seconds = time.perf_counter() - began
    for rater in raters:
        await rater.__aexit__(None, None, None)
    return load, seconds


def stored_once(chat: ChatProcess, load: Load) -> tuple[int, int]:
    """Return how many acknowledged ratings are not stored, and how many are stored twice."""
    ratings = open_store(chat.home / "lancedb").feedback.ratings()
    found = Counter(each.target_id for each in ratings if each.kind == "answer")
    lost = sum(found[answer] == 0 for answer in load.acknowledged)
    return lost, sum(found[answer] > 1 for answer in load.acknowledged)


def row(chat: ChatProcess, n: int, ask: Callable[[], str]) -> str:
    """Measure n raters and return a row of the table."""
    before = chat.rss_mb
    chat.forget_blocked()
    cpu, own = chat.cpu_s, time.process_time()
    load, seconds = asyncio.run(at_once(chat.url, n, ask, ROUNDS))
    cpu, own = chat.cpu_s - cpu, time.process_time() - own
    blocked = chat.blocked()
    peak = chat.rss_mb
    time.sleep(REST_SECONDS)
    lost, doubled = stored_once(chat, load)
    total = [each.total_s for each in load.asked]
    for failure in load.failures[:5]:
        print(f"failed: {failure}", file=sys.stderr)
    for longest, computed, name, stack in blocked["long"][:8]:
        print(f"blocked: {longest:.3f} s, of which it computed {computed:.3f}: {name}: {stack}", file=sys.stderr)
    cells = [
        f"{n}",
        f"{len(total) / seconds:.2f}",
        f"{cpu / max(1, len(total)):.3f}, {own / max(1, len(total)):.3f}",
        f"{percentile(total, 0.5):.1f}, {percentile(total, 0.95):.1f}",
        f"{percentile(load.votes_s, 0.5):.2f}, {percentile(load.votes_s, 0.95):.2f}",
        f"{len(load.failures)}, {lost}, {doubled}",
        f"{blocked['longest'] * 1000:.0f}",
        f"{sum(each.received for each in load.asked) / 1000 / max(1, len(total)):.0f}",
        f"{before:.0f}, {peak:.0f}, {chat.rss_mb:.0f}",
        f"{os.getloadavg()[0]:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print a row for each number of raters."""
    numbers = [int(word) for word in sys.argv[1:]] or [20]
    asked = itertools.cycle(questions())
    with tempfile.TemporaryDirectory() as folder, running_chat(Path(folder)) as chat:
        warm, _ = asyncio.run(at_once(chat.url, 1, lambda: next(asked), WARM_UP))
        print(f"alone: p50 {percentile([each.total_s for each in warm.asked], 0.5):.2f} s")
        print(
            "| at once | duels/s | processor s/duel, the raters' | both answers p50, p95 s | vote p50, p95 s "
            "| failed, lost, doubled | loop blocked ms | kB/duel | RSS before, at the end, after MB | load |\n"
            + "|---" * 10
            + "|"
        )
        for n in numbers:
            print(row(chat, n, lambda: next(asked)), flush=True)


if __name__ == "__main__":
    main()
