"""Bradley-Terry strengths against values worked out by hand."""

from __future__ import annotations

from math import exp, log, sqrt

import numpy as np
import pytest

from rag.evaluation.bradley_terry import fit, rank_models


def chance(strength: float) -> float:
    return 1 / (1 + exp(-strength))


def test_two_models_have_the_odds_of_their_duels_plus_half_a_duel_each():
    ranking = rank_models({("v1", "base"): 7, ("base", "v1"): 3}, "base")
    strength, error = log(7.5 / 3.5), sqrt(1 / 7.5 + 1 / 3.5)
    (best, base) = ranking.models
    assert (best.model, best.won, best.lost) == ("v1", 7, 3)
    assert best.chance
    assert best.chance.mean == pytest.approx(7.5 / 11)
    assert best.chance.low == pytest.approx(chance(strength - 1.96 * error))
    assert best.chance.high == pytest.approx(chance(strength + 1.96 * error))
    assert (base.model, base.won, base.lost) == ("base", 3, 7)
    assert base.chance
    assert (base.chance.mean, base.chance.low, base.chance.high) == (0.5, 0.5, 0.5)


def test_a_model_that_won_every_duel_is_not_infinitely_strong():
    (best, _) = rank_models({("v1", "base"): 5}, "base").models
    assert best.chance
    assert best.chance.mean == pytest.approx(5.5 / 6)
    assert best.chance.low < 0.5  # five wins of five are not yet significant


def test_versions_that_never_met_are_compared_through_base():
    wins = {("v1", "base"): 7, ("base", "v1"): 3, ("v2", "base"): 19, ("base", "v2"): 1, ("v3", "base"): 2}
    ranking = rank_models(wins, "base")
    assert [each.model for each in ranking.models] == ["v2", "v3", "v1", "base"]
    chances = {each.model: each.chance.mean for each in ranking.models if each.chance}
    assert chances["v2"] == pytest.approx(19.5 / 21)
    assert ranking.unmatched == (("v1", "v2"), ("v1", "v3"), ("v2", "v3"))
    assert [(each.one, each.other, each.won, each.lost) for each in ranking.matchups] == [
        ("base", "v1", 3, 7),
        ("base", "v2", 1, 19),
        ("base", "v3", 0, 2),
    ]


def test_strengths_and_variances_add_up_along_a_chain():
    won = np.array([[0, 3, 0], [6, 0, 2], [0, 8, 0]], dtype=float)  # 0 met 1, 1 met 2, 0 never met 2
    strengths, covariance = fit(won)
    first, second = log(6.5 / 3.5), log(8.5 / 2.5)
    assert strengths == pytest.approx([0, first, first + second])
    assert covariance[1, 1] == pytest.approx(1 / 6.5 + 1 / 3.5)
    assert covariance[2, 2] == pytest.approx(1 / 6.5 + 1 / 3.5 + 1 / 8.5 + 1 / 2.5)


def test_models_that_beat_each_other_in_a_circle_are_equal():
    won = np.array([[0, 4, 2], [2, 0, 4], [4, 2, 0]], dtype=float)
    assert fit(won)[0] == pytest.approx([0, 0, 0], abs=1e-6)


def test_expected_wins_equal_observed_wins_at_the_fit():
    won = np.array([[0, 9, 1, 30], [4, 0, 12, 5], [7, 3, 0, 0], [2, 8, 0, 0]], dtype=float)
    strengths, _ = fit(won)
    smoothed = won + 0.5 * ((won + won.T) > 0)
    expected = (smoothed + smoothed.T) / (1 + np.exp(strengths[None, :] - strengths[:, None]))
    assert expected.sum(axis=1) == pytest.approx(smoothed.sum(axis=1))


def test_a_model_that_no_chain_of_duels_links_has_no_strength():
    ranking = rank_models({("v1", "base"): 1, ("v9", "other"): 5}, "base")
    assert {each.model: each.chance is None for each in ranking.models} == {
        "v1": False,
        "base": False,
        "other": True,
        "v9": True,
    }
    assert ranking.models[-1].chance is None
    assert ("base", "v9") in ranking.unmatched


def test_without_duels_the_ranking_has_only_the_reference():
    ranking = rank_models({}, "base")
    assert [(each.model, each.won) for each in ranking.models] == [("base", 0)]
    assert ranking.unmatched == ranking.matchups == ()


def test_v10_comes_after_v2():
    wins = {("v10", "base"): 1, ("v2", "base"): 1}
    assert [each.model for each in rank_models(wins, "base").models] == ["v2", "v10", "base"]
