"""Fakes computed by hand, and a real HTTP server that speaks as much of OpenAI's protocol as a test needs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from rag.records import Answer, Arm, Chunk, Hit, content_id

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def make_chunk(text: str, source: str = "a.md", heading: str = "", page: int | None = None) -> Chunk:
    return Chunk(content_id(source, text, "0"), content_id(source), source, source, heading, page, text, 0, len(text))


def make_hits(*texts: str) -> tuple[Hit, ...]:
    """Return hits in this order with scores 0.9, 0.8, ..."""
    return tuple(Hit(make_chunk(text), rank, 1 - rank / 10) for rank, text in enumerate(texts, start=1))


def make_answer(
    hits: Sequence[Hit] = (),
    *,
    cited: tuple[int, ...] = (),
    query: str = "why?",
    arm: Arm = "base",
    id: str = "answer-1",
) -> Answer:
    """Return an answer that repeats each passage it cites, and so is supported by it."""
    passages = {hit.rank: hit.chunk.text for hit in hits}
    text = " ".join(f"{passages[n].capitalize()} [{n}]." for n in cited)
    side = "A" if arm == "base" else "B"
    return Answer(
        id, "duel", arm, side, "builtin", "extractive", query, tuple(hits), text, cited, False, 0.1, 0.2, NOON
    )


Reply = Callable[[BaseHTTPRequestHandler, dict[str, object]], None]


@contextmanager
def endpoint(*replies: Reply) -> Iterator[tuple[str, list[dict[str, object]]]]:
    """Serve an OpenAI-compatible endpoint on a free port; the last reply serves all further requests, too.

    Yields its base URL and the bodies of the requests it got.
    """
    requests: list[dict[str, object]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            requests.append(body)
            replies[min(len(requests), len(replies)) - 1](self, body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def stream(*tokens: str, finish: str | None = "stop", done: bool = True) -> Reply:
    """Return a reply that streams these tokens; without `finish` the stream ends as a cut connection does."""

    def reply(handler: BaseHTTPRequestHandler, body: dict[str, object]) -> None:
        start_stream(handler)
        for token in tokens:
            send_chunk(handler, {"delta": {"role": "assistant", "content": token}, "finish_reason": None})
        if finish:
            send_chunk(handler, {"delta": {}, "finish_reason": finish})
        if done:
            handler.wfile.write(b"data: [DONE]\n\n")

    return reply


class Endless:
    """A reply that streams the same token until its reader hangs up, whatever max_tokens says."""

    def __init__(self, token: str) -> None:
        self.token, self.sent = token, 0
        self.hung_up = threading.Event()

    def __call__(self, handler: BaseHTTPRequestHandler, body: dict[str, object]) -> None:
        start_stream(handler)
        try:
            while True:
                send_chunk(handler, {"delta": {"content": self.token}, "finish_reason": None})
                self.sent += 1
        except OSError:
            self.hung_up.set()


class Slow:
    """A reply that streams a new word every 50 ms until its reader hangs up."""

    def __init__(self) -> None:
        self.hung_up = threading.Event()

    def __call__(self, handler: BaseHTTPRequestHandler, body: dict[str, object]) -> None:
        start_stream(handler)
        try:
            for n in range(2_000):
                send_chunk(handler, {"delta": {"content": f"{content_id(str(n))} "}, "finish_reason": None})
                time.sleep(0.05)
        except OSError:
            self.hung_up.set()


def refuse(status: int, message: str = "sk-secret-in-message") -> Reply:
    """Return a reply that is an HTTP error."""

    def reply(handler: BaseHTTPRequestHandler, body: dict[str, object]) -> None:
        data = json.dumps({"error": {"message": message, "type": "x", "code": "y"}}).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return reply


def start_stream(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.end_headers()


def send_chunk(handler: BaseHTTPRequestHandler, choice: dict[str, object]) -> None:
    chunk = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "fake",
        "choices": [{"index": 0, **choice}],
    }
    handler.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    handler.wfile.flush()


def embeddings(vector_of: Callable[[str], list[float]]) -> Reply:
    """Return a reply to /embeddings with one vector for each input text."""

    def reply(handler: BaseHTTPRequestHandler, body: dict[str, object]) -> None:
        texts = body["input"]
        assert isinstance(texts, list)
        rows = [{"object": "embedding", "index": i, "embedding": vector_of(text)} for i, text in enumerate(texts)]
        data = json.dumps(
            {"object": "list", "data": rows, "model": "fake", "usage": {"prompt_tokens": 1, "total_tokens": 1}}
        )
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.end_headers()
        handler.wfile.write(data.encode())

    return reply


def completion(text: str, finish: str = "stop") -> Reply:
    """Return a reply with the whole text at once, as to a request that does not stream."""

    def reply(handler: BaseHTTPRequestHandler, body: dict[str, object]) -> None:
        send_completion(handler, text, finish)

    return reply


def send_completion(handler: BaseHTTPRequestHandler, text: str, finish: str = "stop") -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    data = json.dumps({"id": "c", "object": "chat.completion", "created": 0, "model": "fake", "choices": [choice]})
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data.encode())
