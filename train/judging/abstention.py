"""Fit the abstention threshold on the cosine of the nearest chunk, and cross-validate its error rates.

Why answerable questions cap the threshold: a wrongly declined question is lost, while an unanswerable one that passes
still meets the answerer, which may decline as well. So the share of wrong declines is limited to MOST_DECLINED, and
unanswerable questions choose the best threshold below that. The k-th smallest of n cosines declines at most
k / (n + 1) of new questions, whatever the distribution: split conformal prediction (Vovk, Gammerman and Shafer 2005).
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
from train.chunk_vectors import nearest
from train.dataset.unanswerable import ENOUGH_KNOWN, FOREIGN, VOTED, WRITTEN

MOST_DECLINED = 0.05  # of the questions whose relevant chunk is found: the most that may be declined by mistake
FOLDS = 5
MIN_FOUND = 24  # queries; with fewer, even the lowest cosine of four fifths of them declines more than MOST_DECLINED
COPIES = 50  # near duplicates of a relevant chunk that are skipped; more than these are not
FOUND, MISSED, LEFT_OUT = "found", "missed", "left out"
KINDS = {
    FOUND: "correct passage among the first",
    MISSED: "correct passage further down",
    LEFT_OUT: "own passage taken out",
    WRITTEN: "listed as having no answer",
    VOTED: "voted not to be in the documents",
    FOREIGN: "about something else",
}


@dataclass(frozen=True, slots=True)
class NearestScores:
    """Per test query, each of shape (queries,): the best cosine, and the best without the relevant chunks.

    `found` is whether a relevant chunk is in the top k.
    """

    best: Values
    left_out: Values
    found: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class DeclineRate:
    """Share of n questions of a kind that is declined, cross-validated."""

    share: Interval
    n: int

    def __str__(self) -> str:
        return f"{self.share.mean:.0%} of {self.n} [{self.share.low:.0%}, {self.share.high:.0%}]" if self.n else "-"


@dataclass(frozen=True, slots=True)
class AbstentionThreshold:
    """A model's threshold: it declines `below` this cosine, or never (None, with the reason in `why`).

    `of` has the decline rate of each kind in KINDS that was measured, `recall` that of all unanswerable questions.
    `fingerprint` identifies model and query adapter.
    """

    fingerprint: str
    below: float | None
    why: str
    recall: DeclineRate
    of: Mapping[str, DeclineRate]

    @property
    def precision(self) -> float:
        """Return the precision at equal numbers of answerable and unanswerable questions; 0 if it never declines."""
        declined = self.recall.share.mean + self.of[FOUND].share.mean
        return self.recall.share.mean / declined if self.below is not None and declined else 0.0

    def summary(self) -> str:
        """Return one line for reports."""
        if self.below is None:
            return f"never declines by the cosine: {self.why}"
        of_what = "about something else" if FOREIGN in self.of else "without an answer"
        return (
            f"declines below a cosine of {self.below:.3f}: recall {self.recall} questions {of_what}, precision "
            f"{self.precision:.2f}; of the questions whose passage is found {self.of[FOUND]} are declined"
        )


def nearest_scores(
    queries: Vectors,
    vectors: Vectors,
    relevant: Sequence[AbstractSet[str]],
    chunks: Sequence[Chunk],
    k: int,
    alike: Callable[[str, str], bool],
) -> NearestScores:
    """Return the best cosines of unit vectors (queries, dim) and (chunks, dim); `relevant` has chunk ids per query."""
    best, left_out, found = [], [], []
    rows, cosines = nearest(queries, vectors, k + max(map(len, relevant), default=0) + COPIES)
    for ranked, scores, right in zip(rows, cosines, relevant, strict=True):
        deep = min(len(ranked), k + len(right) + COPIES)
        texts = [chunks[n].text for n in ranked[:deep] if chunks[n].id in right]
        others = (i for i in range(deep) if not any(alike(chunks[ranked[i]].text, text) for text in texts))
        best.append(scores[0])
        left_out.append(scores[next(others, deep - 1)])
        found.append(any(chunks[n].id in right for n in ranked[:k]))
    return NearestScores(np.array(best, np.float64), np.array(left_out, np.float64), np.array(found, np.bool_))


def join_scores(parts: Sequence[NearestScores]) -> NearestScores:
    """Concatenate the scores of several splits."""
    return NearestScores(
        np.concatenate([part.best for part in parts]),
        np.concatenate([part.left_out for part in parts]),
        np.concatenate([part.found for part in parts]),
    )


def best_cosines(queries: Vectors, vectors: Vectors) -> Values:
    """Return the best cosine of each query, shape (queries,)."""
    return nearest(queries, vectors, 1)[1].ravel().astype(np.float64)


def fit_threshold(fingerprint: str, scores: NearestScores, absent: Mapping[str, Values]) -> AbstentionThreshold:
    """Fit a model's threshold and measure it. `absent` has the best cosines of unanswerable questions, by kind.

    Questions whose own passage was removed are measured but not fitted on: the other passages are about the same
    subject, and no cosine separates them (docs/decisions/0020-when-the-app-does-not-know.md).
    """
    found = scores.best[scores.found]
    kinds = {FOUND: found, MISSED: scores.best[~scores.found], LEFT_OUT: scores.left_out[scores.found], **absent}
    no_answer = np.concatenate([np.zeros(0), *absent.values()])
    of = cross_validated(found, no_answer, kinds | {"absent": no_answer})
    recall = of.pop("absent")
    why = ""
    if found.size < MIN_FOUND:
        why = f"{found.size} questions find their passage, need {MIN_FOUND} to fit a threshold"
    elif no_answer.size < ENOUGH_KNOWN:
        why = f"{no_answer.size} questions are known to have no answer, need {ENOUGH_KNOWN}"
    elif recall.share.low <= MOST_DECLINED:
        why = f"the cosine does not help: it would decline {recall} questions without an answer, {of[FOUND]} with one"
    return AbstentionThreshold(fingerprint, None if why else fit(found, no_answer), why, recall, of)


def fit(found: Values, absent: Values) -> float | None:
    """Return the threshold of largest Youden's J (1950): share of `absent` declined minus share of `found` declined.

    It declines at most MOST_DECLINED of `found`; ties go to the lowest. None where `found` is too small for that, or
    `absent` empty.
    """
    thresholds = np.sort(found)[: math.floor(MOST_DECLINED * (found.size + 1))]  # the n-th one declines n of them
    if not thresholds.size or not absent.size:
        return None
    gains = [(absent < threshold).mean() - n / found.size for n, threshold in enumerate(thresholds)]
    return float(thresholds[int(np.argmax(gains))])


def cross_validated(found: Values, absent: Values, kinds: Mapping[str, Values]) -> dict[str, DeclineRate]:
    """Return the decline rate of each kind by 5-fold cross-validation."""
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
    """Return a random fold for each question; neighbours in a file ask about the same section."""
    return np.random.default_rng(0).permutation(cosines.size) % FOLDS
