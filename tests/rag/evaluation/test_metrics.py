"""Metrics against values worked out by hand; confidence intervals with the promised coverage."""

import math

import numpy as np
import pytest

from rag.evaluation.intervals import Interval, Tally, paired_bootstrap, queries_needed, share_interval, win_tie_loss
from rag.evaluation.metrics import GATE, condense, evaluate_run, hit_rate, mrr, ndcg, unjudged_share
from rag.records import Qrels

RANKED = ["a", "b", "c", "d", "e", "f"]


def test_hit_rate_is_whether_one_of_the_first_k_is_relevant():
    assert hit_rate(RANKED, {"b"}, 1) == 0
    assert hit_rate(RANKED, {"b"}, 2) == 1
    assert hit_rate(RANKED, {"f"}, 5) == 0
    assert hit_rate(RANKED, {"zzz"}, 6) == 0


def test_mrr_is_one_over_the_rank_of_the_first_relevant_chunk():
    assert mrr(RANKED, {"a"}, 10) == 1
    assert mrr(RANKED, {"d", "b"}, 10) == 1 / 2
    assert mrr(RANKED, {"f"}, 5) == 0


def test_ndcg_of_one_relevant_chunk_is_its_discount():
    assert ndcg(RANKED, {"a"}, 10) == 1
    assert ndcg(RANKED, {"c"}, 10) == pytest.approx(1 / 2)  # 1 / log2(3 + 1)
    assert ndcg(RANKED, {"f"}, 5) == 0


def test_ndcg_of_several_relevant_chunks_is_divided_by_the_ideal():
    gained = 1 / math.log2(2) + 1 / math.log2(5)  # found at ranks 1 and 4
    perfect = 1 + 1 / math.log2(3) + 1 / 2  # three at ranks 1, 2, 3
    assert ndcg(RANKED, {"a", "d", "missing"}, 10) == pytest.approx(gained / perfect)
    assert ndcg(["a", "b"], {"a", "b"}, 10) == pytest.approx(1)


def test_ndcg_counts_no_more_relevant_chunks_than_fit_in_k():
    assert ndcg(["a"], {"a", "b", "c"}, 1) == 1


def test_a_run_is_evaluated_per_query_in_the_order_of_the_qrels():
    qrels = Qrels({"second": frozenset({"b"}), "first": frozenset({"a"}), "unanswered": frozenset({"a"})})
    values = evaluate_run({"first": RANKED, "second": RANKED}, qrels)
    assert list(values) == ["hit_rate@1", "hit_rate@5", "mrr@10", "ndcg@10"]
    assert values["hit_rate@1"].tolist() == [0, 1, 0]
    assert values["hit_rate@5"].tolist() == [1, 1, 0]
    assert values["mrr@10"].tolist() == [0.5, 1, 0]
    assert values[GATE].tolist() == pytest.approx([1 / math.log2(3), 1, 0])


def test_the_interval_depends_only_on_the_seed():
    rng = np.random.default_rng(7)
    a, b = rng.random(40), rng.random(40)
    assert paired_bootstrap(a, b) == paired_bootstrap(a, b)
    assert paired_bootstrap(a, b) != paired_bootstrap(a, b, seed=1)


def test_the_bootstrap_interval_is_close_to_the_normal_one_for_many_queries():
    rng = np.random.default_rng(3)
    a = rng.normal(0.5, 0.3, 2000)
    b = a - rng.normal(0.05, 0.4, 2000)
    interval = paired_bootstrap(a, b)
    half = 1.96 * (a - b).std(ddof=1) / math.sqrt(2000)
    assert interval.mean == pytest.approx((a - b).mean())
    assert interval.low == pytest.approx(interval.mean - half, abs=half / 10)
    assert interval.high == pytest.approx(interval.mean + half, abs=half / 10)


def test_the_interval_covers_the_true_difference_in_about_95_percent_of_samples():
    rng = np.random.default_rng(11)
    samples = 300
    differences = rng.normal(0.1, 0.3, (samples, 60))
    covered = sum(
        interval.low <= 0.1 <= interval.high
        for interval in (paired_bootstrap(row, np.zeros(60), resamples=1000) for row in differences)
    )
    assert 0.90 <= covered / samples <= 0.98


def test_pairing_narrows_the_interval():
    rng = np.random.default_rng(5)
    hardness = rng.random(100)
    a, b = hardness + 0.02, hardness
    interval = paired_bootstrap(a, b)
    assert interval.low == pytest.approx(0.02)
    assert interval.high == pytest.approx(0.02)
    shuffled = paired_bootstrap(a, rng.permutation(b))
    assert shuffled.high - shuffled.low > 0.1


def test_without_queries_the_interval_is_the_widest_possible():
    nothing = paired_bootstrap(np.array([]), np.array([]))
    assert nothing == Interval(0.0, -1.0, 1.0)


def test_values_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="not paired"):
        paired_bootstrap(np.zeros(3), np.zeros(4))


def test_every_query_is_a_win_a_tie_or_a_loss():
    a, b = np.array([1.0, 0.5, 0.1 + 0.2, 0.0]), np.array([0.0, 1.0, 0.3, 0.0])
    assert win_tie_loss(a, b) == Tally(wins=1, ties=2, losses=1)
    assert str(win_tie_loss(a, b)) == "1 won, 2 tied, 1 lost"


def test_an_interval_is_formatted_as_in_the_verdict():
    assert str(Interval(0.031, 0.0101, 0.0512)) == "+0.03 [+0.01, +0.05]"


SHOWN = Qrels(
    {"q": frozenset({"right"}), "only the right one was judged": frozenset({"a"})},
    {"q": frozenset({"right", "wrong"}), "only the right one was judged": frozenset({"a"})},
)


def test_the_unjudged_share_counts_hits_without_a_judgement():
    run = {"q": ["new", "wrong", "newer", "right"], "only the right one was judged": ["a", "b"]}
    assert unjudged_share(run, SHOWN, 2) == pytest.approx(2 / 4)  # "new" and "b" of four hits
    assert unjudged_share(run, SHOWN, 10) == pytest.approx(3 / 6)
    assert unjudged_share({}, SHOWN, 10) == 0


def test_relevant_chunks_count_as_judged():
    assert unjudged_share({"q": ["a", "b"]}, Qrels({"q": frozenset({"a"})}), 2) == pytest.approx(1 / 2)


def test_condensed_lists_do_not_penalise_unjudged_hits():
    finder = {"q": ["new", "newer", "right", "wrong"]}
    known = {"q": ["right", "wrong"]}
    plain = [evaluate_run(run, SHOWN)[GATE][0] for run in (finder, known)]
    judged = [evaluate_run(*condense(run, SHOWN))[GATE][0] for run in (finder, known)]
    assert plain == pytest.approx([1 / 2, 1])
    assert judged == pytest.approx([1, 1])


def test_condensed_lists_still_penalise_hits_judged_wrong():
    assert evaluate_run(*condense({"q": ["new", "wrong", "right"]}, SHOWN))["mrr@10"].tolist() == [1 / 2]


def test_condensed_lists_leave_out_queries_without_a_wrong_chunk():
    run, qrels = condense({"q": ["right"], "only the right one was judged": ["a"]}, SHOWN)
    assert set(run) == set(qrels.relevant) == {"q"}


def test_with_the_queries_needed_the_normal_interval_is_just_above_zero():
    rng = np.random.default_rng(1)
    difference = rng.normal(0.03, 0.29, 200)
    more = queries_needed(difference)
    assert more is not None

    def low(n: int) -> float:
        return float(difference.mean() - 1.96 * difference.std(ddof=1) / math.sqrt(n))

    assert low(200 + more) > 0 >= low(200 + more - 1)


def test_a_significant_gain_needs_no_more_queries_and_without_a_gain_none_help():
    assert queries_needed(np.full(10, 0.1)) == 0
    assert queries_needed(np.array([0.1, -0.2])) is None
    assert queries_needed(np.zeros(5)) is None
    assert queries_needed(np.array([1.0])) is None


def test_a_share_has_the_wilson_interval():
    interval = share_interval(7, 10)  # by hand: (0.7 + 1.92/10 +- 1.96 sqrt(0.21/10 + 0.96/100)) / (1 + 3.84/10)
    assert (interval.mean, interval.low, interval.high) == pytest.approx((0.7, 0.3968, 0.8922), abs=1e-4)


def test_a_share_of_all_is_not_certain_and_without_trials_unknown():
    assert share_interval(5, 5).low == pytest.approx(0.5655, abs=1e-4)
    assert share_interval(5, 5).high == pytest.approx(1)
    assert share_interval(0, 0) == Interval(0.5, 0.0, 1.0)
