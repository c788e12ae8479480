"""Duels by columns: pair up both arms' answers, and decide who won each duel for each rater.

Why by columns: the scoreboard of 100,000 answers and ratings took 12.6 s of processor time with a record for each.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from rag.columns import AnswerColumns, Flags, Numbers, RatingColumns, Texts, Times, codes, distinct, texts
from rag.evaluation.same_answers import Text, sameness

Winner = Literal["base", "tuned", "tie", "both bad"]
WINNERS: tuple[Winner, ...] = get_args(Winner)
BASE, TUNED, TIE, BOTH_BAD = range(len(WINNERS))
THUMBS = {"": 0, "1": 1, "-1": -1}
Compared = MutableMapping[tuple[str, str], bool]  # ids of two answers -> whether they say the same


@dataclass(frozen=True, slots=True, eq=False)
class DuelColumns:
    """The duels that have both answers, an entry each: positions of these, and whether they differ.

    `shown` names the set of chunks of each answer: equal for equal sets.
    """

    answers: AnswerColumns
    base: Numbers
    tuned: Numbers
    differ: Flags
    shown: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.base)

    @property
    def ids(self) -> Texts:
        """Return the duels' ids."""
        return self.answers.duels[self.base]

    @property
    def models(self) -> Texts:
        """Return the tuned arms' versions."""
        return self.answers.models[self.tuned]


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeColumns:
    """How raters decided duels blind, oldest first: positions of duels and of WINNERS; `at` is of the last rating."""

    duels: Numbers
    raters: Texts
    winners: Numbers
    at: Times

    def __len__(self) -> int:
        return len(self.duels)


def pair_up(answers: AnswerColumns, compared: Compared | None = None) -> DuelColumns:
    """Return the duels. `compared` has pairs of answers that were compared before, and gets those compared here."""
    numbers, names = codes(answers.duels.tolist())
    is_tuned = answers.arms == "tuned"
    arms = np.full((2, len(names)), -1)
    for arm, of_arm in enumerate((~is_tuned, is_tuned)):
        arms[arm, numbers[of_arm]] = np.flatnonzero(of_arm)
    base, tuned = arms[:, (arms >= 0).all(axis=0)]
    shown = shown_chunks(answers)
    known = {} if compared is None else compared
    differ = [
        shown[one] != shown[other] and not _say_the_same(answers, one, other, known)
        for one, other in zip(base.tolist(), tuned.tolist(), strict=True)
    ]
    return DuelColumns(answers, base, tuned, np.array(differ, bool), shown)


def shown_chunks(answers: AnswerColumns) -> list[bytes]:
    """Return the set of chunks that each answer was written from, equal for equal sets."""
    ids, _ = codes([chunk.id for chunk in answers.chunks])
    size = len(answers.chunks) or 1
    pairs = distinct(answers.hit_answers * size + ids[answers.hit_chunks])
    ends = np.searchsorted(pairs // size, np.arange(len(answers) + 1)) * 8
    written = (pairs % size).astype(np.int64).tobytes()
    return [written[start:end] for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)]


def decide(ratings: RatingColumns, duels: DuelColumns) -> OutcomeColumns:
    """Return the outcome of each duel whose answers differ for each rater who decided it blind.

    A preference decides. Without one the thumbs do, if both answers have one: up beats down, equal is a tie. If a
    rating was changed after the reveal, the one before it counts.
    """
    numbers, raters = codes(ratings.raters.tolist())
    many = len(raters) or 1
    chosen, choice = _preferences(ratings, duels)
    preferred = chosen * many + numbers
    is_choice = choice >= 0
    place, thumb = _thumbs(ratings, duels)
    thumbed = (place >> 1) * many + numbers
    is_thumb = (thumb != 0) & ~np.isin(thumbed, preferred[is_choice])
    base, tuned = (np.flatnonzero(is_thumb & (place & 1 == arm)) for arm in (0, 1))
    both, of_base, of_tuned = np.intersect1d(thumbed[base], thumbed[tuned], return_indices=True)
    base, tuned = base[of_base], tuned[of_tuned]
    winner = np.select([thumb[tuned] > thumb[base], thumb[base] > thumb[tuned]], [TUNED, BASE], TIE)
    keys = np.concatenate([preferred[is_choice], both])
    winners = np.concatenate([choice[is_choice], winner])
    at = np.concatenate([ratings.at[is_choice], np.maximum(ratings.at[base], ratings.at[tuned])])
    order = np.lexsort((keys, at))
    keys = keys[order]
    names = texts([*raters, ""])
    return OutcomeColumns(keys // many, names[keys % many], winners[order], at[order])


def _preferences(ratings: RatingColumns, duels: DuelColumns) -> tuple[Numbers, Numbers]:
    """Return each rating's duel and the choice made blind, -1 where it is no such preference."""
    known = dict(zip(duels.ids[duels.differ], np.flatnonzero(duels.differ).tolist(), strict=True))
    choices = {name: place for place, name in enumerate(WINNERS)}
    is_preference = ratings.kinds == "preference"
    duel, choice = (np.full(len(ratings), -1) for _ in range(2))
    duel[is_preference] = [known.get(target, -1) for target in ratings.targets[is_preference]]
    blind = np.where(ratings.blind, ratings.choices, ratings.firsts)[is_preference]
    choice[is_preference] = [choices.get(name, -1) for name in blind]
    choice[duel < 0] = -1
    return duel, choice


def _thumbs(ratings: RatingColumns, duels: DuelColumns) -> tuple[Numbers, Numbers]:
    """Return twice each rating's duel, plus one for tuned, and the thumb given blind, 0 where it is no such thumb."""
    known: dict[str, int] = {}
    for arm, answers in enumerate((duels.base, duels.tuned)):
        places = np.flatnonzero(duels.differ) * 2 + arm
        known |= zip(duels.answers.ids[answers[duels.differ]], places.tolist(), strict=True)
    is_thumb = ratings.kinds == "answer"
    place, thumb = np.full(len(ratings), -1), np.zeros(len(ratings), np.int64)
    place[is_thumb] = [known.get(target, -1) for target in ratings.targets[is_thumb]]
    firsts = np.array([THUMBS.get(first, 0) for first in ratings.firsts], np.int64)
    thumb[is_thumb] = np.where(ratings.blind, ratings.values, firsts)[is_thumb]
    thumb[place < 0] = 0
    return place, thumb


def _say_the_same(answers: AnswerColumns, one: int, other: int, known: Compared) -> bool:
    key = answers.ids[one], answers.ids[other]
    if (found := known.get(key)) is None:
        both = (Text(answers.texts[nth], bool(answers.abstained[nth])) for nth in (one, other))
        found = known[key] = bool(sameness(*both))
    return found


def count_by_winner(winners: Numbers, groups: Numbers, many: int) -> Numbers:
    """Return how often each of WINNERS won in each of `many` groups, shape (groups, winners)."""
    counts = np.bincount(groups * len(WINNERS) + winners, minlength=many * len(WINNERS))
    return counts.reshape(many, len(WINNERS))
