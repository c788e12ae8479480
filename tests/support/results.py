"""The results of a training, computable by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np

from fakes import NOON, make_chunk
from rag.evaluation.metrics import GATE
from rag.models.registry import Version
from rag.records import Qrels
from train.dataset.unanswerable import WRITTEN
from train.judging.abstention import NearestScores, fit_threshold
from train.judging.evaluate import Run, scores_of
from train.judging.gate import decide
from train.reporting.results import (
    DataSummary,
    TrainingResults,
)

WON, GAINED, LOST, TIED = "won a lot", "won a little", "lost | pipes\nand <b>tags</b>", "tied"
QUERIES = [WON, GAINED, LOST, TIED]
CHUNKS = [make_chunk(f"chunk {n}", f"{n}.md", "Title > Part") for n in range(12)]
IDS = [chunk.id for chunk in CHUNKS]
RIGHT = IDS[0]
# at which rank each model has the right chunk; 0 is nowhere among the ten
CHAMPION, CHALLENGER = (0, 3, 1, 2), (1, 2, 4, 2)


APART = NearestScores(np.array([0.6] * 30 + [0.1] * 5), np.full(35, 0.5), np.array([True] * 30 + [False] * 5))
FEW = NearestScores(np.full(3, 0.6), np.full(3, 0.5), np.ones(3, np.bool_))
ABSTAINING = {
    "base": fit_threshold("b", FEW, {WRITTEN: np.full(20, 0.2)}),
    "challenger": fit_threshold("c", APART, {WRITTEN: np.full(20, 0.2)}),
}


def ranked(*ranks: int) -> dict[str, list[str]]:
    """Return a run that has the right chunk at these ranks, and the wrong ones around it in order."""
    found = {}
    for query, rank in zip(QUERIES, ranks, strict=True):
        wrong = IDS[1:11]
        found[query] = [*wrong[: rank - 1], RIGHT, *wrong[rank - 1 :]] if rank else wrong
    return found


def runs(*ranks: int) -> dict[int, Run]:
    """Return runs that are these at eight dimensions, and find nothing at four."""
    return {8: Run(ranked(*ranks), 3_200_000, 1.5), 4: Run(ranked(0, 0, 0, 0), 1_600_000, 0.75)}


def facts(judged: dict[str, frozenset[str]] | None = None, **changes: object) -> TrainingResults:
    qrels = Qrels({query: frozenset({RIGHT}) for query in QUERIES}, judged or {})
    entered = {"base": runs(0, 0, 0, 0), "champion": runs(*CHAMPION), "challenger": runs(*CHALLENGER)}
    scores = {role: scores_of(each, qrels) for role, each in entered.items()}
    verdict = decide(*(scores[role][8][GATE] for role in ("challenger", "champion", "base")))
    given = TrainingResults(
        version=Version("v3", "folders", "f", "builtin", "ratings", "keep", "VERDICT: keep v2, not v3 | ...", NOON),
        verdict=verdict,
        names={"base": "builtin", "champion": "v2", "challenger": "v3"},
        runs=entered,
        qrels=qrels,
        groups=np.arange(len(qrels)),
        scores=scores,
        chunks={chunk.id: chunk for chunk in CHUNKS},
        made={"epochs": 3, "seed": 7, "rate": 0.0001},
        config={"k": 5},
        data=DataSummary(2, 12, 30, 4, 3, "corpus", "c", "p", "q"),
        labels=None,
        notes=["labels: 30 pairs\nsplit: 4 queries judge"],
        seconds={"tuning": 12.34, "judging": 7.66},
        memory_mb=850,
    )
    if "qrels" in changes:
        changes.setdefault("groups", np.arange(len(cast(Qrels, changes["qrels"]))))
    return replace(given, **changes)  # type: ignore[arg-type]
