"""The gate, case by case."""

import math

import numpy as np
import pytest

from rag.evaluation.intervals import share_interval
from rag.evaluation.sequential import queries_to_enough
from rag.evaluation.win_rates import WinRate
from train.dataset.folds import ENOUGH_HELD_OUT
from train.dataset.held_out import HELD_OUT_SHARE
from train.judging.gate import (
    CHAMPION_WINS,
    CHAMPION_WINS_TOLERANCE,
    GENERAL,
    GENERAL_TOLERANCE,
    MIN_HELD_OUT,
    MIN_REGRESSION,
    SHARES,
    decide,
    evidence_needed,
)

RNG = np.random.default_rng(0)
EVEN = np.full(60, 0.5)
NOISE = RNG.normal(0, 0.3, 60)


def test_a_significant_gain_is_promoted():
    verdict = decide(EVEN + 0.2 + NOISE / 3, EVEN, EVEN)
    assert verdict.decision == "promote"
    assert verdict.gain.low > 0
    assert verdict.n == 60


def test_a_gain_that_is_not_significant_is_not():
    verdict = decide(EVEN + 0.02 + NOISE, EVEN, EVEN)
    assert verdict.gain.mean > 0
    assert verdict.decision == "keep"
    assert "the evidence so far is 1.8 of 20, which does not decide" in verdict.reason


SEEN = [f"question {n}" for n in range(60)]


def test_an_interval_above_zero_is_not_enough_where_the_evidence_is_not():
    """A fixed 95% interval excludes zero by chance sooner or later, if somebody looks every day."""
    challenger = EVEN + np.tile([0.35, -0.18], 30)
    verdict = decide(challenger, EVEN, EVEN)
    assert verdict.gain.low > 0
    assert verdict.evidence.factor < verdict.evidence.needed
    assert verdict.decision == "keep"


def test_training_again_without_new_questions_adds_no_evidence():
    """Whatever the seed or the recipe: each question is counted once."""
    first = decide(EVEN - 0.01, EVEN, EVEN, queries=SEEN)
    again = decide(EVEN + 0.2, EVEN, EVEN, queries=SEEN, before=first.evidence)
    assert again.evidence.better == pytest.approx(first.evidence.better)
    assert (again.evidence.trainings, len(again.evidence.queries)) == (2, 60)
    assert again.decision == "keep"


def test_evidence_of_earlier_trainings_counts():
    half = decide(EVEN[:30] + 0.1, EVEN[:30], EVEN[:30], queries=SEEN[:30])
    assert half.decision == "keep"
    both = decide(EVEN + 0.1, EVEN, EVEN, queries=SEEN, before=half.evidence)
    assert both.decision == "promote"
    assert both.evidence.better == pytest.approx(decide(EVEN + 0.1, EVEN, EVEN).evidence.better)


def test_a_weak_challenger_is_not_promoted_by_the_evidence_of_others():
    strong = decide(EVEN + 0.3, EVEN, EVEN, queries=SEEN).evidence
    more = [f"new {n}" for n in range(60)]
    weak = decide(EVEN + 0.01 + NOISE, EVEN, EVEN, queries=more, before=strong)
    assert weak.evidence.is_enough
    assert weak.gain.low < 0
    assert weak.decision == "keep"


def test_a_bad_challenger_costs_later_ones_little():
    """How much is staked on new questions follows from how this challenger does on the old ones."""
    bad = decide(EVEN - 0.3, EVEN, EVEN, queries=SEEN).evidence
    assert bad.factor == pytest.approx(0.05, abs=0.01)
    twice, more = np.tile(EVEN, 2), [f"new {n}" for n in range(60)]
    again = decide(twice - 0.3, twice, twice, queries=[*SEEN, *more], before=bad).evidence
    assert again.factor == pytest.approx(bad.factor, abs=0.01)  # not a ten thousandth


def test_a_query_adapter_has_evidence_of_its_own_and_needs_more():
    assert evidence_needed("fine-tuned") == pytest.approx(25)
    assert evidence_needed("adapter") == pytest.approx(100)
    assert sum(1 / evidence_needed(made) for made in SHARES) == pytest.approx(0.05)


def test_a_loss_is_not():
    verdict = decide(EVEN - 0.1, EVEN, EVEN)
    assert verdict.decision == "keep"
    assert verdict.tally.losses == 60


def test_the_same_model_again_is_not():
    assert decide(EVEN, EVEN, EVEN).decision == "keep"


def test_better_than_a_poor_champion_yet_below_base_is_not():
    verdict = decide(EVEN, EVEN - 0.2, EVEN + 0.1)
    assert verdict.gain.low > 0
    assert verdict.decision == "keep"
    assert "worse than base" in verdict.reason


def test_as_good_as_base_and_better_than_the_champion_is_promoted():
    assert decide(EVEN, EVEN - 0.2, EVEN).decision == "promote"


def test_a_few_lucky_queries_prove_nothing():
    lucky = np.ones(MIN_HELD_OUT - 1)
    verdict = decide(lucky, lucky * 0, lucky * 0)
    assert verdict.decision == "keep"
    assert verdict.more == math.ceil(10 / HELD_OUT_SHARE) - math.ceil(9 / HELD_OUT_SHARE)
    assert verdict.reason == f"9 test queries, need {MIN_HELD_OUT}: rate about {verdict.more} more questions"
    enough = np.ones(MIN_HELD_OUT)
    assert decide(enough, enough * 0, enough * 0).decision == "promote"


def duels(won: int, lost: int) -> WinRate:
    return WinRate(won, lost, 0, 0, share_interval(won, won + lost))


MANY = np.full(600, 0.5)
NEARLY = MANY + np.tile([0.03, -0.03, 0.002], 200)  # a mean of +0.001, whose interval reaches below 0


def test_a_version_that_is_not_clearly_worse_is_promoted_where_raters_prefer_the_tuned_arm():
    assert decide(NEARLY, MANY, MANY).decision == "keep"
    verdict = decide(NEARLY, MANY, MANY, online=duels(40, 10))
    assert -0.01 < verdict.gain.low <= 0
    assert (verdict.decision, verdict.rule) == ("promote", "duels")
    assert "raters prefer the tuned arm in blind duels: tuned won 40 of 50 duels" in verdict.reason


def test_duels_without_a_significant_winner_promote_nothing():
    verdict = decide(NEARLY, MANY, MANY, online=duels(12, 8))
    assert verdict.decision == "keep"
    assert "the duels do not decide either: tuned won 12 of 20 duels" in verdict.reason


def test_duels_do_not_make_up_for_a_difference_that_may_be_a_loss():
    assert decide(EVEN + 0.02 + NOISE, EVEN, EVEN, online=duels(100, 0)).decision == "keep"  # reaches too far below 0
    assert decide(EVEN - 0.001, EVEN, EVEN, online=duels(100, 0)).decision == "keep"  # its mean is below 0


def test_a_significant_gain_needs_no_duels():
    verdict = decide(EVEN + 0.1, EVEN, EVEN, online=duels(0, 100))
    assert (verdict.decision, verdict.rule) == ("promote", "interval")


def champion_won(n: int, *, lost_there: float, gained_elsewhere: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return challenger, champion and base where the champion is above base on the first n of 100 queries."""
    base = np.full(100, 0.4)
    champion = base + np.where(np.arange(100) < n, 0.3, 0)
    return champion + np.where(np.arange(100) < n, -lost_there, gained_elsewhere), champion, base


def test_whatever_the_gain_a_fall_where_the_champion_wins_is_not_promoted():
    verdict = decide(*champion_won(30, lost_there=CHAMPION_WINS_TOLERANCE + 0.01, gained_elsewhere=0.2))
    assert verdict.gain.low > 0
    assert (verdict.decision, verdict.rule) == ("keep", "")
    assert verdict.reason.startswith(f"it is too much worse on {CHAMPION_WINS}: -0.06 [")
    assert verdict.reason.endswith("on 30, -0.05 is tolerated")
    assert verdict.more is None  # more ratings would not fix that


def test_a_decrease_within_the_tolerance_is_promoted_and_reported():
    verdict = decide(*champion_won(30, lost_there=CHAMPION_WINS_TOLERANCE - 0.01, gained_elsewhere=0.2))
    assert verdict.decision == "promote"
    assert [(each.name, each.n, each.has_regressed) for each in verdict.regressions] == [(CHAMPION_WINS, 30, False)]


def test_a_small_regression_set_is_reported_and_forbids_nothing():
    challenger = champion_won(MIN_REGRESSION - 1, lost_there=0.2, gained_elsewhere=0.2)
    assert decide(*challenger).decision == "promote"
    assert decide(*champion_won(MIN_REGRESSION, lost_there=0.2, gained_elsewhere=0.2)).decision == "keep"


def test_a_fall_on_general_queries_is_not_promoted():
    before = np.full(MIN_REGRESSION, 0.7)
    fallen = (before - GENERAL_TOLERANCE - 0.01, before)
    verdict = decide(EVEN + 0.2, EVEN, EVEN, general=fallen)
    assert verdict.decision == "keep"
    assert GENERAL in verdict.reason
    assert decide(EVEN + 0.2, EVEN, EVEN, general=(before - GENERAL_TOLERANCE + 0.01, before)).decision == "promote"


def test_duels_do_not_make_up_for_a_broken_regression_set():
    before = np.full(MIN_REGRESSION, 0.7)
    assert decide(NEARLY, MANY, MANY, online=duels(100, 0), general=(before - 0.1, before)).decision == "keep"


def test_a_keep_says_how_many_more_ratings_would_decide_it():
    challenger = EVEN + 0.02 + NOISE
    needed = queries_to_enough(decide(challenger, EVEN, EVEN).evidence, challenger - EVEN)
    assert needed is not None
    held = decide(challenger, EVEN, EVEN)
    assert held.more == pytest.approx(needed / HELD_OUT_SHARE, abs=5)
    assert f"about {held.more} more rated questions would decide it" in held.reason


def test_cross_fitted_every_rated_question_more_is_one_more_to_judge_by():
    challenger = EVEN + np.tile([0.3, -0.2], 30)
    verdict = decide(challenger, EVEN, EVEN, kind="cross-fitted")
    assert verdict.more == queries_to_enough(verdict.evidence, challenger - EVEN)


def test_cross_fitting_ends_where_the_share_of_the_hash_is_enough():
    challenger = EVEN + np.tile([0.21, -0.19], 30)
    verdict = decide(challenger, EVEN, EVEN, kind="cross-fitted")
    needed = queries_to_enough(verdict.evidence, challenger - EVEN)
    assert needed is not None
    assert 60 + needed > ENOUGH_HELD_OUT / HELD_OUT_SHARE
    assert verdict.more == pytest.approx((60 + needed) / HELD_OUT_SHARE - 60, abs=1)


def test_without_a_gain_no_more_ratings_are_requested():
    verdict = decide(EVEN - 0.1, EVEN, EVEN)
    assert verdict.more is None
    assert "more ratings of the same kind would not change that" in verdict.reason


def test_ahead_is_a_challenger_that_lacks_nothing_but_evidence():
    base = np.full(40, 0.5)
    ahead = base + np.where(np.arange(40) % 4, 0.0, 0.1)
    assert decide(ahead, base, base).decision == "keep"
    assert decide(ahead, base, base).is_ahead
    assert not decide(base, base, base).is_ahead
    assert not decide(base - 0.01, base, base).is_ahead
    assert not decide(ahead[:9], base[:9], base[:9]).is_ahead  # too few queries to tell
    broken = (base - 0.1, base)
    assert not decide(ahead, base, base, general=broken).is_ahead


def test_no_held_out_query_at_all_is_a_keep():
    nothing = np.array([])
    assert decide(nothing, nothing, nothing).decision == "keep"


def test_the_verdict_is_one_greppable_line():
    promoted = decide(EVEN + 0.1, EVEN, EVEN - 0.1)
    assert promoted.line("v7", "v6") == (
        "VERDICT: promote v7 | ndcg@10 0.60, champion 0.50 (+0.10 [+0.10, +0.10]), base 0.40 | "
        "evidence 47.8 of 20 | n=60 held out"
    )
    assert decide(EVEN, EVEN, EVEN, kind="cross-fitted").line("v7", "v6").endswith("| n=60 cross-fitted")
    kept = decide(EVEN - 0.1, EVEN, EVEN)
    assert kept.line("v7", "v6").startswith("VERDICT: keep v6, not v7 | ndcg@10 0.40, champion 0.50 (-0.10 [")
