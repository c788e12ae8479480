"""The review queue: answers and passages that need a rating, the most informative first.

Why items stay: an item leaves the queue when it is decided, not when it was shown. A conflict is open only where as
many raters say yes as no, since that is where training drops the chunk; and it comes back to those raters, each time
the other side has rated last.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from rag.evaluation.same_answers import sameness
from rag.feedback.ratings import to_teach
from rag.records import Answer, Rating, content_id, normalise_query

Kind = Literal["teach", "conflict", "confirm", "unrated"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FAILED_SHOWN = 2  # bad answers shown of a question that needs a passage: one duel's
ByRater = Mapping[str, Rating]  # rater -> that rater's rating of one target


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """One task: find a passage for a query (`teach`), or rate an answer or a chunk."""

    kind: Kind
    query: str
    answers: tuple[Answer, ...] = ()
    chunk_id: str = ""

    @property
    def id(self) -> str:
        """Return the id of the target, the same for every rater."""
        return content_id(self.kind, normalise_query(self.query), self.chunk_id, *(each.id for each in self.answers))


def review_queue(
    rater: str, ratings: Sequence[Rating], answers: Sequence[Answer], chunk_ids: Collection[str]
) -> list[ReviewItem]:
    """Return the items that this rater can decide, on indexed chunks, in the order of KINDS, latest first."""
    here = [each for each in answers if any(hit.chunk.id in chunk_ids for hit in each.hits)]
    said = judgements_by_chunk(ratings, {each.id: each for each in answers})
    return [
        *_unanswered(ratings, answers, here),
        *_split_answers(rater, ratings, here),
        *_split_chunks(rater, said, chunk_ids),
        *_unconfirmed(rater, said, chunk_ids),
        *_unrated(ratings, here),
    ]


def judgements_by_chunk(ratings: Iterable[Rating], answers: Mapping[str, Answer]) -> dict[tuple[str, str], ByRater]:
    """Return (query in its first spelling, chunk id) -> each rater's last rating of that chunk for that query."""
    spelt: dict[str, str] = {}
    found: dict[tuple[str, str], dict[str, Rating]] = {}
    for rating in sorted(ratings, key=lambda each: (each.at, each.id)):
        if rating.kind in ("source", "taught") and rating.value:
            asked = rating.query or (answers[rating.target_id].query if rating.target_id in answers else "")
            query = spelt.setdefault(normalise_query(asked), asked)
            found.setdefault((query, rating.chunk_id), {})[rating.rater] = rating
    return {key: said for key, said in found.items() if key[0]}


def _unanswered(ratings: Sequence[Rating], answers: Sequence[Answer], here: Sequence[Answer]) -> list[ReviewItem]:
    """Return the queries whose answers were voted down and that have no positive."""
    down = {rating.target_id for rating in ratings if rating.kind == "answer" and rating.value == -1}
    asked: dict[str, list[Answer]] = {}
    for answer in _latest(here):
        if answer.id in down:
            asked.setdefault(normalise_query(answer.query), []).append(answer)
    wanted = [(query, asked.get(normalise_query(query))) for query in to_teach(ratings, {a.id: a for a in answers})]
    return [ReviewItem("teach", query, tuple(_different(bad)[:FAILED_SHOWN])) for query, bad in wanted if bad]


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


def _split_chunks(rater: str, said: Mapping[tuple[str, str], ByRater], chunk_ids: Collection[str]) -> list[ReviewItem]:
    return [
        ReviewItem("conflict", query, chunk_id=chunk_id)
        for (query, chunk_id), words in list(said.items())[::-1]
        if chunk_id in chunk_ids and _is_open(rater, words)
    ]


def _unconfirmed(rater: str, said: Mapping[tuple[str, str], ByRater], chunk_ids: Collection[str]) -> list[ReviewItem]:
    """Return the passages that one other rater has taught and nobody else has rated."""
    found = []
    for (query, chunk_id), words in list(said.items())[::-1]:
        (first, *others) = words.values()
        if not others and first.kind == "taught" and first.value == 1 and first.rater != rater:
            found.append(ReviewItem("confirm", query, chunk_id=chunk_id))
    return [item for item in found if item.chunk_id in chunk_ids]


def _unrated(ratings: Sequence[Rating], here: Sequence[Answer]) -> list[ReviewItem]:
    """Return the unrated answers; of those to a question that say the same the latest, none if one of them is rated."""
    given = {rating.target_id for rating in ratings if rating.kind in ("answer", "preference") and rating.value}
    known: dict[str, list[Answer]] = {}
    for answer in here:
        if answer.id in given:
            known.setdefault(normalise_query(answer.query), []).append(answer)
    found = []
    for answer in _latest(here):
        others = known.setdefault(normalise_query(answer.query), [])
        if not given & {answer.id, answer.duel} and not any(sameness(answer, other) for other in others):
            others.append(answer)
            found.append(ReviewItem("unrated", answer.query, (answer,)))
    return found


def _different(answers: Iterable[Answer]) -> list[Answer]:
    """Return answers without those that say the same as one before them."""
    found: list[Answer] = []
    for answer in answers:
        if not any(sameness(answer, other) for other in found):
            found.append(answer)
    return found


def _is_open(rater: str, said: ByRater | None) -> bool:
    """Return whether raters are split evenly, and this one has not rated since the other side did."""
    values = [rating.value for rating in (said or {}).values()]
    if not said or not values.count(1) or values.count(1) != values.count(-1):
        return False
    mine = said.get(rater)
    return mine is None or mine.at < max(other.at for other in said.values() if other.value != mine.value)


def _latest(answers: Iterable[Answer]) -> list[Answer]:
    """Return answers, the latest duel first, side A before B: the order of completion would reveal the arm."""
    given = sorted(answers, key=lambda answer: answer.at)
    ended = {answer.duel: answer.at for answer in given}
    by_side = sorted(given, key=lambda answer: answer.side)
    return sorted(by_side, key=lambda answer: (ended[answer.duel], answer.duel), reverse=True)
