"""Answers a second through the server with 20 clients at once, beside the duels of one process.

`python -m benchmarks.serve.clients`. The same questions go, in turns, to the chat's own service in this process, both
arms and one, and to `python -m serve` over HTTP, a process of its own on the same home; 20 are always being answered.
Processor seconds are those of the process that answers, so that other work on the machine counts less. BENCH_HOME is a
home that is indexed already, instead of a new one with the documents of the settings.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from pathlib import Path

import httpx
import psutil

from benchmarks.serve.first_token import BOTH, ONE, serving_process
from rag.answering.duel import Done
from rag.answering.service import QueryService, open_service
from rag.indexing.indexer import index
from rag.records import Arm, Side
from rag.settings import ROOT, load_settings

CLIENTS = 20
QUESTIONS = int(os.environ.get("N", "100"))  # of each turn
ROUNDS = int(os.environ.get("ROUNDS", "3"))
Ask = Callable[[str], Awaitable[None]]


async def at_once(ask: Ask, questions: list[str]) -> None:
    """Ask all questions, CLIENTS at a time."""
    left = iter(questions)

    async def client() -> None:
        for question in left:
            await ask(question)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))


async def by_service(serving: QueryService, question: str, sides: Mapping[Arm, Side]) -> None:
    """Have one question answered by these arms. Raises RuntimeError where one fails."""
    query, only = serving.parse_query(question)
    done = 0
    async with aclosing(serving.ask(query, sides=sides, duel_id=os.urandom(8).hex(), only=only)) as events:
        async for event in events:
            done += isinstance(event, Done)
    if done != len(sides):
        raise RuntimeError(f"{done} of {len(sides)} answers to {question!r}")


async def by_http(client: httpx.AsyncClient, question: str) -> None:
    """Have one question answered by the server."""
    body = {"model": "thumbtune-duel", "messages": [{"role": "user", "content": question}], "user": os.urandom(4).hex()}
    (await client.post("/v1/chat/completions", json=body)).raise_for_status()


async def measure(serving: QueryService, url: str, server: psutil.Process, questions: list[str]) -> None:
    """Print a row for each way to answer: answers a second, and processor seconds each."""
    limits = httpx.Limits(max_connections=CLIENTS)
    async with httpx.AsyncClient(base_url=url, timeout=600, limits=limits) as client:
        here = psutil.Process()
        ways: dict[str, tuple[Ask, psutil.Process]] = {
            "duels, one process": (lambda question: by_service(serving, question, BOTH), here),
            "one arm, one process": (lambda question: by_service(serving, question, ONE), here),
            f"{CLIENTS} HTTP clients": (lambda question: by_http(client, question), server),
        }
        for ask, _ in ways.values():  # no cache is cold
            await at_once(ask, questions)
        seconds = dict.fromkeys(ways, 0.0)
        spent = dict.fromkeys(ways, 0.0)
        for _ in range(ROUNDS):
            for way, (ask, process) in ways.items():
                before, began = process.cpu_times(), time.perf_counter()
                await at_once(ask, questions)
                after = process.cpu_times()
                seconds[way] += time.perf_counter() - began
                spent[way] += after.user + after.system - before.user - before.system
    n = ROUNDS * len(questions)
    for way in ways:
        print(f"{way:22} {n / seconds[way]:6.1f} a second, {1000 * spent[way] / n:6.1f} ms of processor time each")


def main() -> None:
    """Index these pages into a new home and measure."""
    with tempfile.TemporaryDirectory() as folder:
        home = os.environ.get("BENCH_HOME", str(Path(folder) / "home"))
        os.environ.update(THUMBTUNE_HOME=home, HF_HUB_OFFLINE="1", THUMBTUNE_LLM="extractive")
        index(load_settings())
        serving = open_service(load_settings())
        lines = (ROOT / "docs" / "questions.jsonl").read_text("utf-8").splitlines()
        asked = [json.loads(line)["question"] for line in lines][:: max(1, len(lines) // QUESTIONS)][:QUESTIONS]
        with serving_process() as url:
            server = next(each for each in psutil.Process().children() if "serve" in each.cmdline())
            asyncio.run(measure(serving, url, server, asked))
        serving.close()


if __name__ == "__main__":
    sys.exit(main())
