"""Tokens of an LLM that arrive within a moment are one chunk; nothing else of its stream changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx2
import pytest

from rag.answering.token_stream import MergedStream, merged

END = b"\n\n"


def event(content: object = None, finish: str | None = None, **more: object) -> bytes:
    delta = {} if content is None else {"role": "assistant", "content": content}
    chunk = {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}
    return b"data: " + json.dumps(chunk).encode() + END


def contents(events: bytes) -> list[object]:
    """Return the text of each event, or the event where it is none of text."""
    found: list[object] = []
    for each in events.split(END)[:-1]:
        try:
            choice = json.loads(each.removeprefix(b"data:"))["choices"][0]
            found.append(choice["finish_reason"] or choice["delta"]["content"])
        except (ValueError, LookupError):
            found.append(each)
    return found


def test_neighbours_of_text_are_one_and_the_end_stays_an_event_of_its_own() -> None:
    whole = event("Bees ") + event("make ") + event("“wax”.") + event(finish="stop") + b"data: [DONE]" + END
    assert contents(b"".join(merged(whole))) == ["Bees make “wax”.", "stop", b"data: [DONE]"]


@pytest.mark.parametrize(
    "other",
    [
        b": keep-alive",
        b"data: {broken",
        b"data: [1, 2]",
        b'data: {"error": {"message": "overloaded"}}',
        b'data: {"choices": []}',
        b'data: {"choices": 5}',
        b"event: error\ndata: {}",
        event("x", usage={"total_tokens": 3}).removesuffix(END),
        event("x", finish="length").removesuffix(END),
        event(None).replace(b'"delta": {}', b'"delta": {"content": "x", "tool_calls": [1]}').removesuffix(END),
    ],
)
def test_whatever_is_more_than_text_is_passed_on_as_it_is_and_in_its_place(other: bytes) -> None:
    found = list(merged(event("a") + event("b") + other + END + event("c") + event("d")))
    assert [contents(found[0]), found[1], contents(found[2])] == [["ab"], other + END, ["cd"]]


class Body(httpx2.AsyncByteStream):
    """A body in parts, with seconds to wait before some of them; an error ends it."""

    def __init__(self, *parts: bytes | float | Exception) -> None:
        self.parts, self.closed, self.read = parts, False, 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            self.read += 1
            if isinstance(part, Exception):
                raise part
            if isinstance(part, bytes):
                yield part
            else:
                await asyncio.sleep(part)

    async def aclose(self) -> None:
        self.closed = True


async def read(body: Body) -> list[bytes]:
    return [part async for part in MergedStream(body)]


def test_events_cut_anywhere_come_out_whole_and_complete() -> None:
    text = "".join(f"word{n} " for n in range(40))
    whole = b"".join(event(word + " ") for word in text.split()).replace(b"\n", b"\r\n") + b"data: [DONE]" + END
    parts = [whole[start : start + 37] for start in range(0, len(whole), 37)]
    found = contents(b"".join(asyncio.run(read(Body(0.01, *parts)))))
    assert found.pop() == b"data: [DONE]"
    assert "".join(map(str, found)) == text
    assert len(found) < 10


def test_the_first_token_comes_at_once_and_none_is_held_back_while_the_model_is_silent() -> None:
    body = Body(0.01, event("a"), 0.01, event("b"), 0.01, event("c"), 1.0, event("d"))

    async def read_at_each() -> list[tuple[bytes, int]]:
        return [(part, body.read) async for part in MergedStream(body)]

    found = asyncio.run(read_at_each())
    assert found[0][0] == event("a")
    before_the_silence = b"".join(part for part, reads in found if reads <= 7)
    assert "".join(map(str, contents(before_the_silence))) == "abc"


def test_events_without_text_stay_alone_since_their_number_ends_an_endless_answer() -> None:
    assert list(merged(event("") * 3)) == [event("")] * 3


def test_an_event_without_end_is_passed_on_and_no_more_is_read_ahead_than_is_taken() -> None:
    part = b"x" * 65_536
    body = Body(*[part] * 100)

    async def first() -> tuple[int, int]:
        parts = aiter(MergedStream(body))
        return len(await anext(parts)), body.read

    length, read_by_then = asyncio.run(first())
    assert 1_048_576 < length == read_by_then * len(part) < 100 * len(part)


def test_what_came_before_an_error_is_passed_on_and_then_the_error() -> None:
    found = []

    async def collect() -> None:
        async for part in MergedStream(Body(0.01, event("a"), b"data: {half", httpx2.ReadError("cut"))):
            found.append(part)

    with pytest.raises(httpx2.ReadError):
        asyncio.run(collect())
    assert b"".join(found) == event("a") + b"data: {half"


def test_a_reader_that_leaves_ends_the_reading() -> None:
    async def leave() -> tuple[int, int]:
        body = Body(*[event("a"), 0.01] * 200)
        parts = aiter(MergedStream(body))
        await anext(parts)
        await parts.aclose()  # type: ignore[attr-defined]  # it is a generator
        read_by_then = body.read
        await asyncio.sleep(0.3)
        return read_by_then, body.read

    before, after = asyncio.run(leave())
    assert before == after
