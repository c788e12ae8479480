"""A query that is asked again is checked before anything is shown or stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from chat.actions.ask import reask, shuffled_sides
from chat.session.context import AppState, RequestContext, SessionState
from chat.session.thread_store import ThreadStore
from rag.answering.service import open_service
from rag.errors import BadQuery
from rag.indexing.indexer import index
from rag.records import ARMS, SIDES
from rag.settings import Settings


@pytest.fixture
def context(settings: Settings) -> Iterator[RequestContext]:
    index(settings)
    service = open_service(settings)
    yield RequestContext(AppState(settings, service, ThreadStore(settings.chat_db)), SessionState(), "ann")
    service.close()


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
