"""A weight is learnt from the queries that it helps, held to the usual one, and never judges what taught it."""

from __future__ import annotations

import numpy as np
import pytest

from rag.records import Qrels
from train.judging.evaluate import Run
from train.judging.fusion_weight import (
    FOLDS,
    MIN_LEARNING,
    TUNED_WEIGHT,
    WEIGHTS,
    LearntWeight,
    learn_weight,
    ranked_by,
)

# The embeddings rank right, near, far.
COSINES = {"right": 0.5, "near": 0.3, "far": 0.1}
MISLED, HELPED = {"near": 9.0}, {"far": 9.0, "right": 6.0}


def learnt(
    *found: dict[str, float], relevant: str = "right", groups: list[int] | None = None, usual: float = TUNED_WEIGHT
) -> LearntWeight:
    queries = [f"q{n}" for n in range(len(found))]
    qrels = Qrels({query: frozenset({relevant}) for query in queries})
    by_query = dict(zip(queries, found, strict=True))
    runs = {8: Run({}, 0, 0.0, dict.fromkeys(queries, COSINES)), 4: Run({}, 0, 0.0)}
    numbers = np.array(groups or range(len(found)))
    return learn_weight(runs, by_query.__getitem__, qrels, numbers, usual)


def test_where_keywords_mislead_the_cosine_gets_more_weight() -> None:
    # near has w * 1.3 / 1.5 + 1 - w, right has w: right is ahead at 0.9 and 0.95, the latter in a safer neighbourhood
    found = learnt(*[MISLED] * 120)
    assert found.weight == 0.95
    assert set(found.of_query.values()) == {found.weight}
    assert found.n == 120


def test_where_keywords_know_the_answer_the_cosine_gets_less_weight() -> None:
    # far has w * 1.1 / 1.5 + 1 - w, right has w + (1 - w) * 6 / 9: far is ahead up to 0.55, safely up to 0.5
    assert learnt(*[HELPED] * 120, relevant="far").weight == 0.5


@pytest.mark.parametrize("usual", [0.7, 0.75])
def test_where_every_weight_ranks_alike_the_usual_one_stays(usual: float) -> None:
    assert learnt(*[{"right": 9.0}] * 120, usual=usual).weight == usual


def test_too_few_queries_teach_no_weight() -> None:
    found = learnt(*[MISLED] * (MIN_LEARNING - 1), usual=0.7)
    assert found.weight == 0.7
    assert set(found.of_query.values()) == {0.7}
    assert f"need {MIN_LEARNING}" in found.summary()


def test_a_query_is_ranked_by_the_weight_of_the_other_groups() -> None:
    """One passage with many queries that keywords mislead: its own fold must not learn from it."""
    mislead, plain = 60, 60
    found = learnt(*[MISLED] * mislead, *[{"right": 9.0}] * plain, groups=[0] * mislead + list(range(1, plain + 1)))
    assert found.weight == 0.95
    assert {found.of_query[f"q{n}"] for n in range(mislead)} == {TUNED_WEIGHT}
    others = {found.of_query[f"q{n}"] for n in range(mislead, mislead + plain)}
    assert found.weight in others
    assert len(others) <= FOLDS


def test_runs_are_ranked_again_by_each_querys_weight() -> None:
    keywords = {"a": MISLED, "b": MISLED}
    runs = {8: Run({"a": [], "b": []}, 7, 0.5, {"a": COSINES, "b": COSINES})}
    again = ranked_by(runs, keywords.__getitem__, {"a": 0.95, "b": 0.7})
    assert again[8].ranked == {"a": ["right", "near", "far"], "b": ["near", "right", "far"]}
    assert (again[8].index_bytes, again[8].search_ms) == (7, 0.5)


@pytest.mark.parametrize("weight", [WEIGHTS[0], WEIGHTS[-1]])
def test_the_summary_names_both_shares(weight: float) -> None:
    line = LearntWeight(weight, 120, {}).summary()
    assert line.startswith(f"hybrid search by {weight:.0%} cosine and {1 - weight:.0%} keyword score: learnt from 120")
