"""A rating -> table `ratings` -> rows of `training_pairs`.

What a thumb credits: the chunks an up-voted answer cited are positives, and the best-ranked chunk that was shown and
not cited is its negative. Crediting every shown chunk was measured to make the model worse, crediting the cited ones
alone to teach little, because the model ranks those first already (docs/concepts/hard-negatives.md).
"""

from __future__ import annotations

from datetime import UTC, datetime

from rag.errors import BadRating
from rag.records import Answer, Hit, Label, LabelledPair, Rating
from rag.store import Store

VALUES: tuple[Label, ...] = (-1, 0, 1)


def rate_answer(
    store: Store, *, rater: str, answer_id: str, value: Label, blind: bool, at: datetime | None = None
) -> Rating:
    """Store what a rater says of an answer (+1, -1, or 0 to withdraw) and what follows from it; return the rating.

    When this returns, the rating is stored. Saying the same twice, or changing one's mind, leaves one row. Raises
    BadRating for an unknown answer or value, StoreFailed where nothing could be written.
    """
    if value not in VALUES:
        raise BadRating(f"{value!r} is no rating: give 1, -1, or 0 to withdraw")
    answer = store.get_answer(answer_id)
    if answer is None:
        raise BadRating(f"answer {answer_id!r} is not stored here: ask the question again, then rate")
    rating = Rating(rater, answer_id, value, blind, at or datetime.now(UTC))
    store.put_ratings([rating])
    store.put_labels(derive_labels(rating, answer))
    return rating


def repair(store: Store) -> int:
    """Derive all rows of `training_pairs` that ratings imply, write those that are missing or differ, return how many.

    A crash between the two writes of `rate_answer` leaves a rating without its pairs; training starts with this.
    """
    ratings = store.ratings()
    answers = {answer.id: answer for answer in store.answers(rating.answer_id for rating in ratings)}
    implied = [
        label
        for rating in ratings
        if rating.answer_id in answers
        for label in derive_labels(rating, answers[rating.answer_id])
    ]
    stored = {label.id: (label.label, label.at) for label in store.labels()}
    lacking = [label for label in implied if stored.get(label.id) != (label.label, label.at)]
    store.put_labels(lacking)
    return len(lacking)


def derive_labels(rating: Rating, answer: Answer) -> list[LabelledPair]:
    """Return one row for each hit of a rated answer, those that the rating says nothing about with label 0.

    The rows of an answer always have the same keys, so a changed rating overwrites all that the former one said.
    """
    cited = set(answer.cited)
    uncited = [hit.rank for hit in answer.hits if hit.rank not in cited]
    negative = min(uncited) if uncited and cited else None

    def label(hit: Hit) -> Label:
        if hit.rank in cited:
            return rating.value
        return -1 if rating.value == 1 and hit.rank == negative else 0

    return [
        LabelledPair(
            rater=rating.rater,
            answer_id=answer.id,
            query=answer.query,
            chunk_id=hit.chunk.id,
            text=hit.chunk.text,
            label=label(hit),
            at=rating.at,
            origin="rating",
            cited=hit.rank in cited,
            rank=hit.rank,
            score=hit.score,
            arm=answer.arm,
            model=answer.model,
            side=answer.side,
            blind=rating.blind,
            reason=rating.reason,
        )
        for hit in answer.hits
    ]
