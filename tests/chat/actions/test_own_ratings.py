"""One's own ratings: listed with what they taught, and taken back as on the card, by their rater alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chat.actions.own_ratings import PAGE, own_ratings, take_back
from chat.actions.rate import choose, mark, vote
from chat.actions.teach import store_passage
from chat.session.context import RequestContext
from fakes import NOON
from rag.errors import BadRating
from rag.feedback.ratings import rate_answer


async def rate_everything(context: RequestContext) -> list[str]:
    """Rate the card in each of the four ways; return the chunk ids of its answers."""
    await mark(context, {"answer": "of base", "rank": 2, "value": -1})
    await choose(context, {"answer": "of base", "choice": "B"})
    await vote(context, {"answer": "of base", "value": -1, "reason": "incomplete", "comment": "half"})
    (answer,) = context.app.serving.store.feedback.answers(["of base"])
    store_passage(context, answer.query, answer.hits[0].chunk.id, 1)
    return [hit.chunk.id for hit in answer.hits]


async def listed(context: RequestContext) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = (await own_ratings(context, {}))["ratings"]
    return rows


async def test_each_rating_is_listed_once_the_latest_first_with_what_it_taught(context: RequestContext) -> None:
    await rate_everything(context)
    rows = await listed(context)
    assert [(row["kind"], row["value"], row["choice"], row["side"]) for row in rows] == [
        ("taught", 1, "", None),
        ("answer", -1, "", "A"),
        ("preference", 1, "B", None),
        ("source", -1, "", "A"),
    ]
    assert {row["query"] for row in rows} == {"why?"}
    assert (rows[1]["reason"], rows[1]["comment"]) == ("incomplete", "half")
    assert all(row["taught"] for row in rows)
    assert [bool(row["passage"]) for row in rows] == [True, False, False, True]
    assert not any("base" in str(row) or "tuned" in str(row) for row in rows)  # no model: a mark may be blind


async def test_a_preference_that_was_changed_is_listed_with_the_one_that_the_scores_count(
    context: RequestContext,
) -> None:
    for choice, first in (("B", ""), ("A", "B"), ("B", "")):
        await choose(context, {"answer": "of base", "choice": choice})
        (row,) = await listed(context)
        assert (row["choice"], row["first"]) == (choice, first)


async def test_what_is_taken_back_is_gone_from_card_list_and_labels(context: RequestContext) -> None:
    await rate_everything(context)
    for row in await listed(context):
        assert await take_back(context, {"rating": row["id"]}) == {"taught": "Taken back: it teaches nothing now."}
    assert await own_ratings(context, {}) == {"ratings": [], "total": 0, "all": True}
    props = context.session.cards[0].card.props
    assert props["preference"] == ""
    assert [side["vote"] for side in props["sides"]] == [0, 0]
    assert {source["mark"] for side in props["sides"] for source in side["sources"]} == {0}
    assert not any(label.label for label in context.app.serving.store.feedback.labels())


async def test_a_rating_of_a_chat_that_is_not_open_is_taken_back_all_the_same(context: RequestContext) -> None:
    await vote(context, {"answer": "of base", "value": 1})
    context.session.elements.clear()
    (row,) = await listed(context)
    await take_back(context, {"rating": row["id"]})
    (rating,) = context.app.serving.store.feedback.ratings()
    assert (rating.value, rating.blind) == (0, True)


async def test_nobody_takes_back_what_is_not_theirs_or_gone(context: RequestContext) -> None:
    await vote(context, {"answer": "of base", "value": 1})
    (row,) = await listed(context)
    other = replace(context, rater="bob")
    assert await own_ratings(other, {}) == {"ratings": [], "total": 0, "all": True}
    for who, rating in ((other, row["id"]), (context, "x"), (context, None)):
        with pytest.raises(BadRating):
            await take_back(who, {"rating": rating})
    await take_back(context, {"rating": row["id"]})
    with pytest.raises(BadRating, match="taken back already"):
        await take_back(context, {"rating": row["id"]})


async def test_a_long_list_comes_in_pages(context: RequestContext) -> None:
    feedback = context.app.serving.store.feedback
    (answer,) = feedback.answers(["of base"])
    for n in range(PAGE + 1):
        feedback.put_answer(replace(answer, id=f"a{n}", query=f"why {n}?"))
        rate_answer(context.app.serving.store, rater="ann", answer_id=f"a{n}", value=1, blind=True, at=NOON)
    first, rest = await own_ratings(context, {}), await own_ratings(context, {"start": PAGE})
    assert (first["total"], len(first["ratings"]), len(rest["ratings"])) == (PAGE + 1, PAGE, 1)
    assert len({row["id"] for row in [*first["ratings"], *rest["ratings"]]}) == PAGE + 1
