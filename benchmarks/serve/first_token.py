"""Time to the first token through /v1/chat/completions, beside the chat: its service in this process, and its socket.

`python -m benchmarks.serve.first_token`. For each question in turn, in changing order: the service with both arms, as
the chat asks it; the service with one arm; `python -m serve` over HTTP, streamed, and the chat over its websocket, each
a process of its own on the same documents. All questions are asked once before, so that no cache is cold.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, aclosing, contextmanager
from pathlib import Path

import httpx

from benchmarks.load.chat_process import answers, free_port, running_chat
from benchmarks.load.raters import Rater
from benchmarks.load.streams import paced_llm
from rag.answering.duel import Token
from rag.answering.service import QueryService, open_service
from rag.indexing.indexer import index
from rag.records import Arm, Side
from rag.settings import ROOT, load_settings

QUESTIONS = int(os.environ.get("N", "60"))
TOKENS = 60  # of the LLM, 50 a second
BOTH: Mapping[Arm, Side] = {"base": "A", "tuned": "B"}
ONE: Mapping[Arm, Side] = {"tuned": "A"}


async def by_service(serving: QueryService, question: str, sides: Mapping[Arm, Side]) -> float:
    """Return the seconds to the first token of any arm."""
    began = time.perf_counter()
    query, only = serving.parse_query(question)
    async with aclosing(serving.ask(query, sides=sides, duel_id="benchmark", only=only)) as events:
        async for event in events:
            if isinstance(event, Token):
                return time.perf_counter() - began
    raise RuntimeError(f"no token for {question!r}")


def by_http(client: httpx.Client, question: str) -> float:
    """Return the seconds to the first text of a streamed completion, which is read to its end.

    A client that leaves earlier closes its connection, and the next request would have to open one.
    """
    body = {"model": "thumbtune-tuned", "stream": True, "messages": [{"role": "user", "content": question}]}
    began = time.perf_counter()
    with client.stream("POST", "/v1/chat/completions", json=body) as response:
        first = 0.0
        for line in response.iter_lines():
            if not first and line.startswith("data: {") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
                first = time.perf_counter() - began
    if not first:
        raise RuntimeError(f"no token for {question!r}")
    return first


async def by_socket(rater: Rater, question: str) -> float:
    """Return the seconds until one side of the chat's card had a text."""
    asked = await rater.ask(question)
    if not asked.text_s:
        raise RuntimeError(f"no text for {question!r}")
    return asked.text_s


@contextmanager
def chat_process() -> Iterator[str]:
    """Run the chat on a copy of this process's home, with its LLM; yield its address."""
    os.environ["BENCH_HOME"] = os.environ["THUMBTUNE_HOME"]
    llm = {name: os.environ[name] for name in os.environ if name == "THUMBTUNE_LLM" or name.startswith("OPENAI_")}
    with tempfile.TemporaryDirectory() as folder, running_chat(Path(folder), **llm) as chat:
        yield chat.url


@contextmanager
def serving_process() -> Iterator[str]:
    """Run `python -m serve` on the home and settings of this process; yield its address."""
    port = free_port()
    environment = {**os.environ, "THUMBTUNE_PORT": str(port)}
    with subprocess.Popen([sys.executable, "-m", "serve"], env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            while not answers(f"http://127.0.0.1:{port}/ready"):
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def measure(name: str) -> None:
    """Print one row for one way to answer."""
    serving = open_service(load_settings())
    lines = (ROOT / "docs" / "questions.jsonl").read_text("utf-8").splitlines()
    asked = [json.loads(line)["question"] for line in lines][:: max(1, len(lines) // QUESTIONS)][:QUESTIONS]
    with (
        serving_process() as url,
        chat_process() as chat_url,
        httpx.Client(base_url=url, timeout=60) as client,
        asyncio.Runner() as runner,
    ):
        rater = runner.run(Rater(chat_url).__aenter__())
        ways: dict[str, Callable[[str], float]] = {
            "both arms": lambda question: runner.run(by_service(serving, question, BOTH)),
            "one arm": lambda question: runner.run(by_service(serving, question, ONE)),
            "http": lambda question: by_http(client, question),
            "socket": lambda question: runner.run(by_socket(rater, question)),
        }
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for question in asked:
            for way in ("both arms", "http", "socket"):
                ways[way](question)
        for question in asked:
            for way in random.sample(list(ways), len(ways)):
                seconds[way].append(ways[way](question))
        runner.run(rater.__aexit__(None, None, None))
    serving.close()
    middle = {way: statistics.median(each) * 1000 for way, each in seconds.items()}
    said = ", ".join(f"{way} {ms:.0f} ms" for way, ms in middle.items())
    ratios = ", ".join(f"http / {way} {middle['http'] / middle[way]:.2f}" for way in ("both arms", "one arm", "socket"))
    print(f"{name:12} {said}; {ratios}", flush=True)


def main() -> None:
    """Print a row for each way to answer."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "home"
        os.environ.update(THUMBTUNE_HOME=str(home), HF_HUB_OFFLINE="1", THUMBTUNE_LLM="extractive")
        index(load_settings())
        measure("extractive")
        os.environ.update(stack.enter_context(paced_llm(TOKENS)))
        measure("llm")


if __name__ == "__main__":
    main()
