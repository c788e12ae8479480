"""Which of the chunks that an answer drew on earned its thumb, and which pairs may judge: a second witness is heard.

Two ideas a reader would miss. A thumb says that one of several chunks was right, not which; a search by words knows
nothing of the models, so where it finds one of them first as well, that one it was (docs/log.md). And raters only see
what is shown: a chunk that the champion ranked first was found by construction, and to judge by it flatters the
champion. What the search by words ranks first is shown whatever the models rank, so by that they are judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from rag.records import LabelledPair, Pair, normalise_query

Witness = Callable[[str, str], int]  # query, chunk id -> its rank by words, from 1; DEPTH where it has none

DEPTH = 20  # ranks by words that count; past them words say nothing
STANDS_OUT = 0.5  # of a thumb: with less, another chunk is as likely to have earned it


def credit(labels: Sequence[LabelledPair], rank_of: Witness) -> tuple[list[LabelledPair], list[LabelledPair]]:
    """Return the labels with each thumb up shared anew, its chunks' shares counting by their rank by words; and apart
    from them those of chunks that get less than half of a thumb: nobody knows whether they were right or wrong.

    Where documents were cut anew, two chunks that an answer cited may be one now; that one has both shares.
    """
    ups: dict[tuple[str, str], list[LabelledPair]] = {}
    for label in labels:
        if _is_thumb_up(label):
            ups.setdefault((label.rater, label.answer_id), []).append(label)
    shares = {label_id: share for group in ups.values() for label_id, share in _shares(group, rank_of).items()}
    heard: list[LabelledPair] = []
    doubtful: list[LabelledPair] = []
    for label in labels:
        if not _is_thumb_up(label):
            heard.append(label)
        elif share := shares.pop(label.id, 0.0):  # once for two that are one
            (heard if share >= STANDS_OUT else doubtful).append(replace(label, weight=share))
    return heard, doubtful


def may_judge(pairs: Iterable[Pair], labels: Iterable[LabelledPair], rank_of: Witness, explore: int) -> list[Pair]:
    """Return the pairs, each told whether it may judge: not where a rater only saw the chunk since a model ranked it.

    `explore` is how many hits by words an answer shows. Without any, everything judges, for there is nothing better.
    """
    sought = {normalise_query(x.query) for x in labels if x.label == 1 and x.origin in ("import", "taught")}

    def was_seen_anyway(pair: Pair) -> bool:
        key = normalise_query(pair.query)
        return not explore or key in sought or rank_of(pair.query, pair.positive_id) <= explore

    return [replace(pair, judges=was_seen_anyway(pair)) for pair in pairs]


def _is_thumb_up(label: LabelledPair) -> bool:
    return label.origin == "rating" and label.label == 1 and label.cited


def _shares(group: Sequence[LabelledPair], rank_of: Witness) -> dict[str, float]:
    """Return by its id each label's share of the one thumb."""
    raw: dict[str, float] = {}
    for label in group:
        raw[label.id] = raw.get(label.id, 0.0) + label.weight / rank_of(label.query, label.chunk_id)
    return {label_id: value / sum(raw.values()) for label_id, value in raw.items()}
