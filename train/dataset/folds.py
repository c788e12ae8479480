"""Choose the test queries: those held out by hash or, while these are few, all rated queries by cross-fitting.

Why a fold measures a recipe, not weights: the version that will serve is trained on all folds, so testing it on them
would be leakage. Its recipe is retrained without each fold in turn. The champion's recipe is retrained in the same way,
since the champion may have been trained on the test queries of a fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rag.evaluation.intervals import Groups
from rag.records import Chunk, Pair, Qrels, content_id, normalise_query
from train.dataset.held_out import NOTHING_HELD_OUT, HeldOut, hold_out_groups
from train.dataset.near_duplicates import connected
from train.dataset.split import Split, hold_out, split

ENOUGH_HELD_OUT = 100  # queries; at the spread that was measured (0.29) ndcg@10 is then known to 6 points either way
FOLDS = 4  # each recipe is trained on three quarters of the pairs; more folds cost a training each, for little more

EvaluationKind = Literal["held out", "cross-fitted"]


@dataclass(frozen=True, slots=True)
class EvaluationSplits:
    """The train/test splits of one training. The first is made by the hash; the challenger is trained on its `train`.

    Each further split is a fold, for which the recipes are retrained. A query is in `held_out` of one split only.
    `never_trained` are the queries that no version may be trained on, whether they judge or not.
    """

    kind: EvaluationKind
    splits: tuple[Split, ...]
    never_trained: HeldOut = NOTHING_HELD_OUT

    @property
    def main(self) -> Split:
        """Return the split by hash of the query."""
        return self.splits[0]

    @property
    def qrels(self) -> Qrels:
        """Return the test queries of all splits, split by split."""
        return Qrels(
            {query: ids for part in self.splits for query, ids in part.held_out.relevant.items()},
            {query: ids for part in self.splits for query, ids in part.held_out.judged.items()},
        )


def plan_splits(
    pairs: Sequence[Pair], extra: Sequence[Pair], chunks: Sequence[Chunk], held_out: HeldOut | None = None
) -> EvaluationSplits:
    """Return the split alone that holds out by hash where it has ENOUGH_HELD_OUT queries, else that and folds.

    A pair whose chunk answers a held-out query is in no `train`; its query is tested in a fold like any other.
    `held_out` is made from the pairs where no version has been trained before. Raises NotEnoughFeedback where a split
    would have nothing to train on.
    """
    held_out = held_out or hold_out_groups(pairs)
    main = split(pairs, extra, chunks, held_out)
    if len(main.held_out) >= ENOUGH_HELD_OUT:
        return EvaluationSplits("held out", (main,), held_out)
    folds = assign_folds([pair for pair in pairs if pair.judges and not held_out.judges(pair.query)])
    return EvaluationSplits(
        "cross-fitted", (main, *(hold_out(fold, main.train, main.extra, chunks) for fold in folds)), held_out
    )


def assign_folds(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Return the pairs in up to FOLDS folds of about equal size in queries; their order does not matter.

    Queries that share a relevant chunk, or near duplicates of one, go into the same fold: in different folds, each
    would remove the others' pairs from training as leaks. A group of more than half of the queries is distributed all
    the same, else its fold would be trained on the few that are left.
    """
    by_query: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_query.setdefault(normalise_query(pair.query), []).append(pair)
    folds: list[list[str]] = [[] for _ in range(FOLDS)]
    for group in sorted(query_groups(pairs), key=lambda group: (-len(group), content_id("fold", group[0]))):
        min(folds, key=len).extend(group)
    return [[pair for query in fold for pair in by_query[query]] for fold in folds if fold]


def query_groups(pairs: Sequence[Pair]) -> list[list[str]]:
    """Return groups of normalised queries that share a chunk, or near duplicates of one; a giant one is divided.

    A group of more than half of the queries is divided into its queries.
    """
    groups = connected(pairs)
    total = sum(map(len, groups))
    return [part for group in groups for part in ([[query] for query in group] if 2 * len(group) > total else [group])]


def groups_of(qrels: Qrels, chunks: Sequence[Chunk]) -> Groups:
    """Return a number for each test query, shape (queries,), the same for those that share a relevant chunk.

    Confidence intervals resample these groups: queries on one passage succeed or fail together.
    """
    texts = {chunk.id: chunk.text for chunk in chunks}
    pairs = [Pair(query, each, texts[each]) for query, relevant in qrels.relevant.items() for each in sorted(relevant)]
    numbers = {query: number for number, group in enumerate(query_groups(pairs)) for query in group}
    return np.array([numbers[normalise_query(query)] for query in qrels.relevant], dtype=np.int64)
