"""Labels of a preference: what only the preferred answer rests on, against what only the other one rests on.

Why only what tells them apart: what both answers rest on cannot be why one of them is better. Why it takes part in the
sharing all the same: of the passages that only the better answer cites, and not as its first, 4 of 15 were right
(docs/log.md). And why it weighs less than a thumb: the better of two answers may be wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rag.evaluation.same_answers import sameness
from rag.feedback.credit import credited_ranks, label_of, shares_in_order
from rag.records import ARMS, Answer, Label, LabelledPair, Rating

PREFERENCE_WEIGHT = 0.5  # of a thumb's: with a fifth of ratings wrong, half of its positives were right, of thumbs' 77%


def preference_labels(rating: Rating, answers: Iterable[Answer]) -> list[LabelledPair]:
    """Return a label of each chunk that the two answers of a duel have shown: 1, -1, or 0 for neither.

    One preference is shared among all that the better answer rests on, as a thumb is, and what both rest on keeps its
    share for nothing: a passage further down the answer was seldom the reason. A tie, "both bad", a preference that was
    withdrawn and answers that say the same have only zeros. The labels of a duel always have the same keys. None for
    less than two stored answers.
    """
    duel = {answer.arm: answer for answer in answers if answer.duel == rating.target_id}
    if len(duel) < len(ARMS):
        return []
    good, bad = contrast(rating, duel.values())
    better = next((answer for arm, answer in duel.items() if arm == rating.choice), None)
    used = _chunk_ids(better, credited_ranks(better)) if good and better else []
    shares = {chunk_id: share * PREFERENCE_WEIGHT for chunk_id, share in shares_in_order(used).items()}
    rows: dict[str, LabelledPair] = {}
    for answer in sorted(duel.values(), key=lambda each: each.arm != rating.choice):  # the preferred one first
        for hit in answer.hits:
            label: Label = 1 if hit.chunk.id in good else -1 if hit.chunk.id in bad else 0
            weight = shares.get(hit.chunk.id, PREFERENCE_WEIGHT)
            cited = hit.chunk.id in shares or hit.chunk.id in bad
            rows.setdefault(hit.chunk.id, label_of(rating, answer, hit, label, weight, cited=cited))
    return list(rows.values())


def contrast(rating: Rating, answers: Iterable[Answer]) -> tuple[list[str], list[str]]:
    """Return the chunks that only the preferred answer rests on, in its order, and those that only the other one does.

    Both are empty where no answer is preferred, or both say the same.
    """
    duel = {answer.arm: answer for answer in answers}
    if rating.choice not in ("base", "tuned") or sameness(*duel.values()):
        return [], []
    better = duel[rating.choice]
    (worse,) = (answer for answer in duel.values() if answer.arm != rating.choice)
    behind = {answer.arm: _rests_on(answer) for answer in duel.values()}
    good = [i for i in _chunk_ids(better, credited_ranks(better)) if i not in behind[worse.arm]]
    bad = [i for i in _chunk_ids(worse, credited_ranks(worse)) if i not in behind[better.arm]]
    return good, bad


def _rests_on(answer: Answer) -> set[str]:
    return set(_chunk_ids(answer, answer.rests_on))


def _chunk_ids(answer: Answer, ranks: Sequence[int]) -> list[str]:
    chunks = {hit.rank: hit.chunk.id for hit in answer.hits}
    return [chunks[rank] for rank in ranks if rank in chunks]
