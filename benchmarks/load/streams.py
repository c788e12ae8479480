"""Measure the chat while an LLM streams to many raters: who falls behind, and what a second of an answer costs.

`python -m benchmarks.load.streams 50` lets 50 raters ask once; an LLM of our own writes TOKENS tokens an answer, PACE a
second. `python -m benchmarks.load.streams endless` asks once an LLM that never stops, and prints the bytes that
came to the browser. BENCH_HOME and BENCH_CODE as in `benchmarks.load.duels`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.load.chat_process import answers, free_port, running_chat
from benchmarks.load.duels import at_once, percentile, questions
from benchmarks.load.raters import Rater

TOKENS = int(os.environ.get("TOKENS", "200"))
PACE = float(os.environ.get("PACE", "50"))
LONG = {"THUMBTUNE_LLM_MAX_TOKENS": str(max(1024, TOKENS))}
ENDLESS = {"THUMBTUNE_LLM_MAX_TOKENS": "4000"}  # it ignores that, and is cut at eight characters a token


@contextmanager
def paced_llm(n: int) -> Iterator[dict[str, str]]:
    """Run the LLM in a process of its own; yield the settings of a chat that asks it."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.load.paced_llm", str(port), str(n), str(PACE)]
    with subprocess.Popen(command) as server:
        try:
            while not answers(f"http://127.0.0.1:{port}/health"):
                time.sleep(0.1)
            yield {"THUMBTUNE_LLM": "openai:paced", "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1"}
        finally:
            server.terminate()


async def endless(url: str) -> None:
    """Ask once and print what came."""
    async with Rater(url) as rater:
        await asyncio.sleep(1)
        asked = await rater.ask(questions()[0])
    written = sum(len(side["text"]) for side in asked.card["sides"])
    print(f"{written:,} characters in {asked.total_s:.0f} s: {asked.received:,} bytes in {asked.frames} frames")
    print(*(side["error"] for side in asked.card["sides"]), sep="\n")


def main() -> None:
    """Print a row for each number of raters."""
    is_endless = sys.argv[1:] == ["endless"]
    asked = itertools.cycle(questions())
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        llm = stack.enter_context(paced_llm(0 if is_endless else TOKENS))
        chat = stack.enter_context(running_chat(Path(folder), **llm, **(ENDLESS if is_endless else LONG)))
        if is_endless:
            asyncio.run(endless(chat.url))
            return
        asyncio.run(at_once(chat.url, 1, lambda: next(asked), 2))
        print(
            f"| at once | {TOKENS} tokens at {PACE:.0f}/s end after s: first, p50, last "
            "| processor ms per second of an answer | failed | loop blocked ms | kB/duel |\n" + "|---" * 6 + "|"
        )
        for n in [int(word) for word in sys.argv[1:]] or [50]:
            chat.forget_blocked()
            cpu = chat.cpu_s
            load, _ = asyncio.run(at_once(chat.url, n, lambda: next(asked), 1))
            cpu = chat.cpu_s - cpu
            total = sorted(each.total_s for each in load.asked) or [float("nan")]
            seconds = 2 * len(load.asked) * TOKENS / PACE
            sizes = sum(each.received for each in load.asked) / 1000 / max(1, len(load.asked))
            print(
                f"| {n} | {total[0]:.1f}, {percentile(total, 0.5):.1f}, {total[-1]:.1f} | {1000 * cpu / seconds:.1f} "
                f"| {len(load.failures)} | {chat.blocked()['longest'] * 1000:.0f} | {sizes:.0f} |",
                flush=True,
            )
            for failure in load.failures[:3]:
                print(f"failed: {failure}", file=sys.stderr)


if __name__ == "__main__":
    main()
