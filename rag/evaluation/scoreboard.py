"""What the scoreboard shows, from ratings, answers and chunks: who wins, where, since when, and what else moves raters.

The idea a reader would miss: each number counts the same duels, those that were decided blind and in which the arms
showed different chunks (rag.evaluation.win_rates). Every group is shown with its size; small groups get no verdict.
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
from rag.evaluation.win_rates import Outcome, Winner, WinRate, count, differ, outcomes, win_rate
from rag.records import ARMS, Answer, Arm, Chunk, Rating, normalise_query

LEAST = 10  # duels; below it a group's interval is more than half a scale wide, and nothing is claimed of it
GROUPS = 20  # the largest ones are told: of more, several look decided by luck alone
DAYS = 35  # a longer history is told by week
LEVELS = " > "  # between the headings of a chunk's path


@dataclass(frozen=True, slots=True)
class Duel:
    """A duel that one rater decided, with both answers."""

    outcome: Outcome
    arms: Mapping[Arm, Answer]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much there is. `same` are duels in which both arms showed the same chunks: nobody can win those."""

    duels: int
    same: int
    decided: int
    ratings: int
    raters: int


@dataclass(frozen=True, slots=True)
class Period:
    """A day, or a week by its Monday: its duels, all duels up to its end, and the versions that fought in it."""

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
        """Return whether the group is too small to claim anything of it."""
        return self.rate.n < LEAST


@dataclass(frozen=True, slots=True)
class Groups:
    """The largest groups, and how many others there are."""

    shown: tuple[Group, ...]
    others: int


@dataclass(frozen=True, slots=True)
class Bias:
    """How often, of n duels, that side or answer won which a habit would favour. 0.5 is no habit."""

    won: int
    n: int
    share: Interval


@dataclass(frozen=True, slots=True)
class Biases:
    """What moves raters beside the passages. The last two are tuned's win rate where its answer is longer, or not."""

    side_a: Bias
    longer: Bias
    tuned_longer: Bias
    tuned_shorter: Bias


@dataclass(frozen=True, slots=True)
class Scoreboard:
    """Everything on the scoreboard. `tuned` names what serves now; `current` is its win rate, `overall` that of all."""

    sizes: Sizes
    tuned: str
    current: WinRate
    overall: WinRate
    versions: Mapping[str, WinRate]
    ladder: Ranking
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
    """Return the scoreboard. `chunks` are those of today's documents, `solved` queries with a known right chunk.

    `base` and `tuned` name what serves the arms now: the one is what strengths are told against, the other comes first.
    """
    both = pair_up(answers)
    found = outcomes(ratings, answers)
    duels = [Duel(outcome, both[outcome.duel]) for outcome in found]
    by_week = bool(found) and found[-1].at - found[0].at > timedelta(days=DAYS)
    return Scoreboard(
        _sizes(ratings, both, found),
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
    """Return duel -> its two answers, for the duels that have both."""
    duels: dict[str, dict[Arm, Answer]] = {}
    for answer in answers:
        duels.setdefault(answer.duel, {})[answer.arm] = answer
    return {duel: arms for duel, arms in duels.items() if len(arms) == len(ARMS)}


def ranking_of(duels: Sequence[Duel], base: str) -> Ranking:
    """Return the ladder of all models that fought. Where `base` did not, another base model is the reference."""
    wins = Counter((winner.model, loser.model) for winner, loser in decided(duels))
    fought = Counter(duel.arms["base"].model for duel in duels)
    reference = base if base in fought or not fought else fought.most_common(1)[0][0]
    return rank_models(wins, reference)


def trend(found: Sequence[Outcome], *, by_week: bool) -> tuple[Period, ...]:
    """Return the periods in which duels were decided, oldest first, each with all that came before it."""
    periods: dict[date, list[Outcome]] = {}
    for outcome in found:
        periods.setdefault(_start(outcome.at, by_week), []).append(outcome)
    told, before = [], list[Winner]()
    for start, inside in sorted(periods.items()):
        winners = [outcome.winner for outcome in inside]
        before += winners
        told.append(Period(start, count(winners), count(before), tuple(sorted({each.model for each in inside}))))
    return tuple(told)


def group(duels: Iterable[Duel], name_of: Callable[[Chunk], str]) -> Groups:
    """Return the win rate by group, the largest first. A duel counts for all that its two answers cited.

    So the groups overlap, and who won decides nothing about where a duel counts.
    """
    winners: dict[str, list[Winner]] = {}
    for duel in duels:
        for name in {name_of(chunk) for answer in duel.arms.values() for chunk in _cited(answer)}:
            winners.setdefault(name, []).append(duel.outcome.winner)
    largest = sorted(winners.items(), key=lambda item: (-sum(winner in ARMS for winner in item[1]), item[0]))
    return Groups(tuple(Group(name, count(said)) for name, said in largest[:GROUPS]), max(0, len(largest) - GROUPS))


def topics_of(chunks: Iterable[Chunk]) -> Callable[[Chunk], str]:
    """Return what names a chunk's topic: its document, and the first level at which the document's headings differ.

    That is the first level, unless everything stands under one title.
    """
    shared: dict[str, Sequence[str]] = {}
    for source, heading in {(chunk.source, chunk.heading) for chunk in chunks if chunk.heading}:
        path = heading.split(LEVELS)
        shared[source] = _common(shared.get(source, path), path)

    def topic(chunk: Chunk) -> str:
        path = chunk.heading.split(LEVELS) if chunk.heading else []
        level = len(shared.get(chunk.source, []))
        return f"{chunk.source}: {path[level]}" if len(path) > level else chunk.source

    return topic


def agreements(ratings: Iterable[Rating], duels: Iterable[Duel], answers: Iterable[Answer]) -> dict[str, Agreement]:
    """Return by kind of judgement how far raters agree.

    Each rater asks for himself, so that two never rate the same row: a target is the same question with the same
    answer, the same passage, or the same passages on both sides.
    """
    texts = {answer.id: (answer.query, answer.text) for answer in answers}
    inside = sorted((rating for rating in ratings if rating.value), key=lambda rating: rating.at)
    thumbs = [
        Judgement(_key(*texts[rating.target_id]), rating.rater, str(rating.value))
        for rating in inside
        if rating.kind == "answer" and rating.target_id in texts
    ]
    passages = [
        Judgement(_key(rating.query, rating.chunk_id), rating.rater, str(rating.value))
        for rating in inside
        if rating.kind in ("source", "taught") and rating.query
    ]
    winners = [Judgement(_passages(duel), duel.outcome.rater, duel.outcome.winner) for duel in duels]
    return {"answers": agreement(thumbs), "passages": agreement(passages), "duels": agreement(winners)}


def biases(duels: Sequence[Duel]) -> Biases:
    """Return how often side A won, how often the longer answer, and whether tuned wins by its length."""
    won = decided(duels)
    apart = [(winner, loser) for winner, loser in won if len(winner.text) != len(loser.text)]
    longer = [len(winner.text) > len(loser.text) for winner, loser in apart]
    tuned_won = [winner.arm == "tuned" for winner, _ in apart]
    tuned_longer = [is_longer == is_tuned for is_longer, is_tuned in zip(longer, tuned_won, strict=True)]
    return Biases(
        _habit([winner.side == "A" for winner, _ in won]),
        _habit(longer),
        _habit([is_tuned for is_tuned, is_longer in zip(tuned_won, tuned_longer, strict=True) if is_longer]),
        _habit([is_tuned for is_tuned, is_longer in zip(tuned_won, tuned_longer, strict=True) if not is_longer]),
    )


def decided(duels: Iterable[Duel]) -> list[tuple[Answer, Answer]]:
    """Return winner and loser of each duel that has a winner."""
    won = [duel for duel in duels if duel.outcome.winner in ARMS]
    return [
        (duel.arms["tuned"], duel.arms["base"])
        if duel.outcome.winner == "tuned"
        else (duel.arms["base"], duel.arms["tuned"])
        for duel in won
    ]


def _sizes(ratings: Iterable[Rating], both: Mapping[str, Mapping[Arm, Answer]], found: Sequence[Outcome]) -> Sizes:
    standing = [rating for rating in ratings if rating.value or rating.choice]
    same = sum(not differ(*arms.values()) for arms in both.values())
    return Sizes(len(both), same, len(found), len(standing), len({rating.rater for rating in standing}))


def _start(moment: datetime, by_week: bool) -> date:
    day = moment.astimezone(UTC).date()
    return day - timedelta(days=day.weekday()) if by_week else day


def _cited(answer: Answer) -> list[Chunk]:
    return [hit.chunk for hit in answer.hits if hit.rank in answer.cited]


def _common(one: Sequence[str], other: Sequence[str]) -> list[str]:
    """Return how two paths begin alike."""
    common = []
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        common.append(mine)
    return common


def _key(*parts: str) -> str:
    return "\0".join((normalise_query(parts[0]), *parts[1:]))


def _passages(duel: Duel) -> str:
    """Return what two duels share that ask the same and were shown the same: ratings of them are of one target."""
    shown = (" ".join(sorted(hit.chunk.id for hit in duel.arms[arm].hits)) for arm in ARMS)
    return _key(duel.arms["base"].query, *shown)


def _habit(won: Sequence[bool]) -> Bias:
    return Bias(sum(won), len(won), share_interval(sum(won), len(won)))
