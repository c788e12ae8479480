"""Serve an LLM that streams at a given pace: `python -m benchmarks.load.paced_llm PORT TOKENS TOKENS_PER_SECOND`.

It speaks as much of OpenAI's protocol as a streamed chat completion needs. Every answer cites its first passages.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from contextlib import suppress

from aiohttp import web

WORDS = [f"{first}{last}" for first in ("bee", "hive", "wax", "queen", "rain", "tree") for last in "abcdefgh"]


def tokens(n: int) -> list[str]:
    """Return n tokens: random words, as no loop may be found, in sentences of sixteen, each with a citation."""
    words = random.Random(n).choices(WORDS, k=n)
    return [f"{word}{f' [{i // 16 % 3 + 1}].' if i % 16 == 15 else ''} " for i, word in enumerate(words)]


def chunk(content: str, finish: str | None = None) -> bytes:
    """Return a chunk of a streamed completion."""
    choice = {"index": 0, "delta": {"content": content} if content else {}, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "paced", "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def app(n: int, per_second: float) -> web.Application:
    """Return the server; n = 0 streams without end."""

    async def complete(request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        if not asked.get("stream"):
            said = {"index": 0, "message": {"role": "assistant", "content": "bees"}, "finish_reason": "stop"}
            return web.json_response({"id": "c", "object": "chat.completion", "model": "paced", "choices": [said]})
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        began, sent, words = time.perf_counter(), 0, tokens(n or 100_000)
        with suppress(ConnectionError):  # the chat hangs up where it has enough
            while sent < n or not n:
                due = began + sent / per_second
                if (wait := due - time.perf_counter()) > 0:
                    await asyncio.sleep(wait)
                await answer.write(chunk(words[sent % len(words)]))
                sent += 1
            await answer.write(chunk("", "stop") + b"data: [DONE]\n\n")
        return answer

    served = web.Application()
    served.router.add_post("/v1/chat/completions", complete)
    served.router.add_get("/v1/models", lambda request: _models())
    served.router.add_get("/health", lambda request: _ok())
    return served


async def _models() -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": "paced", "object": "model", "owned_by": "nobody"}]})


async def _ok() -> web.Response:
    return web.Response(text="ok")


if __name__ == "__main__":
    web.run_app(app(int(sys.argv[2]), float(sys.argv[3])), host="127.0.0.1", port=int(sys.argv[1]), print=None)
