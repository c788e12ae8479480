"""Reveal of a card: which arm wrote which answer, and where the two retrievers differed.

Everything comes from the stored answers, and from one search per arm that ranks the passages of the other one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from chat.language import Phrase
from rag.records import ARMS, SIDES, Answer, Arm, Side

DEEP = 50  # ranks of the other arm that are searched for a passage
Ranks = Mapping[Arm, Mapping[str, int]]  # arm -> chunk id -> rank, for the first DEEP; an arm is absent if not known


class SideReveal(TypedDict):
    """What a column shows once it is revealed.

    The lists are parallel to its sources: `scores`, `alone` (the other arm did not show it), `words` (found by keyword
    search, not by the arm's model), and `elsewhere`, its rank by the other arm's model (0: not among the first DEEP,
    None: not known).
    """

    arm: str
    model: str
    times: str
    scores: list[str]
    alone: list[bool]
    words: list[bool]
    elsewhere: list[int | None]


class Reveal(TypedDict):
    """Which arm wrote which answer, and how the passages differ."""

    summary: str
    notes: list[str]
    sides: dict[Side, SideReveal]


def make_reveal(answers: Mapping[Side, Answer], notes: list[str], ranks: Ranks) -> Reveal:
    """Return the reveal of a card from its stored answers: two, or one if the other side has none."""
    sides = {side: _side_reveal(answer, _others(answers, side), ranks) for side, answer in answers.items()}
    for side in SIDES:
        if side not in sides:
            (arm,) = [arm for arm in ARMS if all(arm != answer.arm for answer in answers.values())]
            sides[side] = _nothing(arm)
    return {"summary": _difference(answers), "notes": notes, "sides": sides}


def same(ids: list[str], others: list[str]) -> str:
    """Return a sentence if two retrievers found the same chunks, else ""."""
    if not ids or set(ids) != set(others):
        return ""
    return Phrase("reveal.same") if ids == others else Phrase("reveal.same_reordered")


def _side_reveal(answer: Answer, others: list[Answer], ranks: Ranks) -> SideReveal:
    shown = {hit.chunk.id for other in others for hit in other.hits}
    (other_arm,) = [arm for arm in ARMS if arm != answer.arm]
    known = ranks.get(other_arm)
    return {
        "arm": answer.arm,
        "model": answer.model,
        "times": Phrase("reveal.time", seconds=answer.total_s),
        "scores": [f"{hit.score:.2f}" for hit in answer.hits],
        "alone": [bool(others) and hit.chunk.id not in shown for hit in answer.hits],
        "words": [hit.origin != "dense" for hit in answer.hits],
        "elsewhere": [None if known is None else known.get(hit.chunk.id, 0) for hit in answer.hits],
    }


def _nothing(arm: Arm) -> SideReveal:
    return {"arm": arm, "model": "", "times": "", "scores": [], "alone": [], "words": [], "elsewhere": []}


def _others(answers: Mapping[Side, Answer], side: Side) -> list[Answer]:
    return [answer for other, answer in answers.items() if other != side]


def _difference(answers: Mapping[Side, Answer]) -> str:
    """Return one sentence on how the passages of the two arms differ."""
    if len(answers) < len(SIDES):
        return ""
    first, second = sorted(answers.values(), key=lambda answer: ARMS.index(answer.arm))
    ids, others = [hit.chunk.id for hit in first.hits], [hit.chunk.id for hit in second.hits]
    if set(ids) == set(others):
        return same(ids, others) or Phrase("reveal.nothing")
    shared = len(set(ids) & set(others))
    more, others_more = len(ids) - shared, len(others) - shared
    if more == others_more:
        return Phrase("reveal.each", shared=shared, n=more)
    return Phrase("reveal.more", shared=shared, first=first.arm, n=more, second=second.arm, others=others_more)
