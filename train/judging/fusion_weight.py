"""Learn a model's weight in hybrid search from the test queries, and judge each query by a weight learnt on others.

Why from test queries: on the queries that a model was trained on its cosines are too good, and the weight would trust
them too much. Why it may be one number only: it is fitted on some hundred queries, by which it is judged as well
(cross-fitting: each fold is ranked by the weight of the other folds).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rag.evaluation.intervals import Groups
from rag.evaluation.metrics import ndcg
from rag.records import Qrels, content_id
from rag.retrieval.fusion import combine
from train.judging.evaluate import POOL, KeywordSearch, Run, Runs

WEIGHTS = tuple(round(0.05 * n, 2) for n in range(6, 20))  # 0.3 to 0.95
FOLDS = 5
TUNED_WEIGHT = 0.75  # the usual one of a fine-tuned model, which deserves more trust than its start: docs/log.md
MIN_LEARNING = 100  # test queries; what 37 taught cost 0.02 ndcg@10 on other papers (docs/log.md)
STIFFNESS = 10.0  # how strongly a weight is held to the usual one: 0.1 away it must win 0.1 queries


@dataclass(frozen=True, slots=True)
class LearntWeight:
    """The share of the cosine in hybrid search, learnt from `n` queries where these are at least MIN_LEARNING.

    `of_query` has for each query the weight that was learnt without it and those that share a passage with it.
    """

    weight: float
    n: int
    of_query: Mapping[str, float]

    def summary(self) -> str:
        """Return one line for reports and the model card."""
        how = f"learnt from {self.n} test queries, each judged by a weight learnt on others"
        if self.n < MIN_LEARNING:
            how = f"the usual weights, since {self.n} test queries are too few to learn others, need {MIN_LEARNING}"
        return f"hybrid search by {self.weight:.0%} cosine and {1 - self.weight:.0%} keyword score: {how}"


def learn_weight(
    runs: Runs, keywords: KeywordSearch, qrels: Qrels, groups: Groups, usual: float = TUNED_WEIGHT
) -> LearntWeight:
    """Learn the weight of the model of these runs at its full dimension, held to the `usual` one.

    `groups` numbers queries that share a passage; the queries of a group go into the same fold.
    """
    if len(qrels) < MIN_LEARNING:
        return LearntWeight(usual, len(qrels), dict.fromkeys(qrels.relevant, usual))
    cosines = runs[max(runs)].cosines
    values = np.array(
        [
            [_ndcg(cosines[query], keywords(query), relevant, weight) for weight in WEIGHTS]
            for query, relevant in qrels.relevant.items()
        ]
    )
    folds = np.array([int(content_id("fusion", str(group)), 16) % FOLDS for group in groups])
    without = {fold: _best(values[folds != fold], usual) for fold in range(FOLDS)}
    of_query = {query: without[int(fold)] for query, fold in zip(qrels.relevant, folds, strict=True)}
    return LearntWeight(_best(values, usual), len(values), of_query)


def ranked_by(runs: Runs, keywords: KeywordSearch, of_query: Mapping[str, float]) -> Runs:
    """Return the runs with each query ranked by its weight."""

    def rank(run: Run) -> dict[str, list[str]]:
        return {
            query: list(combine(cosines, keywords(query), of_query[query]))[:POOL]
            for query, cosines in run.cosines.items()
        }

    return {dim: replace(run, ranked=rank(run)) for dim, run in runs.items()}


def _ndcg(cosines: Mapping[str, float], bm25: Mapping[str, float], relevant: frozenset[str], weight: float) -> float:
    return ndcg(list(combine(cosines, bm25, weight)), relevant, 10)


def _best(values: NDArray[np.float64], usual: float) -> float:
    """Return the weight of the best mean, smoothed over its neighbours, less the cost of its distance from the usual.

    `values` have shape (queries, weights).
    """
    if not len(values):  # all queries share a passage
        return usual
    means = np.pad(values.mean(axis=0), 1, mode="edge")
    smooth = (means[:-2] + means[1:-1] + means[2:]) / 3
    return WEIGHTS[int(np.argmax(smooth - STIFFNESS / len(values) * (np.array(WEIGHTS) - usual) ** 2))]
