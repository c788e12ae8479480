"""How strong each model is, from who beat whom: the model of Bradley and Terry (1952).

Each model has a strength, and one beats the other with the chance expit(difference of strengths). The idea a reader
would miss: versions hardly ever meet each other, since each fights base, so they are compared through what both fought.
Where no chain of duels leads to the reference, nothing is said. Ties are left out: in Davidson's extension (1970) they
say how close two models are, and the chances of the duels that have a winner are the same with and without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from rag.evaluation.intervals import Interval
from rag.evaluation.metrics import NORMAL_95

HALF = 0.5  # of a duel, given to both of each pair that met: who won all so far is not infinitely strong (Haldane 1956)
Wins = Mapping[tuple[str, str], int]  # (winner, loser) -> how often
Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Matchup:
    """Two models that met, and how often each of them won."""

    one: str
    other: str
    won: int
    lost: int


@dataclass(frozen=True, slots=True)
class RankedModel:
    """A model and its chance to beat the reference; None where no chain of duels with a winner leads there."""

    model: str
    won: int
    lost: int
    chance: Interval | None


@dataclass(frozen=True, slots=True)
class Ranking:
    """The models, the strongest first, who met whom, and which pairs never did."""

    reference: str
    rungs: tuple[RankedModel, ...]
    meetings: tuple[Matchup, ...]
    strangers: tuple[tuple[str, str], ...]


def rank_models(wins: Wins, reference: str) -> Ranking:
    """Return the ladder of all models that won or lost a duel. Strengths are told as the chance to beat `reference`."""
    others = sorted({model for pair in wins for model in pair} - {reference}, key=_in_order)
    models = [reference, *others]
    linked = _linked(wins, reference)
    known = [model for model in models if model in linked]
    chances = dict(zip(known, _chances(_matrix(wins, known)), strict=True))
    rungs = [RankedModel(model, *_balance(wins, model), chances.get(model)) for model in models]
    met = [pair for pair in combinations(models, 2) if pair in wins or pair[::-1] in wins]
    return Ranking(
        reference,
        tuple(sorted(rungs, key=lambda rung: -rung.chance.mean if rung.chance else 1.0)),
        tuple(Matchup(one, other, wins.get((one, other), 0), wins.get((other, one), 0)) for one, other in met),
        tuple(pair for pair in combinations(models, 2) if pair not in met),
    )


def fit(won: Matrix) -> tuple[Matrix, Matrix]:
    """Return strengths and their covariance by maximum likelihood; `won[i, j]` says how often i beat j.

    The first model's strength is 0 and certain. Every model must be linked to it by duels. The likelihood is concave,
    so Newton's method within a trust region finds its only peak; the curvature there gives the covariance.
    """
    from scipy.optimize import minimize
    from scipy.special import expit  # takes a second to import: see rag.evaluation.metrics

    credited = won + HALF * ((won + won.T) > 0)
    n = credited + credited.T

    def differences(free: Matrix) -> Matrix:
        strengths = np.concatenate([[0.0], free])
        return np.asarray(strengths[:, None] - strengths[None, :])

    def loss(free: Matrix) -> float:
        return float((credited * np.logaddexp(0, -differences(free))).sum())

    def slope(free: Matrix) -> Matrix:
        return np.asarray((n * expit(differences(free)) - credited).sum(axis=1)[1:])

    def curve(free: Matrix) -> Matrix:
        chance = expit(differences(free))
        weight = n * chance * (1 - chance)
        return np.asarray((np.diag(weight.sum(axis=1)) - weight)[1:, 1:])

    found = minimize(loss, np.zeros(len(won) - 1), jac=slope, hess=curve, method="trust-exact", options={"gtol": 1e-9})
    covariance = np.zeros(won.shape)
    covariance[1:, 1:] = np.linalg.inv(curve(found.x))
    return np.concatenate([[0.0], found.x]), covariance


def _chances(won: Matrix) -> list[Interval]:
    """Return each model's chance to beat the first one, with the 95% interval that is even in strengths."""
    if len(won) < 2:
        return [Interval(0.5, 0.5, 0.5)] * len(won)
    strengths, covariance = fit(won)
    reach = NORMAL_95 * np.sqrt(np.diag(covariance))
    ends = 1 / (1 + np.exp(-np.stack([strengths, strengths - reach, strengths + reach], axis=1)))
    return [Interval(float(mean), float(low), float(high)) for mean, low, high in ends]


def _matrix(wins: Wins, models: list[str]) -> Matrix:
    return np.array([[wins.get((one, other), 0) for other in models] for one in models], dtype=np.float64)


def _linked(pairs: Iterable[tuple[str, str]], start: str) -> set[str]:
    """Return the models that a chain of pairs leads to."""
    linked, pairs = {start}, list(pairs)
    while more := {model for pair in pairs if linked & set(pair) for model in pair} - linked:
        linked |= more
    return linked


def _balance(wins: Wins, model: str) -> tuple[int, int]:
    won = sum(times for (winner, _), times in wins.items() if winner == model)
    return won, sum(times for (_, loser), times in wins.items() if loser == model)


def _in_order(model: str) -> tuple[int, str]:
    """Return the key by which v2 comes before v10, and names that are no versions come first."""
    number = model[1:] if model[:1] == "v" else ""
    return (int(number) if number.isdecimal() else 0, model)
