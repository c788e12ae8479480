"""When a model says "I do not know": a threshold on the cosine of its nearest chunk, and how declining by it goes.

The idea a reader would miss: the questions that can be answered set the threshold, and those that cannot only say
whether less would do, and whether it is worth having. What is declined is not read any more, while what passes still
meets the answerer, who may decline as well; so wrong declines are capped, and the rest is what can be had under the
cap. The k-th smallest of n cosines declines at most k / (n + 1) of what comes, whatever the distribution: split
conformal prediction (Vovk, Gammerman and Shafer 2005).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.evaluation.intervals import Interval, share_interval
from rag.evaluation.metrics import Values
from rag.models.embedder import Vectors
from rag.records import Chunk
from train.dataset.unanswerable import ENOUGH_KNOWN, FOREIGN, VOTED, WRITTEN

MOST_DECLINED = 0.05  # of the questions whose right chunk is found: what is declined by mistake was there to be read
FOLDS = 5
MIN_FOUND = 24  # queries; with fewer, not even the lowest of four fifths of them keeps MOST_DECLINED
BLOCK = 256  # queries at once, as in evaluate
COPIES = 50  # of a right chunk that are looked past: a text that is there more often cannot be taken out
FOUND, MISSED, LEFT_OUT = "found", "missed", "left out"
KINDS = {
    FOUND: "right passage among the first",
    MISSED: "right passage further down",
    LEFT_OUT: "own passage taken out",
    WRITTEN: "listed as having no answer",
    VOTED: "voted not to be in the documents",
    FOREIGN: "about something else",
}


@dataclass(frozen=True, slots=True)
class NearestScores:
    """How near chunks are to the queries that judge: the best cosine, and the best without the right chunks.

    `found` says whether a right chunk is among the first k.
    """

    best: Values
    left_out: Values
    found: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class DeclineRate:
    """Which share of n questions of a kind is declined, measured on questions that the threshold was not fitted on."""

    share: Interval
    n: int

    def __str__(self) -> str:
        return f"{self.share.mean:.0%} of {self.n} [{self.share.low:.0%}, {self.share.high:.0%}]" if self.n else "-"


@dataclass(frozen=True, slots=True)
class AbstentionThreshold:
    """When a model declines: `below` this cosine, or never, and `why` then. `of` has each kind of KINDS that there is.

    `fingerprint` stands for its ranking. `recall` is of the questions without an answer, of whatever kind.
    """

    fingerprint: str
    below: float | None
    why: str
    recall: DeclineRate
    of: Mapping[str, DeclineRate]

    @property
    def precision(self) -> float:
        """Return which share of what is declined has no answer, if as many questions have none as have one; else 0."""
        declined = self.recall.share.mean + self.of[FOUND].share.mean
        return self.recall.share.mean / declined if self.below is not None and declined else 0.0

    def told(self) -> str:
        """Return it in a line."""
        if self.below is None:
            return f"never declines by the cosine: {self.why}"
        of_what = "about something else" if FOREIGN in self.of else "without an answer"
        return (
            f"declines below a cosine of {self.below:.3f}: recall {self.recall} questions {of_what}, precision "
            f"{self.precision:.2f}; of those whose passage is found {self.of[FOUND]} are declined"
        )


def nearest_scores(
    queries: Vectors,
    vectors: Vectors,
    relevant: Sequence[AbstractSet[str]],
    chunks: Sequence[Chunk],
    k: int,
    alike: Callable[[str, str], bool],
) -> NearestScores:
    """Return how near chunks are to queries, by unit vectors of both; `relevant` has each query's right chunks."""
    best, left_out, found = [], [], []
    for start in range(0, len(queries), BLOCK):
        scores = queries[start : start + BLOCK] @ vectors.T
        for row, right in zip(scores, relevant[start : start + BLOCK], strict=True):
            deep = min(len(row), k + len(right) + COPIES)
            top = np.argpartition(-row, deep - 1)[:deep]
            ranked = top[np.argsort(-row[top])]
            texts = [chunks[n].text for n in ranked if chunks[n].id in right]
            others = (n for n in ranked if not any(alike(chunks[n].text, text) for text in texts))
            best.append(row[ranked[0]])
            left_out.append(row[next(others, ranked[-1])])
            found.append(any(chunks[n].id in right for n in ranked[:k]))
    return NearestScores(np.array(best, np.float64), np.array(left_out, np.float64), np.array(found, np.bool_))


def join_scores(parts: Sequence[NearestScores]) -> NearestScores:
    """Return what was looked at split by split as one."""
    return NearestScores(
        np.concatenate([part.best for part in parts]),
        np.concatenate([part.left_out for part in parts]),
        np.concatenate([part.found for part in parts]),
    )


def best_cosines(queries: Vectors, vectors: Vectors) -> Values:
    """Return the cosine of the nearest chunk for each query."""
    blocks = [queries[start : start + BLOCK] @ vectors.T for start in range(0, len(queries), BLOCK)]
    return np.concatenate([block.max(axis=1) for block in blocks]).astype(np.float64) if blocks else np.zeros(0)


def fit_threshold(fingerprint: str, looked: NearestScores, absent: Mapping[str, Values]) -> AbstentionThreshold:
    """Return when a model declines, and how that goes. `absent` has the best cosines of questions without an answer.

    Questions whose own passage was taken out are measured, not fitted on: what is left is about the same thing, and
    no cosine tells it apart (docs/decisions/0020-when-the-app-does-not-know.md).
    """
    found = looked.best[looked.found]
    kinds = {FOUND: found, MISSED: looked.best[~looked.found], LEFT_OUT: looked.left_out[looked.found], **absent}
    no_answer = np.concatenate([np.zeros(0), *absent.values()])
    of = cross_validated(found, no_answer, kinds | {"absent": no_answer})
    recall = of.pop("absent")
    why = ""
    if found.size < MIN_FOUND:
        why = f"{found.size} questions find their passage, need {MIN_FOUND} to set a threshold by"
    elif no_answer.size < ENOUGH_KNOWN:
        why = f"{no_answer.size} questions are known to have no answer, need {ENOUGH_KNOWN}"
    elif recall.share.low <= MOST_DECLINED:
        why = f"it tells nothing: {recall} questions without an answer would be declined, {of[FOUND]} with one"
    return AbstentionThreshold(fingerprint, None if why else fit(found, no_answer), why, recall, of)


def fit(found: Values, absent: Values) -> float | None:
    """Return the threshold with the largest share of `absent` declined over that of `found` (Youden 1950).

    It declines MOST_DECLINED of `found` at most; of equally good ones it is the lowest. None where `found` has too few
    for that, or `absent` none.
    """
    thresholds = np.sort(found)[: math.floor(MOST_DECLINED * (found.size + 1))]  # the n-th one declines n of them
    if not thresholds.size or not absent.size:
        return None
    gains = [(absent < threshold).mean() - n / found.size for n, threshold in enumerate(thresholds)]
    return float(thresholds[int(np.argmax(gains))])


def cross_validated(found: Values, absent: Values, kinds: Mapping[str, Values]) -> dict[str, DeclineRate]:
    """Return what is declined of each kind: each fifth by a threshold that was fitted on the other four."""
    declined = dict.fromkeys(kinds, 0)
    for fold in range(FOLDS):
        threshold = fit(found[_fold_of(found) != fold], absent[_fold_of(absent) != fold])
        for kind, cosines in kinds.items():
            if threshold is not None:
                declined[kind] += int((cosines[_fold_of(cosines) == fold] < threshold).sum())
    return {
        kind: DeclineRate(share_interval(declined[kind], cosines.size), cosines.size) for kind, cosines in kinds.items()
    }


def _fold_of(cosines: Values) -> NDArray[np.int64]:
    """Return a fold for each question: drawn, as neighbours in a file ask after the same section."""
    return np.random.default_rng(0).permutation(cosines.size) % FOLDS
