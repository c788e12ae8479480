"""Find what the documents lack: questions that got no good answer, grouped by subject, most wanted first.

Why groups: one question without an answer is often one that search got wrong. Several about one subject, with none near
them that was answered, are a page that nobody has written. Two questions are on one subject if they share rare words
and were shown the same passages: what a retriever finds for want of better is much the same for all of them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rag.columns import AnswerColumns, Numbers, RatingColumns
from rag.evaluation.coverage import normalised
from rag.records import Chunk, normalise_query

MOST = 1000  # questions that are grouped, the latest ones: their similarities take a second
REFUSED, NOT_THERE, DOWN, BOTH_BAD, AGAIN = "refused", "not in the documents", "voted down", "both bad", "asked again"
# How strongly a signal says that nothing in the documents answers: a reason that a person gave most, a refusal by one
# arm only half of both, and a thumb down as likely means that the passage was not found.
WEIGHTS: Mapping[str, float] = {REFUSED: 1.0, NOT_THERE: 2.0, DOWN: 0.5, BOTH_BAD: 0.5, AGAIN: 0.5}
NEAR = 0.3  # similarity from which two questions are on one subject
PASSAGES = 0.5  # of the similarity comes from the passages shown, the rest from words
ANSWERED = 0.5  # what an answered question on the subject takes off a gap


@dataclass(frozen=True, slots=True)
class Gap:
    """A subject that the documents lack: its questions, most typical first, how much is wanted, and why.

    `signals` counts what said so. `near` is where the nearest passages stand, "source: heading".
    """

    questions: tuple[str, ...]
    weight: float
    signals: Mapping[str, int]
    near: str


class _Given(NamedTuple):
    """An answer that was given, with the chunks it was shown, best first."""

    id: str
    duel: str
    query: str
    abstained: bool
    chunks: Sequence[Chunk]


class _Said(NamedTuple):
    """A rating of an answer or of a duel."""

    kind: str
    value: int
    reason: str
    choice: str


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question as last typed, with its signals, the passages it was shown and whether it was answered."""

    query: str
    signals: Counter[str]
    hits: Mapping[str, float]
    near: str
    answered: bool

    @property
    def weight(self) -> float:
        return 0.0 if self.answered else sum(WEIGHTS[name] * n for name, n in self.signals.items())


def find_gaps(
    answers: AnswerColumns,
    ratings: RatingColumns,
    solved: Iterable[str],
    spelt: tuple[Numbers, Sequence[str]] | None = None,
) -> list[Gap]:
    """Return the gaps, most wanted first; `solved` are the queries with a known relevant chunk, which are none.

    `spelt` are the `normalised` queries of the answers, where they are known.
    A gap's weight is the sum of its questions' weights, less what answered questions near it take off.
    """
    spelt = spelt or normalised(answers.queries)
    asked = _asked(answers, ratings, {normalise_query(query) for query in solved}, *spelt)
    if not asked:
        return []
    similar = _similarity(asked)
    gaps = []
    for group in _groups(asked, similar):
        weight = sum(asked[row].weight for row in group)
        around = similar[group].max(axis=0)
        weight -= ANSWERED * sum(
            float(around[row]) for row, each in enumerate(asked) if each.answered and around[row] >= NEAR
        )
        if weight > 0:
            gaps.append(_gap([asked[row] for row in _typical_first(group, asked, similar)], weight))
    return sorted(gaps, key=lambda gap: (-gap.weight, gap.questions))


def _asked(
    answers: AnswerColumns, ratings: RatingColumns, solved: set[str], numbers: Numbers, names: Sequence[str]
) -> list[_Asked]:
    """Return the latest MOST questions, latest first."""
    latest_first = np.argsort(answers.at, kind="stable")[::-1]
    distinct, first = np.unique(numbers[latest_first], return_index=True)
    latest = distinct[np.argsort(first)[:MOST]]
    rows: dict[int, list[int]] = {number: [] for number in latest.tolist()}  # the latest answer of each first
    kept = latest_first[np.isin(numbers[latest_first], latest)]
    for row, number in zip(kept.tolist(), numbers[kept].tolist(), strict=True):
        rows[number].append(row)
    given = {number: [_given(answers, row) for row in reversed(mine)] for number, mine in rows.items()}
    said = _said(ratings, {target for mine in given.values() for each in mine for target in (each.id, each.duel)})
    return [_judge(mine, said, names[number] in solved) for number, mine in given.items()]


def _given(answers: AnswerColumns, row: int) -> _Given:
    first, end = np.searchsorted(answers.hit_answers, [row, row + 1])
    chunks = [answers.chunks[place] for place in answers.hit_chunks[first:end]]
    return _Given(answers.ids[row], answers.duels[row], answers.queries[row], bool(answers.abstained[row]), chunks)


def _said(ratings: RatingColumns, targets: set[str]) -> dict[str, list[_Said]]:
    """Return the ratings of these answers and duels."""
    found: dict[str, list[_Said]] = {}
    wanted: Numbers = np.flatnonzero([target in targets for target in ratings.targets.tolist()])
    for row in wanted.tolist():
        each = _Said(ratings.kinds[row], int(ratings.values[row]), ratings.reasons[row], ratings.choices[row])
        found.setdefault(ratings.targets[row], []).append(each)
    return found


def _judge(given: Sequence[_Given], said: Mapping[str, Sequence[_Said]], solved: bool) -> _Asked:
    duels = {answer.duel: [each for each in given if each.duel == answer.duel] for answer in given}
    of_answers = [rating for answer in given for rating in said.get(answer.id, ()) if rating.kind == "answer"]
    of_duels = [rating for duel in duels for rating in said.get(duel, ()) if rating.kind == "preference"]
    signals = Counter(
        {
            REFUSED: sum(all(answer.abstained for answer in duel) for duel in duels.values()),
            NOT_THERE: sum(rating.value == -1 and rating.reason == NOT_THERE for rating in of_answers),
            DOWN: sum(rating.value == -1 and rating.reason != NOT_THERE for rating in of_answers),
            BOTH_BAD: sum(rating.choice == "both bad" for rating in of_duels),
        }
    )
    good = any(rating.value == 1 for rating in of_answers) or any(
        rating.choice in ("base", "tuned", "tie") for rating in of_duels
    )
    answered = solved or good
    if len(duels) > 1 and not answered:
        signals[AGAIN] = len(duels) - 1
    hits: dict[str, float] = {}
    for answer in given:
        for rank, chunk in enumerate(answer.chunks, start=1):
            hits[chunk.id] = max(hits.get(chunk.id, 0.0), 1 / rank)
    first = next((chunk for answer in reversed(given) for chunk in answer.chunks), None)
    near = ": ".join(filter(None, [first.source, first.heading])) if first else ""
    return _Asked(given[-1].query, +signals, hits, near, answered)


def _similarity(asked: Sequence[_Asked]) -> NDArray[np.float64]:
    """Return the similarity of each pair of questions, 0 to 1: cosines of their words and of their passages."""
    words = _cosines([Counter(re.findall(r"\w+", each.query.casefold())) for each in asked])
    passages = _cosines([each.hits for each in asked])
    result: NDArray[np.float64] = (1 - PASSAGES) * words + PASSAGES * passages
    return result


def _cosines(rows: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
    """Return the cosines of weighted sets of features, each feature weighted by its rarity (tf-idf)."""
    from scipy.sparse import csr_array  # slow to import, and only this needs it

    spread = Counter(name for row in rows for name in row)
    columns = {name: number for number, name in enumerate(spread)}
    entries = [
        (number, columns[name], value * math.log((1 + len(rows)) / spread[name]))
        for number, row in enumerate(rows)
        for name, value in row.items()
    ]
    if not entries:
        return np.zeros((len(rows), len(rows)))
    numbers, places, values = (np.array(part) for part in zip(*entries, strict=True))
    lengths = np.sqrt(np.bincount(numbers, weights=values**2, minlength=len(rows)))
    unit = csr_array((values / np.maximum(lengths[numbers], np.finfo(np.float64).tiny), (numbers, places)))
    result: NDArray[np.float64] = np.zeros((len(rows), len(rows)))
    result[: unit.shape[0], : unit.shape[0]] = (unit @ unit.T).toarray()
    return result


def _groups(asked: Sequence[_Asked], similar: NDArray[np.float64]) -> list[list[int]]:
    """Return the rows of unanswered questions by subject (agglomerative clustering by average similarity)."""
    from scipy.cluster.hierarchy import fcluster, linkage  # takes a second to import

    rows = [row for row, each in enumerate(asked) if each.weight > 0]
    if len(rows) < 2:
        return [rows] if rows else []
    distance = 1 - similar[np.ix_(rows, rows)]
    pairs = distance[np.triu_indices(len(rows), 1)]
    groups: dict[int, list[int]] = {}
    for row, number in zip(rows, fcluster(linkage(np.maximum(pairs, 0), "average"), 1 - NEAR, "distance"), strict=True):
        groups.setdefault(int(number), []).append(row)
    return list(groups.values())


def _typical_first(group: Sequence[int], asked: Sequence[_Asked], similar: NDArray[np.float64]) -> list[int]:
    return sorted(group, key=lambda row: (-float(similar[row, list(group)].sum()), asked[row].query))


def _gap(questions: Sequence[_Asked], weight: float) -> Gap:
    signals = sum((each.signals for each in questions), Counter[str]())
    near = Counter(each.near for each in questions).most_common(1)[0][0]
    return Gap(tuple(each.query for each in questions), weight, dict(signals), near)
