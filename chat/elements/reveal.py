"""What a card says once it is unveiled: who wrote what, and where the two retrievers differed.

Everything is read from the stored answers, and from one look at how each arm's model ranks what the other one showed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from rag.records import ARMS, SIDES, Answer, Arm, Side

SAME = "Both retrievers found the same passages"
NO_DUEL = "so this duel counts for no win rate"
DEEP = 50  # ranks of the other arm that are looked through for a passage; nobody reads further
Ranks = Mapping[Arm, Mapping[str, int]]  # arm -> chunk id -> rank, for the first DEEP; no arm where it is not known


class SideReveal(TypedDict):
    """What a column says once it is unveiled.

    The lists follow its sources: `scores`, `alone` (no other arm showed it), `words` (words found it, the arm's model
    did not), and `elsewhere`, where the other arm's model ranks it (0: not among its first DEEP, None: not known).
    """

    arm: str
    model: str
    times: str
    scores: list[str]
    alone: list[bool]
    words: list[bool]
    elsewhere: list[int | None]


class Reveal(TypedDict):
    """Who wrote what, and what the two found differently."""

    summary: str
    notes: list[str]
    sides: dict[Side, SideReveal]


def make_reveal(answers: Mapping[Side, Answer], notes: list[str], ranks: Ranks) -> Reveal:
    """Return who wrote what, from the stored answers of a card: two, or one where the other side has none."""
    sides = {side: _unveiled(answer, _others(answers, side), ranks) for side, answer in answers.items()}
    for side in SIDES:
        if side not in sides:
            (arm,) = [arm for arm in ARMS if all(arm != answer.arm for answer in answers.values())]
            sides[side] = _nothing(arm)
    return {"summary": _difference(answers), "notes": notes, "sides": sides}


def same(ids: list[str], others: list[str]) -> str:
    """Return what there is to say where two retrievers found the same chunks, else nothing."""
    if not ids or set(ids) != set(others):
        return ""
    return f"{SAME}, {NO_DUEL}." if ids == others else f"{SAME} in another order, {NO_DUEL}."


def _unveiled(answer: Answer, others: list[Answer], ranks: Ranks) -> SideReveal:
    shown = {hit.chunk.id for other in others for hit in other.hits}
    (other_arm,) = [arm for arm in ARMS if arm != answer.arm]
    known = ranks.get(other_arm)
    return {
        "arm": answer.arm,
        "model": answer.model,
        "times": f"first word after {answer.first_token_s:.1f} s, all after {answer.total_s:.1f} s",
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
    """Return in one sentence what the two arms found differently."""
    if len(answers) < len(SIDES):
        return ""
    first, second = sorted(answers.values(), key=lambda answer: ARMS.index(answer.arm))
    ids, others = [hit.chunk.id for hit in first.hits], [hit.chunk.id for hit in second.hits]
    if set(ids) == set(others):
        return same(ids, others) or "Neither retriever found a passage."
    shared = len(set(ids) & set(others))
    return (
        f"{shared} {'passage' if shared == 1 else 'passages'} found by both, "
        f"{len(ids) - shared} by {first.arm} alone, {len(others) - shared} by {second.arm} alone."
    )
