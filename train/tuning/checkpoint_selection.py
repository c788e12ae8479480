"""Checkpoint selection: keep the last epoch unless an earlier or averaged state is significantly better.

Why the last epoch is preferred: few validation queries select unreliably, so another state must be ahead by CLEARLY
standard errors. Validation queries are taken from the training queries, never from the test queries. Step 0, the start
model's weights, is among the states.
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
from rag.records import ID_LENGTH, Chunk, Pair, Qrels, content_id, normalise_query
from train.chunk_vectors import nearest
from train.dataset.near_duplicates import connected

SHARE = 0.1  # of the training queries
FEWEST = 20  # validation queries; with fewer the choice is noise, and the last epoch is kept
TOO_MANY = 2  # times the wanted number of queries: the most that may be withheld from training
MOST = 40  # validation queries; each state has to embed their whole pool
POOL_RANKS = 6  # chunks per query, ranked first by the start model: all together a pool that is hard enough
CLEARLY = 2.0  # standard errors: one of five equal states is ahead by 2 in a tenth of draws, by 1 in 44%
MILDER = (0.5, 0.75)  # shares of the tuned weights in an average with the start weights (WiSE-FT)
BEST = "best.pt"  # in the checkpoints folder
LAST, START = "the last epoch", "the start weights"
Weights = dict[str, Tensor]


def hold_out_validation(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    """Split pairs into training and validation, without common queries or chunks; no validation pairs if too few.

    Queries that share a chunk, or near duplicates of one, go to the same side: else validation would favour the state
    that memorised the training chunks.
    """
    judging = {normalise_query(pair.query) for pair in pairs if pair.judges}
    wanted = min(MOST, round(SHARE * len(judging)))
    chosen: set[str] = set()
    withheld: set[str] = set()
    for group in sorted(connected(pairs), key=lambda group: _draw(group[0])):
        more = judging.intersection(group)
        fits = len(chosen | more) <= MOST and len(withheld) + len(group) <= TOO_MANY * wanted
        if more and fits and len(chosen) < wanted:
            chosen |= more
            withheld |= set(group)
    if len(chosen) < FEWEST:
        return list(pairs), []
    training = [pair for pair in pairs if normalise_query(pair.query) not in withheld]
    return training, [pair for pair in pairs if normalise_query(pair.query) in chosen and pair.judges]


@dataclass(frozen=True, slots=True)
class ValidationPool:
    """Validation queries and the texts to rank for them. `start` has the start model's vectors."""

    qrels: Qrels
    ids: tuple[str, ...]
    texts: tuple[str, ...]
    start: tuple[Vectors, Vectors]  # of the queries, of the texts


def build_validation_pool(
    pairs: Sequence[Pair], queries: Vectors, chunks: Sequence[Chunk], vectors: Vectors
) -> ValidationPool:
    """Return the pool for validation pairs: their positives, and the start model's top POOL_RANKS per query.

    `queries` (pairs, dim) and `vectors` (chunks, dim) are those of the start model.
    """
    row = {chunk.id: n for n, chunk in enumerate(chunks)}
    rows = {row[pair.positive_id] for pair in pairs if pair.positive_id in row}
    relevant: dict[str, frozenset[str]] = {}
    asked: dict[str, Vectors] = {}
    for pair, vector in zip(pairs, queries, strict=True):
        relevant[pair.query] = relevant.get(pair.query, frozenset()) | {pair.positive_id}
        asked[pair.query] = vector
    rows |= set(nearest(queries, vectors, POOL_RANKS)[0].ravel().tolist())
    kept = sorted(rows)
    start = (np.stack([asked[query] for query in relevant]), vectors[kept])
    ids, texts = tuple(chunks[n].id for n in kept), tuple(chunks[n].embedded for n in kept)
    return ValidationPool(Qrels(relevant), ids, texts, start)


class CheckpointSelector:
    """Evaluates the states of a model during training, and loads the best one at the end.

    `embedder` wraps the same model. The best state so far is also saved in the folder `memory`, if given, so that a
    resumed training still has it.
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

    def evaluate_state(self, name: str) -> None:
        """Evaluate the current weights, and keep a copy if they are the best so far."""
        values = self._embedded()
        best = max(self._values, key=lambda known: float(self._values[known].mean()))
        if values.mean() > self._values[best].mean():
            self._states = {START: self._start, name: _copy(self._model)}
            self._remember(name, values)
        self._values[name] = values

    def select(self) -> str:
        """Select among all states, averages included; load the winner into the model and return its name."""
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
            draft = self._file.with_name(f"{BEST}.{os.getpid()}")  # each torchrun process writes the same file
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
    """Return the name with the largest lead over `preferred` of at least CLEARLY standard errors, else `preferred`."""

    def lead(name: str) -> float:
        difference = values[name] - values[preferred]
        error = float(difference.std(ddof=1)) / np.sqrt(difference.size)
        mean = float(difference.mean())
        return mean if mean > CLEARLY * error else 0.0

    best = max(values, key=lead)
    return best if lead(best) > 0 else preferred


def _judge(pool: ValidationPool, queries: Vectors, texts: Vectors) -> Values:
    ranking = np.argsort(-(queries @ texts.T), axis=1, kind="stable")
    run = {query: [pool.ids[n] for n in row] for query, row in zip(pool.qrels.relevant, ranking, strict=True)}
    return evaluate_run(run, pool.qrels)[GATE]


def _copy(model: SentenceTransformer) -> Weights:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _mix(start: Tensor, last: Tensor, share: float) -> Tensor:
    return start.lerp(last, share) if last.is_floating_point() else last


def _draw(query: str) -> float:
    share: float = int(content_id("choosing", normalise_query(query)), 16) / 16**ID_LENGTH
    return share
