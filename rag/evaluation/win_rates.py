"""Win rate of the tuned arm against base in blind duels.

Why most ratings do not count: a thumb after the reveal may be loyalty, a thumb on one side only may be politeness, and
if both arms showed the same chunks or wrote the same answer, there is nothing to prefer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, cast

from rag.evaluation.intervals import Interval, share_interval
from rag.evaluation.same_answers import sameness
from rag.records import ARMS, DECIDING, Answer, Arm, Choice, Label, Rating

Winner = Literal["base", "tuned", "tie", "both bad"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one rater decided one duel, blind. `model` is the tuned arm's version, `at` the time of the last rating."""

    duel: str
    rater: str
    winner: Winner
    model: str
    at: datetime


@dataclass(frozen=True, slots=True)
class WinRate:
    """How often tuned won among the duels with a winner. Ties and "both bad" are reported but not included."""

    won: int
    lost: int
    ties: int
    both_bad: int
    interval: Interval

    @property
    def n(self) -> int:
        """Return how many duels had a winner."""
        return self.won + self.lost

    def __str__(self) -> str:
        share = f"{self.interval.mean:.2f} [{self.interval.low:.2f}, {self.interval.high:.2f}]"
        return f"tuned won {self.won} of {self.n} duels ({share}), {self.ties} ties, {self.both_bad} both bad"


def outcomes(ratings: Iterable[Rating], answers: Iterable[Answer]) -> list[Outcome]:
    """Return one outcome for each duel and rater that decided it blind, oldest first.

    A preference decides. Without one the thumbs do, if both answers have one: up beats down, equal is a tie. If a
    rating was changed after the reveal, the one before it counts. Duels in which an arm has no answer, both showed the
    same chunks, or both say the same (`sameness`), do not count.
    """
    duels: dict[str, dict[Arm, Answer]] = {}
    for answer in answers:
        duels.setdefault(answer.duel, {})[answer.arm] = answer
    return outcomes_of(
        ratings, {duel: arms for duel, arms in duels.items() if len(arms) == 2 and differ(*arms.values())}
    )


def outcomes_of(ratings: Iterable[Rating], valid: Mapping[str, Mapping[Arm, Answer]]) -> list[Outcome]:
    """Return `outcomes` of these duels, whose answers are known to differ."""
    duel_of = {answer.id: duel for duel, arms in valid.items() for answer in arms.values()}
    ratings_of: dict[tuple[str, str], list[Rating]] = {}
    for rating in ratings:
        duel = rating.target_id if rating.kind == "preference" else duel_of.get(rating.target_id, "")
        if rating.kind in DECIDING and duel in valid and (blind := _before_reveal(rating)):
            ratings_of.setdefault((duel, rating.rater), []).append(blind)
    found = [_outcome(duel, rater, valid[duel], own) for (duel, rater), own in ratings_of.items()]
    return sorted((each for each in found if each), key=lambda each: (each.at, each.duel, each.rater))


def win_rate(found: Iterable[Outcome], model: str, since: datetime | None = None) -> WinRate:
    """Return the win rate of a model against base, of the duels decided at `since` or later."""
    winners = [each.winner for each in found if each.model == model and (since is None or each.at >= since)]
    return count(winners)


def count(winners: Sequence[Winner]) -> WinRate:
    """Return the win rate of duels with these results."""
    won, lost = winners.count("tuned"), winners.count("base")
    return WinRate(won, lost, winners.count("tie"), winners.count("both bad"), share_interval(won, won + lost))


def differ(one: Answer, other: Answer) -> bool:
    """Return whether two answers were written from different chunks, whatever their order, and say different things."""
    return {hit.chunk.id for hit in one.hits} != {hit.chunk.id for hit in other.hits} and not sameness(one, other)


def _before_reveal(rating: Rating) -> Rating | None:
    """Return a rating as it was before the reveal, None if there was none."""
    if rating.blind:
        return rating
    if rating.kind == "preference":
        return replace(rating, choice=cast(Choice, rating.first)) if rating.first else None
    return replace(rating, value=cast(Label, int(rating.first))) if rating.first else None


def _outcome(duel: str, rater: str, arms: Mapping[Arm, Answer], ratings: Sequence[Rating]) -> Outcome | None:
    """Return the outcome of one rater's blind ratings, None if they decide nothing."""
    model = arms["tuned"].model
    for rating in ratings:
        if rating.kind == "preference" and rating.choice:
            return Outcome(duel, rater, rating.choice, model, rating.at)
    thumbs = {rating.target_id: rating for rating in ratings if rating.kind == "answer" and rating.value}
    if len(thumbs) < len(arms):
        return None
    base, tuned = (thumbs[arms[arm].id].value for arm in ARMS)
    winner: Winner = "tuned" if tuned > base else "base" if base > tuned else "tie"
    return Outcome(duel, rater, winner, model, max(rating.at for rating in thumbs.values()))
