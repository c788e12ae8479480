"""Suggest unrated questions on which the two arms disagree most (query by committee: Seung, Opper, Sompolinsky 1992).

Why disagreement: where both arms find the same chunks, a rating cannot tell them apart, and there are many such
questions. Trap: nonsense divides a committee best, so a suggested question must be answerable: a past one whose answer
cited something, or one made from a chunk and worded as people ask.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from rag.answering.service import QueryService
from rag.models.arms import ServedModel
from rag.records import ARMS, Answer, Rating, SyntheticPair, normalise_query

MOST = 200  # questions compared at a time: two seconds on one core with the built-in model, once for a pair of models
MOST_PAST = 100  # of them past questions, the latest; the rest are made from the documents
MOST_CHARS = 120  # a chip on a phone holds three lines
KINDS = ("questions", "llm", "definition", "heading")  # best first; a cloze is a sentence of the text, and no question
ASKS = re.compile(r"what (?:is|are|does) ", re.IGNORECASE)  # of the definitions: others are bare terms


@dataclass
class _Compared:
    """The cache for one pair of models: query -> disagreement, and the candidate questions at a stamp of the store.

    `ended` is when they were read, `took` for how many seconds.
    """

    pair: tuple[str, ...] = ()
    stamp: tuple[int, ...] = ()
    asked: list[str] = field(default_factory=list)
    headings: set[str] = field(default_factory=set)
    known: dict[str, float] = field(default_factory=dict)
    ended: float = 0.0
    took: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)


_compared: WeakKeyDictionary[QueryService, _Compared] = WeakKeyDictionary()


def suggest(serving: QueryService, n: int, without: Collection[str] = (), share: float = 1.0) -> list[str]:
    """Return at most n unrated questions, those first on which the arms disagree most; none where they never do.

    People do not ask in headings, so headings come last. Questions in `without` are left out. Takes seconds for a new
    pair of models, so keep it off the event loop; results are cached. What was asked and rated since is read at most
    as often as takes this `share` of one core. Raises StoreFailed, or BadModel from a remote embedder.
    """
    served = [serving.served(arm) for arm in ARMS]
    if len({each.embedder.query_fingerprint for each in served}) == 1:
        return []
    compared = _compared.setdefault(serving, _Compared())
    with compared.lock:
        _bring_up_to_date(compared, serving, served, share)
        asked, headings, known = compared.asked, compared.headings, dict(compared.known)
    left_out = {normalise_query(query) for query in without}
    best = sorted(asked, key=lambda query: (query in headings, -known[query]))  # stable: equals stay as they came
    return [query for query in best if known[query] and normalise_query(query) not in left_out][:n]


def disagreement(ids: Sequence[str], others: Sequence[str]) -> float:
    """Return how far two rankings differ, from 0 (the same) to 1 (nothing in common).

    1 - average overlap (Fagin, Kumar and Sivakumar 2003): the share of common ids at depth 1, 2, ... k, averaged, so
    that the first places count the most.
    """
    depth = max(len(ids), len(others))
    shares = [len(set(ids[:d]) & set(others[:d])) / d for d in range(1, depth + 1)]
    return 1 - sum(shares) / depth if depth else 0.0


def unrated(answers: Iterable[Answer], rated: Collection[str]) -> list[str]:
    """Return the queries that have an answer with a citation and are not rated, the latest first."""
    latest = sorted(answers, key=lambda answer: (answer.at, answer.id), reverse=True)
    return _distinct(each.query for each in latest if each.rests_on and normalise_query(each.query) not in rated)


def rated_queries(answers: Iterable[Answer], ratings: Iterable[Rating]) -> set[str]:
    """Return the normalised queries with a rating of an answer, a chunk, or a duel."""
    given = [rating for rating in ratings if rating.value]
    targets = {rating.target_id for rating in given}
    by_name = {normalise_query(rating.query) for rating in given if rating.query}
    return by_name | {normalise_query(each.query) for each in answers if targets & {each.id, each.duel}}


def readable(synthetic: Iterable[SyntheticPair], chunk_ids: Collection[str]) -> list[str]:
    """Return the synthetic queries of indexed chunks that people would ask; the best worded ones first."""
    fits = [
        pair
        for pair in synthetic
        if pair.origin in KINDS
        and pair.chunk_id in chunk_ids
        and (pair.origin != "definition" or ASKS.match(pair.query))
    ]
    return _distinct(pair.query for pair in sorted(fits, key=lambda pair: (KINDS.index(pair.origin), pair.id)))


def _bring_up_to_date(compared: _Compared, serving: QueryService, served: Sequence[ServedModel], share: float) -> None:
    """Compare the questions added since the last time, or all of them where a model changed."""
    pair = tuple(each.embedder.query_fingerprint for each in served)
    if compared.pair != pair:
        compared.pair, compared.stamp, compared.known = pair, (), {}
    elif time.monotonic() < compared.ended + compared.took * (1 / share - 1):
        return
    stamp = serving.store.stamp()
    if compared.stamp == stamp:
        return
    began = time.monotonic()
    compared.asked, compared.headings = _candidates(serving)
    new = [query for query in compared.asked if query not in compared.known]
    compared.known |= dict(zip(new, _disagreements(serving, served, new), strict=True))
    compared.stamp, compared.ended = stamp, time.monotonic()
    compared.took = compared.ended - began


def _candidates(serving: QueryService) -> tuple[list[str], set[str]]:
    """Return the questions to choose from, the best worded ones first, and which of them are headings."""
    store = serving.store
    chunk_ids = store.chunks.ids(serving.served("base").table)
    answers = store.feedback.answers()
    rated = rated_queries(answers, store.feedback.ratings())
    past = unrated((each for each in answers if any(hit.chunk.id in chunk_ids for hit in each.hits)), rated)
    closed = rated | {normalise_query(answer.query) for answer in answers}
    synthetic = store.feedback.synthetic()
    made = [query for query in readable(synthetic, chunk_ids) if normalise_query(query) not in closed]
    asked = [query for query in [*past[:MOST_PAST], *made] if len(query) <= MOST_CHARS][:MOST]
    return asked, {pair.query for pair in synthetic if pair.origin == "heading"}


def _disagreements(serving: QueryService, arms: Sequence[ServedModel], queries: list[str]) -> list[float]:
    """Return for each query how far the two arms' dense rankings differ."""
    if not queries:
        return []
    rankings = [
        serving.store.chunks.search_ids(served.table, served.embedder.embed_queries(queries), serving.settings.k)
        for served in arms
    ]
    return [disagreement(ids, others) for ids, others in zip(*rankings, strict=True)]


def _distinct(queries: Iterable[str]) -> list[str]:
    """Return queries once each, in their order."""
    first: dict[str, str] = {}
    for query in queries:
        first.setdefault(normalise_query(query), query)
    return list(first.values())
