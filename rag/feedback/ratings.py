"""Store ratings and derive their labels (`training_pairs`).

A thumb up makes positives of the chunks that the answer drew on, and a negative of the best-ranked chunk that was shown
and not used. Why not every shown chunk: positives of all of them made the model worse, of only the used ones
taught little, because the model ranks those first already (docs/concepts/hard-negatives.md). One thumb is shared among
the chunks that an answer drew on, since it does not say which of them earned it. A mark on a source and a taught
passage label their chunk directly. A preference labels what tells the two answers apart (rag.feedback.preferences).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from rag.errors import BadRating
from rag.feedback.credit import credited_ranks, label_of, shares_in_order
from rag.feedback.preferences import preference_labels
from rag.records import (
    CHOICES,
    DECIDING,
    REASONS,
    Answer,
    Choice,
    Chunk,
    Label,
    LabelledPair,
    Rating,
    Reason,
    content_id,
    normalise_query,
)
from rag.store.store import Store
from rag.tracing.scores import send_vote
from rag.tracing.spans import Record, span

VALUES: tuple[Label, ...] = (-1, 0, 1)
NOT_RETRIEVAL: frozenset[Reason] = frozenset({"not in the documents", "made up"})  # the answerer is to blame
MARK_WEIGHT = 2.0  # somebody read that very passage: twice what an answer's thumb says of each chunk it cited
TAUGHT_WEIGHT = 3.0  # somebody searched for it: it is right, and no retriever had shown it
TAUGHT = "taught:"  # prefix of a query's id as target of a rating: no answer has such an id


def rate_answer(
    store: Store,
    *,
    rater: str,
    answer_id: str,
    value: Label,
    blind: bool,
    reason: Reason = "",
    comment: str = "",
    at: datetime | None = None,
) -> Rating:
    """Store a rater's thumb on an answer (+1, -1, or 0 to withdraw) and its labels; return the rating.

    When this returns, the rating is stored. A repeated or changed rating leaves one row. Raises BadRating for an
    unknown answer, value or reason, StoreFailed where nothing could be written.
    """
    if reason not in REASONS:
        raise BadRating(f"{reason!r} is no reason: give one of {', '.join(filter(None, REASONS))}")
    answer = _stored_answer(store, answer_id, value)
    rating = Rating(rater, answer_id, value, blind, at or datetime.now(UTC), reason=reason, comment=comment)
    return _keep(store, rating, derive_labels(rating, answer), [answer])


def mark_source(
    store: Store, *, rater: str, answer_id: str, rank: int, value: Label, blind: bool, at: datetime | None = None
) -> Rating:
    """Store that a rater found the source at this rank (from 1) relevant (+1), not relevant (-1), or 0 to withdraw.

    Raises BadRating for an unknown answer, value or rank, StoreFailed where nothing could be written.
    """
    answer = _stored_answer(store, answer_id, value)
    hit = next((hit for hit in answer.hits if hit.rank == rank), None)
    if hit is None:
        raise BadRating(f"rank {rank} is no source of this answer: it has {len(answer.hits)}")
    rating = Rating(
        rater, answer_id, value, blind, at or datetime.now(UTC), "source", chunk_id=hit.chunk.id, query=answer.query
    )
    return _keep(store, rating, derive_labels(rating, answer), [answer])


def teach(
    store: Store, *, rater: str, query: str, chunk: Chunk, value: Label = 1, at: datetime | None = None
) -> Rating:
    """Store that a rater searched for the passage that answers a query and chose this chunk; 0 withdraws.

    Raises BadRating for an empty query or an unknown value, StoreFailed where nothing could be written.
    """
    if value not in VALUES or not normalise_query(query):
        raise BadRating(f"{value!r} for {query!r} is no label: give a query and 1, or 0 to withdraw")
    target = TAUGHT + content_id(normalise_query(query))
    moment = at or datetime.now(UTC)
    rating = Rating(
        rater, target, value, False, moment, "taught", chunk_id=chunk.id, query=query.strip(), text=chunk.text
    )
    return _keep(store, rating, derive_labels(rating, None), [])


def prefer(
    store: Store, *, rater: str, duel_id: str, choice: Choice, blind: bool, at: datetime | None = None
) -> Rating:
    """Store which arm's answer a rater prefers in a duel, and its labels (`preference_labels`); "" withdraws both.

    Raises BadRating for an unknown choice, StoreFailed where nothing could be written.
    """
    if choice not in CHOICES:
        raise BadRating(f"{choice!r} is no preference: give one of {', '.join(filter(None, CHOICES))}")
    value: Label = 1 if choice else 0
    rating = Rating(rater, duel_id, value, blind, at or datetime.now(UTC), "preference", choice=choice)
    answers = store.feedback.answers_of_duels([duel_id])
    return _keep(store, rating, preference_labels(rating, answers), answers)


def repair(store: Store) -> int:
    """Write the rows of `training_pairs` that ratings imply and that are missing or differ; return how many.

    A crash between the two writes of a rating leaves it without its labels; training starts with this.
    """
    lacking = _lacking(store, store.feedback.labels())
    store.feedback.put_labels(lacking)
    return len(lacking)


def current_labels(store: Store) -> list[LabelledPair]:
    """Return all labels as they are after `repair`, without writing any."""
    stored = store.feedback.labels()
    return list({label.id: label for label in (*stored, *_lacking(store, stored))}.values())


def derive_labels(rating: Rating, answer: Answer | None) -> list[LabelledPair]:
    """Return the labels of a rating: one for each hit of a rated answer, one for a mark or a taught passage.

    The labels of a target always have the same keys, so a changed rating overwrites all previous ones. A rating of an
    answer that is not stored makes none. The labels of a preference need both answers: `preference_labels`.
    """
    if rating.kind == "taught":
        return [_taught(rating)]
    if answer is None or rating.kind == "preference":
        return []
    if rating.kind == "source":
        marked = [hit for hit in answer.hits if hit.chunk.id == rating.chunk_id]
        return [label_of(rating, answer, hit, rating.value, MARK_WEIGHT, cited=True) for hit in marked]
    used = credited_ranks(answer)
    labels, shares = _thumb_labels(rating, answer, used), shares_in_order(used) if rating.value == 1 else {}
    return [
        label_of(
            rating, answer, hit, labels.get(hit.rank, 0), shares.get(hit.rank, 1.0), cited=hit.rank in answer.rests_on
        )
        for hit in answer.hits
    ]


def to_teach(ratings: Iterable[Rating], answers: Mapping[str, Answer]) -> list[str]:
    """Return the queries whose answers were voted down and that have no positive label, latest first.

    They make no pair until a person finds the passage that answers them. A preference finds none: the better one of two
    answers may still be wrong.
    """
    down: dict[str, tuple[datetime, str]] = {}
    solved: set[str] = set()
    for rating in ratings:
        answer = answers.get(rating.target_id)
        query = rating.query or (answer.query if answer else "")
        key = normalise_query(query)
        if any(label.label == 1 for label in derive_labels(rating, answer)):
            solved.add(key)
        elif rating.kind == "answer" and rating.value == -1:
            down[key] = max(down.get(key, (rating.at, query)), (rating.at, query))
    return [
        query for key, (_, query) in sorted(down.items(), key=lambda item: item[1], reverse=True) if key not in solved
    ]


def _lacking(store: Store, stored: Iterable[LabelledPair]) -> list[LabelledPair]:
    """Return the labels that ratings imply and that are not among the stored ones, or differ from them."""
    ratings = store.feedback.ratings()
    answers = {answer.id: answer for answer in store.feedback.answers(rating.target_id for rating in ratings)}
    preferred = [rating for rating in ratings if rating.kind == "preference"]
    duels: dict[str, list[Answer]] = {}
    for answer in store.feedback.answers_of_duels(rating.target_id for rating in preferred):
        duels.setdefault(answer.duel, []).append(answer)
    implied = [label for rating in ratings for label in derive_labels(rating, answers.get(rating.target_id))]
    implied += [label for rating in preferred for label in preference_labels(rating, duels.get(rating.target_id, ()))]
    known = {label.id: _content(label) for label in stored}
    return [label for label in implied if known.get(label.id) != _content(label)]


def _stored_answer(store: Store, answer_id: str, value: Label) -> Answer:
    if value not in VALUES:
        raise BadRating(f"{value!r} is no rating: give 1, -1, or 0 to withdraw")
    answer = store.feedback.answer(answer_id)
    if answer is None:
        raise BadRating(f"answer {answer_id!r} is not stored here: ask the question again, then rate")
    return answer


def _keep(store: Store, rating: Rating, labels: Sequence[LabelledPair], answers: Sequence[Answer]) -> Rating:
    """Write a rating of these answers, the source of truth, then its labels; then say so to who traces.

    A rating changed after the reveal keeps the blind one in `first`; withdrawing it removes that, too.
    """
    with span("rate", kind=rating.kind, value=rating.value, blind=rating.blind) as record:
        _note(record, rating, answers)
        kept = _write(store, rating, labels)
    send_vote(kept, answers)
    return kept


def _note(record: Record, rating: Rating, answers: Sequence[Answer]) -> None:
    """Note on a span what was rated: the answer, or both of a pair by their duel."""
    if answers:
        record.add(duel=answers[0].duel)
    if rating.kind == "preference":
        record.add(choice=rating.choice, **{f"version.{answer.arm}": answer.model for answer in answers})
    elif answers:
        record.add(arm=answers[0].arm, version=answers[0].model)
    record.texts(query=rating.query or (answers[0].query if answers else ""), comment=rating.comment)


def _write(store: Store, rating: Rating, labels: Sequence[LabelledPair]) -> Rating:
    if rating.kind in DECIDING and not rating.blind and (rating.value or rating.choice):
        rating = replace(rating, first=_blind_rating(store.feedback.rating(rating.id)))
    store.feedback.put_rated(rating, labels)
    return rating


def _blind_rating(previous: Rating | None) -> str:
    """Return the choice or value that was given before the reveal, "" where there was none."""
    if previous is None or not previous.blind:
        return previous.first if previous else ""
    return previous.choice or (str(previous.value) if previous.value else "")


def _content(label: LabelledPair) -> tuple[Label, datetime, float]:
    """Return the fields in which a stored label may differ; an earlier release weighed thumbs differently."""
    return label.label, label.at, round(label.weight, 4)  # the table keeps 7 digits


def _thumb_labels(rating: Rating, answer: Answer, used: Sequence[int]) -> dict[int, Label]:
    """Return rank -> label for the hits that a thumb makes positive or negative."""
    if rating.value == -1 and rating.reason in NOT_RETRIEVAL:
        return {}
    labels: dict[int, Label] = dict.fromkeys(used, rating.value)
    unused = [hit.rank for hit in answer.hits if hit.rank not in answer.rests_on]
    if rating.value == 1 and used and unused:
        labels[min(unused)] = -1
    return labels


def _taught(rating: Rating) -> LabelledPair:
    return LabelledPair(
        rater=rating.rater,
        answer_id=rating.target_id,
        query=rating.query,
        chunk_id=rating.chunk_id,
        text=rating.text,
        label=rating.value,
        at=rating.at,
        origin="taught",
        weight=TAUGHT_WEIGHT,
    )
