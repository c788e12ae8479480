"""Win rate of the tuned arm against base in blind duels.

Why most ratings do not count: a thumb after the reveal may be loyalty, a thumb on one side only may be politeness, and
if both arms showed the same chunks or wrote the same answer, there is nothing to prefer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rag.columns import AnswerColumns, Numbers, RatingColumns
from rag.evaluation.duel_columns import WINNERS, Winner, decide, pair_up
from rag.evaluation.intervals import Interval, share_interval
from rag.evaluation.same_answers import sameness
from rag.evaluation.sequential import share_sequence
from rag.records import BLIND_TURN, Answer, Arm, Rating


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

    @property
    def sequence(self) -> Interval:
        """Return the share with its 95% confidence sequence, which holds however often somebody looks."""
        return share_sequence(self.won, self.n)

    def __str__(self) -> str:
        share = f"{self.interval.mean:.2f} [{self.interval.low:.2f}, {self.interval.high:.2f}]"
        return f"tuned won {self.won} of {self.n} duels ({share}), {self.ties} ties, {self.both_bad} both bad"


def outcomes(ratings: Sequence[Rating], answers: Sequence[Answer]) -> list[Outcome]:
    """Return one outcome for each duel and rater that decided it blind (`decide`), oldest first.

    Duels in which an arm has no answer, both showed the same chunks, or both say the same (`sameness`), do not count.
    """
    duels = pair_up(AnswerColumns.of(answers))
    found = decide(RatingColumns.of(ratings), duels)
    columns = (duels.ids[found.duels], found.raters, found.winners, duels.models[found.duels], found.at.tolist())
    return [
        Outcome(duel, rater, WINNERS[winner], model, at.replace(tzinfo=UTC))
        for duel, rater, winner, model, at in zip(*columns, strict=True)
    ]


def win_rate(found: Iterable[Outcome], model: str, since: datetime | None = None) -> WinRate:
    """Return the win rate of a model against base, of the duels decided at `since` or later."""
    winners = [each.winner for each in found if each.model == model and (since is None or each.at >= since)]
    return count(winners)


@dataclass(frozen=True, slots=True)
class DrawnThumbs:
    """Of the thumbs on answers whose arm was drawn for another program, how many are up, with the interval."""

    up: int
    n: int
    interval: Interval

    def __str__(self) -> str:
        share = f"{self.interval.mean:.2f} [{self.interval.low:.2f}, {self.interval.high:.2f}]"
        return f"{self.up} of {self.n} up ({share})"


def drawn_thumbs(ratings: Iterable[Rating], answers: Iterable[Answer]) -> dict[Arm, DrawnThumbs]:
    """Return the blind thumbs on answers that were shown alone, by the arm that was drawn, where it has any.

    Why apart from the win rate: nobody has compared these answers. Two shares of different people's questions need far
    more thumbs to tell the arms apart than as many comparisons of one person.
    """
    arm_of = {answer.id: answer.arm for answer in answers if answer.duel.startswith(BLIND_TURN)}
    values: dict[Arm, list[int]] = {}
    for rating in ratings:
        if rating.kind == "answer" and rating.value and rating.blind and rating.target_id in arm_of:
            values.setdefault(arm_of[rating.target_id], []).append(rating.value)
    ups = {arm: sum(value == 1 for value in given) for arm, given in values.items()}
    return {arm: DrawnThumbs(ups[arm], len(values[arm]), share_interval(ups[arm], len(values[arm]))) for arm in ups}


def count(winners: Sequence[Winner]) -> WinRate:
    """Return the win rate of duels with these results."""
    return rate_of([winners.count(each) for each in WINNERS])


def rate_of(counts: Sequence[int] | Numbers) -> WinRate:
    """Return the win rate of how often each of WINNERS won."""
    lost, won, ties, both_bad = (int(n) for n in counts)
    return WinRate(won, lost, ties, both_bad, share_interval(won, won + lost))


def differ(one: Answer, other: Answer) -> bool:
    """Return whether two answers were written from different chunks, whatever their order, and say different things."""
    return {hit.chunk.id for hit in one.hits} != {hit.chunk.id for hit in other.hits} and not sameness(one, other)
