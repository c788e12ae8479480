"""Ratings of a card: checked, stored, shown, and blind until the first of them unveils it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from chainlit.element import ElementDict

from chat.actions.rate import choose, mark, vote
from chat.actions.resume import restore
from chat.elements.card import Card
from chat.elements.live import LiveCard
from chat.session.context import AppState, RequestContext, SessionState
from chat.session.thread_store import ThreadStore
from fakes import make_answer
from rag.answering.duel import Done
from rag.answering.service import open_service
from rag.errors import BadRating
from rag.indexing.indexer import index
from rag.records import Arm
from rag.settings import Settings


async def discard(element: ElementDict) -> None:
    """Save nothing."""


@pytest.fixture
def visit(settings: Settings) -> Iterator[RequestContext]:
    """Return the visit of ann, who looks at one card: side A is base, side B tuned, both show the same chunks."""
    index(settings)
    serving = open_service(settings)
    visit = RequestContext(AppState(settings, serving, ThreadStore(settings.chat_db)), SessionState(), "ann")
    served = serving.served("base")
    hits = serving.store.chunks.search(served.table, served.embedder.embed_queries(["x"])[0], 2)
    live = LiveCard(discard, "t1", "m1")
    arms: tuple[Arm, Arm] = ("base", "tuned")
    for arm in arms:
        answer = make_answer(hits, cited=(1,), arm=arm, id=f"of {arm}")
        serving.store.feedback.put_answer(answer)
        live.card.take(answer.side, Done(arm, answer))
    visit.room.elements.append(live)
    yield visit
    serving.close()


def card(visit: RequestContext) -> Card:
    return visit.room.cards[0].card


def stored(visit: RequestContext) -> list[tuple[str, str, int, str, bool]]:
    """Return (kind, target, value, choice, blind) of each rating."""
    ratings = visit.house.serving.store.feedback.ratings()
    return sorted((each.kind, each.target_id, each.value, each.choice, each.blind) for each in ratings)


async def test_a_preference_is_stored_by_arm_blind_and_unveils_the_card(visit: RequestContext) -> None:
    await choose(visit, {"answer": "of base", "choice": "B"})
    assert stored(visit) == [("preference", "duel", 1, "tuned", True)]
    assert card(visit).is_unveiled
    assert card(visit).props["preference"] == "B"


async def test_only_what_is_said_before_the_card_is_unveiled_is_blind(visit: RequestContext) -> None:
    await mark(visit, {"answer": "of base", "rank": 1, "value": 1})
    assert not card(visit).is_unveiled
    await vote(visit, {"answer": "of base", "value": 1})
    await vote(visit, {"answer": "of tuned", "value": -1})
    await choose(visit, {"answer": "of tuned", "choice": "A"})
    assert [(kind, target, blind) for kind, target, _, _, blind in stored(visit)] == [
        ("answer", "of base", True),
        ("answer", "of tuned", False),
        ("preference", "duel", False),
        ("source", "of base", True),
    ]


async def test_a_reason_and_a_comment_go_with_a_thumb_down_and_with_no_other(visit: RequestContext) -> None:
    await vote(visit, {"answer": "of base", "value": -1, "reason": "made up", "comment": " no such cat "})
    (rating,) = visit.house.serving.store.feedback.ratings()
    assert (rating.reason, rating.comment) == ("made up", "no such cat")
    await vote(visit, {"answer": "of base", "value": 1, "reason": "made up", "comment": "no such cat"})
    (rating,) = visit.house.serving.store.feedback.ratings()
    assert (rating.value, rating.reason, rating.comment) == (1, "", "")


async def test_a_reason_and_a_comment_that_are_said_one_by_one_are_both_kept(visit: RequestContext) -> None:
    down = {"answer": "of base", "value": -1}
    await vote(visit, down)
    await vote(visit, {**down, "comment": "too slow"})
    await vote(visit, {**down, "reason": "incomplete"})
    (rating,) = visit.house.serving.store.feedback.ratings()
    assert (rating.reason, rating.comment) == ("incomplete", "too slow")
    await vote(visit, {**down, "reason": "", "comment": ""})  # taken back
    (rating,) = visit.house.serving.store.feedback.ratings()
    assert (rating.value, rating.reason, rating.comment) == (-1, "", "")


async def test_what_is_withdrawn_stays_as_nothing_and_nothing_cannot_be_withdrawn(visit: RequestContext) -> None:
    for act, nothing in ((vote, {"value": 0}), (choose, {"choice": ""})):
        with pytest.raises(BadRating, match="no vote to take back"):
            await act(visit, {"answer": "of base", **nothing})
    await choose(visit, {"answer": "of base", "choice": "tie"})
    await choose(visit, {"answer": "of base", "choice": ""})
    assert [(value, choice) for _, _, value, choice, _ in stored(visit)] == [(0, "")]
    assert card(visit).props["preference"] == ""


async def test_a_card_of_one_answer_takes_a_thumb_and_no_preference(visit: RequestContext) -> None:
    live = LiveCard(discard, "t1", "m2")
    alone = make_answer(visit.house.serving.store.feedback.answers()[0].hits, id="alone")
    visit.house.serving.store.feedback.put_answer(alone)
    live.card.take("A", Done("base", alone))
    visit.room.elements.append(live)
    with pytest.raises(BadRating, match="one answer is missing"):
        await choose(visit, {"answer": "alone", "choice": "A"})
    await vote(visit, {"answer": "alone", "value": 1})
    assert live.card.is_unveiled


@pytest.mark.parametrize(
    ("act", "payload", "reason"),
    [
        (vote, {"answer": "of base", "value": 7}, "is no vote"),
        (vote, {"answer": "of base", "value": True}, "is no vote"),
        (vote, {"answer": ["of base"], "value": 1}, "is not in this chat"),
        (vote, {"answer": "of base", "value": -1, "reason": "ugly"}, "is no reason"),
        (vote, {"answer": "of base", "value": -1, "comment": 3}, "a comment has at most"),
        (choose, {"answer": "of base", "choice": "base"}, "is no preference"),
        (choose, {"answer": "of nobody", "choice": "A"}, "is not in this chat"),
        (mark, {"answer": "of base", "rank": 9, "value": 1}, "is no source of this answer"),
        (mark, {"answer": "of base", "rank": "1", "value": 1}, "is no mark"),
        (mark, {}, "is no vote"),
    ],
)
async def test_what_is_no_rating_is_refused_and_nothing_is_stored(
    visit: RequestContext, act: Any, payload: dict[str, Any], reason: str
) -> None:
    with pytest.raises(BadRating, match=reason):
        await act(visit, payload)
    assert stored(visit) == []
    assert not card(visit).is_unveiled


async def test_a_card_read_from_an_old_history_shows_what_is_stored_today(visit: RequestContext) -> None:
    kept = json.loads(json.dumps(card(visit).props))
    await mark(visit, {"answer": "of tuned", "rank": 2, "value": -1})
    await vote(visit, {"answer": "of base", "value": -1, "reason": "incomplete", "comment": "half"})
    await choose(visit, {"answer": "of base", "choice": "B"})
    again = Card(kept)
    restore(visit.house.serving, again, visit.house.serving.store.feedback.ratings("ann"))
    assert again.props == card(visit).props


async def test_another_raters_ratings_are_not_shown(visit: RequestContext) -> None:
    kept = json.loads(json.dumps(card(visit).props))
    await vote(visit, {"answer": "of base", "value": 1})
    again = Card(json.loads(json.dumps(kept)))
    restore(visit.house.serving, again, visit.house.serving.store.feedback.ratings("bob"))
    assert again.props == kept
