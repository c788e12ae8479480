"""Divide the queries made from documents into those that judge a bootstrap and those that it is trained on.

Why by passages and not a share of the queries: training takes as many pairs as there is time for, so most passages
would neither teach nor judge. To judge costs one short query each, and what brings evidence is new passages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag.records import SyntheticPair, content_id, normalise_query
from train.dataset.held_out import is_held_out
from train.synthetic.from_documents import MOST_MADE

JUDGING_SHARE = 0.3  # of the passages that have a query; a small folder needs the others to learn from
MOST_PASSAGES = 400  # passages: embedding their queries by two models takes seconds


@dataclass(frozen=True, slots=True)
class SyntheticSplit:
    """Pairs that judge, pairs to train on by kind, and the normalised `queries` that judge, written ones included."""

    judging: Sequence[SyntheticPair]
    training: Sequence[Sequence[SyntheticPair]]
    queries: frozenset[str]


def divide(asked: Sequence[SyntheticPair], kinds: Sequence[Sequence[SyntheticPair]]) -> SyntheticSplit:
    """Return which synthetic pairs judge and which are trained on, at most MOST_MADE of each of the `kinds`.

    `asked` are questions that somebody wrote: those that their own hash holds out judge. Of the passages of the
    `kinds`, best kind first, a share judges, each by one query of its best kind. None of these passages is trained on,
    nor what the hash of its query holds out, which tests later trainings, too (`TrainingData.general`).
    """
    best: dict[str, SyntheticPair] = {}
    for kind in kinds:
        of_kind = {pair.chunk_id: pair for pair in sorted(kind, key=_rank, reverse=True)}
        best = of_kind | best
    drawn = sorted(best.values(), key=_rank)[: min(MOST_PASSAGES, round(JUDGING_SHARE * len(best)))]
    queries = {normalise_query(pair.query) for pair in drawn}
    judging = [pair for kind in kinds for pair in kind if normalise_query(pair.query) in queries]
    judged = {pair.chunk_id for pair in judging}
    training = [
        [pair for pair in kind if pair.chunk_id not in judged and not is_held_out(pair.query)][:MOST_MADE]
        for kind in kinds
    ]
    written = {normalise_query(pair.query) for pair in asked if is_held_out(pair.query)}
    return SyntheticSplit(judging, training, frozenset(queries | written))


def _rank(pair: SyntheticPair) -> tuple[bool, str]:
    """Return the order in which passages judge: first those whose query cannot be trained on, then by hash."""
    return not is_held_out(pair.query), content_id("judges", pair.chunk_id, pair.query)
