"""Compute the scoreboard from ratings, answers and chunks: win rates over time and by document, coverage, biases.

Why the numbers agree: all count the same duels, those decided blind in which the arms showed different chunks
(rag.evaluation.win_rates). Every group comes with its size, and nothing is claimed of small groups.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from rag.columns import AnswerColumns, Flags, Numbers, RatingColumns, codes, distinct
from rag.evaluation.agreement import Agreement, agreement
from rag.evaluation.bradley_terry import Ranking, rank_models
from rag.evaluation.coverage import Coverage, measure_coverage, normalised
from rag.evaluation.duel_columns import (
    BASE,
    TUNED,
    WINNERS,
    Compared,
    DuelColumns,
    OutcomeColumns,
    count_by_winner,
    decide,
    pair_up,
)
from rag.evaluation.gaps import Gap, find_gaps
from rag.evaluation.intervals import Interval, share_interval
from rag.evaluation.win_rates import WinRate, rate_of
from rag.heading_path import PATH_SEPARATOR
from rag.records import Chunk, normalise_query

LEAST = 10  # duels; with fewer, a group's interval is wider than half the scale, and nothing is claimed of it
GROUPS = 20  # the largest are shown: among more, several would look significant by chance
DAYS = 35  # a longer history is grouped by week
EPOCH_WEEKDAY = 3  # 1 January 1970 was a Thursday
NO_DUELS = (0,) * len(WINNERS)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Counts of duels, ratings and raters. `same` counts duels whose arms had the same chunks or the same answer."""

    duels: int
    same: int
    decided: int
    ratings: int
    raters: int


@dataclass(frozen=True, slots=True)
class Period:
    """A day, or a week from Monday: its win rate, that of all duels up to its end, the versions in its duels."""

    start: date
    rate: WinRate
    so_far: WinRate
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """The duels in which one of the answers cited this document or topic."""

    name: str
    rate: WinRate

    @property
    def is_small(self) -> bool:
        """Return whether the group is too small for a claim."""
        return self.rate.n < LEAST


@dataclass(frozen=True, slots=True)
class Groups:
    """The largest groups, and how many others there are."""

    shown: tuple[Group, ...]
    others: int


@dataclass(frozen=True, slots=True)
class Bias:
    """How often, of n duels, the side or answer won that a bias would favour. A share of 0.5 means no bias."""

    won: int
    n: int
    share: Interval


@dataclass(frozen=True, slots=True)
class Biases:
    """Rater biases. The last two are tuned's win rate in duels in which its answer is the longer or the shorter one."""

    side_a: Bias
    longer: Bias
    tuned_longer: Bias
    tuned_shorter: Bias


@dataclass(frozen=True, slots=True)
class Scoreboard:
    """All numbers of the scoreboard. `tuned` is the serving version, `current` its win rate, `overall` that of all."""

    sizes: Sizes
    tuned: str
    current: WinRate
    overall: WinRate
    versions: Mapping[str, WinRate]
    ranking: Ranking
    trend: tuple[Period, ...]
    by_week: bool
    documents: Groups
    topics: Groups
    coverage: Coverage
    gaps: Sequence[Gap]
    agreements: Mapping[str, Agreement]
    biases: Biases


def make_scoreboard(
    ratings: RatingColumns,
    answers: AnswerColumns,
    chunks: Sequence[Chunk],
    solved: Iterable[str],
    *,
    base: str,
    tuned: str,
    compared: Compared | None = None,
) -> Scoreboard:
    """Return the scoreboard. `chunks` are those of the current documents, `solved` queries with a known relevant chunk.

    `base` and `tuned` name the models that serve the arms now; `base` is the reference of the strengths. `compared` has
    the answers that earlier calls have compared, and gets those of this one.
    """
    solved = set(solved)
    queries, spellings = normalised(answers.queries)
    duels = pair_up(answers, compared)
    found = decide(ratings, duels)
    by_week = bool(len(found)) and bool(found.at[-1] - found.at[0] > np.timedelta64(DAYS, "D"))
    versions, names = codes(duels.models[found.duels].tolist())
    rates = dict(zip(names, map(rate_of, count_by_winner(found.winners, versions, len(names))), strict=True))
    topic_of = topics_of([*chunks, *answers.chunks])
    return Scoreboard(
        _sizes(ratings, duels, found),
        tuned,
        rates.get(tuned, rate_of(NO_DUELS)),
        rate_of(np.bincount(found.winners, minlength=len(WINNERS))),
        {model: rates[model] for model in sorted(rates)},
        ranking_of(duels, found, base),
        trend(duels, found, by_week=by_week),
        by_week,
        group(duels, found, [chunk.source for chunk in answers.chunks]),
        group(duels, found, [topic_of(chunk) for chunk in answers.chunks]),
        measure_coverage(chunks, answers, ratings, solved, queries, spellings),
        find_gaps(answers, ratings, solved, (queries, spellings)),
        agreements(ratings, duels, found, queries),
        biases(duels, found),
    )


def ranking_of(duels: DuelColumns, found: OutcomeColumns, base: str) -> Ranking:
    """Return the ranking of all models. If `base` has no duels, the most frequent base model is the reference."""
    models = duels.answers.models
    winner, loser = decided(duels, found)
    wins = Counter(zip(models[winner].tolist(), models[loser].tolist(), strict=True))
    bases = Counter(models[duels.base[found.duels]].tolist())
    reference = base if base in bases or not bases else bases.most_common(1)[0][0]
    return rank_models(wins, reference)


def trend(duels: DuelColumns, found: OutcomeColumns, *, by_week: bool) -> tuple[Period, ...]:
    """Return the periods with decided duels, oldest first, each with the cumulative win rate."""
    days = found.at.astype("datetime64[D]")
    starts = days - (days.astype(np.int64) + EPOCH_WEEKDAY) % 7 if by_week else days
    periods, places = np.unique(starts, return_inverse=True)
    counts = count_by_winner(found.winners, places, len(periods))
    models: list[set[str]] = [set() for _ in periods]
    for place, model in set(zip(places.tolist(), duels.models[found.duels], strict=True)):
        models[place].add(model)
    columns = (periods.tolist(), counts, counts.cumsum(axis=0), models)
    return tuple(
        Period(start, rate_of(inside), rate_of(so_far), tuple(sorted(serving)))
        for start, inside, so_far, serving in zip(*columns, strict=True)
    )


def group(duels: DuelColumns, found: OutcomeColumns, names: Sequence[str]) -> Groups:
    """Return the win rate by the name of a chunk, largest first; `names` has one for each of the answers' chunks.

    A duel counts in every group that one of its answers cited. So groups overlap, and the winner has no influence on
    where a duel counts.
    """
    answers = duels.answers
    duel_of = np.full(len(answers), -1)
    for arm in (duels.base, duels.tuned):
        duel_of[arm] = np.arange(len(duels))
    numbers, groups = codes(names)
    hits = answers.hit_cited & (duel_of[answers.hit_answers] >= 0)
    many = len(groups) or 1
    pairs = distinct(duel_of[answers.hit_answers[hits]] * many + numbers[answers.hit_chunks[hits]])
    results = count_by_winner(found.winners, found.duels, len(duels))[pairs // many]
    counts = np.zeros((len(groups), len(WINNERS)), np.int64)
    np.add.at(counts, pairs % many, results)
    sizes = counts[:, [BASE, TUNED]].sum(axis=1)
    largest = sorted(np.flatnonzero(counts.sum(axis=1)).tolist(), key=lambda nth: (-sizes[nth], groups[nth]))
    shown = tuple(Group(groups[nth], rate_of(counts[nth])) for nth in largest[:GROUPS])
    return Groups(shown, max(0, len(largest) - GROUPS))


def topics_of(chunks: Iterable[Chunk]) -> Callable[[Chunk], str]:
    """Return a function that names a chunk's topic: its document, and the first heading level that differs there.

    That is the first level, unless everything is under one title.
    """
    shared: dict[str, Sequence[str]] = {}
    for source, heading in {(chunk.source, chunk.heading) for chunk in chunks if chunk.heading}:
        path = heading.split(PATH_SEPARATOR)
        shared[source] = _common(shared.get(source, path), path)

    def topic(chunk: Chunk) -> str:
        path = chunk.heading.split(PATH_SEPARATOR) if chunk.heading else []
        level = len(shared.get(chunk.source, []))
        return f"{chunk.source}: {path[level]}" if len(path) > level else chunk.source

    return topic


def agreements(
    ratings: RatingColumns, duels: DuelColumns, found: OutcomeColumns, queries: Numbers
) -> dict[str, Agreement]:
    """Return the agreement between raters by kind of judgement: answers, passages and duels.

    `queries` are the `normalised` ones of the answers.

    Raters ask their own questions, so two never rate the same row. The same target is the same query with the same
    answer, the same passage, or the same passages on both sides.
    """
    answers, shown = duels.answers, duels.shown
    order = np.argsort(ratings.at, kind="stable")
    order = order[ratings.values[order] != 0]
    places = {answer: nth for nth, answer in enumerate(answers.ids)}
    is_known = [target in places for target in ratings.targets[order]]
    thumbs = order[(ratings.kinds[order] == "answer") & np.array(is_known, bool)]
    rated = [places[target] for target in ratings.targets[thumbs]]
    kinds = ratings.kinds[order]
    marks = order[((kinds == "source") | (kinds == "taught")) & (ratings.queries[order] != "")]
    marked = zip(*(column[marks] for column in (ratings.queries, ratings.chunk_ids)), strict=True)
    base, tuned = duels.base[found.duels], duels.tuned[found.duels]
    taught = [(normalise_query(query), chunk) for query, chunk in marked]
    # one number for each target: a tuple for each of 100,000 takes three times as long
    (text, texts), (chunks, sets) = codes(answers.texts.tolist()), codes(shown)
    said = queries * len(texts) + text
    compared = (queries[base] * len(sets) + chunks[base]) * len(sets) + chunks[tuned]
    return {
        "answers": _agreement(said[rated].tolist(), ratings, thumbs),
        "passages": _agreement(taught, ratings, marks),
        "duels": agreement(compared.tolist(), found.raters.tolist(), found.winners.tolist()),
    }


def _agreement(targets: Sequence[Hashable], ratings: RatingColumns, judged: Numbers) -> Agreement:
    return agreement(targets, ratings.raters[judged].tolist(), ratings.values[judged].tolist())


def biases(duels: DuelColumns, found: OutcomeColumns) -> Biases:
    """Return how often side A won, how often the longer answer won, and whether tuned wins by its length."""
    answers = duels.answers
    winner, loser = decided(duels, found)
    lengths = np.fromiter(map(len, answers.texts), np.int64, len(answers))
    unequal = lengths[winner] != lengths[loser]
    longer = (lengths[winner] > lengths[loser])[unequal]
    tuned_won = (answers.arms[winner] == "tuned")[unequal]
    tuned_longer = longer == tuned_won
    return Biases(
        _bias(answers.sides[winner] == "A"),
        _bias(longer),
        _bias(tuned_won[tuned_longer]),
        _bias(tuned_won[~tuned_longer]),
    )


def decided(duels: DuelColumns, found: OutcomeColumns) -> tuple[Numbers, Numbers]:
    """Return the positions of winner and loser of each outcome with a winner."""
    won = found.winners[found.winners <= TUNED]
    arms = np.stack([duels.base, duels.tuned])[:, found.duels[found.winners <= TUNED]]
    nth = np.arange(len(won))
    return arms[won, nth], arms[1 - won, nth]


def _sizes(ratings: RatingColumns, duels: DuelColumns, found: OutcomeColumns) -> Sizes:
    standing = (ratings.values != 0) | (ratings.choices != "")
    same = len(duels) - int(duels.differ.sum())
    return Sizes(len(duels), same, len(found), int(standing.sum()), len(set(ratings.raters[standing])))


def _common(one: Sequence[str], other: Sequence[str]) -> list[str]:
    """Return the common beginning of two heading paths."""
    common = []
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        common.append(mine)
    return common


def _bias(won: Flags) -> Bias:
    times = int(won.sum())
    return Bias(times, len(won), share_interval(times, len(won)))
