"""/ratings: a rater's own ratings as a list, each with what it taught and a button that takes it back.

A rating is taken back as a second click on the card does it; the card of an open chat follows, in every tab.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, TypedDict, cast

from chat.actions.payloads import OwnRating, OwnRatings
from chat.actions.rate import taught
from chat.actions.teach import show_taught
from chat.elements.card import SideChoice
from chat.elements.lesson import in_words
from chat.elements.live import LiveCard
from chat.language import Phrase
from chat.session.context import RequestContext
from chat.session.roles import is_admin
from rag.answering.service import QueryService
from rag.errors import BadRating
from rag.feedback.credit import KeywordRanks
from rag.feedback.lesson import lesson_of
from rag.feedback.ratings import mark_source, prefer, rate_answer
from rag.feedback.ratings import teach as store_taught
from rag.records import Answer, Arm, Choice, Chunk, Label, Rating, RatingKind, Side

RATINGS = "Ratings"  # public/elements/Ratings.jsx
PAGE = 20  # ratings sent at a time: what each taught takes some table reads
SHOWN = 160  # characters of a passage
Answers = Mapping[str, Sequence[Answer]]  # id of an answer or a duel -> its answers


class RatingView(TypedDict):
    """A row. `side`: of the answer that was rated or preferred; `passage`: what was marked or taught.

    `first`: the preference of before the reveal, which the scores count, if it was another.
    No model: a mark on a passage may be given before the models are shown.
    """

    id: str
    kind: RatingKind
    query: str
    value: Label
    choice: SideChoice
    first: SideChoice
    side: Side | None
    reason: str
    comment: str
    passage: str
    at: str
    taught: str


async def show(context: RequestContext, text: str) -> None:
    """Open the list in the side panel; it loads its first page itself."""
    await context.open_place("ratings", **{RATINGS: {}})


async def revive(context: RequestContext, kept: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the props of a list that was read from the history: none, as it loads its rows itself."""
    return {}


async def own_ratings(context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return this rater's ratings from number `start` on, the latest first, and how many there are."""
    sent = OwnRatings.read(payload)
    return await asyncio.to_thread(_page, context, sent.start)


async def take_back(context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Take a rating back, as a second click on the card does; the card of an open chat follows. Raises BadRating."""
    rating = await asyncio.to_thread(_own, context, OwnRating.read(payload).rating)
    answers = (await asyncio.to_thread(_answers_of, context.app.serving, [rating])).get(rating.target_id, ())
    live = await _card_with(context, answers)
    async with live.lock if live else nullcontext():
        back = await asyncio.to_thread(_withdraw, context, rating, answers)
        if live:
            _show(live, rating, answers)
            await live.keep()
            await live.show()
    if rating.kind == "taught":
        await show_taught(context, rating.query)
    return await taught(context, back)


def _page(context: RequestContext, start: int) -> dict[str, Any]:
    serving = context.app.serving
    mine = [each for each in serving.store.feedback.ratings(context.rater) if each.value or each.choice]
    mine.sort(key=lambda each: (each.at, each.id), reverse=True)
    shown = mine[start : start + PAGE]
    answers = _answers_of(serving, shown)
    ranks = KeywordRanks(serving.store, serving.served("base").table)
    rows = [
        _view(each, answers.get(each.target_id, ()), in_words(lesson_of(serving.store, each, ranks.of)))
        for each in shown
    ]
    return {"ratings": rows, "total": len(mine), "all": is_admin(context.app.settings, context.rater)}


def _own(context: RequestContext, rating_id: str) -> Rating:
    rating = context.app.serving.store.feedback.rating(rating_id)
    if rating is None or rating.rater != context.rater:
        raise BadRating(Phrase("error.not_yours"))
    if not rating.value and not rating.choice:
        raise BadRating(Phrase("error.back_already"))
    return rating


def _answers_of(serving: QueryService, ratings: Sequence[Rating]) -> dict[str, list[Answer]]:
    """Return the stored answers that ratings are about, by the id of the answer or duel."""
    feedback = serving.store.feedback
    single = [each.target_id for each in ratings if each.kind in ("answer", "source")]
    duels = [each.target_id for each in ratings if each.kind == "preference"]
    found = {answer.id: [answer] for answer in feedback.answers(single)}
    for answer in feedback.answers_of_duels(duels):
        found.setdefault(answer.duel, []).append(answer)
    return found


def _view(rating: Rating, answers: Sequence[Answer], taught: str) -> RatingView:
    sides = {answer.arm: answer.side for answer in answers}
    first = cast(Choice, rating.first if rating.kind == "preference" else "")
    passages = [hit.chunk for answer in answers for hit in answer.hits if hit.chunk.id == rating.chunk_id]
    text = rating.text or (passages[0].shown if passages and rating.kind == "source" else "")
    return {
        "id": rating.id,
        "kind": rating.kind,
        "query": rating.query or next((answer.query for answer in answers), ""),
        "value": rating.value,
        "choice": _on_card(rating.choice, sides),
        "first": _on_card(first, sides) if first != rating.choice else "",
        "side": answers[0].side if rating.kind in ("answer", "source") and answers else None,
        "reason": rating.reason,
        "comment": rating.comment,
        "passage": " ".join(text[:SHOWN].split()) + ("…" if len(text) > SHOWN else ""),
        "at": rating.at.isoformat(),
        "taught": taught,
    }


def _on_card(choice: Choice, sides: Mapping[Arm, Side]) -> SideChoice:
    """Return a preference as its card shows it."""
    return sides.get(choice, "") if choice == "base" or choice == "tuned" else choice


async def _card_with(context: RequestContext, answers: Sequence[Answer]) -> LiveCard | None:
    """Return the card that shows one of these answers in an open chat of this rater, in any tab."""
    ids, mine = {answer.id for answer in answers}, context.session.cards
    open_now = [*mine, *(each for each in context.app.elements.values() if isinstance(each, LiveCard))]
    for live in open_now:
        if ids & set(live.card.answer_ids.values()) and (
            live in mine or await context.app.history.find_author(live.thread_id) == context.rater
        ):
            return live
    return None


def _withdraw(context: RequestContext, rating: Rating, answers: Sequence[Answer]) -> Rating:
    """Store that a rating is taken back, whether or not what it is about is still stored."""
    store, rater = context.app.serving.store, context.rater
    blind = rating.blind
    if rating.kind == "preference":
        return prefer(store, rater=rater, duel_id=rating.target_id, choice="", blind=blind)
    if rating.kind == "taught":
        chunk = Chunk(rating.chunk_id, "", "", "", "", None, rating.text, 0, len(rating.text))
        return store_taught(store, rater=rater, query=rating.query, chunk=chunk, value=0)
    if not answers:
        raise BadRating(Phrase("error.answer_gone"))
    if rating.kind == "answer":
        return rate_answer(store, rater=rater, answer_id=rating.target_id, value=0, blind=blind)
    (rank,) = _ranks(rating, answers[0])
    return mark_source(store, rater=rater, answer_id=rating.target_id, rank=rank, value=0, blind=blind)


def _show(live: LiveCard, rating: Rating, answers: Sequence[Answer]) -> None:
    """Show on a card that a rating was taken back."""
    if rating.kind == "preference":
        live.card.prefer("")
    elif rating.kind == "answer":
        live.card.vote(rating.target_id, 0)
    elif rating.kind == "source":
        for rank in _ranks(rating, answers[0]):
            live.card.mark(rating.target_id, rank, 0)


def _ranks(rating: Rating, answer: Answer) -> list[int]:
    return [hit.rank for hit in answer.hits if hit.chunk.id == rating.chunk_id]
