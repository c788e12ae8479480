"""Compute the scoreboard from ratings, answers and chunks: win rates over time and by document, coverage, biases.

Why the numbers agree: all count the same duels, those decided blind in which the arms showed different chunks
(rag.evaluation.win_rates). Every group comes with its size, and nothing is claimed of small groups.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from rag.evaluation.agreement import Agreement, Judgement, agreement
from rag.evaluation.bradley_terry import Ranking, rank_models
from rag.evaluation.coverage import Coverage, measure_coverage
from rag.evaluation.intervals import Interval, share_interval
from rag.evaluation.win_rates import Outcome, Winner, WinRate, count, differ, outcomes_of, win_rate
from rag.heading_path import PATH_SEPARATOR
from rag.records import ARMS, Answer, Arm, Chunk, Rating, normalise_query

LEAST = 10  # duels; with fewer, a group's interval is wider than half the scale, and nothing is claimed of it
GROUPS = 20  # the largest are shown: among more, several would look significant by chance
DAYS = 35  # a longer history is grouped by week


@dataclass(frozen=True, slots=True)
class Duel:
    """A duel that one rater decided, with both answers."""

    outcome: Outcome
    arms: Mapping[Arm, Answer]


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
    agreements: Mapping[str, Agreement]
    biases: Biases


def make_scoreboard(
    ratings: Sequence[Rating],
    answers: Sequence[Answer],
    chunks: Sequence[Chunk],
    solved: Iterable[str],
    *,
    base: str,
    tuned: str,
) -> Scoreboard:
    """Return the scoreboard. `chunks` are those of the current documents, `solved` queries with a known relevant chunk.

    `base` and `tuned` name the models that serve the arms now; `base` is the reference of the strengths.
    """
    both = pair_up(answers)
    differing = {duel: arms for duel, arms in both.items() if differ(*arms.values())}
    found = outcomes_of(ratings, differing)
    duels = [Duel(outcome, both[outcome.duel]) for outcome in found]
    by_week = bool(found) and found[-1].at - found[0].at > timedelta(days=DAYS)
    return Scoreboard(
        _sizes(ratings, len(both), len(differing), found),
        tuned,
        win_rate(found, tuned),
        count([outcome.winner for outcome in found]),
        {model: win_rate(found, model) for model in sorted({outcome.model for outcome in found})},
        ranking_of(duels, base),
        trend(found, by_week=by_week),
        by_week,
        group(duels, lambda chunk: chunk.source),
        group(duels, topics_of([*chunks, *(hit.chunk for answer in answers for hit in answer.hits)])),
        measure_coverage(chunks, answers, ratings, solved),
        agreements(ratings, duels, answers),
        biases(duels),
    )


def pair_up(answers: Iterable[Answer]) -> dict[str, dict[Arm, Answer]]:
    """Return duel -> both answers, for the duels that have both."""
    duels: dict[str, dict[Arm, Answer]] = {}
    for answer in answers:
        duels.setdefault(answer.duel, {})[answer.arm] = answer
    return {duel: arms for duel, arms in duels.items() if len(arms) == len(ARMS)}


def ranking_of(duels: Sequence[Duel], base: str) -> Ranking:
    """Return the ranking of all models. If `base` has no duels, the most frequent base model is the reference."""
    wins = Counter((winner.model, loser.model) for winner, loser in decided(duels))
    bases = Counter(duel.arms["base"].model for duel in duels)
    reference = base if base in bases or not bases else bases.most_common(1)[0][0]
    return rank_models(wins, reference)


def trend(found: Sequence[Outcome], *, by_week: bool) -> tuple[Period, ...]:
    """Return the periods with decided duels, oldest first, each with the cumulative win rate."""
    periods: dict[date, list[Outcome]] = {}
    for outcome in found:
        periods.setdefault(_start(outcome.at, by_week), []).append(outcome)
    result, before = [], list[Winner]()
    for start, inside in sorted(periods.items()):
        winners = [outcome.winner for outcome in inside]
        before += winners
        models = tuple(sorted({each.model for each in inside}))
        result.append(Period(start, count(winners), count(before), models))
    return tuple(result)


def group(duels: Iterable[Duel], name_of: Callable[[Chunk], str]) -> Groups:
    """Return the win rate by group, largest first. A duel counts in every group that one of its answers cited.

    So groups overlap, and the winner has no influence on where a duel counts.
    """
    winners: dict[str, list[Winner]] = {}
    for duel in duels:
        for name in {name_of(chunk) for answer in duel.arms.values() for chunk in _cited(answer)}:
            winners.setdefault(name, []).append(duel.outcome.winner)
    largest = sorted(winners.items(), key=lambda item: (-sum(winner in ARMS for winner in item[1]), item[0]))
    return Groups(
        tuple(Group(name, count(results)) for name, results in largest[:GROUPS]), max(0, len(largest) - GROUPS)
    )


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


def agreements(ratings: Iterable[Rating], duels: Iterable[Duel], answers: Iterable[Answer]) -> dict[str, Agreement]:
    """Return the agreement between raters by kind of judgement: answers, passages and duels.

    Raters ask their own questions, so two never rate the same row. The same target is the same query with the same
    answer, the same passage, or the same passages on both sides.
    """
    texts = {answer.id: (answer.query, answer.text) for answer in answers}
    current = sorted((rating for rating in ratings if rating.value), key=lambda rating: rating.at)
    thumbs = [
        Judgement(_key(*texts[rating.target_id]), rating.rater, str(rating.value))
        for rating in current
        if rating.kind == "answer" and rating.target_id in texts
    ]
    passages = [
        Judgement(_key(rating.query, rating.chunk_id), rating.rater, str(rating.value))
        for rating in current
        if rating.kind in ("source", "taught") and rating.query
    ]
    winners = [Judgement(_passages(duel), duel.outcome.rater, duel.outcome.winner) for duel in duels]
    return {"answers": agreement(thumbs), "passages": agreement(passages), "duels": agreement(winners)}


def biases(duels: Sequence[Duel]) -> Biases:
    """Return how often side A won, how often the longer answer won, and whether tuned wins by its length."""
    won = decided(duels)
    unequal = [(winner, loser) for winner, loser in won if len(winner.text) != len(loser.text)]
    longer = [len(winner.text) > len(loser.text) for winner, loser in unequal]
    tuned_won = [winner.arm == "tuned" for winner, _ in unequal]
    tuned_longer = [is_longer == is_tuned for is_longer, is_tuned in zip(longer, tuned_won, strict=True)]
    return Biases(
        _bias([winner.side == "A" for winner, _ in won]),
        _bias(longer),
        _bias([is_tuned for is_tuned, is_longer in zip(tuned_won, tuned_longer, strict=True) if is_longer]),
        _bias([is_tuned for is_tuned, is_longer in zip(tuned_won, tuned_longer, strict=True) if not is_longer]),
    )


def decided(duels: Iterable[Duel]) -> list[tuple[Answer, Answer]]:
    """Return (winner, loser) of each duel with a winner."""
    won = [duel for duel in duels if duel.outcome.winner in ARMS]
    return [
        (duel.arms["tuned"], duel.arms["base"])
        if duel.outcome.winner == "tuned"
        else (duel.arms["base"], duel.arms["tuned"])
        for duel in won
    ]


def _sizes(ratings: Iterable[Rating], duels: int, differing: int, found: Sequence[Outcome]) -> Sizes:
    standing = [rating for rating in ratings if rating.value or rating.choice]
    return Sizes(duels, duels - differing, len(found), len(standing), len({rating.rater for rating in standing}))


def _start(moment: datetime, by_week: bool) -> date:
    """Return the UTC day, or the Monday of its week."""
    day = moment.astimezone(UTC).date()
    return day - timedelta(days=day.weekday()) if by_week else day


def _cited(answer: Answer) -> list[Chunk]:
    return [hit.chunk for hit in answer.hits if hit.rank in answer.rests_on]


def _common(one: Sequence[str], other: Sequence[str]) -> list[str]:
    """Return the common beginning of two heading paths."""
    common = []
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        common.append(mine)
    return common


def _key(*parts: str) -> str:
    return "\0".join((normalise_query(parts[0]), *parts[1:]))


def _passages(duel: Duel) -> str:
    """Return the target of a duel: the same for duels with the same query and the same passages in each arm."""
    shown = (" ".join(sorted(hit.chunk.id for hit in duel.arms[arm].hits)) for arm in ARMS)
    return _key(duel.arms["base"].query, *shown)


def _bias(won: Sequence[bool]) -> Bias:
    return Bias(sum(won), len(won), share_interval(sum(won), len(won)))
