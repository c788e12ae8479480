"""How many votes team-draft interleaving needs for the right verdict, compared with answers side by side.

    python -m benchmarks.simulations.interleaving [--questions N]

A question has one relevant passage and 40 others; both retrievers rank them by a common score and noise of their own,
so they share about 60% of their first five passages. Tuned finds the relevant passage among its first five 5 points
more often. Raters see the answers of one language model with one prompt:

- side by side: who has used the relevant passage is better, mostly; where both or none has, a share of the raters
  chooses all the same, by style or by chance;
- interleaved: one answer is written from a team-draft list (Radlinski, Kurup and Joachims 2008). A thumb up credits the
  passages that the answer cites, or a mark the relevant one, to the arm that brought it; what both found is neutral;
- A/B test between users: each answer is of one arm, drawn by a coin, and gets a thumb.

A verdict is the sign test over questions with a winner, two-sided at 5%. Reported is how many votes each needs for a
power of 80%, by the normal approximation, and how often an A/A test of 400 votes finds a winner.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.evaluation.intervals import NORMAL_95

Numbers = NDArray[np.float64]

HITS, OTHERS = 5, 40  # passages of an answer, and those besides the relevant one that may be found
APART = 0.45  # noise of a retriever, where scores of passages have a spread of 1: 60% of the first five are common
RELEVANT = 1.17  # score of the relevant passage above the others: found among five for 56% of the questions
GAP = 0.05  # of hit_rate@5
POWER = 0.8416  # standard errors: 80%
USES = 0.9  # the answer cites the relevant passage if it has it
STRAY = 0.15  # the answer cites a passage that is not relevant
RIGHT, WRONG = 0.85, 0.05  # of raters who see one good answer and a bad one; the others say tie
UP_GOOD, UP_BAD = 0.9, 0.15  # thumbs up on an answer that uses the relevant passage, and on another one
CHANCE = (0.0, 0.2, 0.4, 0.8)  # of raters who choose a side where both answers are good, or both bad
AA_RUNS, AA_VOTES = 1000, 400


@dataclass(frozen=True)
class Votes:
    """Of all votes, the shares that tuned won and lost."""

    won: float
    lost: float

    def needed(self) -> float:
        """Return how many votes the sign test needs for 80% power at this gap."""
        decided, gap = self.won + self.lost, self.won - self.lost
        spread = math.sqrt(max(decided - gap**2, 0.0))
        return ((NORMAL_95 * math.sqrt(decided) + POWER * spread) / gap) ** 2 if gap > 0 else math.inf


def team_draft(base: Sequence[int], tuned: Sequence[int], rng: np.random.Generator) -> list[tuple[int, str]]:
    """Return HITS passages, each with the arm that brought it, or "both" where both have it among their hits.

    In each round a coin decides which arm chooses first; each chooses its best passage that is not yet in the list.
    """
    chosen: list[int] = []
    teams: list[str] = []
    while len(chosen) < HITS:
        order = [("base", base), ("tuned", tuned)]
        for arm, hits in order if rng.random() < 0.5 else order[::-1]:
            best = next((hit for hit in hits if hit not in chosen), None)
            if best is not None and len(chosen) < HITS:
                chosen.append(best)
                teams.append("both" if best in base and best in tuned else arm)
    return list(zip(chosen, teams, strict=True))


def main() -> None:
    """Print the votes needed, by how often raters choose without a reason."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulations.interleaving")
    parser.add_argument("--questions", type=int, default=60_000)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    above = _above(rng)
    print(f"hit_rate@5 of tuned {GAP:+.2f}: its relevant passages score {above:.3f} higher\n")
    pairs = [_hits(rng, above) for _ in range(given.questions)]
    same = [_hits(rng, 0.0) for _ in range(given.questions)]
    common = np.mean([len(set(base) & set(tuned)) for base, tuned in pairs]) / HITS
    gap = np.mean([(0 in tuned) - (0 in base) for base, tuned in pairs])
    print(f"measured: {gap:+.3f}, {common:.0%} of the first {HITS} in common")
    mixed, marked = (np.array([_interleaved(rng, *pair, marks) for pair in pairs]) for marks in (False, True))
    competitive = np.mean([sum(team != "both" for _, team in team_draft(*pair, rng)) / HITS for pair in pairs])
    print(f"places that one arm alone filled: {competitive:.0%}\n")
    print("| votes | tuned won | lost | needed |\n|---|---|---|---|")
    for chance in CHANCE:
        _print(f"side by side, {chance:.0%} choose without a reason", [_side_by_side(rng, *p, chance) for p in pairs])
    _print("interleaved, a thumb", mixed)
    _print("interleaved, a mark on a passage", marked)
    print(f"| A/B test between users, a thumb | | | {_between_users(pairs):.0f} |")
    for name, marks in (("thumbs", False), ("marks", True)):
        alike = np.array([_interleaved(rng, *pair, marks) for pair in same])
        print(f"\nA/A by {name}, {AA_RUNS} runs of {AA_VOTES} votes: {_false(rng, alike):.1%} find a winner")


def _print(name: str, outcomes: Sequence[int] | NDArray[np.int_]) -> None:
    votes = _votes(np.asarray(outcomes))
    print(f"| {name} | {votes.won:.1%} | {votes.lost:.1%} | {votes.needed():.0f} |", flush=True)


def _between_users(pairs: Sequence[tuple[list[int], list[int]]]) -> float:
    """Return how many thumbs a comparison of two shares needs for 80% power, both arms together."""
    up = [UP_BAD + (UP_GOOD - UP_BAD) * USES * float(np.mean([0 in pair[arm] for pair in pairs])) for arm in (0, 1)]
    spread = sum(share * (1 - share) for share in up)
    return 2 * spread * ((NORMAL_95 + POWER) / (up[1] - up[0])) ** 2


def _hits(rng: np.random.Generator, above: float) -> tuple[list[int], list[int]]:
    """Return the first HITS passages of base and tuned; passage 0 is the relevant one."""
    score = rng.normal(0, 1, OTHERS + 1)
    score[0] += RELEVANT
    both = []
    for more in (0.0, above):
        own = score + rng.normal(0, APART, OTHERS + 1)
        own[0] += more
        both.append([int(each) for each in np.argsort(-own)[:HITS]])
    return both[0], both[1]


def _above(rng: np.random.Generator) -> float:
    """Return by how much the relevant passage must score higher for the gap, by bisection on one large sample."""
    n = 40_000
    others = np.sort(rng.normal(0, math.hypot(1, APART), (n, OTHERS)), axis=1)[:, -HITS]
    own = RELEVANT + rng.normal(0, math.hypot(1, APART), n)
    low, high = 0.0, 2.0
    for _ in range(40):
        middle = (low + high) / 2
        small = np.mean(own + middle > others) - np.mean(own > others) < GAP
        low, high = (middle, high) if small else (low, middle)
    return low


def _side_by_side(rng: np.random.Generator, base: list[int], tuned: list[int], chance: float) -> int:
    """Return 1 if tuned wins a vote, -1 if base does, 0 for none."""
    good = [0 in hits and rng.random() < USES for hits in (base, tuned)]
    draw = rng.random()
    if good[0] != good[1]:
        better = 1 if good[1] else -1
        return better if draw < RIGHT else -better if draw < RIGHT + WRONG else 0
    return 0 if draw >= chance else 1 if draw < chance / 2 else -1


def _interleaved(rng: np.random.Generator, base: list[int], tuned: list[int], marks: bool) -> int:
    """Return 1 if the passages that tuned alone brought get more credit, -1 if those of base do, 0 for none."""
    drafted = team_draft(base, tuned, rng)
    cited = [(hit, team) for hit, team in drafted if rng.random() < (STRAY if hit else USES)]
    is_good = any(hit == 0 for hit, _ in cited)
    if rng.random() >= (UP_GOOD if is_good else UP_BAD):
        return 0
    if marks:
        cited = [(hit, team) for hit, team in cited if hit == 0]
    credit = sum({"tuned": 1, "base": -1, "both": 0}[team] for _, team in cited)
    return int(np.sign(credit))


def _votes(outcomes: NDArray[np.int_]) -> Votes:
    return Votes(float((outcomes > 0).mean()), float((outcomes < 0).mean()))


def _false(rng: np.random.Generator, outcomes: NDArray[np.int_]) -> float:
    """Return how often a sign test of AA_VOTES of these votes finds a winner."""
    drawn = rng.choice(outcomes, (AA_RUNS, AA_VOTES))
    won, lost = (drawn > 0).sum(axis=1), (drawn < 0).sum(axis=1)
    return float((np.abs(won - lost) > NORMAL_95 * np.sqrt(won + lost)).mean())


if __name__ == "__main__":
    sys.exit(main())
