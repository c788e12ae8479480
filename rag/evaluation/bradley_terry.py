"""Rank model versions by Bradley-Terry strengths (1952) from duel results.

Each model has a strength, and one beats another with probability expit(difference of strengths).

Why: versions rarely meet each other, since each duels with base, so they are compared through common opponents. A model
that no chain of duels links to the reference gets no strength. Ties are left out: in Davidson's extension (1970) they
measure how close two models are, and the win probabilities of decided duels are the same with and without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from rag.evaluation.intervals import NORMAL_95, Interval

PRIOR = 0.5  # duels added to each side of a pair that met, or a model that won all is infinitely strong (Haldane 1956)
Wins = Mapping[tuple[str, str], int]  # (winner, loser) -> how often
Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Matchup:
    """Two models that met, and how often `one` won and lost."""

    one: str
    other: str
    won: int
    lost: int


@dataclass(frozen=True, slots=True)
class RankedModel:
    """A model and its probability to beat the reference; None if no chain of decided duels links them."""

    model: str
    won: int
    lost: int
    chance: Interval | None


@dataclass(frozen=True, slots=True)
class Ranking:
    """The models, strongest first, the pairs that met, and the pairs that never did."""

    reference: str
    models: tuple[RankedModel, ...]
    matchups: tuple[Matchup, ...]
    unmatched: tuple[tuple[str, str], ...]


def rank_models(wins: Wins, reference: str) -> Ranking:
    """Return the ranking of all models with a decided duel, by their probability to beat `reference`."""
    others = sorted({model for pair in wins for model in pair} - {reference}, key=_version_order)
    models = [reference, *others]
    linked = _linked(wins, reference)
    known = [model for model in models if model in linked]
    chances = dict(zip(known, _chances(_matrix(wins, known)), strict=True))
    ranked = [RankedModel(model, *_balance(wins, model), chances.get(model)) for model in models]
    met = [pair for pair in combinations(models, 2) if pair in wins or pair[::-1] in wins]
    return Ranking(
        reference,
        tuple(sorted(ranked, key=lambda each: -each.chance.mean if each.chance else 1.0)),
        tuple(Matchup(one, other, wins.get((one, other), 0), wins.get((other, one), 0)) for one, other in met),
        tuple(pair for pair in combinations(models, 2) if pair not in met),
    )


def fit(won: Matrix) -> tuple[Matrix, Matrix]:
    """Return the maximum likelihood strengths, shape (models,), and their covariance, shape (models, models).

    `won[i, j]` is how often i beat j. The first model is the reference: its strength is 0 with variance 0. Every model
    must be linked to it by duels. The log-likelihood is concave, so a trust-region Newton method finds its only
    maximum; the inverse Hessian there is the covariance.
    """
    from scipy.optimize import minimize
    from scipy.special import expit  # takes a second to import, as in rag.evaluation.intervals

    smoothed = won + PRIOR * ((won + won.T) > 0)
    n = smoothed + smoothed.T

    def differences(free: Matrix) -> Matrix:
        strengths = np.concatenate([[0.0], free])
        return np.asarray(strengths[:, None] - strengths[None, :])

    def loss(free: Matrix) -> float:
        return float((smoothed * np.logaddexp(0, -differences(free))).sum())

    def gradient(free: Matrix) -> Matrix:
        return np.asarray((n * expit(differences(free)) - smoothed).sum(axis=1)[1:])

    def hessian(free: Matrix) -> Matrix:
        chance = expit(differences(free))
        weight = n * chance * (1 - chance)
        return np.asarray((np.diag(weight.sum(axis=1)) - weight)[1:, 1:])

    start = np.zeros(len(won) - 1)
    result = minimize(loss, start, jac=gradient, hess=hessian, method="trust-exact", options={"gtol": 1e-9})
    covariance = np.zeros(won.shape)
    covariance[1:, 1:] = np.linalg.inv(hessian(result.x))
    return np.concatenate([[0.0], result.x]), covariance


def _chances(won: Matrix) -> list[Interval]:
    """Return each model's probability to beat the first one; the 95% interval is symmetric in the strengths."""
    if len(won) < 2:
        return [Interval(0.5, 0.5, 0.5)] * len(won)
    strengths, covariance = fit(won)
    margin = NORMAL_95 * np.sqrt(np.diag(covariance))
    ends = 1 / (1 + np.exp(-np.stack([strengths, strengths - margin, strengths + margin], axis=1)))
    return [Interval(float(mean), float(low), float(high)) for mean, low, high in ends]


def _matrix(wins: Wins, models: list[str]) -> Matrix:
    return np.array([[wins.get((one, other), 0) for other in models] for one in models], dtype=np.float64)


def _linked(pairs: Iterable[tuple[str, str]], start: str) -> set[str]:
    """Return the models that a chain of pairs links to `start`."""
    linked, pairs = {start}, list(pairs)
    while more := {model for pair in pairs if linked & set(pair) for model in pair} - linked:
        linked |= more
    return linked


def _balance(wins: Wins, model: str) -> tuple[int, int]:
    """Return how many duels a model won and lost."""
    won = sum(times for (winner, _), times in wins.items() if winner == model)
    return won, sum(times for (_, loser), times in wins.items() if loser == model)


def _version_order(model: str) -> tuple[int, str]:
    """Return a sort key that puts v2 before v10, and names that are no versions first."""
    number = model[1:] if model[:1] == "v" else ""
    return (int(number) if number.isdecimal() else 0, model)
