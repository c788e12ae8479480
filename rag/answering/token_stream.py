"""Merge the tokens of an LLM that arrive within a moment into one chunk, before any library looks at them.

Why: from the socket to the card each chunk passes the client's models, LangChain's chunks and callbacks and three steps
of a chain, 2 ms of processor time, and browsers are sent eight snapshots a second anyway. Where a hundred answers are
streamed at once, a moment is half a second.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import httpx2
import openai

MOMENT = 0.1  # seconds, where few answers are streamed
LONGEST = 0.5  # seconds, where many are
STREAMS = 200  # at once that each add a 200th of a second
WAITED = 0.002  # seconds; a part that is there is returned in a twentieth of that
DATA, END = b"data:", b"\n\n"
MOST_UNREAD = 65_536  # bytes that are read ahead of whoever takes them
LONGEST_EVENT = 1_048_576  # bytes without an end, after which they are passed on as they are
PLAIN = {"role", "content", "refusal"}  # keys of a delta that may be merged; the last one is empty then

_open = 0  # streams


def client() -> openai.DefaultAsyncHttpxClient:
    """Return an HTTP client for chat completions whose streams are merged."""
    return openai.DefaultAsyncHttpxClient(event_hooks={"response": [_merge]})


async def _merge(response: httpx2.Response) -> None:
    is_events = response.headers.get("content-type", "").startswith("text/event-stream")
    is_plain = response.headers.get("content-encoding", "identity") == "identity"
    if is_events and is_plain and isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = MergedStream(response.stream)


class MergedStream(httpx2.AsyncByteStream):
    """The body of a streamed chat completion, in which the tokens of each moment are one event."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream
        self._parts: list[bytes] = []
        self._came, self._taken = asyncio.Event(), asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield what came, and wait a moment between two reads, so that more comes by one. Raises as the body does."""
        global _open
        _open += 1
        reading, rest = asyncio.create_task(self._read()), b""
        try:
            while not (reading.done() and not self._parts):
                await self._came.wait()
                self._came.clear()
                whole, mark, rest = (rest + b"".join(self._parts)).replace(b"\r\n", b"\n").rpartition(END)
                self._parts.clear()
                self._taken.set()
                if len(rest) > LONGEST_EVENT:
                    yield whole + mark + rest
                    rest = b""
                elif whole:
                    yield b"".join(merged(whole + mark))
                    await asyncio.wait([reading], timeout=_moment())
            if rest:
                yield rest
            await reading
        finally:
            _open -= 1
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(self) -> None:
        """Read the body; after each part that had to be waited for, let others gather in the socket."""
        loop = asyncio.get_running_loop()
        parts = aiter(self._stream)
        try:
            while True:
                before = loop.time()
                part = await anext(parts, None)
                if part is None:
                    return
                self._parts.append(part)
                self._came.set()
                if sum(map(len, self._parts)) > MOST_UNREAD:
                    self._taken.clear()
                    await self._taken.wait()
                elif loop.time() - before > WAITED:
                    await asyncio.sleep(_moment())
        finally:
            self._came.set()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()


def _moment() -> float:
    return min(LONGEST, max(MOMENT, _open / STREAMS))


def merged(events: bytes) -> Iterator[bytes]:
    """Yield the events of a stream of chat completions, neighbours that hold nothing but text as one; others as is."""
    pending: dict[str, Any] | None = None
    text: list[str] = []
    for event in events.split(END):
        if not event:
            continue
        chunk = _text_chunk(event)
        if chunk is not None and pending is not None:
            text.append(chunk["choices"][0]["delta"]["content"])
            continue
        if pending is not None:
            yield _written(pending, text)
            pending = None
        if chunk is None:
            yield event + END
        else:
            pending, text = chunk, [chunk["choices"][0]["delta"]["content"]]
    if pending is not None:
        yield _written(pending, text)


def _written(chunk: dict[str, Any], text: list[str]) -> bytes:
    chunk["choices"][0]["delta"]["content"] = "".join(text)
    return DATA + b" " + json.dumps(chunk).encode() + END


def _text_chunk(event: bytes) -> dict[str, Any] | None:
    """Return the chunk of an event that adds text to the one answer and says nothing else; None for any other.

    One without text stays alone: an endpoint that sends them for ever is stopped by their number.
    """
    if not event.startswith(DATA) or b"\n" in event:
        return None
    with suppress(ValueError, LookupError, TypeError, AttributeError):  # the client says what is wrong with it
        chunk = json.loads(event[len(DATA) :])
        (choice,) = chunk["choices"]
        delta, content = choice["delta"], choice["delta"]["content"]
        says_more = choice.get("finish_reason") or choice.get("logprobs") or chunk.get("usage") or chunk.get("error")
        is_text = isinstance(content, str) and content != "" and choice.get("index", 0) == 0 and delta.keys() <= PLAIN
        if is_text and not says_more and not delta.get("refusal"):
            return dict(chunk)
    return None
