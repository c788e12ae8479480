"""Ratings that come from other programs, of answers that they were given here: find the answer, then store the rating.

A program knows an answer by its completion's id. A front end that exports only what was written is matched by the
addresses of the passages that it kept, which hold that id, else by question and text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from rag.errors import BadRating
from rag.feedback.ratings import mark_source, rate_answer
from rag.records import (
    BLIND_TURN,
    COMPLETION,
    OPEN_TURN,
    Answer,
    Arm,
    Label,
    Rating,
    Reason,
    content_id,
    normalise_query,
)
from rag.store.store import Store

ID = re.compile(rf"{COMPLETION}((?:{BLIND_TURN}|{OPEN_TURN})[0-9a-f]{{16}})(?![0-9a-f])")
MOST_COMMENT = 1_000  # characters, as in the chat
WORD = re.compile(r"\w+")
NOBODY = "anonymous"  # the rater where none is named
UP = frozenset(["1", "1.0", "true", "up", "yes", "good", "correct", "positive", "relevant", "thumbs_up", "like"])
DOWN = frozenset(
    ["-1", "-1.0", "0", "0.0", "false", "down", "no", "bad", "incorrect", "negative", "irrelevant", "thumbs_down"]
)


@dataclass(frozen=True, slots=True)
class OutsideRating:
    """What somebody said of an answer elsewhere. `value` None rates only passages; `marks` are rank -> value.

    A reason or comment of None leaves what was stored before. `completion` is "" where only question and text are
    known.
    """

    rater: str
    value: Label | None
    completion: str = ""
    query: str = ""
    text: str = ""
    reason: Reason | None = None
    comment: str | None = None
    marks: Mapping[int, Label] = field(default_factory=dict)
    at: datetime | None = None
    where: str = ""
    arm: Arm | None = None


def read_thumb(value: object) -> Label | None:
    """Return the thumb that a program means by a number or a word, None for anything else."""
    said = str(value).strip().casefold()
    return 1 if said in UP else -1 if said in DOWN else None


def completion_in(text: str) -> str:
    """Return the first completion id of this server that stands in a text, "" if none does."""
    found = ID.search(text)
    return found[0] if found else ""


def answer_of(store: Store, completion: str) -> Answer | None:
    """Return the stored answer of a completion, None where there is none."""
    found = ID.fullmatch(completion)
    return next(iter(store.feedback.answers_of_duels([found[1]])), None) if found else None


class ServedAnswers:
    """The answers that other programs were given, to be found by question and text where no id is known.

    A question may have been searched for in other words than typed, so the last words of a query are enough; a text is
    compared without its citations' marks. Of several the latest counts.
    """

    def __init__(self, answers: Iterable[Answer]) -> None:
        self._by_text: dict[str, list[Answer]] = {}
        for answer in sorted(answers, key=lambda each: each.at):
            if answer.duel.startswith((BLIND_TURN, OPEN_TURN)):
                self._by_text.setdefault(_key(answer.text), []).append(answer)

    def find(self, rating: OutsideRating) -> Answer | None:
        """Return the answer that a rating means, or None."""
        asked = normalise_query(rating.query)
        fitting = [
            answer
            for answer in self._by_text.get(_key(rating.text), [])
            if normalise_query(answer.query).endswith(asked) and rating.arm in (None, answer.arm)
        ]
        return fitting[-1] if fitting and asked else None


def store_outside(store: Store, answer: Answer, rating: OutsideRating) -> list[Rating]:
    """Store a rating from elsewhere, and return what is stored of it now; the same again changes nothing.

    It is blind if the arm was drawn and not told. When this returns, it is on disk. Raises BadRating for a rank that
    the answer does not have, before anything is stored, and StoreFailed.
    """
    ranks = {hit.rank for hit in answer.hits}
    if unknown := sorted(set(rating.marks) - ranks):
        raise BadRating(f"rank {unknown[0]} is no passage of this answer: it has {len(ranks)}")
    blind = answer.duel.startswith(BLIND_TURN)
    stored = [] if rating.value is None else [_thumb(store, answer, rating, rating.value, blind)]
    stored += [_mark(store, answer, rating, rank, value, blind) for rank, value in rating.marks.items()]
    return [each for each in stored if each is not None]


def _thumb(store: Store, answer: Answer, rating: OutsideRating, value: Label, blind: bool) -> Rating | None:
    former = store.feedback.rating(content_id(rating.rater, "answer", answer.id))
    if former is None and not value:
        return None  # nothing to withdraw
    kept = former if former and former.value == value else None
    reason = rating.reason if rating.reason is not None else kept.reason if kept else ""
    comment = rating.comment if rating.comment is not None else kept.comment if kept else ""
    comment = comment.strip()[:MOST_COMMENT]
    if kept and (kept.reason, kept.comment) == (reason, comment):
        return kept
    return rate_answer(
        store,
        rater=rating.rater,
        answer_id=answer.id,
        value=value,
        blind=blind,
        reason=reason if value == -1 else "",
        comment=comment,
        at=rating.at,
    )


def _mark(store: Store, answer: Answer, rating: OutsideRating, rank: int, value: Label, blind: bool) -> Rating | None:
    hit = next(hit for hit in answer.hits if hit.rank == rank)
    former = store.feedback.rating(content_id(rating.rater, "source", answer.id, hit.chunk.id))
    if former is None and not value:
        return None
    if former and former.value == value:
        return former
    return mark_source(
        store, rater=rating.rater, answer_id=answer.id, rank=rank, value=value, blind=blind, at=rating.at
    )


def _key(text: str) -> str:
    """Return what two copies of a text have in common, whatever a front end did to its blanks and marks."""
    return content_id(*WORD.findall(text.casefold()))
