"""Which queries judge a training: those that the hash holds out or, while these are few, every rated query once.

The idea a reader would miss: a fold judges a recipe, not weights. What is to serve learns from all folds, so it cannot
be judged on them; its recipe can, trained anew without each fold in turn. The champion's recipe has to enter in the
same way, since the champion itself may have learnt from the very queries that judge here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rag.records import Chunk, Pair, Qrels, content_id, normalise_query
from train.dataset.split import Split, connected, hold_out, is_held_out, split

ENOUGH_HELD_OUT = 100  # queries; at the spread that was measured (0.29) ndcg@10 is then known to 6 points either way
FOLDS = 4  # each recipe is trained on three quarters of the pairs; more folds cost a training each, for little more

TrialKind = Literal["held out", "cross-fitted"]


@dataclass(frozen=True, slots=True)
class EvaluationSplits:
    """By what a training is judged. The first split is the hash's: the challenger itself learns from its `train`.

    Each further split is a fold, for which the recipes are trained anew. A query is in `held_out` of one split only.
    """

    kind: TrialKind
    splits: tuple[Split, ...]

    @property
    def main(self) -> Split:
        """Return the split that the hash made."""
        return self.splits[0]

    @property
    def qrels(self) -> Qrels:
        """Return all that judges, split by split."""
        return Qrels(
            {query: ids for part in self.splits for query, ids in part.held_out.relevant.items()},
            {query: ids for part in self.splits for query, ids in part.held_out.judged.items()},
        )


def plan_splits(pairs: Sequence[Pair], extra: Sequence[Pair], chunks: Sequence[Chunk]) -> EvaluationSplits:
    """Return the trial that these pairs allow: by the hash alone where it holds out ENOUGH_HELD_OUT, else cross-fitted.

    A pair that leads to a chunk of the hash's queries teaches in no split, but its query judges in a fold like any
    other. Raises NotEnoughFeedback where a split would have nothing to train on.
    """
    main = split(pairs, extra, chunks)
    if len(main.held_out) >= ENOUGH_HELD_OUT:
        return EvaluationSplits("held out", (main,))
    folds = assign_folds([pair for pair in pairs if pair.judges and not is_held_out(pair.query)])
    return EvaluationSplits("cross-fitted", (main, *(hold_out(fold, main.train, main.extra, chunks) for fold in folds)))


def assign_folds(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Return the pairs in up to FOLDS folds of about as many queries, the same ones whatever order they come in.

    Queries that share a right chunk, or near copies of one, go together: apart, each would cost the others' folds their
    pairs. A group that holds more than half of the queries is dealt out all the same, else its fold would learn from
    the few that are left.
    """
    by_query: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_query.setdefault(normalise_query(pair.query), []).append(pair)
    folds: list[list[str]] = [[] for _ in range(FOLDS)]
    groups = [
        part
        for group in connected(pairs)
        for part in ([[query] for query in group] if 2 * len(group) > len(by_query) else [group])
    ]
    for group in sorted(groups, key=lambda group: (-len(group), content_id("fold", group[0]))):
        min(folds, key=len).extend(group)
    return [[pair for query in fold for pair in by_query[query]] for fold in folds if fold]
