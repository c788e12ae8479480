"""Ratings and answers -> what a person should look at next, the most telling first.

The idea a reader would miss: an item leaves a list when somebody has decided it, not when somebody has seen it. A split
opinion counts as open only where as many say yes as say no, since that is where training drops the chunk; and it comes
back to those who are split, each time the other side has spoken last.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from rag.feedback.ratings import to_teach
from rag.records import Answer, Rating, content_id, normalise_query

Kind = Literal["teach", "conflict", "confirm", "unrated"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FAILED_SHOWN = 2  # bad answers shown of a question that needs a passage: one duel's
Said = Mapping[str, Rating]  # rater -> what that rater says of one thing


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """One thing to do: find a passage for a query (`teach`), or say right or wrong of an answer or of a chunk."""

    kind: Kind
    query: str
    answers: tuple[Answer, ...] = ()
    chunk_id: str = ""

    @property
    def id(self) -> str:
        """Return what names the thing to judge, the same for every rater."""
        return content_id(self.kind, normalise_query(self.query), self.chunk_id, *(each.id for each in self.answers))


def review_queue(
    rater: str, ratings: Sequence[Rating], answers: Sequence[Answer], chunk_ids: Collection[str]
) -> list[ReviewItem]:
    """Return what this rater can decide of the chunks that are in the index, by kind as in KINDS, the latest first."""
    here = [each for each in answers if any(hit.chunk.id in chunk_ids for hit in each.hits)]
    said = judgements_by_chunk(ratings, {each.id: each for each in answers})
    return [
        *_unanswered(ratings, answers, here),
        *_split_answers(rater, ratings, here),
        *_split_chunks(rater, said, chunk_ids),
        *_unconfirmed(rater, said, chunk_ids),
        *_unrated(ratings, here),
    ]


def judgements_by_chunk(ratings: Iterable[Rating], answers: Mapping[str, Answer]) -> dict[tuple[str, str], Said]:
    """Return (query as it was first spelt, chunk id) -> what each rater said last of that chunk for that query."""
    spelt: dict[str, str] = {}
    found: dict[tuple[str, str], dict[str, Rating]] = {}
    for rating in sorted(ratings, key=lambda each: (each.at, each.id)):
        if rating.kind in ("source", "taught") and rating.value:
            asked = rating.query or (answers[rating.target_id].query if rating.target_id in answers else "")
            query = spelt.setdefault(normalise_query(asked), asked)
            found.setdefault((query, rating.chunk_id), {})[rating.rater] = rating
    return {key: said for key, said in found.items() if key[0]}


def _unanswered(ratings: Sequence[Rating], answers: Sequence[Answer], here: Sequence[Answer]) -> list[ReviewItem]:
    """Return the queries whose answers were voted down, and for which nobody knows a right chunk."""
    down = {rating.target_id for rating in ratings if rating.kind == "answer" and rating.value == -1}
    asked: dict[str, list[Answer]] = {}
    for answer in _latest(here):
        if answer.id in down:
            asked.setdefault(normalise_query(answer.query), []).append(answer)
    wanted = [(query, asked.get(normalise_query(query))) for query in to_teach(ratings, {a.id: a for a in answers})]
    return [ReviewItem("teach", query, tuple(bad[:FAILED_SHOWN])) for query, bad in wanted if bad]


def _split_answers(rater: str, ratings: Sequence[Rating], here: Sequence[Answer]) -> list[ReviewItem]:
    votes: dict[str, dict[str, Rating]] = {}
    for rating in ratings:
        if rating.kind == "answer" and rating.value:
            votes.setdefault(rating.target_id, {})[rating.rater] = rating
    return [
        ReviewItem("conflict", answer.query, (answer,))
        for answer in _latest(here)
        if _is_open(rater, votes.get(answer.id))
    ]


def _split_chunks(rater: str, said: Mapping[tuple[str, str], Said], chunk_ids: Collection[str]) -> list[ReviewItem]:
    return [
        ReviewItem("conflict", query, chunk_id=chunk_id)
        for (query, chunk_id), words in list(said.items())[::-1]
        if chunk_id in chunk_ids and _is_open(rater, words)
    ]


def _unconfirmed(rater: str, said: Mapping[tuple[str, str], Said], chunk_ids: Collection[str]) -> list[ReviewItem]:
    """Return the passages that one other rater has taught and of which nobody else has said anything."""
    found = []
    for (query, chunk_id), words in list(said.items())[::-1]:
        (first, *others) = words.values()
        if not others and first.kind == "taught" and first.value == 1 and first.rater != rater:
            found.append(ReviewItem("confirm", query, chunk_id=chunk_id))
    return [item for item in found if item.chunk_id in chunk_ids]


def _unrated(ratings: Sequence[Rating], here: Sequence[Answer]) -> list[ReviewItem]:
    """Return the answers of which nobody has said anything; of two that are the same in one duel the first."""
    given = {rating.target_id for rating in ratings if rating.kind in ("answer", "preference") and rating.value}
    seen = {(answer.duel, answer.text) for answer in here if answer.id in given}
    found = []
    for answer in _latest(here):
        if not given & {answer.id, answer.duel} and (answer.duel, answer.text) not in seen:
            seen.add((answer.duel, answer.text))
            found.append(ReviewItem("unrated", answer.query, (answer,)))
    return found


def _is_open(rater: str, said: Said | None) -> bool:
    """Return whether raters are split evenly, and this one has not spoken since the other side did."""
    values = [rating.value for rating in (said or {}).values()]
    if not said or not values.count(1) or values.count(1) != values.count(-1):
        return False
    mine = said.get(rater)
    return mine is None or mine.at < max(other.at for other in said.values() if other.value != mine.value)


def _latest(answers: Iterable[Answer]) -> list[Answer]:
    """Return answers, the latest duel first, side A before side B whichever was complete first: that would tell."""
    given = sorted(answers, key=lambda answer: answer.at)
    ended = {answer.duel: answer.at for answer in given}
    by_side = sorted(given, key=lambda answer: answer.side)
    return sorted(by_side, key=lambda answer: (ended[answer.duel], answer.duel), reverse=True)
