"""A full collection of garbage waits until no question is being answered, but not for ever."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from chat.session.garbage import collect_when_idle

KEPT = 200_000  # lists, from which Python would collect everything ten times


@pytest.fixture
def full() -> Iterator[list[int]]:
    """Yield a list that gets an entry with each full collection."""
    found: list[int] = []
    before = gc.get_threshold()

    def heard(phase: str, about: dict[str, Any]) -> None:
        if phase == "stop" and about["generation"] == 2:
            found.append(about["collected"])

    gc.set_threshold(700, 10, 10)
    gc.collect()
    gc.callbacks.append(heard)
    yield found
    gc.callbacks.remove(heard)
    gc.set_threshold(*before)


@asynccontextmanager
async def collecting(busy: list[bool], longest: float) -> AsyncIterator[None]:
    """Collect as the chat does, hundreds of times as often, until the end of the context."""
    task = asyncio.create_task(collect_when_idle(lambda: busy[0], 0.01, longest))
    await asyncio.sleep(0.05)
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def until(done: list[int]) -> None:
    async with asyncio.timeout(60):
        while not done:
            await asyncio.sleep(0.01)


async def test_while_a_question_is_answered_there_is_no_full_collection(full: list[int]) -> None:
    busy = [True]
    async with collecting(busy, longest=600):
        kept = [[nth] for nth in range(KEPT)]
        await asyncio.sleep(0.1)
        assert (len(kept), full) == (KEPT, [])
        busy[0] = False
        await until(full)


async def test_a_chat_that_is_never_idle_collects_now_and_then(full: list[int]) -> None:
    async with collecting([True], longest=0.02):
        kept = [[nth] for nth in range(KEPT)]
        await until(full)
    assert len(kept) == KEPT


async def test_where_little_was_made_nothing_is_collected(full: list[int]) -> None:
    async with collecting([False], longest=0.02):
        await asyncio.sleep(0.1)
    assert full == []
