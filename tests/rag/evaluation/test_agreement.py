"""Krippendorff's alpha, against his own example, calculations by hand and the `krippendorff` package."""

from __future__ import annotations

import krippendorff
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rag.evaluation import agreement as measure
from rag.evaluation.agreement import Agreement, alpha

# a table of raters x targets: what each rater said of each target, None where nothing
TABLES = st.integers(2, 5).flatmap(
    lambda raters: st.lists(
        st.lists(st.sampled_from([None, None, "+", "-", "0"]), min_size=raters, max_size=raters),
        min_size=1,
        max_size=12,
    )
)


Judged = list[tuple[str, str, str]]  # target, rater, value


def said(*rows: str) -> Judged:
    """Return judgements of rows like "one: ann+ bob-", a target each."""
    return [
        (target, name[:-1], name[-1]) for target, names in (row.split(":") for row in rows) for name in names.split()
    ]


def agreement(judged: Judged) -> Agreement:
    return measure.agreement(*([each[place] for each in judged] for place in range(3)))


def test_alpha_of_krippendorffs_own_example_is_0_743():
    # Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section C: nominal data, four observers
    observers = ["123321412***", "1233224125*3", "*3332342251*", "12332441251*"]
    counts = [[sum(row[unit] == value for row in observers) for value in "12345"] for unit in range(12)]
    counts = [row for row in counts if sum(row) > 1]
    assert alpha(np.array(counts, dtype=float)) == pytest.approx(0.743, abs=0.0005)


@settings(max_examples=50)  # each computes 2,000 bootstrap draws
@given(table=TABLES)
@example(table=[["+", "+"], ["+", None]])
@example(table=[["+", "+", "-"], [None, "-", "-"], [None, None, "+"]])
def test_alpha_is_that_of_the_krippendorff_package_also_with_missing_judgements(table):
    judged = [
        (str(target), str(rater), value) for target, row in enumerate(table) for rater, value in enumerate(row) if value
    ]
    counts = np.array([[row.count(value) for value in "+-0"] for row in table])
    pairable = counts[counts.sum(axis=1) > 1]
    found = agreement(judged)
    if (pairable.sum(axis=0) > 0).sum() < 2:  # one value or none: undefined
        assert found.alpha is None
    else:
        assert found.alpha
        assert found.alpha.mean == pytest.approx(
            krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"), abs=1e-9
        )


def test_two_raters_who_always_agree_have_an_alpha_of_one():
    found = agreement(said("one: ann+ bob+", "two: ann- bob-", "three: ann+ bob+"))
    assert (found.targets, found.raters, found.judgements, found.same) == (3, 2, 6, 1.0)
    assert found.alpha
    assert (found.alpha.mean, found.alpha.low, found.alpha.high) == (1.0, 1.0, 1.0)


def test_alpha_by_hand():
    # four targets, one disagreement: observed 2/8; values 5 times + and 3 times -: expected 2 * 5 * 3 / (8 * 7)
    found = agreement(said("a: ann+ bob+", "b: ann+ bob+", "c: ann- bob-", "d: ann+ bob-"))
    assert found.same == pytest.approx(0.75)
    assert found.alpha
    assert found.alpha.mean == pytest.approx(1 - (2 / 8) / (30 / 56))
    assert found.alpha.low < found.alpha.mean < found.alpha.high


def test_raters_who_always_differ_are_below_chance():
    found = agreement(said("a: ann+ bob-", "b: ann- bob+"))
    assert found.alpha
    assert found.alpha.mean == pytest.approx(1 - 1 / (2 / 3))


def test_alpha_is_undefined_if_all_judgements_are_the_same():
    found = agreement(said("a: ann+ bob+", "b: ann+ bob+"))
    assert (found.same, found.alpha) == (1.0, None)


def test_a_target_that_one_rater_judged_counts_for_nothing():
    assert agreement(said("a: ann+", "b: bob-")) == agreement([])
    assert agreement(said("a: ann+ bob+", "b: ann- bob-", "c: eve+")).raters == 2


def test_the_last_judgement_of_a_rater_counts():
    changed = [*said("a: ann- bob+", "b: ann- bob-"), ("a", "ann", "+")]
    assert agreement(changed).same == 1.0


def test_the_interval_is_the_same_at_each_call():
    judged = said("a: ann+ bob+", "b: ann+ bob-", "c: ann- bob-")
    assert agreement(judged) == agreement(judged)
