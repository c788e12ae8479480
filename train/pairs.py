"""Rows of `training_pairs` -> one opinion per query and chunk -> pairs to train on and to judge with.

The idea a reader would miss: a label is believed only as far as the documents of today go. Its chunk is found by id, or
by its text where the documents were cut anew; where the text is gone, the label waits in its table, and is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rag.anchors import Anchors
from rag.records import Chunk, LabelledPair, Pair, SyntheticPair, normalise_query


@dataclass(frozen=True, slots=True)
class MadePairs:
    """What the labels came to. `lost` labels point at text that is gone, on `drawn` chunks the raters are split."""

    pairs: tuple[Pair, ...]
    lost: int
    drawn: int


def make_pairs(labels: Sequence[LabelledPair], chunks: Sequence[Chunk]) -> MadePairs:
    """Return a pair for each chunk that the raters found good for a query, with the chunks they found bad for it.

    Several raters and answers on one query and chunk: the sum of weighted labels decides, a draw drops the chunk. A
    query with negatives only makes no pair. A chunk that a good answer left uncited is only guessed to be bad: it is a
    negative where nobody cited it (the recipe that was measured best: docs/log.md).
    """
    anchors = Anchors(chunks)
    queries: dict[str, _Opinions] = {}
    lost = 0
    for label in sorted(labels, key=lambda label: (label.at, label.id)):
        chunk_id = anchors.find(label.chunk_id, label.text) if label.label else None
        if chunk_id is not None:
            queries.setdefault(normalise_query(label.query), _Opinions(label.query)).add(chunk_id, label)
        elif label.label:
            lost += 1
    drawn = sum(value == 0 for opinions in queries.values() for value in opinions.sums.values())
    pairs = tuple(pair for opinions in queries.values() for pair in _pairs_of(opinions, anchors.texts))
    return MadePairs(pairs, lost, drawn)


def synthetic_to_pairs(synthetic: Iterable[SyntheticPair]) -> list[Pair]:
    """Return the pairs of queries that nobody asked; their own text is kept, for a cloze lacks its sentence."""
    return [Pair(pair.query, pair.chunk_id, pair.text) for pair in synthetic]


@dataclass(frozen=True, slots=True)
class _Opinions:
    """A query as it was first spelt, per chunk the sum of what was said of it, and the chunks guessed to be bad."""

    query: str
    sums: dict[str, float] = field(default_factory=dict)
    guessed: dict[str, None] = field(default_factory=dict)

    def add(self, chunk_id: str, label: LabelledPair) -> None:
        if label.origin == "rating" and not label.cited:
            self.guessed[chunk_id] = None
        else:
            self.sums[chunk_id] = self.sums.get(chunk_id, 0.0) + label.label * label.weight


def _pairs_of(opinions: _Opinions, texts: dict[str, str]) -> list[Pair]:
    worst_first = sorted(opinions.sums.items(), key=lambda item: item[1])
    bad = [chunk_id for chunk_id, value in worst_first if value < 0]
    bad += [chunk_id for chunk_id in opinions.guessed if chunk_id not in opinions.sums]
    negatives = tuple(texts[chunk_id] for chunk_id in bad)
    good = [chunk_id for chunk_id, value in opinions.sums.items() if value > 0]
    return [Pair(opinions.query, chunk_id, texts[chunk_id], negatives) for chunk_id in good]
