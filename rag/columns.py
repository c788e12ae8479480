"""Answers and ratings by columns: for statistics of a hundred thousand of them, which a record for each makes slow."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rag.records import Answer, Chunk, Rating

T = TypeVar("T", bound=Hashable)
Texts = NDArray[np.object_]
Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Times = NDArray[np.datetime64]  # in UTC and microseconds


@dataclass(frozen=True, slots=True, eq=False)
class AnswerColumns:
    """Answers, an entry each, and their hits, an entry each in the order of the answers.

    `hit_answers` and `hit_chunks` are positions in the answers and in `chunks`, which are distinct and may have no
    text. `hit_cited` says whether the answer rests on the hit.
    """

    ids: Texts
    duels: Texts
    arms: Texts
    sides: Texts
    models: Texts
    queries: Texts
    texts: Texts
    abstained: Flags
    at: Times
    hit_answers: Numbers
    hit_chunks: Numbers
    hit_cited: Flags
    chunks: Sequence[Chunk]

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, answers: Sequence[Answer]) -> AnswerColumns:
        """Return the columns of answers."""
        hits = [
            (nth, hit.chunk, hit.rank in answer.rests_on) for nth, answer in enumerate(answers) for hit in answer.hits
        ]
        chunks = {_key(chunk): chunk for _, chunk, _ in hits}
        places = {key: place for place, key in enumerate(chunks)}
        names = ("id", "duel", "arm", "side", "model", "query", "text")
        columns: list[Any] = [texts([getattr(answer, name) for answer in answers]) for name in names]
        columns += [np.array([answer.abstained for answer in answers], bool), times([answer.at for answer in answers])]
        columns += [
            np.array([nth for nth, _, _ in hits], np.int64),
            np.array([places[_key(chunk)] for _, chunk, _ in hits], np.int64),
            np.array([cited for _, _, cited in hits], bool),
        ]
        columns.append(list(chunks.values()))
        return cls(*columns)

    def without(self, ids: Collection[str]) -> AnswerColumns:
        """Return the answers whose ids are not among these."""
        kept = np.array([each not in ids for each in self.ids.tolist()], bool)
        if kept.all():
            return self
        hits = kept[self.hit_answers]
        columns: list[Any] = [getattr(self, name)[kept] for name in OF_ANSWERS]
        answers = (np.cumsum(kept) - 1)[self.hit_answers[hits]]
        columns += [answers, self.hit_chunks[hits], self.hit_cited[hits], self.chunks]
        return AnswerColumns(*columns)

    def followed_by(self, more: AnswerColumns) -> AnswerColumns:
        """Return these answers and then `more`."""
        if not len(more):
            return self
        columns: list[Any] = [np.concatenate([getattr(self, name), getattr(more, name)]) for name in OF_ANSWERS]
        places = {_key(chunk): place for place, chunk in enumerate(self.chunks)}
        chunks = list(self.chunks)
        for chunk in more.chunks:
            if places.setdefault(_key(chunk), len(chunks)) == len(chunks):
                chunks.append(chunk)
        theirs = np.array([places[_key(chunk)] for chunk in more.chunks], np.int64)[more.hit_chunks]
        columns += [
            np.concatenate([self.hit_answers, more.hit_answers + len(self)]),
            np.concatenate([self.hit_chunks, theirs]),
            np.concatenate([self.hit_cited, more.hit_cited]),
            chunks,
        ]
        return AnswerColumns(*columns)


OF_ANSWERS = ("ids", "duels", "arms", "sides", "models", "queries", "texts", "abstained", "at")


@dataclass(frozen=True, slots=True, eq=False)
class RatingColumns:
    """Ratings, an entry each: the fields of `Rating` that statistics need."""

    raters: Texts
    targets: Texts
    kinds: Texts
    values: Numbers
    blind: Flags
    at: Times
    choices: Texts
    firsts: Texts
    queries: Texts
    chunk_ids: Texts
    reasons: Texts

    def __len__(self) -> int:
        return len(self.raters)

    @classmethod
    def of(cls, ratings: Sequence[Rating]) -> RatingColumns:
        """Return the columns of ratings."""
        names = ("rater", "target_id", "kind", "choice", "first", "query", "chunk_id", "reason")
        columns = {name: texts([getattr(rating, name) for rating in ratings]) for name in names}
        return cls(
            raters=columns["rater"],
            targets=columns["target_id"],
            kinds=columns["kind"],
            values=np.array([rating.value for rating in ratings], np.int64),
            blind=np.array([rating.blind for rating in ratings], bool),
            at=times([rating.at for rating in ratings]),
            choices=columns["choice"],
            firsts=columns["first"],
            queries=columns["query"],
            chunk_ids=columns["chunk_id"],
            reasons=columns["reason"],
        )


def _key(chunk: Chunk) -> tuple[str, str, str]:
    return chunk.id, chunk.source, chunk.heading


def texts(values: Sequence[str]) -> Texts:
    """Return a column of texts, which stay Python's own: numpy's would have the length of the longest."""
    column = np.empty(len(values), object)
    column[:] = values
    return column


def times(values: Sequence[datetime]) -> Times:
    """Return a column of times."""
    return np.array([value.astimezone(UTC).replace(tzinfo=None) for value in values], "datetime64[us]")


def codes(column: Sequence[T]) -> tuple[Numbers, list[T]]:
    """Return a number for each entry, equal for equal ones, and the distinct entries in order of appearance."""
    names = list(dict.fromkeys(column))
    places = dict(zip(names, range(len(names)), strict=True))
    return np.fromiter(map(places.__getitem__, column), np.int64, len(column)), names


def distinct(numbers: Numbers) -> Numbers:
    """Return the distinct numbers, sorted; numpy's `unique` hashes them, which takes five times as long."""
    found = np.sort(numbers)
    return found[np.concatenate([[True], found[1:] != found[:-1]])] if len(found) else found
