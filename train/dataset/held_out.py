"""Choose which queries are held out: by groups that share a passage, for ever; each new query joins its group's side.

Why groups: where several queries share a passage, holding out single queries makes the others leaks, and leaks are
lost (docs/decisions/0036-hold-out-by-groups.md). Why in the order of the labels: a query's side follows from the labels
before it and those that it got in a row, so that no label of another query changes it. Why what versions were trained
on counts first: a query gets one more label, labels are withdrawn, documents cut differently, and the groups change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from rag.records import ID_LENGTH, Pair, content_id, normalise_query
from train.dataset.near_duplicates import alike_pairs

HELD_OUT_SHARE = (
    0.2  # with few queries all others are tested by cross-fitting (train.dataset.folds); past 500, 100 are enough
)
FULL = 0.1  # of the queries so far: a held-out group of this size takes no further passage
ALWAYS_ROOM = 10  # queries; below that a group is small, whatever its share
SURE = 0.5  # a thumb is shared among the passages that an answer cites: a small share is too unreliable to test with


@dataclass(frozen=True, slots=True)
class Known:
    """The sides of queries that earlier versions settled, as keys (`key_of`); `trained` has their chunk ids by key."""

    trained: Mapping[str, frozenset[str]] = field(default_factory=dict)
    held: frozenset[str] = frozenset()


NOTHING_KNOWN = Known()


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Normalised queries that are never trained on: those that `judge`, and those put `aside`.

    A query is put aside where it is held out, but one of its passages was trained on before it had this label.
    """

    judge: frozenset[str] = frozenset()
    aside: frozenset[str] = frozenset()

    def __contains__(self, query: str) -> bool:
        key = normalise_query(query)
        return key in self.judge or key in self.aside

    def judges(self, query: str) -> bool:
        """Return whether a query may be a test query."""
        return normalise_query(query) in self.judge


NOTHING_HELD_OUT = HeldOut()


@dataclass(slots=True)
class _Sides:
    """The sides dealt so far. A passage on the held-out side has its group, named by the group's first query."""

    copies: dict[str, set[str]]
    queries: dict[str, bool] = field(default_factory=dict)  # query -> held out
    trained: set[str] = field(default_factory=set)  # passages
    groups: dict[str, str] = field(default_factory=dict)  # held-out passage -> group
    sizes: Counter[str] = field(default_factory=Counter)

    def near(self, passages: Iterable[str]) -> set[str]:
        """Return the passages and their near duplicates."""
        given = set(passages)
        return given.union(*(self.copies.get(each, set()) for each in given))

    def is_held(self, query: str, passages: Sequence[str]) -> bool:
        """Return whether a query is held out: as before, else as its passages are, else by its own hash."""
        if query in self.queries:
            return self.queries[query]
        near = self.near(passages)
        if near & self.trained:
            return False
        if groups := {self.groups[each] for each in near if each in self.groups}:
            room = max(ALWAYS_ROOM, FULL * len(self.queries))
            return self.groups.keys() >= set(passages) or all(self.sizes[group] < room for group in groups)
        return is_held_out(query)

    def train(self, query: str, passages: Iterable[str]) -> None:
        """Put a query on the training side, with those passages that no held-out query has: its others are leaks."""
        self.queries[query] = False
        self.trained.update(each for each in passages if self.groups.keys().isdisjoint(self.near([each])))

    def hold(self, query: str, passages: Sequence[str]) -> None:
        """Put a query on the held-out side, with those passages that no training query has."""
        near = sorted(self.near(passages))
        group = next((self.groups[each] for each in near if each in self.groups), query)
        self.sizes[group] += query not in self.queries
        self.queries[query] = True
        for each in passages:
            if each not in self.trained:
                self.groups.setdefault(each, group)


def hold_out_groups(pairs: Sequence[Pair], known: Known = NOTHING_KNOWN) -> HeldOut:
    """Return which queries are held out; `pairs` are in the order in which they were labelled.

    Labels that a query got in a row, such as the passages of one thumb, count as one. A query takes the side of the
    passages it shares with queries before it (a near duplicate counts as the passage), and without any that of its own
    hash. A query with passages on both sides is trained on, where that is no leak.
    """
    reliable = {(normalise_query(pair.query), pair.positive_id) for pair in most_reliable(pairs)}
    sides = _Sides(_copies(pairs))
    runs = [
        (query, [pair.positive_id for pair in run])
        for query, run in groupby(pairs, key=lambda pair: normalise_query(pair.query))
    ]
    for query, passages in runs:  # what a version was trained on comes before all else
        before = known.trained.get(key_of(query))
        if before is not None:  # where the documents were cut differently since, none of its chunks is left
            sides.train(query, before.intersection(passages) or passages)
    for query, passages in runs:
        if query not in sides.queries and key_of(query) in known.held:
            sides.hold(query, [each for each in passages if (query, each) in reliable])
    for query, passages in runs:
        sure = [each for each in passages if (query, each) in reliable]
        if sides.is_held(query, sure):
            sides.hold(query, sure)
        else:
            sides.train(query, passages)
    return _result(sides, reliable)


def most_reliable(pairs: Sequence[Pair]) -> list[Pair]:
    """Return for each query the pairs with at least SURE times the weight of its heaviest pair."""
    best: dict[str, float] = {}
    for pair in pairs:
        key = normalise_query(pair.query)
        best[key] = max(best.get(key, 0.0), pair.weight)
    return [pair for pair in pairs if pair.weight >= SURE * best[normalise_query(pair.query)]]


def is_held_out(query: str) -> bool:
    """Return whether the hash of a query alone holds it out. Deterministic: depends only on the normalised query."""
    share: float = int(key_of(query), 16) / 16**ID_LENGTH
    return share < HELD_OUT_SHARE


def key_of(query: str) -> str:
    """Return the key under which a query's side is remembered: a hash of its normalised text."""
    return content_id("held out", normalise_query(query))


def _copies(pairs: Sequence[Pair]) -> dict[str, set[str]]:
    """Return chunk id -> ids of the labelled chunks whose texts are near duplicates."""
    ids: dict[str, set[str]] = {}
    for pair in pairs:
        ids.setdefault(pair.positive, set()).add(pair.positive_id)
    copies: dict[str, set[str]] = {}
    for one, other in alike_pairs(sorted(ids), ids):
        for each in ids[one]:
            copies.setdefault(each, set()).update(ids[other])
    return copies


def _result(sides: _Sides, reliable: Iterable[tuple[str, str]]) -> HeldOut:
    passages: dict[str, set[str]] = {}
    for query, passage in reliable:
        passages.setdefault(query, set()).add(passage)
    held = {query for query, is_held in sides.queries.items() if is_held}
    aside = {query for query in held if sides.near(passages[query]) & sides.trained}
    return HeldOut(frozenset(held - aside), frozenset(aside))
