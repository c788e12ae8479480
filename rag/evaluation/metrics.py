"""Retrieval metrics per query: hit_rate@k, mrr@k, ndcg@k, and the share of unjudged hits.

Why per query: two models are evaluated on the same queries, and the difference per query varies far less than either
metric. The promotion gate uses the paired bootstrap interval of that difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
from numpy.typing import NDArray

from rag.records import Qrels

Values = NDArray[np.float64]  # one number per query, in the order of the qrels

GATE = "ndcg@10"  # the deciding metric: it uses every rank and needs about half as many queries as hit_rate@5
MIN_QUERIES = 50  # rated queries to train on; with fewer the gain is mostly noise: -1.2 to +5.5 points (docs/log.md)


def hit_rate(ranked: Sequence[str], relevant: AbstractSet[str], k: int) -> float:
    """Return 1 if a relevant chunk is among the first k, else 0."""
    return float(any(chunk_id in relevant for chunk_id in ranked[:k]))


def mrr(ranked: Sequence[str], relevant: AbstractSet[str], k: int) -> float:
    """Return the reciprocal rank of the first relevant chunk among the first k, else 0."""
    return next((1 / rank for rank, chunk_id in enumerate(ranked[:k], 1) if chunk_id in relevant), 0.0)


def ndcg(ranked: Sequence[str], relevant: AbstractSet[str], k: int) -> float:
    """Return the normalised discounted cumulative gain of the first k (Järvelin and Kekäläinen 2002)."""
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
    """Return metric -> values of shape (queries,), in the order of the qrels; a query missing in the run counts 0."""
    return {
        name: np.array([metric(run.get(query, ()), relevant) for query, relevant in qrels.relevant.items()], np.float64)
        for name, metric in METRICS.items()
    }


def judged_for(qrels: Qrels, query: str) -> frozenset[str]:
    """Return the chunks that were judged for a query, including the relevant ones."""
    return qrels.judged.get(query, frozenset()) | qrels.relevant[query]


def unjudged_share(run: Mapping[str, Sequence[str]], qrels: Qrels, k: int) -> float:
    """Return the share of unjudged chunks among the first k hits: they count as wrong, but some may be relevant."""
    hits = [(query, chunk_id) for query in qrels.relevant for chunk_id in run.get(query, ())[:k]]
    unjudged = sum(chunk_id not in judged_for(qrels, query) for query, chunk_id in hits)
    return unjudged / len(hits) if hits else 0.0


def condense(run: Mapping[str, Sequence[str]], qrels: Qrels) -> tuple[dict[str, list[str]], Qrels]:
    """Return the run without unjudged hits, and the qrels that can evaluate it: condensed lists (Sakai 2007).

    Only queries with a chunk judged not relevant are kept: with relevant ones alone, the first hit is always relevant.
    """
    usable = [query for query, relevant in qrels.relevant.items() if judged_for(qrels, query) > relevant]
    judged = {query: judged_for(qrels, query) for query in usable}
    known = {query: [chunk_id for chunk_id in run.get(query, ()) if chunk_id in judged[query]] for query in usable}
    return known, Qrels({query: qrels.relevant[query] for query in usable}, judged)
