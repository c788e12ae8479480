"""Train a challenger on pairs: fine-tune the start model, or fit a query adapter for the champion.

Why folds use the same factories: cross-fitting measures a recipe, so a fold's model must be made by the same call as
the version that will serve, with fewer pairs, validation queries included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from sentence_transformers import SentenceTransformer

from rag.indexing.update import Embedded
from rag.models.embedder import Embedder, Vectors, adapt, load_trainable, wrap
from rag.models.weights import OWN
from rag.records import Chunk, Pair
from rag.settings import Settings
from train.chunk_vectors import embed_chunks
from train.recipe import Recipe, matryoshka_dims
from train.tuning import checkpoint_selection, query_adapter, version_folder
from train.tuning.distillation import distil
from train.tuning.hybrid_teacher import Teacher
from train.tuning.trainer import Run, tune, write_weights

QUERIES_AT_ONCE = 256  # of those that a teacher made, between two steps of the progress bar
DISTILLED = "queries that hybrid search taught"  # in the facts of a challenger that has an adapter beside its weights
Bar = Callable[[str], Embedded]  # task -> progress callback
RecipeFor = Callable[[Sequence[Pair], SentenceTransformer], Recipe]  # (training pairs, model) -> recipe


def no_bar(task: str) -> Embedded:
    """Return a progress callback that shows nothing."""
    return lambda done, total: None


@dataclass(frozen=True, slots=True)
class Challenger:
    """A trained model, not saved yet.

    `vectors` (chunks, dim) are set where they are known already. `facts` has recipe and training statistics, `pairs`
    what it was trained on.
    """

    embedder: Embedder
    pairs: Sequence[Pair]
    facts: Mapping[str, object]
    save: Callable[[Path], None]
    vectors: Vectors | None = None


class ChallengerFactory(Protocol):
    """Trains a model on pairs. Every call starts from the same weights and changes none of its inputs."""

    def make(
        self, pairs: Sequence[Pair], name: str, checkpoints: Path | None = None, run: Run | None = None
    ) -> Challenger:
        """Train on these pairs; `run` is how experiment trackers know it."""
        ...


@dataclass(frozen=True, slots=True)
class FineTuneFactory:
    """Fine-tunes a copy of the model `reference`. `start` is its embedder, `vectors` (chunks, dim) its chunk vectors.

    Where `chooses` is set, some of the pairs are held out for checkpoint selection, which takes as long as some dozens
    of steps. With a `teacher` the tuned model gets a query adapter that is distilled from it.
    """

    settings: Settings
    reference: str
    recipe_for: RecipeFor
    start: Embedder
    chunks: Sequence[Chunk]
    vectors: Vectors
    chooses: bool
    teacher: Teacher | None = None
    bar: Bar = no_bar

    def make(
        self, pairs: Sequence[Pair], name: str, checkpoints: Path | None = None, run: Run | None = None
    ) -> Challenger:
        """Fine-tune the start model on these pairs, with checkpoint selection."""
        model = load_trainable(self.reference, self.settings)
        training, validation = checkpoint_selection.hold_out_validation(pairs) if self.chooses else (pairs, [])
        recipe = self.recipe_for(training, model)
        embedder = wrap(model, name, self.settings)
        selector = (
            checkpoint_selection.CheckpointSelector(model, embedder, self._pool(validation), checkpoints)
            if validation
            else None
        )
        on_epoch = (
            selector.evaluate_state if selector and not recipe.lora else None
        )  # LoRA weights have other names until merged
        examples = as_embedded(training, self.chunks)
        tuned = tune(model, examples, recipe, on_epoch=on_epoch, checkpoints=checkpoints, run=run)
        kept = selector.select() if selector else checkpoint_selection.LAST
        model.truncate_dim = recipe.serve_dim or model.truncate_dim  # saved with the weights
        statistics = {"mean_loss" if key == "loss" else key: value for key, value in asdict(tuned).items()}
        facts = {**asdict(recipe), **statistics, "queries that chose the weights": len(validation), "kept": kept}
        embedder = wrap(model, name, self.settings)  # again, since the weights and so the fingerprint changed
        if self.teacher is None or not self.teacher.queries:
            save = partial(version_folder.save, write_weights=partial(write_weights, model), pairs=pairs, recipe=recipe)
            return Challenger(embedder, pairs, facts, save)
        vectors = embed_chunks(embedder, self.chunks, self.settings.cache, self.bar(name))
        turned = distilled(embedder, vectors, self.teacher, recipe.seed, self.bar)
        facts[DISTILLED] = len(self.teacher.queries)

        def write(draft: Path) -> None:
            write_weights(model, draft)
            query_adapter.write(turned, draft, OWN, embedder.query_fingerprint)

        save = partial(version_folder.save, write_weights=write, pairs=pairs, recipe=recipe)
        return Challenger(adapt(embedder, turned, name), pairs, facts, save, vectors)

    def _pool(self, pairs: Sequence[Pair]) -> checkpoint_selection.ValidationPool:
        queries = self.start.embed_queries([pair.query for pair in pairs])
        return checkpoint_selection.build_validation_pool(pairs, queries, self.chunks, self.vectors)


@dataclass(frozen=True, slots=True)
class AdapterFactory:
    """Fits a query adapter for a serving model; its chunk vectors stay unchanged. `rejects` is for a group's.

    It starts from `start`, a matrix that was `distilled` for the model.
    """

    model: Embedder
    chunks: Sequence[Chunk]
    vectors: Vectors
    start: Vectors
    seed: int
    rejects: bool = False

    def make(
        self, pairs: Sequence[Pair], name: str, checkpoints: Path | None = None, run: Run | None = None
    ) -> Challenger:
        """Fit the adapter on these pairs; takes seconds, writes no checkpoints and has no steps to report."""
        asked = list(dict.fromkeys(pair.query for pair in pairs))
        queries = dict(zip(asked, self.model.embed_queries(asked), strict=True))
        start = self.start + np.eye(len(self.start), dtype=np.float32)
        fitted = query_adapter.fit(pairs, queries, self.chunks, self.vectors, start, self.seed, rejects=self.rejects)
        facts = {key: value for key, value in asdict(fitted).items() if key != "matrix"}
        facts["adapts"] = self.model.reference

        def save(path: Path) -> None:
            model = self.model
            version_folder.save(
                path,
                lambda draft: query_adapter.write(fitted.matrix, draft, model.reference, model.query_fingerprint),
                pairs,
                None,
            )

        return Challenger(adapt(self.model, fitted.matrix, name), pairs, facts, save, self.vectors)


def distilled(model: Embedder, vectors: Vectors, teacher: Teacher, seed: int, bar: Bar = no_bar) -> Vectors:
    """Return the matrix of a query adapter for a model, (dim, dim), that a teacher alone has taught."""
    progress, asked = bar("made queries"), list(teacher.queries)  # half of its way is to embed them
    steps = [np.zeros((0, model.dim), dtype=np.float32)]
    for start in range(0, len(asked), QUERIES_AT_ONCE):
        steps.append(model.embed_queries(asked[start : start + QUERIES_AT_ONCE]))
        progress(len(steps[-1]), 2 * len(asked))

    def fitted(done: int, total: int) -> None:
        progress(len(asked) * done // total - len(asked) * (done - 1) // total, 2 * len(asked))

    matrix = distil(np.concatenate(steps), teacher, vectors, matryoshka_dims(model.dim), seed, fitted)
    turned: Vectors = matrix - np.eye(model.dim, dtype=np.float32)
    return turned


def as_embedded(pairs: Sequence[Pair], chunks: Sequence[Chunk]) -> list[Pair]:
    """Return the pairs with texts as models embed them: heading path, then text (`Chunk.embedded`).

    A text that was derived from a chunk, such as a definition without its term, stays unchanged: a heading may contain
    the term.
    """
    embedded = {chunk.text: chunk.embedded for chunk in reversed(chunks)}  # of equal texts the headings of the first
    own = {chunk.id: chunk for chunk in chunks}

    def positive(pair: Pair) -> str:
        chunk = own.get(pair.positive_id)
        return chunk.embedded if chunk and chunk.text == pair.positive else embedded.get(pair.positive, pair.positive)

    return [
        replace(pair, positive=positive(pair), negatives=tuple(embedded.get(text, text) for text in pair.negatives))
        for pair in pairs
    ]
