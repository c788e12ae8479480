"""A query that is asked again is checked before anything is shown or stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
from chainlit.element import ElementDict

from chat.actions.ask import reask, shuffled_sides, stream
from chat.actions.rate import answers_of
from chat.elements.live import LiveCard
from chat.session.context import AppState, RequestContext, SessionState
from chat.session.thread_store import ThreadStore
from group_adapters import add_adapter, write_groups
from rag.answering.service import open_service
from rag.errors import BadQuery
from rag.history import history_of
from rag.indexing.indexer import index
from rag.models.registry import START_WEIGHTS
from rag.records import ARMS, SIDES
from rag.settings import Settings


@pytest.fixture
def context(settings: Settings) -> Iterator[RequestContext]:
    index(settings)
    service = open_service(settings)
    yield RequestContext(AppState(settings, service, ThreadStore(history_of(settings))), SessionState(), "ann")
    service.close()


async def discard(element: ElementDict) -> None:
    """Save nothing."""


async def test_a_forged_query_is_not_asked(context: RequestContext) -> None:
    for query in (None, 7, "", "  ", ["What?"], {"query": "What?"}, "x" * 100_000, "What \ud83d?"):
        for payload in ({"query": query}, {}, None):
            with pytest.raises(BadQuery):
                await reask(context, cast(Any, payload))
    assert not context.session.is_busy


def test_each_arm_is_on_each_side_in_about_half_of_the_questions() -> None:
    on_a = [arm for _ in range(1_000) for arm, side in shuffled_sides().items() if side == SIDES[0]]
    assert len(on_a) == 1_000
    assert all(400 < on_a.count(arm) < 600 for arm in ARMS)  # 6 standard deviations


async def test_who_has_signed_in_gets_the_retriever_of_his_group(context: RequestContext, settings: Settings) -> None:
    serving, question = context.app.serving, "what is in the garden"
    chunk = serving.store.chunks.read(serving.served("base").table)[0][0]
    version = add_adapter(settings, "clinic", question, chunk.embedded)
    write_groups(settings, "clinic: ann, github:ann")
    serving.refresh()

    async def tuned(rater: str) -> tuple[str, str]:
        """Return the model of the tuned answer, and its first passage."""
        live, query = LiveCard(discard, "t1", "m1"), serving.parse_query(question)
        await stream(replace(context, rater=rater), live, *query)
        answers = answers_of(serving, live.card).values()
        answer = next(each for each in answers if each.arm == "tuned")
        return answer.model, answer.hits[0].chunk.id

    assert await tuned("ann") == await tuned("github:ann") == (version.name, chunk.id)
    assert (await tuned("ben"))[0] == START_WEIGHTS
