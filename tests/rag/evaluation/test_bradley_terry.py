"""Strengths from who beat whom, against what a pencil says."""

from __future__ import annotations

from math import exp, log, sqrt

import numpy as np
import pytest

from rag.evaluation.bradley_terry import fit, rank_models


def chance(strength: float) -> float:
    return 1 / (1 + exp(-strength))


def test_two_models_have_the_odds_of_their_duels_with_half_a_duel_for_each():
    ladder = rank_models({("v1", "base"): 7, ("base", "v1"): 3}, "base")
    strength, error = log(7.5 / 3.5), sqrt(1 / 7.5 + 1 / 3.5)
    (best, base) = ladder.rungs
    assert (best.model, best.won, best.lost) == ("v1", 7, 3)
    assert best.chance
    assert best.chance.mean == pytest.approx(7.5 / 11)
    assert best.chance.low == pytest.approx(chance(strength - 1.96 * error))
    assert best.chance.high == pytest.approx(chance(strength + 1.96 * error))
    assert (base.model, base.won, base.lost) == ("base", 3, 7)
    assert base.chance
    assert (base.chance.mean, base.chance.low, base.chance.high) == (0.5, 0.5, 0.5)


def test_who_won_every_duel_is_strong_and_not_infinitely_so():
    (best, _) = rank_models({("v1", "base"): 5}, "base").rungs
    assert best.chance
    assert best.chance.mean == pytest.approx(5.5 / 6)
    assert best.chance.low < 0.5  # five duels of five are not yet beyond luck here


def test_versions_that_never_met_are_compared_through_base():
    wins = {("v1", "base"): 7, ("base", "v1"): 3, ("v2", "base"): 19, ("base", "v2"): 1, ("v3", "base"): 2}
    ladder = rank_models(wins, "base")
    assert [rung.model for rung in ladder.rungs] == ["v2", "v3", "v1", "base"]
    chances = {rung.model: rung.chance.mean for rung in ladder.rungs if rung.chance}
    assert chances["v2"] == pytest.approx(19.5 / 21)
    assert ladder.strangers == (("v1", "v2"), ("v1", "v3"), ("v2", "v3"))
    assert [(each.one, each.other, each.won, each.lost) for each in ladder.meetings] == [
        ("base", "v1", 3, 7),
        ("base", "v2", 1, 19),
        ("base", "v3", 0, 2),
    ]


def test_along_a_chain_strengths_add_up_and_so_do_their_variances():
    won = np.array([[0, 3, 0], [6, 0, 2], [0, 8, 0]], dtype=float)  # 0 and 1 met, 1 and 2 met, 0 and 2 never
    strengths, covariance = fit(won)
    first, second = log(6.5 / 3.5), log(8.5 / 2.5)
    assert strengths == pytest.approx([0, first, first + second])
    assert covariance[1, 1] == pytest.approx(1 / 6.5 + 1 / 3.5)
    assert covariance[2, 2] == pytest.approx(1 / 6.5 + 1 / 3.5 + 1 / 8.5 + 1 / 2.5)


def test_in_a_circle_where_each_beat_the_next_all_are_equal():
    won = np.array([[0, 4, 2], [2, 0, 4], [4, 2, 0]], dtype=float)
    assert fit(won)[0] == pytest.approx([0, 0, 0], abs=1e-6)


def test_at_the_fit_each_model_has_won_as_often_as_its_strength_says():
    won = np.array([[0, 9, 1, 30], [4, 0, 12, 5], [7, 3, 0, 0], [2, 8, 0, 0]], dtype=float)
    strengths, _ = fit(won)
    credited = won + 0.5 * ((won + won.T) > 0)
    expected = (credited + credited.T) / (1 + np.exp(strengths[None, :] - strengths[:, None]))
    assert expected.sum(axis=1) == pytest.approx(credited.sum(axis=1))


def test_nothing_is_said_of_a_model_that_no_chain_of_duels_links():
    ladder = rank_models({("v1", "base"): 1, ("v9", "other"): 5}, "base")
    assert {rung.model: rung.chance is None for rung in ladder.rungs} == {
        "v1": False,
        "base": False,
        "other": True,
        "v9": True,
    }
    assert ladder.rungs[-1].chance is None
    assert ("base", "v9") in ladder.strangers


def test_no_duels_make_a_ladder_of_the_reference_alone():
    ladder = rank_models({}, "base")
    assert [(rung.model, rung.won) for rung in ladder.rungs] == [("base", 0)]
    assert ladder.strangers == ladder.meetings == ()


def test_v10_comes_after_v2():
    wins = {("v10", "base"): 1, ("v2", "base"): 1}
    assert [rung.model for rung in rank_models(wins, "base").rungs] == ["v2", "v10", "base"]
