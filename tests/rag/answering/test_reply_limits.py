"""Tokens that come close together are joined before they are parsed; nothing else of a stream is changed."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from fakes import endpoint, stream
from rag.answering.llm import build_chat_model
from rag.answering.reply_limits import LONGEST_MESSAGE, join_tokens
from rag.settings import Settings


def event(content: str | None, end: bytes = b"\n\n", finish: str | None = None, **more: object) -> bytes:
    """Return a token as OpenAI's protocol sends it; `more` are other fields of its delta."""
    choice = {"index": 0, "delta": {"content": content, **more}, "finish_reason": finish, "logprobs": None}
    return b"data: " + json.dumps({"id": "c", "choices": [choice]}).encode() + end


@pytest.fixture(autouse=True)
def _a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.answering.reply_limits.ARRIVED", 1_000.0)  # however long a test takes to read


async def joined(parts: Iterable[bytes], fail: OSError | None = None, every: float = 0.0) -> list[bytes]:
    """Return what is passed on of these parts, which come `every` so many seconds."""

    async def came() -> AsyncIterator[bytes]:
        for part in parts:
            await asyncio.sleep(every)
            yield part
        if fail:
            raise fail

    passed: list[bytes] = []
    with suppress(OSError):
        async for part in join_tokens(came(), 0.01):
            passed.append(part)
    return passed


def texts(parts: Iterable[bytes]) -> list[Any]:
    """Return the contents of all messages."""
    events = [part for part in b"".join(parts).replace(b"\r\n", b"\n").split(b"\n\n") if part.startswith(b"data: {")]
    return [json.loads(each[6:])["choices"][0]["delta"].get("content") for each in events]


async def test_the_first_text_is_passed_on_at_once_and_what_follows_together() -> None:
    role = event("", role="assistant")
    passed = await joined([role, event("Cats"), event(" drink"), event(" milk"), event("", finish="stop")])
    assert [texts([part]) for part in passed] == [[""], ["Cats"], [" drink milk", ""]]


async def test_each_token_of_a_slow_stream_is_passed_on_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.answering.reply_limits.ARRIVED", 0.0)
    words = [event(f" {nth}") for nth in range(5)]
    assert await joined(words, every=0.01) == words


@pytest.mark.parametrize(("streams", "least", "most"), [(1, 0.01, 0.3), (80, 0.35, 0.9), (400, 0.45, 1.2)])
async def test_the_more_streams_are_read_the_longer_each_rests(streams: int, least: float, most: float) -> None:
    others: set[object] = set(range(streams - 1))

    async def came() -> AsyncIterator[bytes]:
        for nth in range(3):
            yield event(f" {nth}")

    began = time.monotonic()
    assert len([part async for part in join_tokens(came(), 0.01, others)]) == 2
    assert least < time.monotonic() - began < most
    assert len(others) == streams - 1


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_a_stream_may_be_cut_anywhere_and_its_messages_end_in_any_way(end: bytes, size: int) -> None:
    said = ["Bienen", " äßen", " 🐝", ' "Honig"', "\n\n", "[1]."]
    whole = b"".join(event(each, end) for each in said) + event(None, end, "stop") + b"data: [DONE]" + end
    passed = await joined(whole[at : at + size] for at in range(0, len(whole), size))
    *words, last = texts(passed)
    assert ("".join(words), last) == ("".join(said), None)
    assert len(words) <= 2
    assert b"".join(passed).rstrip().endswith(b"data: [DONE]")


@pytest.mark.parametrize(
    "other",
    [
        event("a", finish="stop"),
        event(None, reasoning_content="hm"),
        event("a", tool_calls=[{"index": 0}]),
        b'data: {"choices": [], "usage": {"total_tokens": 3}}\n\n',
        b'data: {"error": {"message": "overloaded"}}\n\n',
        b'event: error\ndata: {"a": 1}\n\n',
        b": keep-alive\n\n",
        b"data: {broken\n\n",
        b"data: [1]\n\n",
        b"data: [DONE]\n\n",
    ],
)
async def test_what_does_more_than_add_text_is_passed_on_as_it_came_and_in_order(other: bytes) -> None:
    passed = b"".join(await joined([event("a"), event("b"), event("c"), other, event("d"), event("e")]))
    before, after = passed.split(other)
    assert (texts([before]), texts([after])) == (["a", "bc"], ["de"])


async def test_what_waits_is_passed_on_when_the_stream_fails() -> None:
    assert texts(await joined([event("a"), event("b"), event("c")], fail=OSError("reset"))) == ["a", "bc"]


async def test_a_message_without_an_end_is_not_kept() -> None:
    piece = b"x" * (LONGEST_MESSAGE // 4)
    assert len(await joined([piece] * 40)) >= 7


async def test_openais_client_parses_a_tenth_of_a_second_of_tokens_once(settings: Settings) -> None:
    with endpoint(stream(*(f" {nth}" for nth in range(400)))) as (url, _):
        model = build_chat_model(settings.model_copy(update={"openai_base_url": url, "llm": "openai:fake"}))
        chunks = [chunk.text async for chunk in model.astream([HumanMessage("count")])]
    assert "".join(chunks) == "".join(f" {nth}" for nth in range(400))
    assert len(chunks) < 200  # 402 without; a server that takes 0.1 s for two tokens would need as many
