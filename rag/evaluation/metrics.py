"""The arithmetic of better: what a ranking is worth, and whether a difference between two of them is more than luck.

Everything here is pure. A metric is kept per query, because two models are judged on the same queries: the
difference per query has a far smaller spread than either mean, and its bootstrap interval is what the gate reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
from numpy.typing import NDArray

from rag.records import Qrels

Values = NDArray[np.float64]  # one number per query, in the order of the qrels

GATE = (
    "ndcg@10"  # the metric that decides: it sees every rank, so it needs about half the queries that hit_rate@5 needs
)
MIN_QUERIES = 50  # rated, to train on; below this a gain is a lottery: between -1.2 and +5.5 points (docs/log.md)
NORMAL_95 = 1.96  # standard errors from the middle to either end of a 95% interval
RESAMPLES = 5000
BLOCK = 512  # resamples drawn at once: 512 x 10,000 queries are 40 MB of indices


def hit_rate(ranked: Sequence[str], relevant: AbstractSet[str], k: int) -> float:
    """Return 1 if one of the first k is relevant, else 0."""
    return float(any(chunk_id in relevant for chunk_id in ranked[:k]))


def mrr(ranked: Sequence[str], relevant: AbstractSet[str], k: int) -> float:
    """Return 1 / the rank of the first relevant one among the first k, else 0."""
    return next((1 / rank for rank, chunk_id in enumerate(ranked[:k], 1) if chunk_id in relevant), 0.0)


def ndcg(ranked: Sequence[str], relevant: AbstractSet[str], k: int) -> float:
    """Return the discounted gain of the first k over that of a perfect ranking (Järvelin and Kekäläinen 2002)."""
    gains = [1 / np.log2(rank + 1) for rank, chunk_id in enumerate(ranked[:k], 1) if chunk_id in relevant]
    perfect = [1 / np.log2(rank + 1) for rank in range(1, min(len(relevant), k) + 1)]
    return float(sum(gains) / sum(perfect)) if perfect else 0.0


METRICS: dict[str, Callable[[Sequence[str], AbstractSet[str]], float]] = {
    "hit_rate@1": lambda ranked, relevant: hit_rate(ranked, relevant, 1),
    "hit_rate@5": lambda ranked, relevant: hit_rate(ranked, relevant, 5),
    "mrr@10": lambda ranked, relevant: mrr(ranked, relevant, 10),
    GATE: lambda ranked, relevant: ndcg(ranked, relevant, 10),
}


def evaluate_run(run: Mapping[str, Sequence[str]], qrels: Qrels) -> dict[str, Values]:
    """Return each metric's value per query of the qrels, in their order; a query that the run lacks counts 0."""
    return {
        name: np.array([metric(run.get(query, ()), relevant) for query, relevant in qrels.relevant.items()], np.float64)
        for name, metric in METRICS.items()
    }


def judged_for(qrels: Qrels, query: str) -> frozenset[str]:
    """Return the chunks that somebody judged for a query, the relevant ones among them."""
    return qrels.judged.get(query, frozenset()) | qrels.relevant[query]


def unjudged_share(run: Mapping[str, Sequence[str]], qrels: Qrels, k: int) -> float:
    """Return which share of the first k hits nobody judged: they count as wrong, and some of them may be right."""
    hits = [(query, chunk_id) for query in qrels.relevant for chunk_id in run.get(query, ())[:k]]
    unjudged = sum(chunk_id not in judged_for(qrels, query) for query, chunk_id in hits)
    return unjudged / len(hits) if hits else 0.0


def condense(run: Mapping[str, Sequence[str]], qrels: Qrels) -> tuple[dict[str, list[str]], Qrels]:
    """Return the run without the hits that nobody judged, and the qrels it can be judged by (Sakai 2007).

    These are the queries with a chunk judged wrong as well: where only right ones are known, the first is always right.
    """
    telling = [query for query, relevant in qrels.relevant.items() if judged_for(qrels, query) > relevant]
    judged = {query: judged_for(qrels, query) for query in telling}
    known = {query: [chunk_id for chunk_id in run.get(query, ()) if chunk_id in judged[query]] for query in telling}
    return known, Qrels({query: qrels.relevant[query] for query in telling}, judged)
