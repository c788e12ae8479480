"""Share each thumb up among the cited chunks, with the BM25 rank as independent evidence; decide which pairs may judge.

Why BM25: a thumb up says that one of several chunks was right, not which. Keyword search is independent of the models,
so a cited chunk that it also ranks first earned the thumb (docs/log.md). And raters only judge what is shown: a chunk
that the champion ranked first was shown because of the champion, and judging by it favours the champion. What keyword
search ranks first is shown whatever the models rank, so those pairs judge.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from rag.records import MARKED, PREFERRED, Answer, Hit, Label, LabelledPair, Pair, Rating, normalise_query
from rag.store.store import Store

Used = TypeVar("Used", bound=Hashable)  # a rank, or a chunk id
RankOf = Callable[[str, str], int]  # query, chunk id -> its BM25 rank, from 1; DEPTH where it is not ranked

SHOWN = ("rating", "mark", "preference")  # origins of labels of what a retriever has shown
DEPTH = 20  # BM25 ranks that count; further down they say nothing
FALL = 0.5  # of the share from one used chunk to the next; of four, the first held the answer in 58% of cases, then
# 19, 13 and 9 (docs/log.md): an answer opens with what answers best
STANDS_OUT = 0.5  # of a thumb: with less, another chunk is as likely to have earned it


class KeywordRanks:
    """BM25 ranks of chunks for rated queries. Remembered per query, as long as the documents stay the same."""

    def __init__(self, store: Store, table: str) -> None:
        self.table = table
        self._store, self._lock = store, threading.Lock()
        self._versions: tuple[int, int] | None = None
        self._ranks: dict[str, dict[str, int]] = {}

    def of(self, labels: Iterable[LabelledPair]) -> RankOf:
        """Search for the queries that raters judged, and return the rank of a chunk for one of them."""
        rated = judged_queries(labels)
        with self._lock:
            if rated:
                self._search(rated)
            ranks = {key: self._ranks[key] for key in rated}
        return lambda query, chunk_id: ranks.get(normalise_query(query), {}).get(chunk_id, DEPTH)

    def _search(self, queries: dict[str, str]) -> None:
        versions = self._store.chunks.versions(self.table)
        if versions != self._versions:
            self._versions, self._ranks = versions, {}
        for key in queries.keys() - self._ranks.keys():
            found = self._store.chunks.keyword_scores(self.table, queries[key], DEPTH)
            self._ranks[key] = {chunk_id: rank for rank, chunk_id in enumerate(found, start=1)}


def judged_queries(labels: Iterable[LabelledPair]) -> dict[str, str]:
    """Return normalised query -> query, of those for which raters judged an answer or a passage that was shown."""
    return {normalise_query(x.query): x.query for x in labels if x.label and x.origin in SHOWN}


def credited_ranks(answer: Answer) -> tuple[int, ...]:
    """Return the ranks of the hits that a rating of an answer credits or blames, in the order of use."""
    from rag.answering.evidence.attribution import credited_numbers  # loads numpy, which `rag stats` can do without

    return credited_numbers(answer)


def label_of(rating: Rating, answer: Answer, hit: Hit, label: Label, weight: float, *, cited: bool) -> LabelledPair:
    """Return the label that a rating of an answer, a source or a duel gives to a hit of an answer."""
    made = LabelledPair(
        rater=rating.rater,
        answer_id=answer.id,
        query=answer.query,
        chunk_id=hit.chunk.id,
        text=hit.chunk.text,
        label=label,
        at=rating.at,
        origin="rating",
        weight=weight,
        cited=cited,
        rank=hit.rank,
        score=hit.score,
        arm=answer.arm,
        model=answer.model,
        side=answer.side,
        blind=rating.blind,
        reason=rating.reason,
    )
    if rating.kind == "preference":
        return replace(made, answer_id=PREFERRED + rating.target_id, origin="preference")
    return replace(made, answer_id=MARKED + answer.id, origin="mark") if rating.kind == "source" else made


def shares_in_order(used: Sequence[Used]) -> dict[Used, float]:
    """Return the share of one rating up for each hit that an answer drew on, in the order of use; they sum to 1."""
    raw = [FALL**nth for nth in range(len(used))]
    return {each: share / sum(raw) for each, share in zip(used, raw, strict=True)}


def unranked(query: str, chunk_id: str) -> int:
    """Return the rank of a chunk that keyword search does not find."""
    return DEPTH


def share_thumbs(labels: Sequence[LabelledPair], rank_of: RankOf) -> tuple[list[LabelledPair], list[LabelledPair]]:
    """Return the labels with the shares of each thumb up weighted by BM25 rank, and apart from them the doubtful ones.

    Doubtful are labels of chunks with less than half of a thumb: nobody knows whether these were right. Where documents
    were cut differently since, two cited chunks may be one now; that one gets both shares. A preference is shared in
    the same way, within its own weight; what gets less than half of it is left out, and what both answers rest on takes
    its share without a label.
    """
    ups: dict[tuple[str, str], list[LabelledPair]] = {}
    for label in labels:
        if _is_shared(label):
            ups.setdefault((label.rater, label.answer_id), []).append(label)
    shares = {label_id: share for group in ups.values() for label_id, share in _shares(group, rank_of).items()}
    wholes = {label.id: sum(each.weight for each in group) for group in ups.values() for label in group}
    counted: list[LabelledPair] = []
    doubtful: list[LabelledPair] = []
    for label in labels:
        if not _is_shared(label) or not label.label:
            counted.append(label)
        elif share := shares.pop(label.id, 0.0):  # once for two that are one
            whole = wholes[label.id] if label.origin == "preference" else 1.0
            if share >= STANDS_OUT:
                counted.append(replace(label, weight=share * whole))
            elif label.origin == "rating":
                doubtful.append(replace(label, weight=share))
    return counted, doubtful


def may_judge(pairs: Iterable[Pair], labels: Iterable[LabelledPair], rank_of: RankOf, explore: int) -> list[Pair]:
    """Return the pairs with `judges` set: False where raters only saw the chunk because a model ranked it.

    `explore` is how many BM25 hits an answer shows. With none every pair judges, as there is nothing better.
    """
    sought = {normalise_query(x.query) for x in labels if x.label == 1 and x.origin in ("import", "taught")}

    def was_shown_anyway(pair: Pair) -> bool:
        key = normalise_query(pair.query)
        return not explore or key in sought or rank_of(pair.query, pair.positive_id) <= explore

    return [replace(pair, judges=was_shown_anyway(pair)) for pair in pairs]


def _is_shared(label: LabelledPair) -> bool:
    """Return whether a label is one of those that share a thumb up, or a preference."""
    if label.origin == "preference":
        return label.label != -1 and label.cited
    return label.origin == "rating" and label.label == 1 and label.cited


def _shares(group: Sequence[LabelledPair], rank_of: RankOf) -> dict[str, float]:
    """Return label id -> share of the one thumb or preference."""
    raw: dict[str, float] = {}
    for label in group:
        raw[label.id] = raw.get(label.id, 0.0) + label.weight / rank_of(label.query, label.chunk_id)
    return {label_id: value / sum(raw.values()) for label_id, value in raw.items()}
