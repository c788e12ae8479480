"""Tests that hold at every look, by hand and by simulation."""

import math

import numpy as np
import pytest

from rag.evaluation.evidence import DECIDES, NO_EVIDENCE, Evidence
from rag.evaluation.sequential import add_training, log_e_value, queries_to_enough, share_sequence

HISTORIES, QUERIES = 400, 300
NEVER_WORSE = 0.05 + 2 * math.sqrt(0.05 * 0.95 / HISTORIES)  # two standard errors of the simulation


def ids(n: int) -> list[str]:
    return [str(number) for number in range(n)]


def test_an_e_value_is_the_mixture_of_constant_stakes():
    difference = np.array([1.0, -0.5])
    capital = [1.0, 1.15 * 0.925, 1.4 * 0.8, 1.8 * 0.6]
    by_hand = 0.05 * capital[0] + 0.1 * capital[1] + 0.425 * (capital[2] + capital[3])
    assert log_e_value(difference) == pytest.approx(math.log(by_hand))
    assert log_e_value(difference[::-1]) == pytest.approx(math.log(by_hand))
    assert log_e_value(np.array([])) == pytest.approx(0)


def test_the_same_challenger_in_steps_is_the_same_evidence_as_at_once():
    difference = np.random.default_rng(0).normal(0.05, 0.3, 60).clip(-1, 1)
    steps = NO_EVIDENCE
    for n in (20, 21, 60):
        steps = add_training(steps, ids(n), difference[:n])
    at_once = add_training(NO_EVIDENCE, ids(60), difference)
    assert steps.better == pytest.approx(at_once.better)
    assert (steps.trainings, at_once.trainings) == (3, 1)


def test_without_a_gain_a_daily_look_rarely_finds_enough_whatever_the_challengers():
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(HISTORIES):
        so_far = NO_EVIDENCE
        for n in range(50, QUERIES, 10):  # each time another challenger, on old and new queries
            so_far = add_training(so_far, ids(n), rng.choice([-0.4, 0.0, 0.4], n))
            if so_far.is_enough:
                found += 1
                break
    assert found / HISTORIES <= NEVER_WORSE


def test_queries_on_one_passage_are_evidence_as_one():
    each = np.array([0.5, 0.1, -0.2])
    of_groups = np.repeat(each, 4)
    groups = np.repeat(np.arange(3), 4)
    together = add_training(NO_EVIDENCE, ids(12), of_groups, groups)
    assert together.better == pytest.approx(add_training(NO_EVIDENCE, ids(3), each).better)
    assert len(together.queries) == 12


def test_without_a_gain_large_groups_rarely_make_enough():
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(HISTORIES):
        groups = np.repeat(np.arange(QUERIES // 5), 5)
        difference = rng.choice([-0.4, 0.0, 0.4], QUERIES // 5)[groups]  # five queries a passage, all alike
        found += any(
            add_training(NO_EVIDENCE, ids(n), difference[:n], groups[:n]).is_enough for n in range(50, QUERIES, 10)
        )
    assert found / HISTORIES <= NEVER_WORSE


def test_a_share_of_one_half_rarely_leaves_its_confidence_sequence():
    rng = np.random.default_rng(2)
    left = 0
    for _ in range(HISTORIES):
        won = (rng.random(QUERIES) < 0.5).cumsum()
        ends = [share_sequence(int(won[n - 1]), n) for n in range(5, QUERIES, 5)]
        left += any(not end.low <= 0.5 <= end.high for end in ends)
    assert left / HISTORIES <= NEVER_WORSE


def test_a_confidence_sequence_is_wider_than_an_interval_for_one_look():
    sequence = share_sequence(14, 20)
    assert (round(sequence.low, 2), sequence.mean, round(sequence.high, 2)) == (0.38, 0.7, 0.92)
    assert share_sequence(0, 5).low == 0
    assert share_sequence(5, 5).high == 1
    assert share_sequence(6, 20).low == pytest.approx(1 - sequence.high)
    assert (share_sequence(0, 0).low, share_sequence(0, 0).high) == (0, 1)


def test_how_many_more_queries_decide():
    even = np.tile([0.4, -0.2], 10)
    assert queries_to_enough(Evidence(better=math.log(DECIDES)), even) == 0
    assert queries_to_enough(NO_EVIDENCE, -even) is None
    growth = max((math.log(1 + 0.4 * stake) + math.log(1 - 0.2 * stake)) / 2 for stake in (0.15, 0.4, 0.8))
    assert queries_to_enough(NO_EVIDENCE, even) == math.ceil(math.log(20) / growth)


def test_evidence_reads_as_so_much_of_what_is_needed():
    assert str(Evidence(better=math.log(7.38))) == "7.4 of 20"
    assert str(Evidence(better=2000, needed=25)) == "over 1,000 of 25"


def test_new_queries_on_a_passage_that_was_counted_add_no_evidence():
    """They succeed or fail with those that were counted: what they will show is known beforehand."""
    groups = np.array([0, 1, 2, 0, 1, 2, 0])
    first = add_training(NO_EVIDENCE, ids(3), np.full(3, 0.3), groups[:3])
    again = add_training(first, ids(7), np.full(7, 0.3), groups)
    assert again.better == pytest.approx(first.better)
    other = add_training(first, ids(4), np.full(4, 0.3), np.arange(4))
    assert other.better > first.better


def test_without_a_gain_queries_that_share_passages_rarely_are_enough():
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(HISTORIES):
        groups = rng.integers(0, 40, QUERIES)
        difference = (rng.choice([-0.4, 0.0, 0.4], 40)[groups] + rng.normal(0, 0.1, QUERIES)).clip(-1, 1)
        so_far = NO_EVIDENCE
        for n in range(50, QUERIES, 25):
            so_far = add_training(so_far, ids(n), difference[:n], groups[:n])
        found += so_far.is_enough
    assert found / HISTORIES <= NEVER_WORSE
