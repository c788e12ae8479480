"""Two arms run concurrently: neither delays or ends the other, and closing the duel leaves no task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest
from langchain_core.runnables import RunnableGenerator
from langchain_core.tracers.context import collect_runs

from fakes import make_hits
from rag.answering.chain import ArmChain
from rag.answering.duel import Done, Event, Failed, Hits, Token, run_duel
from rag.answering.evidence.refusals import DONT_KNOW
from rag.errors import AnswerFailed, BadModel, NotIndexed
from rag.records import Arm, Hit

HITS = list(make_hits("cats", "dogs"))
SIDES: dict[Arm, Any] = {"base": "B", "tuned": "A"}


def far(texts: list[str], hits: Sequence[Hit]) -> Any:
    """Return the cosines of texts that are near no passage."""
    return np.zeros((len(texts), len(hits)), np.float32)


def arm(*tokens: str, gate: asyncio.Event | None = None, error: Exception | None = None) -> ArmChain:
    """Return an arm that yields hits, waits for its gate, yields its tokens, and then fails if `error` is given."""

    async def run(queries: AsyncIterator[str]) -> AsyncIterator[dict[str, Any]]:
        async for query in queries:
            yield {"query": query, "hits": HITS}
        if gate:
            await gate.wait()
        for token in tokens:
            yield {"answer": token}
        if error:
            raise error

    return ArmChain(RunnableGenerator(run), "model", "answerer", far)


async def duel(base: ArmChain, tuned: ArmChain, timeout: float = 60) -> list[Event]:
    chains = {"base": base, "tuned": tuned}
    return [event async for event in run_duel("why?", chains, sides=SIDES, duel_id="d", timeout=timeout)]


def of(events: list[Event], name: Arm) -> list[Event]:
    return [event for event in events if event.arm == name]


def last(events: list[Event], name: Arm) -> Any:
    return of(events, name)[-1]


async def test_each_arm_gives_hits_then_tokens_then_its_answer() -> None:
    events = await duel(arm("Cats", " [1]"), arm(DONT_KNOW))
    hits, first, second, done = of(events, "base")
    assert (hits, first, second) == (Hits("base", tuple(HITS)), Token("base", "Cats"), Token("base", " [1]"))
    assert isinstance(done, Done)
    answer = done.answer
    assert (answer.text, answer.cited, answer.abstained, answer.side) == ("Cats [1]", (1,), False, "B")
    assert 0 < answer.first_token_s <= answer.total_s
    assert last(events, "tuned").answer.abstained


async def test_a_tracer_learns_arm_version_and_duel_of_each_run() -> None:
    with collect_runs() as traced:
        await duel(arm("Cats [1]"), arm("Dogs [1]"))
    base, tuned = sorted(traced.traced_runs, key=lambda run: run.name)
    assert (base.name, tuned.name) == ("thumbtune-base", "thumbtune-tuned")
    known = {"arm": "base", "side": "B", "duel": "d", "version": "model", "answerer": "answerer"}
    assert known.items() <= base.extra["metadata"].items()


async def test_a_slow_arm_does_not_delay_the_other() -> None:
    gate = asyncio.Event()
    stream = run_duel(
        "why?", {"base": arm("late", gate=gate), "tuned": arm("soon")}, sides=SIDES, duel_id="d", timeout=5
    )
    async with aclosing(stream) as events:
        async for event in events:
            if isinstance(event, Done):
                assert event.arm == "tuned" or gate.is_set()
                gate.set()
    assert gate.is_set()


@pytest.mark.parametrize("written", ["[1]", "[1][2]\n", " ", "[1] ."])
async def test_an_answer_without_a_word_is_a_failure_that_says_so(written: str) -> None:
    failed = last(await duel(arm(written), arm("Cats [1]")), "base")
    assert isinstance(failed, Failed)
    assert failed.message.startswith("the language model wrote no answer")


@pytest.mark.parametrize("error", [AnswerFailed("cut off"), ZeroDivisionError("inner secret")])
async def test_a_failed_arm_keeps_its_hits_and_text_and_the_other_completes(error: Exception) -> None:
    events = await duel(arm("Half", error=error), arm("Whole", " answer"))
    failed = last(events, "base")
    assert isinstance(failed, Failed)
    assert (failed.text, failed.hits) == ("Half", tuple(HITS))
    assert "inner secret" not in failed.message
    assert last(events, "tuned").answer.text == "Whole answer"


@pytest.mark.parametrize("error", [BadModel("openai:secret-model: refused"), NotIndexed("arm base: no index")])
async def test_a_retrieval_failure_does_not_reveal_the_arm(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    message = last(await duel(arm(error=error), arm("fine")), "base").message
    assert "details are in the server log" in message
    assert not any(name in message for name in ("base", "tuned", "secret-model"))
    assert str(error) in caplog.text


async def test_an_arm_that_never_ends_times_out_and_the_other_completes() -> None:
    events = await duel(arm("never", gate=asyncio.Event()), arm("soon"), timeout=0.05)
    assert "no complete answer in time" in last(events, "base").message
    assert isinstance(last(events, "tuned"), Done)


async def test_an_answer_that_goes_on_and_on_is_cut_by_time_and_keeps_its_text() -> None:
    async def drip(queries: AsyncIterator[str]) -> AsyncIterator[dict[str, Any]]:
        async for query in queries:
            yield {"query": query, "hits": HITS}
        for number in count():
            yield {"answer": f"{number} "}
            await asyncio.sleep(0.001)

    endless = ArmChain(RunnableGenerator(drip), "model", "answerer", far)
    failed = last(await duel(endless, arm("soon"), timeout=0.1), "base")
    assert "no complete answer in time" in failed.message
    assert failed.text.startswith("0 1 2")


async def test_both_arms_may_fail() -> None:
    events = await duel(arm(error=AnswerFailed("one")), arm(error=AnswerFailed("two")))
    assert (last(events, "base").message, last(events, "tuned").message) == ("one", "two")


@pytest.mark.parametrize("stop_at", [Hits, Token])
async def test_closing_the_duel_leaves_no_task(stop_at: type) -> None:
    before = asyncio.all_tasks()
    gate = asyncio.Event()
    stream = run_duel("why?", {"base": arm("x", gate=gate), "tuned": arm("y")}, sides=SIDES, duel_id="d", timeout=5)
    async with aclosing(stream) as events:
        async for event in events:
            if isinstance(event, stop_at):
                break
    assert asyncio.all_tasks() == before


async def test_cancelling_the_reader_of_a_duel_leaves_no_task() -> None:
    before = asyncio.all_tasks()
    started = asyncio.Event()

    async def read() -> None:
        chains = {"base": arm("x", gate=asyncio.Event()), "tuned": arm("y", gate=asyncio.Event())}
        async with aclosing(run_duel("why?", chains, sides=SIDES, duel_id="d", timeout=5)) as events:
            async for _ in events:
                started.set()

    reader = asyncio.create_task(read())
    await started.wait()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert asyncio.all_tasks() == before


async def test_answer_ids_do_not_reveal_the_arm() -> None:
    first, second = await duel(arm("a"), arm("b")), await duel(arm("a"), arm("b"))
    ids: Callable[[list[Event]], set[str]] = lambda events: {e.answer.id for e in events if isinstance(e, Done)}  # noqa: E731
    assert len(ids(first) | ids(second)) == 4


async def test_an_answer_is_stored_clean_with_what_it_rests_on() -> None:
    written = arm("<passage-1a2b3c4d>Cats ", "purr【1】.", "<|im_end|>")
    done = last(await duel(written, arm("[1] The passages found do not answer this.")), "base")
    assert (done.answer.text, done.answer.cited) == ("Cats purr[1].", (1,))


async def test_a_refusal_that_cites_is_an_abstention_and_cites_nothing() -> None:
    events = await duel(arm("Cats [1]"), arm("[1] The passages found do not answer this."))
    answer = last(events, "tuned").answer
    assert (answer.abstained, answer.cited, answer.evidence) == (True, (), ())
    assert answer.text == "The passages found do not answer this."


async def test_nothing_is_flagged_where_nothing_can_be_embedded(caplog: pytest.LogCaptureFixture) -> None:
    def fail(texts: list[str], hits: Sequence[Hit]) -> Any:
        raise BadModel("openai:down: no answer")

    answer = last(await duel(replace(arm("Wolves hunt alone tonight [1]."), similar=fail), arm("x")), "base").answer
    assert (answer.cited, answer.evidence) == ((1,), ())
    assert "by its words alone" in caplog.text
