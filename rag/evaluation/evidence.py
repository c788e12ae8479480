"""What the trainings against one champion showed so far, as e-values: counted by the gate, kept in the registry."""

from __future__ import annotations

import math
from dataclasses import dataclass

ERROR = 0.05  # share of histories without a gain in which one is claimed, whatever their length
DECIDES = 1 / ERROR  # an e-value; evidence that gets a share of the error needs more
CLEARLY = 0.01  # of ndcg@10: a model that is worse by less than this is not clearly worse
# Times the evidence that is needed for "better". Why: an equal model is not worse, so where raters prefer tuned it
# would be promoted in 7 to 9% of simulated years, with this in 2 to 6% (benchmarks/simulations/look_any_day.py).
NOT_WORSE = 3
MOST_SHOWN = 1000  # of an e-value: more says nothing more


@dataclass(frozen=True, slots=True)
class Evidence:
    """What all trainings against one champion showed so far: logarithms of e-values, and the queries that are counted.

    `better` is the evidence that their challengers are better, `not_worse` that they are not worse by CLEARLY.
    `queries` are ids of those that were counted; each is counted once, with the first challenger evaluated on it.
    `needed` is the e-value that decides.
    """

    better: float = 0.0
    not_worse: float = 0.0
    trainings: int = 0
    queries: frozenset[str] = frozenset()
    needed: float = DECIDES

    @property
    def factor(self) -> float:
        """Return the e-value that the challengers are better; `needed` decides."""
        return math.exp(min(self.better, 700.0))  # beyond, a float overflows

    @property
    def is_enough(self) -> bool:
        """Return whether it is shown that the challengers are better."""
        return self.better >= math.log(self.needed)

    @property
    def is_not_worse(self) -> bool:
        """Return whether it is shown that the challengers are not worse by CLEARLY."""
        return self.not_worse >= math.log(self.needed * NOT_WORSE)

    def __str__(self) -> str:
        shown = f"{self.factor:.1f}" if self.factor < MOST_SHOWN else f"over {MOST_SHOWN:,}"
        return f"{shown} of {self.needed:.0f}"


NO_EVIDENCE = Evidence()
