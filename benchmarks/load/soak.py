"""Use the chat with everything at once for an hour, and print whether memory, handles, threads and disk stay flat.

`python -m benchmarks.load.soak [MINUTES [RATERS]]`: raters come, ask, vote, mark, search passages and leave; files are
uploaded and removed; trainings start and are cancelled; the version that serves is rolled back and promoted again; the
LLM is killed and started again. A row a minute, and each failure when it happens: while the LLM is away an answer fails
in words, everything else must not, but for what is refused while a training runs. BENCH_HOME and BENCH_CODE as in
`benchmarks.load.duels`.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.load.chat_process import ChatProcess, answers, free_port, running_chat
from benchmarks.load.duels import questions
from benchmarks.load.raters import Rater
from rag.ingest.discovery import UPLOADS

MINUTES = 60.0
RATERS = 6  # at a time, by default
ROUNDS = 4  # questions of a rater before leaving
TRAIN_SECONDS, UPLOAD_SECONDS, RESTART_SECONDS, PROMOTE_SECONDS = 300.0, 45.0, 120.0, 200.0  # of an hour; else less
LEAST_SHARE = 0.2  # of these
CANCEL_SECONDS = 120.0  # after the start of a training: most have ended by then
VERSION = "v1"  # of the home, whose promotion is taken back and made again
PACE, TOKENS = 50, 60


class Soak:
    """What happens during a soak, and how often it went wrong."""

    def __init__(self, chat: ChatProcess, port: int) -> None:
        self.chat, self.port = chat, port
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.asked = itertools.cycle(questions())
        self.rolled_back = False
        self.llm = self._start_llm()

    async def run(self, minutes: float, raters: int) -> None:
        """Let everything happen at once, and print a row a minute."""
        ends, share = time.monotonic() + 60 * minutes, min(1.0, max(LEAST_SHARE, minutes / MINUTES))
        jobs = [self._forever(self._visit, 0.0) for _ in range(raters)]
        jobs += [
            self._forever(self._upload, UPLOAD_SECONDS * share),
            self._forever(self._train, TRAIN_SECONDS * share),
            self._forever(self._promote, PROMOTE_SECONDS * share),
            self._forever(self._restart_llm, RESTART_SECONDS * share),
        ]
        tasks = [asyncio.create_task(job) for job in jobs]
        print("| minute | RSS MB | handles | threads | home MB | done | failed |\n" + "|---" * 7 + "|")
        while time.monotonic() < ends:
            await asyncio.sleep(min(60.0, max(0.0, ends - time.monotonic())))
            self._print_row(minutes - (ends - time.monotonic()) / 60)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.llm.terminate()
        for what, times in self.failed.most_common(10):
            print(f"{times} x {what}", file=sys.stderr)

    def _print_row(self, minute: float) -> None:
        process = self.chat.process
        disk = sum(path.stat().st_size for path in self.chat.home.rglob("*") if path.is_file()) / 1e6
        counts = f"{sum(self.done.values())} | {sum(self.failed.values())}"
        flat = f"{self.chat.rss_mb:.0f} | {process.num_fds()} | {process.num_threads()} | {disk:.0f}"
        print(f"| {minute:.0f} | {flat} | {counts} |", flush=True)

    async def _forever(self, act: Any, pause: float) -> None:  # a coroutine function
        while True:
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
            try:
                await act()
                self.done[act.__name__] += 1
            except (TimeoutError, OSError, aiohttp.ClientError) as error:
                self._count_failure(act.__name__, f"{type(error).__name__} {error}")

    def _count_failure(self, what: str, why: str) -> None:
        self.failed[f"{what}: {why}"[:150]] += 1
        print(f"{time.strftime('%H:%M:%S')} {what}: {why}", file=sys.stderr, flush=True)

    async def _visit(self) -> None:
        async with Rater(self.chat.url) as rater:
            await asyncio.sleep(0.5)
            for _ in range(ROUNDS):
                question = next(self.asked)
                asked = await rater.ask(question)
                for side, answer in asked.answers.items():
                    await self._press(rater, "vote", {"answer": answer, "value": random.choice((1, -1))})
                    await self._press(rater, "mark", {"answer": answer, "rank": 1, "value": 1})
                    await self._press(rater, "find", {"answer": answer, "query": f"{question} {side}"})

    async def _upload(self) -> None:
        async with Rater(self.chat.url) as rater:
            await asyncio.sleep(0.5)
            name = f"soak-{uuid.uuid4().hex[:8]}.md"
            form = aiohttp.FormData()
            text = f"# {name}\n\nA page of the soak.".encode()
            form.add_field("file", text, filename=name, content_type="text/markdown")
            address = f"{self.chat.url}/project/file?session_id={rater.session_id}"
            async with rater.http.post(address, data=form) as sent:
                sent.raise_for_status()
                file = await sent.json()
            await rater.send_files([file["id"]])
            await self._press(rater, "documents_remove", {"source": UPLOADS + name})

    async def _train(self) -> None:
        async with Rater(self.chat.url) as rater:
            await asyncio.sleep(0.5)
            await self._press(rater, "train_start", {"order": "fast"})
            await asyncio.sleep(CANCEL_SECONDS)
            await rater.act("train_cancel", {})

    async def _promote(self) -> None:
        async with Rater(self.chat.url) as rater:
            await asyncio.sleep(0.5)
            if self.rolled_back:
                await self._press(rater, "train_promote", {"version": VERSION})
            else:
                await self._press(rater, "train_roll_back", {})
        self.rolled_back = not self.rolled_back

    async def _press(self, rater: Rater, name: str, payload: dict[str, Any]) -> None:
        _, said = await rater.act(name, payload)
        if "error" in said:
            self._count_failure(name, said["error"])
        else:
            self.done[name] += 1

    async def _restart_llm(self) -> None:
        self.llm.kill()
        self.llm.wait()
        await asyncio.sleep(2)
        self.llm = self._start_llm()

    def _start_llm(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "benchmarks.load.paced_llm", str(self.port), str(TOKENS), str(PACE)]
        return subprocess.Popen(command)


def main() -> None:
    """Run the soak."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else MINUTES
    raters = int(sys.argv[2]) if len(sys.argv) > 2 else RATERS
    port = free_port()
    llm = {"THUMBTUNE_LLM": "openai:paced", "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1"}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        chat = stack.enter_context(running_chat(Path(folder), **llm))
        soak = Soak(chat, port)
        while not answers(f"http://127.0.0.1:{port}/health"):
            time.sleep(0.1)
        asyncio.run(soak.run(minutes, raters))


if __name__ == "__main__":
    main()
