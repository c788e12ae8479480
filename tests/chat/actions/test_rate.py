"""Ratings of a card: checked, stored, shown, and blind until the first of them reveals it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from chainlit.element import ElementDict

from chat.actions.rate import choose, mark, vote
from chat.actions.resume import restore
from chat.elements.card import Card
from chat.elements.live import LiveCard
from chat.session.context import RequestContext
from fakes import make_answer
from rag.answering.duel import Done
from rag.errors import BadRating


async def discard(element: ElementDict) -> None:
    """Save nothing."""


def card(context: RequestContext) -> Card:
    return context.session.cards[0].card


def stored(context: RequestContext) -> list[tuple[str, str, int, str, bool]]:
    """Return (kind, target, value, choice, blind) of each rating."""
    ratings = context.app.serving.store.feedback.ratings()
    return sorted((each.kind, each.target_id, each.value, each.choice, each.blind) for each in ratings)


async def test_a_preference_is_stored_by_arm_blind_and_reveals_the_card(context: RequestContext) -> None:
    await choose(context, {"answer": "of base", "choice": "B"})
    assert stored(context) == [("preference", "duel", 1, "tuned", True)]
    assert card(context).is_revealed
    assert card(context).props["preference"] == "B"


async def test_each_rating_says_what_it_taught(context: RequestContext) -> None:
    up = await vote(context, {"answer": "of base", "value": 1})
    assert up == {"taught": "It makes 1 training pair."}
    again = await mark(context, {"answer": "of tuned", "rank": 1, "value": 1})
    assert again == {"taught": "It changes 1 training pair."}  # a mark weighs more
    same = await choose(context, {"answer": "of base", "choice": "A"})
    assert same == {"taught": "Nothing new: both answers say the same. Mark the passages that answer."}
    back = await vote(context, {"answer": "of base", "value": 0})
    assert back == {"taught": "Taken back: it teaches nothing now."}


async def test_a_mark_is_shown_on_the_same_passage_in_both_columns_and_stored_once(context: RequestContext) -> None:
    def marks() -> list[int]:
        return [source["mark"] for side in card(context).props["sides"] for source in side["sources"]]

    await mark(context, {"answer": "of base", "rank": 1, "value": 1})
    assert marks() == [1, 0, 1, 0]
    await mark(context, {"answer": "of tuned", "rank": 1, "value": -1})  # changes it, wherever it was clicked first
    assert marks() == [-1, 0, -1, 0]
    assert stored(context) == [("source", "of base", -1, "", True)]
    await mark(context, {"answer": "of tuned", "rank": 1, "value": 0})
    await mark(context, {"answer": "of tuned", "rank": 1, "value": 1})
    assert [(target, value) for _, target, value, _, _ in stored(context)] == [("of base", 0), ("of tuned", 1)]
    again = Card(json.loads(json.dumps(card(context).props)))
    restore(context.app.serving, again, context.app.serving.store.feedback.ratings("ann"))
    assert again.props == card(context).props
    assert marks() == [1, 0, 1, 0]


async def test_a_preference_changed_after_the_reveal_shows_which_one_the_scores_count(context: RequestContext) -> None:
    shown = []
    for choice in ("B", "A", "B"):
        await choose(context, {"answer": "of base", "choice": choice})
        shown.append((card(context).props["preference"], card(context).props["counted"]))
        again = Card(json.loads(json.dumps(card(context).props)))
        restore(context.app.serving, again, context.app.serving.store.feedback.ratings("ann"))
        assert again.props == card(context).props
    assert shown == [("B", ""), ("A", "B"), ("B", "")]


async def test_only_what_is_said_before_the_card_is_revealed_is_blind(context: RequestContext) -> None:
    await mark(context, {"answer": "of base", "rank": 1, "value": 1})
    assert not card(context).is_revealed
    await vote(context, {"answer": "of base", "value": 1})
    await vote(context, {"answer": "of tuned", "value": -1})
    await choose(context, {"answer": "of tuned", "choice": "A"})
    assert [(kind, target, blind) for kind, target, _, _, blind in stored(context)] == [
        ("answer", "of base", True),
        ("answer", "of tuned", False),
        ("preference", "duel", False),
        ("source", "of base", True),
    ]


async def test_a_reason_and_a_comment_go_with_a_thumb_down_and_with_no_other(context: RequestContext) -> None:
    await vote(context, {"answer": "of base", "value": -1, "reason": "made up", "comment": " no such cat "})
    (rating,) = context.app.serving.store.feedback.ratings()
    assert (rating.reason, rating.comment) == ("made up", "no such cat")
    await vote(context, {"answer": "of base", "value": 1, "reason": "made up", "comment": "no such cat"})
    (rating,) = context.app.serving.store.feedback.ratings()
    assert (rating.value, rating.reason, rating.comment) == (1, "", "")


async def test_a_reason_and_a_comment_that_are_said_one_by_one_are_both_kept(context: RequestContext) -> None:
    down = {"answer": "of base", "value": -1}
    await vote(context, down)
    await vote(context, {**down, "comment": "too slow"})
    await vote(context, {**down, "reason": "incomplete"})
    (rating,) = context.app.serving.store.feedback.ratings()
    assert (rating.reason, rating.comment) == ("incomplete", "too slow")
    await vote(context, {**down, "reason": "", "comment": ""})  # taken back
    (rating,) = context.app.serving.store.feedback.ratings()
    assert (rating.value, rating.reason, rating.comment) == (-1, "", "")


async def test_what_is_withdrawn_stays_as_nothing_and_nothing_cannot_be_withdrawn(context: RequestContext) -> None:
    for act, nothing in ((vote, {"value": 0}), (choose, {"choice": ""})):
        with pytest.raises(BadRating, match="no vote to take back"):
            await act(context, {"answer": "of base", **nothing})
    await choose(context, {"answer": "of base", "choice": "tie"})
    await choose(context, {"answer": "of base", "choice": ""})
    assert [(value, choice) for _, _, value, choice, _ in stored(context)] == [(0, "")]
    assert card(context).props["preference"] == ""


async def test_a_card_of_one_answer_takes_a_thumb_and_no_preference(context: RequestContext) -> None:
    live = LiveCard(discard, "t1", "m2")
    alone = make_answer(context.app.serving.store.feedback.answers()[0].hits, id="alone")
    context.app.serving.store.feedback.put_answer(alone)
    live.card.take("A", Done("base", alone))
    context.session.elements.append(live)
    with pytest.raises(BadRating, match="only one answer is complete"):
        await choose(context, {"answer": "alone", "choice": "A"})
    await vote(context, {"answer": "alone", "value": 1})
    assert live.card.is_revealed


@pytest.mark.parametrize(
    ("act", "payload", "reason"),
    [
        (vote, {"answer": "of base", "value": 7}, "^value is 7, which is not valid"),
        (vote, {"answer": "of base", "value": True}, "^value is True, which is not valid"),
        (vote, {"answer": "of base", "value": 1.0}, "^value is 1.0, which is not valid"),
        (vote, {"answer": "of base", "value": None}, "^value is None, which is not valid"),
        (vote, {"answer": ["of base"], "value": 1}, "^answer is .* not valid"),
        (vote, {"answer": "x" * 1_000_000, "value": 1}, "^answer has 1,000,000 characters, at most 200 are allowed"),
        (vote, {"answer": "of base", "value": -1, "reason": "ugly"}, "^reason is 'ugly', which is not valid"),
        (vote, {"answer": "of base", "value": -1, "reason": None}, "^reason is None, which is not valid"),
        (vote, {"answer": "of base", "value": -1, "comment": 3}, "^comment is 3, which is not valid"),
        (vote, {"answer": "of base", "value": -1, "comment": "x" * 1_001}, "^comment has 1,001 .*: shorten it$"),
        (vote, {"answer": "of base", "value": -1, "comment": "half a cat \ud83d"}, "^comment is .*surrogate"),
        (vote, None, "^the payload is None, which is not valid"),
        (vote, [["of base", 1]], "^the payload is .* not valid"),
        (choose, {"answer": "of base", "choice": "base"}, "^choice is 'base', which is not valid"),
        (choose, {"answer": "of base", "choice": {"A": [[[["A"]]]]}}, "^choice is .* not valid"),
        (choose, {"answer": "of nobody", "choice": "A"}, "is not in this chat"),
        (mark, {"answer": "of base", "rank": 9, "value": 1}, "is no source of this answer"),
        (mark, {"answer": "of base", "rank": "1", "value": 1}, "^rank is '1', which is not valid"),
        (mark, {"answer": "of base", "rank": 10**400, "value": 1}, "^rank is 1000.* not valid"),
        (mark, {}, "^answer is missing"),
    ],
)
async def test_what_is_no_rating_is_refused_in_one_line_and_nothing_is_stored(
    context: RequestContext, act: Any, payload: Any, reason: str
) -> None:
    with pytest.raises(BadRating, match=reason) as refused:
        await act(context, payload)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 250
    assert stored(context) == []
    assert not card(context).is_revealed


async def test_a_card_read_from_an_old_history_shows_what_is_stored_today(context: RequestContext) -> None:
    kept = json.loads(json.dumps(card(context).props))
    await mark(context, {"answer": "of tuned", "rank": 2, "value": -1})
    await vote(context, {"answer": "of base", "value": -1, "reason": "incomplete", "comment": "half"})
    await choose(context, {"answer": "of base", "choice": "B"})
    again = Card(kept)
    restore(context.app.serving, again, context.app.serving.store.feedback.ratings("ann"))
    assert again.props == card(context).props


async def test_another_raters_ratings_are_not_shown(context: RequestContext) -> None:
    kept = json.loads(json.dumps(card(context).props))
    await vote(context, {"answer": "of base", "value": 1})
    again = Card(json.loads(json.dumps(kept)))
    restore(context.app.serving, again, context.app.serving.store.feedback.ratings("bob"))
    assert again.props == kept


async def test_nothing_is_blind_where_one_side_searched_more_documents(context: RequestContext) -> None:
    card(context).is_uneven()
    assert "one side can search more of them" in card(context).props["uneven"]
    await choose(context, {"answer": "of tuned", "choice": "A"})
    await vote(context, {"answer": "of base", "value": 1})
    assert [(kind, blind) for kind, _, _, _, blind in stored(context)] == [("answer", False), ("preference", False)]
