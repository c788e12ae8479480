"""Compare two ways to answer on the same held-out queries: language models, prompts, numbers of passages.

What decides is whether an answer rests on a passage that people confirmed for the question: this needs no judge, and it
is what a thumb can teach. How good the wording is, it does not say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import numpy as np

from rag.answering.duel import Done, Failed
from rag.answering.evidence.attribution import credited_numbers
from rag.answering.service import QueryService
from rag.errors import BadSetting
from rag.evaluation.intervals import Groups, paired_bootstrap
from rag.evaluation.metrics import Values
from rag.models.arms import Arms
from rag.records import Answer, Arm, Qrels, content_id
from rag.settings import load_settings
from train.compare_settings import CHUNK_SETTINGS, Side, comparable_queries
from train.context import TrainingContext
from train.dataset.folds import groups_of
from train.progress import bar
from train.reporting.tables import aligned

RIGHT = "rests on a confirmed passage"
DECLINED = "declined"
MISSED = "declined with such a passage before it"
FAILED = "failed"
SHARES = (RIGHT, DECLINED, MISSED, FAILED)
WORDS, SECONDS = "words", "seconds"


Answered = Mapping[str, Values]  # a side's answers: per measure a value for each query, shape (queries,)


def compare_answers(context: TrainingContext, sides: tuple[Side, Side], most: int | None) -> str:
    """Return the report on the answers of two sides: differences with intervals, verdict.

    `most` queries are asked at most, None: all of them.

    Raises NotEnoughFeedback, and BadSetting for a side that changes chunks or names a version that does not serve.
    """
    for side in sides:
        _check(side)
    qrels, summary = comparable_queries(context, sides)
    asked = sorted(qrels.relevant, key=content_id)[:most]  # by a hash: in the order of letters all would begin alike
    summary = f"{len(qrels)} {summary}"
    if len(asked) < len(qrels):
        summary += f", {len(asked)} of them asked"
    qrels = Qrels({query: qrels.relevant[query] for query in asked})
    services = [_service(context, side) for side in sides]  # both first: a wrong setting is told before any question
    ours, theirs = (_answer(side, service, qrels) for side, service in zip(sides, services, strict=True))
    groups = groups_of(qrels, context.chunks)
    one, other = (side.name for side in sides)
    rows = [["", one, other, "difference"], *_rows(ours, theirs, groups)]
    gain = paired_bootstrap(ours[RIGHT], theirs[RIGHT], groups=groups)
    better = one if gain.low > 0 else other if gain.high < 0 else ""
    worse = other if better == one else one
    verdict = (
        f"{better} is better than {worse}, statistically significant"
        if better
        else ("the difference is not statistically significant")
    )
    head = f"answers of {one} against {other}: {summary}"
    return "\n\n".join([head, aligned(rows), f"{verdict}: {RIGHT} {gain}"])


def measure(ended: Done | Failed, relevant: frozenset[str]) -> dict[str, float]:
    """Return what an answer is worth where the chunks with the ids `relevant` are confirmed for its query."""
    if isinstance(ended, Failed):
        return {RIGHT: 0.0, DECLINED: 0.0, MISSED: 0.0, FAILED: 1.0, WORDS: np.nan, SECONDS: np.nan}
    answer: Answer = ended.answer
    shown = {hit.rank: hit.chunk.id for hit in answer.hits}
    return {
        RIGHT: float(any(shown[rank] in relevant for rank in credited_numbers(answer))),
        DECLINED: float(answer.abstained),
        MISSED: float(answer.abstained and not relevant.isdisjoint(shown.values())),
        FAILED: 0.0,
        WORDS: np.nan if answer.abstained else float(len(answer.text.split())),
        SECONDS: answer.total_s,
    }


def _check(side: Side) -> None:
    wrong = sorted(set(side.changes) & set(CHUNK_SETTINGS))
    if wrong:
        raise BadSetting(
            f"{side.name!r}: {wrong[0]} changes the chunks, and answers are compared on the same ones: "
            f"compare it by itself, without a setting of the answers"
        )
    if side.model not in ("base", "champion"):
        raise BadSetting(f"{side.name!r}: {side.model} serves no arm: answers are compared with base or champion")


def _service(context: TrainingContext, side: Side) -> QueryService:
    settings = load_settings(**side.changes)
    return QueryService(settings, context.store, Arms(settings, context.store, context.corpus))


def _answer(side: Side, service: QueryService, qrels: Qrels) -> Answered:
    arm: Arm = "base" if side.model == "base" else "tuned"
    shown = bar(f"answering ({side.name})")
    rows = []
    with asyncio.Runner() as runner:
        for number, (query, relevant) in enumerate(qrels.relevant.items(), start=1):
            rows.append(measure(runner.run(service.try_out(query, arm)), relevant))
            shown(number, len(qrels))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _rows(ours: Answered, theirs: Answered, groups: Groups) -> list[list[str]]:
    rows = []
    for name in SHARES:
        one, other = ours[name], theirs[name]
        rows.append(
            [name, f"{one.mean():.0%}", f"{other.mean():.0%}", str(paired_bootstrap(one, other, groups=groups))]
        )
    for name, digits in ((WORDS, 0), (SECONDS, 1)):
        one, other = ours[name], theirs[name]
        rows.append([f"{name}, median", *(f"{_median(each):.{digits}f}" for each in (one, other)), ""])
    return rows


def _median(values: Values) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else 0.0
