"""Fit a query adapter on cached vectors, in seconds: model and chunk vectors stay unchanged.

Why it starts from a matrix that hybrid search has taught (`train.tuning.distillation`): most of the gain needs no
label. Labels then adjust that matrix, regularised by their number. Why negatives come only from documents with passages
that somebody wants: chunks of other documents were never judged, and pushing them down would be a bias. A group's
adapter is to push down what the group rejects, so documents with rejected passages count, too; for everybody's that
cost ndcg@10.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from rag.evaluation.metrics import GATE, METRICS, Values
from rag.models.embedder import Vectors
from rag.models.weights import ADAPTER, MATRIX, OWN
from rag.records import Chunk, Pair, content_id, normalise_query
from train.chunk_vectors import nearest

SCALE = 20.0  # factor on cosines before the softmax, as in MultipleNegativesRankingLoss
HOLD = 1.0  # L2 penalty on the distance to where it starts; a tenth of it harms below 1,000 queries (docs/log.md)
STEPS = 30  # of L-BFGS; the loss is convex, so more of them change nothing
FOLDS = 4  # of the cross-validation that chooses between learned, distilled and nothing
CANDIDATES = 20_000  # candidate chunks per query; if there are more, the nearest ones and a random rest
NEAREST = 200
COPY = 0.95  # cosine to a positive from which a chunk is a near duplicate, never a negative
RANKS = 10  # of ndcg@10
BLOCK = 512  # queries scored at once: against 20,000 chunks 40 MB

Rows = NDArray[np.intp]
Kept = Literal["learned", "distilled", "nothing"]


@dataclass(frozen=True, slots=True)
class FittedAdapter:
    """A query adapter and its training statistics. query' = unit(query + query @ matrix); zeros where nothing helped.

    `matrix` is (dim, dim). `gain` in ndcg@10 is from cross-validation on the training queries; the gate does not use
    it.
    """

    matrix: Vectors
    kept: Kept
    gain: float
    queries: int
    steps: int
    loss: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Examples:
    """Training queries: unit vectors (queries, dim), rows of the positive chunks, weights, folds."""

    queries: Vectors
    positives: tuple[Rows, ...]
    weights: Vectors
    folds: Rows

    def take(self, rows: Sequence[int]) -> Examples:
        """Return some of the examples, in the order of `rows`."""
        positives = tuple(self.positives[row] for row in rows)
        return Examples(self.queries[rows], positives, self.weights[rows], self.folds[rows])


def fit(
    pairs: Sequence[Pair],
    queries: Mapping[str, Vectors],
    chunks: Sequence[Chunk],
    vectors: Vectors,
    start: Vectors,
    seed: int = 0,
    *,
    rejects: bool = False,
) -> FittedAdapter:
    """Fit the adapter: learned from `start`, `start` itself, or nothing, whichever is best in cross-validation.

    `queries` has a unit vector for each pair's query, `vectors` (chunks, dim) one per chunk, both of the model to be
    adapted; `start` is the (dim, dim) matrix that was distilled for it; with `rejects` documents of the pairs'
    negatives count as those of their positives. Deterministic for the same pairs and seed. Raises ValueError where no
    pair's positive is one of the chunks.
    """
    began = time.monotonic()
    examples = examples_of(pairs, queries, chunks)
    documents = np.array([chunk.document_id for chunk in chunks])
    texts = {text for pair in pairs for text in pair.negatives} if rejects else set[str]()
    rejected = {chunk.document_id for chunk in chunks if chunk.text in texts}

    def learn(some: Examples) -> tuple[Vectors, int, float]:
        return train_on(some, start, vectors, candidates_of(some, vectors, documents, seed, rejected))

    kept, gain = _choose(examples, start, vectors, lambda some: learn(some)[0])
    matrix, steps, loss = learn(examples) if kept == "learned" else (start, 0, 0.0)
    identity = np.eye(len(start), dtype=np.float32)
    turned = np.zeros_like(start) if kept == "nothing" else matrix - identity
    return FittedAdapter(turned, kept, gain, len(examples.queries), steps, loss, time.monotonic() - began)


def examples_of(pairs: Sequence[Pair], queries: Mapping[str, Vectors], chunks: Sequence[Chunk]) -> Examples:
    """Group the pairs by normalised query, without those whose chunk is not in the corpus."""
    rows = {chunk.id: row for row, chunk in enumerate(chunks)}
    by_query: dict[str, list[Pair]] = {}
    for pair in pairs:
        if pair.positive_id in rows:
            by_query.setdefault(normalise_query(pair.query), []).append(pair)
    if not by_query:
        raise ValueError(f"none of {len(pairs)} pairs has its positive in the corpus")
    return Examples(
        np.stack([queries[some[0].query] for some in by_query.values()]),
        tuple(np.unique([rows[pair.positive_id] for pair in some]) for some in by_query.values()),
        np.array([max(pair.weight for pair in some) for some in by_query.values()], dtype=np.float32),
        np.array([_fold(min(pair.positive_id for pair in some)) for some in by_query.values()], dtype=np.intp),
    )


def write(matrix: Vectors, folder: Path, model: str, fingerprint: str) -> None:
    """Write an adapter of `model`, whose chunk vectors have `fingerprint`, into an existing folder.

    A model in the same parent folder is referred to by a relative path, so that a home can be moved; OWN is the model
    in the same folder.
    """
    np.save(folder / MATRIX, matrix)
    named = {"model": model if model == OWN else _portable(model, folder), "fingerprint": fingerprint}
    (folder / ADAPTER).write_text(json.dumps(named, indent=2), "utf-8")


def _portable(model: str, folder: Path) -> str:
    path = Path(model).expanduser()
    if not path.is_dir():
        return model
    path, folder = path.resolve(), folder.resolve()
    return os.path.relpath(path, folder) if path.is_relative_to(folder.parent) else str(path)


def _fold(chunk_id: str) -> int:
    return int(content_id("adapter", chunk_id), 16) % FOLDS


def _choose(
    examples: Examples, start: Vectors, vectors: Vectors, learn: Callable[[Examples], Vectors]
) -> tuple[Kept, float]:
    """Cross-validate learning and its start alone, and return the better one with its gain.

    Returns "nothing" where the gain is less than one standard error.
    """
    tried: dict[Kept, list[Values]] = {"distilled": [], "learned": []}  # the first of equals
    for training, validation in folds_of(examples):
        before = _ndcg(validation, np.eye(len(start), dtype=np.float32), vectors)
        tried["learned"].append(_ndcg(validation, learn(training), vectors) - before)
        tried["distilled"].append(_ndcg(validation, start, vectors) - before)
    if not tried["learned"]:
        return "nothing", 0.0
    gains = {kept: np.concatenate(each) for kept, each in tried.items()}
    best = max(gains, key=lambda kept: float(gains[kept].mean()))
    gain, n = float(gains[best].mean()), gains[best].size
    return (best, gain) if gain > float(gains[best].std()) / n**0.5 else ("nothing", 0.0)


def folds_of(examples: Examples) -> Iterator[tuple[Examples, Examples]]:
    """Yield (training, validation) by a hash of the positives; a query that shares one with validation is left out."""
    for fold in range(FOLDS):
        back = np.flatnonzero(examples.folds == fold).tolist()
        held = {int(chunk) for row in back for chunk in examples.positives[row]}
        others = np.flatnonzero(examples.folds != fold).tolist()
        training = [row for row in others if held.isdisjoint(examples.positives[row].tolist())]
        if back and training:
            yield examples.take(training), examples.take(back)


def _ndcg(examples: Examples, matrix: Vectors, vectors: Vectors) -> Values:
    """Return ndcg@10 of each query over the whole corpus."""
    ranked = nearest(examples.queries @ matrix, vectors, RANKS)[0]
    values = [
        METRICS[GATE]([str(chunk) for chunk in best], {str(chunk) for chunk in positives})
        for best, positives in zip(ranked, examples.positives, strict=True)
    ]
    return np.array(values, dtype=np.float64)


def candidates_of(
    examples: Examples, vectors: Vectors, documents: NDArray[np.str_], seed: int, rejected: Collection[str] = ()
) -> Rows:
    """Return the rows of the candidate chunks, all or a sample of CANDIDATES.

    They are those of the positives' documents, and of the documents with a passage that was `rejected`.
    """
    positives = np.unique(np.concatenate(examples.positives))
    rows = np.flatnonzero(np.isin(documents, [*documents[positives], *rejected]))
    if len(rows) <= CANDIDATES:
        return rows
    each = max(1, min(NEAREST, CANDIDATES // len(examples.queries)))
    chosen = np.union1d(positives, nearest(examples.queries, vectors, each, among=rows)[0])
    rest = np.setdiff1d(rows, chosen)
    more = np.random.default_rng(seed).permutation(rest)[: max(0, CANDIDATES - len(chosen))]
    return np.union1d(chosen, more)


@dataclass(frozen=True, slots=True)
class _Block:
    """Up to BLOCK training queries. `right` is the mean positive, `copies` the (query, candidate) to mask."""

    queries: torch.Tensor
    begun: torch.Tensor
    right: torch.Tensor
    weights: torch.Tensor
    copies: tuple[torch.Tensor, torch.Tensor]

    def loss(self, step: torch.Tensor, chunks: torch.Tensor) -> torch.Tensor:
        """Return the weighted softmax loss of these queries with `step` added to the start matrix."""
        turned = SCALE * (self.begun + self.queries @ step)
        scores = (turned @ chunks.T).index_put(self.copies, torch.tensor(-torch.inf))
        return self.weights @ (scores.logsumexp(dim=1) - (turned * self.right).sum(dim=1))


def train_on(examples: Examples, start: Vectors, vectors: Vectors, candidates: Rows) -> tuple[Vectors, int, float]:
    """Minimise softmax loss plus HOLD / 2 x squared distance from `start` by L-BFGS; return matrix, steps and loss.

    Ranking does not depend on a query's length, so queries are not normalised: the loss is convex with one minimum,
    independent of learning rate, random start and stopping time.
    """
    step = torch.zeros(start.shape, requires_grad=True)
    chunks = torch.from_numpy(vectors[candidates])
    blocks = list(_blocks(examples, start, vectors, candidates))
    optimizer = torch.optim.LBFGS([step], max_iter=STEPS, line_search_fn="strong_wolfe")

    def total() -> float:
        step.grad = HOLD * step.detach()
        loss = HOLD / 2 * float(step.detach().square().sum())
        for block in blocks:  # one at a time, to keep the scores of one block in memory
            part = block.loss(step, chunks)
            part.backward()  # type: ignore[no-untyped-call]
            loss += float(part.detach())
        return loss

    optimizer.step(total)  # type: ignore[no-untyped-call]
    return start + step.detach().numpy(), int(optimizer.state[step]["n_iter"]), total()


def _blocks(examples: Examples, start: Vectors, vectors: Vectors, candidates: Rows) -> Iterator[_Block]:
    for first in range(0, len(examples.queries), BLOCK):
        part = slice(first, first + BLOCK)
        queries, positives = examples.queries[part], examples.positives[part]
        yield _Block(
            torch.from_numpy(queries),
            torch.from_numpy(queries @ start),
            torch.from_numpy(np.stack([vectors[rows].mean(axis=0) for rows in positives])),
            torch.from_numpy(examples.weights[part] / examples.weights.sum()),
            _copies(positives, vectors, candidates),
        )


def _copies(positives: Sequence[Rows], vectors: Vectors, candidates: Rows) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (query, candidate) of each near duplicate of a positive, which must not be a negative."""
    chunks = vectors[candidates]
    found = [
        np.flatnonzero(((chunks @ vectors[rows].T).max(axis=1) >= COPY) & ~np.isin(candidates, rows))
        for rows in positives
    ]
    queries = np.repeat(np.arange(len(found)), [len(each) for each in found])
    return torch.from_numpy(queries), torch.from_numpy(np.concatenate(found))
