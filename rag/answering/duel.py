"""Run both arms concurrently for one query, as one stream of events; neither can delay or end the other.

Why not RunnableParallel: it interleaves two streams as well, but an exception in one ends both, and unfinished work
continues. Here each arm is a task that puts its events, including a failure, into one queue.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from uuid import UUID

import numpy as np
from langchain_core.runnables import RunnableConfig

from rag.answering.chain import ArmChain
from rag.answering.evidence.attribution import Matrix, find_evidence, informative_starts
from rag.answering.evidence.citations import cited_numbers, has_words
from rag.answering.evidence.cleaning import clean_answer, cut_loop
from rag.answering.evidence.refusals import is_abstention, without_citations
from rag.answering.llm import explain
from rag.errors import AnswerCut, AnswerFailed, BadModel, NotIndexed, ThumbtuneError
from rag.records import Answer, Arm, Evidence, Hit, Side
from rag.tracing.spans import span

log = logging.getLogger(__name__)
NO_WORDS = "the language model wrote no answer: ask again, in other words, or choose a larger model"


@dataclass(frozen=True, slots=True)
class Hits:
    """An arm has retrieved its hits."""

    arm: Arm
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class Token:
    """An arm has written one more token."""

    arm: Arm
    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """An arm's answer is complete."""

    arm: Arm
    answer: Answer


@dataclass(frozen=True, slots=True)
class CutAnswer:
    """What it takes to continue an answer that has reached its length: what was asked, found and written so far."""

    arm: Arm
    side: Side
    duel: str
    query: str
    hits: tuple[Hit, ...]
    text: str
    model: str
    answerer: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """An arm has failed: a message for the user, and its hits and text so far; `cut` if it may be continued."""

    arm: Arm
    message: str
    hits: tuple[Hit, ...]
    text: str
    cut: CutAnswer | None = None


Event = Hits | Token | Done | Failed


async def run_duel(
    query: str,
    chains: Mapping[Arm, ArmChain],
    *,
    sides: Mapping[Arm, Side],
    duel_id: str,
    timeout: float,
    cut: CutAnswer | None = None,
) -> AsyncGenerator[Event, None]:
    """Run all arms concurrently and yield their events; each arm ends in exactly one Done or Failed.

    With `cut` the one arm of `chains` continues that answer, and its Done or Failed has the whole of it.
    `timeout` is in seconds per arm. Closing the generator (contextlib.aclosing) cancels both arms and leaves no task.
    """
    queue: asyncio.Queue[Event] = asyncio.Queue()
    began = time.time_ns()
    arms = [
        asyncio.create_task(
            _run_arm(arm, sides[arm], chain, query, duel_id, timeout, queue, new_run(began), cut), name=f"arm-{arm}"
        )
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


def new_run(began: int) -> UUID:
    """Return the id of an arm's run and of its answer: a UUID of version 7 for a time in ns since 1970.

    Both arms of a duel have the same time, and the rest is random: an id must not reveal the arm to the browser, and
    those that libraries make are in the order in which they were made.
    """
    milliseconds, rest = began // 1_000_000, secrets.randbits(74)
    return UUID(int=milliseconds << 80 | 7 << 76 | (rest >> 62) << 64 | 2 << 62 | (rest & (1 << 62) - 1))


def trace_of(arm: Arm, side: Side, duel_id: str, chain: ArmChain, run: UUID) -> RunnableConfig:
    """Return how a tracer of LangChain's names an arm's run, where one is switched on (docs/how-to/trace.md)."""
    known = {"arm": arm, "side": side, "duel": duel_id, "version": chain.model, "answerer": chain.answerer}
    return {"run_name": f"thumbtune-{arm}", "run_id": run, "metadata": known}


def _failure_message(arm: Arm, error: Exception) -> str:
    """Return the message for the user on an arm's failure. It must not reveal the arm: the duel may be blind."""
    if isinstance(error, BadModel | NotIndexed):
        log.error("arm %s: %s", arm, error)
        return "this retriever could not search: its embedding model or index failed; details are in the server log"
    message = explain(error)
    if message is None:
        log.error("arm %s failed with an unexpected error", arm, exc_info=error)
        message = f"this arm failed with an internal error ({type(error).__name__}): details are in the server log"
    return message


async def _run_arm(
    arm: Arm,
    side: Side,
    chain: ArmChain,
    query: str,
    duel_id: str,
    timeout: float,
    queue: asyncio.Queue[Event],
    run: UUID,
    former: CutAnswer | None = None,
) -> None:
    """Stream one arm into the queue; any error becomes a Failed event."""
    known = {"arm": arm, "side": side, "version": chain.model, "duel": duel_id, "answerer": chain.answerer}
    with span("answer", trace_id=run.int, **known) as record:
        record.texts(query=query)
        started = perf_counter() - (former.seconds if former else 0.0)
        hits: tuple[Hit, ...] = ()
        text, first_token_s = former.text if former else "", 0.0
        try:
            async with asyncio.timeout(timeout):
                async for step in chain.chain.astream(query, trace_of(arm, side, duel_id, chain, run)):
                    if "hits" in step:
                        hits = tuple(step["hits"])
                        queue.put_nowait(Hits(arm, hits))
                    if token := step.get("answer", ""):
                        first_token_s = first_token_s or perf_counter() - started
                        text += token
                        queue.put_nowait(Token(arm, token))
            said = await asyncio.to_thread(_understand, text, query, hits, chain)  # a whole answer times out no more
        except Exception as error:  # noqa: BLE001  # no error of one arm may reach the other
            record.failed(error)
            whole, cut = cut_loop(text), None
            if isinstance(error, AnswerCut) and whole == text:
                seconds = perf_counter() - started
                cut = CutAnswer(arm, side, duel_id, query, hits, text, chain.model, chain.answerer, seconds)
            queue.put_nowait(Failed(arm, _failure_message(arm, error), hits, clean_answer(whole, hits), cut))
            return
        answer = Answer(
            id=run.hex,
            duel=duel_id,
            arm=arm,
            side=side,
            model=chain.model,
            answerer=chain.answerer,
            query=query,
            hits=hits,
            text=said.text,
            cited=said.cited,
            abstained=said.abstained,
            evidence=said.evidence,
            first_token_s=first_token_s,
            total_s=perf_counter() - started,
            at=datetime.now(UTC),
        )
        record.add(hits=len(hits), cited=len(said.cited), abstained=said.abstained, first_token_s=first_token_s)
        record.texts(answer=said.text)
        queue.put_nowait(Done(arm, answer))


@dataclass(frozen=True, slots=True)
class _Said:
    """What an arm wrote: its clean text, the ranks it cites, what was found out about its statements."""

    text: str
    cited: tuple[int, ...]
    abstained: bool
    evidence: tuple[Evidence, ...]


def _understand(raw: str, query: str, hits: tuple[Hit, ...], chain: ArmChain) -> _Said:
    """Clean what was written and find what it rests on. An abstention rests on nothing, whatever it cites.

    Raises AnswerFailed where nothing was written, or a citation alone, which small models do.
    """

    def similar(texts: list[str], shown: Sequence[Hit]) -> Matrix:
        try:
            return chain.similar(texts, shown)
        except ThumbtuneError as error:  # the answer is written: it must not fail for want of an embedding
            log.warning("an answer is attributed by its words alone: %s", error)
            return np.ones((len(texts), len(shown)), np.float32)

    text = clean_answer(raw, hits)
    if not has_words(text):
        raise AnswerFailed(NO_WORDS)
    evidence = find_evidence(text, query, hits, similar)
    if is_abstention(text, hits, informative_starts(text, hits, evidence)):
        return _Said(without_citations(text), (), True, ())
    return _Said(text, cited_numbers(text, len(hits)), False, evidence)
