"""One query -> both arms at once -> one stream of events, neither arm able to stall, cut or hide the other.

LangChain's RunnableParallel interleaves two streams as well, but an exception in one ends both, and what it leaves
running goes on. So each arm is a task of its own that puts events into one queue, its failure among them.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter

from rag.answering.chain import ArmChain
from rag.answering.llm import explain
from rag.answering.prompt import cited_numbers, is_abstention
from rag.errors import BadModel, BadQuery, NotIndexed
from rag.records import Answer, Arm, Hit, Side

MAX_QUERY_CHARS = 4_000  # a page; an embedding model reads 1,000 to 2,000 of them, and nobody rates what it cut off
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hits:
    """An arm has found these hits."""

    arm: Arm
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class Token:
    """An arm has written this much more."""

    arm: Arm
    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """An arm's answer is complete."""

    arm: Arm
    answer: Answer


@dataclass(frozen=True, slots=True)
class Failed:
    """An arm has broken off: why, in words for the user, and what it had by then."""

    arm: Arm
    message: str
    hits: tuple[Hit, ...]
    text: str


Event = Hits | Token | Done | Failed


def check_query(query: str, max_chars: int = MAX_QUERY_CHARS) -> str:
    """Return the query without blanks around it, or raise BadQuery for an empty or an overlong one."""
    query = query.strip()
    if not query:
        raise BadQuery("The question is empty: type one and send it again.")
    if len(query) > max_chars:
        raise BadQuery(f"The question has {len(query):,} characters, the most is {max_chars:,}: shorten it.")
    return query


async def run_duel(
    query: str, chains: Mapping[Arm, ArmChain], *, sides: Mapping[Arm, Side], duel_id: str, timeout: float
) -> AsyncGenerator[Event, None]:
    """Ask every arm at once and yield what they report, each arm ending in exactly one Done or Failed.

    `timeout` is in seconds for each arm. Closing the generator (contextlib.aclosing) cancels both and leaves no task.
    """
    query = check_query(query)
    queue: asyncio.Queue[Event] = asyncio.Queue()
    arms = [
        asyncio.create_task(_run_arm(arm, sides[arm], chain, query, duel_id, timeout, queue), name=f"arm-{arm}")
        for arm, chain in chains.items()
    ]
    try:
        running = len(arms)
        while running:
            event = await queue.get()
            running -= isinstance(event, Done | Failed)
            yield event
    finally:
        for task in arms:
            task.cancel()
        await asyncio.gather(*arms, return_exceptions=True)


def _told(arm: Arm, error: Exception) -> str:
    """Return what the user reads of an arm's failure. It must not tell which arm it is: the duel may be blind."""
    if isinstance(error, BadModel | NotIndexed):
        log.error("arm %s: %s", arm, error)
        return "this retriever could not search: its embedding model or index failed; the terminal says which and why"
    told = explain(error)
    if told is None:
        log.error("arm %s failed in a way nobody foresaw", arm, exc_info=error)
        told = f"this arm failed with an internal error ({type(error).__name__}): the terminal shows its traceback"
    return told


async def _run_arm(
    arm: Arm, side: Side, chain: ArmChain, query: str, duel_id: str, timeout: float, queue: asyncio.Queue[Event]
) -> None:
    """Stream one arm into the queue. Whatever goes wrong in it becomes a Failed event."""
    started = perf_counter()
    hits: tuple[Hit, ...] = ()
    text, first_token_s = "", 0.0
    try:
        async with asyncio.timeout(timeout):
            async for step in chain.chain.astream(query):
                if "hits" in step:
                    hits = tuple(step["hits"])
                    queue.put_nowait(Hits(arm, hits))
                if token := step.get("answer", ""):
                    first_token_s = first_token_s or perf_counter() - started
                    text += token
                    queue.put_nowait(Token(arm, token))
    except Exception as error:  # noqa: BLE001  # the rim of an arm: nothing that breaks here may reach the other arm
        queue.put_nowait(Failed(arm, _told(arm, error), hits, text))
        return
    cited = cited_numbers(text, len(hits))
    answer = Answer(
        id=secrets.token_hex(8),  # drawn, not derived: it must not tell the browser which arm it belongs to
        duel=duel_id,
        arm=arm,
        side=side,
        model=chain.model,
        answerer=chain.answerer,
        query=query,
        hits=hits,
        text=text,
        cited=cited,
        abstained=is_abstention(text, cited),
        first_token_s=first_token_s,
        total_s=perf_counter() - started,
        at=datetime.now(UTC),
    )
    queue.put_nowait(Done(arm, answer))
