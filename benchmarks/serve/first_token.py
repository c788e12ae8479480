"""Time to the first token through /v1/chat/completions, beside the chat's own service.

`python -m benchmarks.serve.first_token`. For each question in turn, in one process and in changing order: the service
with both arms, as the chat asks it; the service with one arm; the server over HTTP, streamed. All questions are asked
once before, so that no cache is cold.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, aclosing
from pathlib import Path

import httpx
import uvicorn

from benchmarks.load.chat_process import free_port
from benchmarks.load.streams import paced_llm
from rag.answering.duel import Token
from rag.answering.service import QueryService, open_service
from rag.indexing.indexer import index
from rag.records import Arm, Side
from rag.settings import ROOT, load_settings
from rag.web.hosts import Hosts
from serve.app import build_app, open_api

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
    """Return the seconds to the first text of a streamed completion."""
    body = {"model": "thumbtune-tuned", "stream": True, "messages": [{"role": "user", "content": question}]}
    began = time.perf_counter()
    with client.stream("POST", "/v1/chat/completions", json=body) as response:
        for line in response.iter_lines():
            if line.startswith("data: {") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
                return time.perf_counter() - began
    raise RuntimeError(f"no token for {question!r}")


def measure(settings_of: Mapping[str, str], name: str, home: Path) -> None:
    """Print one row for one way to answer."""
    os.environ.update(settings_of, THUMBTUNE_HOME=str(home))
    settings = load_settings()
    serving = open_service(settings)
    port = free_port()
    app = build_app(open_api(settings, serving, "s" * 64), Hosts())
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.02)
    lines = (ROOT / "docs" / "questions.jsonl").read_text("utf-8").splitlines()
    asked = [json.loads(line)["question"] for line in lines][:: max(1, len(lines) // QUESTIONS)][:QUESTIONS]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client, asyncio.Runner() as runner:
        ways: dict[str, Callable[[str], float]] = {
            "both arms": lambda question: runner.run(by_service(serving, question, BOTH)),
            "one arm": lambda question: runner.run(by_service(serving, question, ONE)),
            "http": lambda question: by_http(client, question),
        }
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for question in asked:
            runner.run(by_service(serving, question, BOTH))
        for question in asked:
            for way in random.sample(list(ways), len(ways)):
                seconds[way].append(ways[way](question))
    server.should_exit = True
    serving.close()
    middle = {way: statistics.median(each) * 1000 for way, each in seconds.items()}
    ratio = statistics.median(h / b for h, b in zip(seconds["http"], seconds["both arms"], strict=True))
    alone = statistics.median(h / o for h, o in zip(seconds["http"], seconds["one arm"], strict=True))
    print(
        f"{name:12} {', '.join(f'{way} {ms:.0f} ms' for way, ms in middle.items())}; "
        f"http / both arms {ratio:.2f}, http / one arm {alone:.2f}",
        flush=True,
    )


def main() -> None:
    """Print a row for each way to answer."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "home"
        os.environ.update(THUMBTUNE_HOME=str(home), HF_HUB_OFFLINE="1")
        index(load_settings())
        measure({"THUMBTUNE_LLM": "extractive"}, "extractive", home)
        measure(stack.enter_context(paced_llm(TOKENS)), "llm", home)


if __name__ == "__main__":
    main()
