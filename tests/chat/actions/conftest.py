"""What tests of several actions share: a rater with one card on the screen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chainlit.element import ElementDict

from chat.elements.live import LiveCard
from chat.session.context import AppState, RequestContext, SessionState
from chat.session.thread_store import ThreadStore
from fakes import make_answer
from rag.answering.duel import Done
from rag.answering.service import open_service
from rag.history import history_of
from rag.indexing.indexer import index
from rag.records import Arm
from rag.settings import Settings


async def discard(element: ElementDict) -> None:
    """Save nothing."""


@pytest.fixture
def context(settings: Settings) -> Iterator[RequestContext]:
    """Return the context of rater ann with one card: side A is base, side B tuned, both show the same chunks."""
    index(settings)
    serving = open_service(settings)
    context = RequestContext(AppState(settings, serving, ThreadStore(history_of(settings))), SessionState(), "ann")
    served = serving.served("base")
    hits = serving.store.chunks.search(served.table, served.embedder.embed_queries(["x"])[0], 2)
    live = LiveCard(discard, "t1", "m1")
    arms: tuple[Arm, Arm] = ("base", "tuned")
    for arm in arms:
        answer = make_answer(hits, cited=(1,), arm=arm, id=f"of {arm}")
        serving.store.feedback.put_answer(answer)
        live.card.take(answer.side, Done(arm, answer))
    context.session.elements.append(live)
    yield context
    serving.close()
