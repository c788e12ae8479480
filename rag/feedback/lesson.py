"""Say what one rating teaches: how it changes the training pairs of its query, or why it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rag.evaluation.same_answers import sameness
from rag.feedback.credit import RankOf
from rag.feedback.pairs import rated_pairs
from rag.feedback.preferences import preference_labels
from rag.feedback.ratings import NOT_RETRIEVAL, derive_labels
from rag.records import ARMS, Answer, Chunk, LabelledPair, Pair, Rating
from rag.store.store import Store

Nothing = Literal[
    "", "withdrawn", "tie", "both bad", "same answer", "same passages", "no passage", "unsupported", "writer",
    "wrong only", "known", "unclear",
]  # fmt: skip
RanksOf = Callable[[Iterable[LabelledPair]], RankOf]  # KeywordRanks.of


@dataclass(frozen=True, slots=True)
class Lesson:
    """How many pairs of its query a rating adds, changes (another weight or negative) and removes; or why none."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    why_none: Nothing = ""


def lesson_of(store: Store, rating: Rating, ranks_of: RanksOf) -> Lesson:
    """Return what a stored rating of an answer, a source or a duel teaches, compared with all other labels."""
    given = _answers_of(store, rating)
    own = preference_labels(rating, given) if rating.kind == "preference" else derive_labels(rating, (*given, None)[0])
    said = [label for label in own if label.label]
    if not said:
        return Lesson(why_none=_why_nothing(rating, given))
    keys = {label.id for label in own}
    others = [label for label in store.feedback.labels(said[0].query) if label.id not in keys]
    rank_of = ranks_of([*others, *own])
    before, after = _pairs(others, rank_of), _pairs([*others, *own], rank_of)
    lesson = Lesson(
        added=len(after.keys() - before.keys()),
        changed=sum(after[i] != before[i] for i in after.keys() & before.keys()),
        removed=len(before.keys() - after.keys()),
    )
    return lesson if lesson != Lesson() else Lesson(why_none=_why_no_pair(said, after, others))


def _answers_of(store: Store, rating: Rating) -> Sequence[Answer]:
    if rating.kind == "preference":
        return store.feedback.answers_of_duels([rating.target_id])
    return store.feedback.answers([rating.target_id])


def _pairs(labels: Sequence[LabelledPair], rank_of: RankOf) -> dict[str, Pair]:
    """Return positive chunk id -> pair, over the chunks that these labels name."""
    texts: dict[str, LabelledPair] = {}
    for label in sorted(labels, key=lambda each: each.origin == "import"):  # its id is a hash of the text
        texts.setdefault(label.text, label)
    chunks = [Chunk(x.chunk_id, "", "", "", "", None, x.text, 0, len(x.text)) for x in texts.values()]
    made = rated_pairs(labels, chunks, lambda one, other: one == other, rank_of)
    return {pair.positive_id: pair for pair in made.pairs}


def _why_nothing(rating: Rating, answers: Sequence[Answer]) -> Nothing:
    """Return why a rating has no label."""
    if not rating.value and not rating.choice:
        return "withdrawn"
    if rating.choice == "tie" or rating.choice == "both bad":
        return rating.choice
    if rating.kind == "preference" and len(answers) == len(ARMS) and sameness(*answers):
        return "same answer"
    if rating.reason in NOT_RETRIEVAL:
        return "writer"
    rested = {frozenset(hit.chunk.id for hit in each.hits if hit.rank in each.rests_on) for each in answers}
    if not any(rested):
        return "no passage"
    return "same passages" if rating.kind == "preference" and len(rested) == 1 else "unsupported"


def _why_no_pair(said: Sequence[LabelledPair], after: dict[str, Pair], others: Sequence[LabelledPair]) -> Nothing:
    """Return why labels changed no pair."""
    good = {label.chunk_id for label in said if label.label == 1}
    if good & after.keys() or any(label.label and label.chunk_id in good for label in others):
        return "known"
    return "unclear" if good else "known" if after else "wrong only"
