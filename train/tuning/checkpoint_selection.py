"""Which state of the weights a training keeps: the last one, unless an earlier or a milder one is clearly better.

The idea a reader would miss: few queries choose badly. So the last epoch is kept unless another state is ahead by more
than chance allows half a dozen of them, and the queries that choose are taken from those to train on, never from those
that judge. Step 0, the start model's own weights, is among the states.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from rag.evaluation.metrics import GATE, Values, evaluate_run
from rag.models.embedder import Embedder, Vectors
from rag.records import ID_LENGTH, Pair, Qrels, content_id, normalise_query
from train.dataset.split import connected

SHARE = 0.1  # of the queries to train on
FEWEST = 20  # queries; with fewer the choice is a lottery, and the last state is kept unseen
TOO_MANY = 2  # times as many queries as are wanted are not learnt for a choice
MOST = 40  # enough for what is chosen here, and each state looked at costs their pool an embedding
POOL_RANKS = 6  # chunks of each query that the start model ranks first: with all queries' a pool that is hard enough
CLEARLY = 2.0  # standard errors: one of five equal states is ahead by as much in a tenth of draws, by one in 44%
MILDER = (0.5, 0.75)  # shares of the tuned weights in an average with the start model's
BEST = "best.pt"  # a file beside the checkpoints
LAST, START = "the last epoch", "the start weights"
Weights = dict[str, Tensor]


def hold_out_validation(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    """Return the pairs to learn from and those to choose by, apart by query and by chunk; none to choose by if few.

    Queries that share a chunk, or near copies of one, choose together, or not: a chunk that is learnt by one and looked
    for by the other is found best by whatever has learnt it by heart.
    """
    judging = {normalise_query(pair.query) for pair in pairs if pair.judges}
    wanted = min(MOST, round(SHARE * len(judging)))
    chosen: set[str] = set()
    apart: set[str] = set()
    for group in sorted(connected(pairs), key=lambda group: _draw(group[0])):
        more = judging.intersection(group)
        fits = len(chosen | more) <= MOST and len(apart) + len(group) <= TOO_MANY * wanted
        if more and fits and len(chosen) < wanted:
            chosen |= more
            apart |= set(group)
    if len(chosen) < FEWEST:
        return list(pairs), []
    learnt = [pair for pair in pairs if normalise_query(pair.query) not in apart]
    return learnt, [pair for pair in pairs if normalise_query(pair.query) in chosen and pair.judges]


@dataclass(frozen=True, slots=True)
class ValidationPool:
    """Queries to choose by, and the texts that they are looked for among. `start` has the start model's vectors."""

    qrels: Qrels
    ids: tuple[str, ...]
    texts: tuple[str, ...]
    start: tuple[Vectors, Vectors]  # of the queries, of the texts


def build_validation_pool(
    pairs: Sequence[Pair], queries: Vectors, ids: Sequence[str], texts: Sequence[str], chunks: Vectors
) -> ValidationPool:
    """Return the pool of some pairs: their positives, and what the start model ranks first for their queries.

    `queries` has a vector per pair, `chunks` one per id, both of the start model.
    """
    row = {chunk_id: n for n, chunk_id in enumerate(ids)}
    rows = {row[pair.positive_id] for pair in pairs if pair.positive_id in row}
    relevant: dict[str, frozenset[str]] = {}
    vectors: dict[str, Vectors] = {}
    for pair, vector in zip(pairs, queries, strict=True):
        relevant[pair.query] = relevant.get(pair.query, frozenset()) | {pair.positive_id}
        vectors[pair.query] = vector
        rows |= set(np.argsort(-(chunks @ vector), kind="stable")[:POOL_RANKS].tolist())
    kept = sorted(rows)
    start = (np.stack([vectors[query] for query in relevant]), chunks[kept])
    return ValidationPool(Qrels(relevant), tuple(ids[n] for n in kept), tuple(texts[n] for n in kept), start)


class CheckpointSelector:
    """Looks at the states of a model while it is tuned, and in the end gives it the one to keep.

    `embedder` embeds by that very model. The best state is kept in `memory`, where that is given: a training that goes
    on where it broke off has passed it.
    """

    def __init__(
        self, model: SentenceTransformer, embedder: Embedder, pool: ValidationPool, memory: Path | None = None
    ) -> None:
        self._model, self._embedder, self._pool = model, embedder, pool
        self._start = _copy(model)
        self._values = {START: _judge(pool, *pool.start)}
        self._states: dict[str, Weights] = {START: self._start}
        self._file = memory / BEST if memory else None
        if self._file and self._file.exists():
            best = torch.load(self._file, map_location=model.device, weights_only=True)
            self._values[best["name"]], self._states[best["name"]] = best["values"].numpy(), best["weights"]

    def look(self, name: str) -> None:
        """Judge the weights that the model has now, and keep them if they are the best so far."""
        values = self._embedded()
        best = max(self._values, key=lambda known: float(self._values[known].mean()))
        if values.mean() > self._values[best].mean():
            self._states = {START: self._start, name: _copy(self._model)}
            self._remember(name, values)
        self._values[name] = values

    def settle(self) -> str:
        """Give the model, tuned to the end, the weights to keep, and return what they are."""
        last = _copy(self._model)
        self._states[LAST], self._values[LAST] = last, self._embedded()
        for share in MILDER:
            name = f"{share:.0%} of the last epoch's weights, the rest the start model's"
            self._states[name] = {key: _mix(self._start[key], last[key], share) for key in last}
            self._model.load_state_dict(self._states[name])
            self._values[name] = self._embedded()
        name = clearly_best({name: self._values[name] for name in self._states}, LAST)
        self._model.load_state_dict(self._states[name])
        return name

    def _remember(self, name: str, values: Values) -> None:
        if self._file:
            draft = self._file.with_name(f"{BEST}.{os.getpid()}")  # each process of torchrun writes the same
            self._file.parent.mkdir(parents=True, exist_ok=True)
            best = {"name": name, "values": torch.from_numpy(values), "weights": self._states[name]}
            torch.save(best, draft)
            draft.replace(self._file)

    def _embedded(self) -> Values:
        was_training = self._model.training
        self._model.eval()
        queries = self._embedder.embed_queries(list(self._pool.qrels.relevant))
        values = _judge(self._pool, queries, self._embedder.embed_documents(list(self._pool.texts)))
        self._model.train(was_training)
        return values


def clearly_best(values: dict[str, Values], preferred: str) -> str:
    """Return the name ahead of the preferred one by most, if clearly; else the preferred."""

    def lead(name: str) -> float:
        difference = values[name] - values[preferred]
        error = float(difference.std(ddof=1)) / np.sqrt(difference.size)
        mean = float(difference.mean())
        return mean if mean > CLEARLY * error else 0.0

    best = max(values, key=lead)
    return best if lead(best) > 0 else preferred


def _judge(pool: ValidationPool, queries: Vectors, texts: Vectors) -> Values:
    order = np.argsort(-(queries @ texts.T), axis=1, kind="stable")
    run = {query: [pool.ids[n] for n in row] for query, row in zip(pool.qrels.relevant, order, strict=True)}
    return evaluate_run(run, pool.qrels)[GATE]


def _copy(model: SentenceTransformer) -> Weights:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _mix(start: Tensor, last: Tensor, share: float) -> Tensor:
    return start.lerp(last, share) if last.is_floating_point() else last


def _draw(query: str) -> float:
    share: float = int(content_id("choosing", normalise_query(query)), 16) / 16**ID_LENGTH
    return share
