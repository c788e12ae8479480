"""Measure what many sessions, one after another, leave behind: memory, handles and threads.

`python -m benchmarks.load.sessions [SESSIONS [SECONDS]]`: raters come at even intervals within SECONDS, ask, give a
thumb and leave. The chat forgets a session KEPT seconds after its connection is gone, not after an hour, so that a row
for all and one for none of them can be printed. BENCH_HOME and BENCH_CODE as in `benchmarks.load.duels`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.load.chat_process import ChatProcess, running_chat
from benchmarks.load.duels import WARM_UP, Load, at_once, percentile, questions, stored_once, use
from benchmarks.load.raters import Rater

SESSIONS, SECONDS = 1000, 600.0
KEPT = 90  # longer than the minute after which a chat stops sending to whoever left


def print_row(chat: ChatProcess, what: str, n: int, began: float) -> None:
    """Print what the chat's process holds now."""
    process = chat.process
    flat = f"{chat.rss_mb:.0f} | {process.num_fds()} | {process.num_threads()} | {chat.cpu_s:.0f}"
    print(f"| {what} | {n} | {time.perf_counter() - began:.0f} | {flat} | {os.getloadavg()[0]:.0f} |", flush=True)


async def all_of_them(chat: ChatProcess, n: int, seconds: float, load: Load) -> None:
    """Let `n` raters come within some seconds; print a row after each tenth of them."""
    asked, began = itertools.cycle(questions()), time.perf_counter()

    async def one(question: str) -> None:
        try:
            async with Rater(chat.url) as rater:
                await use(rater, question, load)
        except (TimeoutError, OSError) as error:
            load.failures.append(f"{type(error).__name__} {error}")

    tasks = []
    for nth in range(n):
        await asyncio.sleep(max(0.0, began + nth * seconds / n - time.perf_counter()))
        tasks.append(asyncio.create_task(one(next(asked))))
        if nth % max(1, n // 10) == 0:
            print_row(chat, "begun", nth, began)
    await asyncio.gather(*tasks)
    print_row(chat, "all have left", n, began)


def main() -> None:
    """Print the rows, then what failed."""
    given = [float(word) for word in sys.argv[1:]]
    n, seconds = int((given or [SESSIONS])[0]), (given[1:] or [SECONDS])[0]
    asked, load = itertools.cycle(questions()), Load()
    os.environ["BENCH_SESSION_SECONDS"] = str(KEPT)
    with tempfile.TemporaryDirectory() as folder, running_chat(Path(folder)) as chat:
        asyncio.run(at_once(chat.url, 1, lambda: next(asked), WARM_UP))
        print("| | sessions | s | RSS MB | handles | threads | processor s | load |\n" + "|---" * 8 + "|")
        print_row(chat, "before", 0, time.perf_counter())
        asyncio.run(all_of_them(chat, n, seconds, load))
        time.sleep(KEPT + 10)
        print_row(chat, "all are forgotten", n, time.perf_counter())
        lost, doubled = stored_once(chat, load)
        times = [each.total_s for each in load.asked]
        print(f"answers: {len(times)}, p50 {percentile(times, 0.5):.1f}, p95 {percentile(times, 0.95):.1f} s")
        print(f"failed {len(load.failures)}, ratings lost {lost}, doubled {doubled}")
        print(*load.failures[:5], sep="\n", file=sys.stderr)


if __name__ == "__main__":
    main()
