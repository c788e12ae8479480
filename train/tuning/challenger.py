"""Pairs -> a challenger: the start model tuned whole, or an adapter of the champion's queries.

The idea a reader would miss: what is made for a fold is made exactly as what is to serve, by the same call with fewer
pairs, down to the queries that choose the weights. Else the folds would judge another recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

from sentence_transformers import SentenceTransformer

from rag.models.embedder import Embedder, Vectors, adapt, load_trainable, wrap
from rag.records import Chunk, Pair
from rag.settings import Settings
from train.recipe import Recipe, matryoshka_dims
from train.tuning import checkpoint_selection, query_adapter, version_folder
from train.tuning.trainer import tune, write_weights

RecipeFor = Callable[[Sequence[Pair], SentenceTransformer], Recipe]  # what is to be learnt, and by which model


@dataclass(frozen=True, slots=True)
class Challenger:
    """A model as its maker leaves it: ready to be judged, and not saved yet.

    `vectors` are its chunks' where they are known already; `facts` say how it came about, `pairs` what it learnt from.
    """

    embedder: Embedder
    pairs: Sequence[Pair]
    facts: Mapping[str, object]
    save: Callable[[Path], None]
    vectors: Vectors | None = None


class ChallengerFactory(Protocol):
    """Makes a model of pairs. Every call starts afresh and leaves what it was given as it was."""

    def make(self, pairs: Sequence[Pair], name: str, checkpoints: Path | None = None) -> Challenger:
        """Return the model that these pairs make."""
        ...


@dataclass(frozen=True, slots=True)
class FineTuneFactory:
    """Tunes a copy of a model's weights. `start` embeds as those weights do, and `vectors` are its chunks'.

    Where `chooses` is set some of the pairs choose the weights to keep; it takes as long as some dozens of steps.
    """

    settings: Settings
    reference: str
    recipe_for: RecipeFor
    start: Embedder
    chunks: Sequence[Chunk]
    vectors: Vectors
    chooses: bool

    def make(self, pairs: Sequence[Pair], name: str, checkpoints: Path | None = None) -> Challenger:
        """Return the start model tuned on these pairs, with the weights that some of them chose."""
        model = load_trainable(self.reference, self.settings)
        learnt, choosing = checkpoint_selection.hold_out_validation(pairs) if self.chooses else (pairs, [])
        recipe = self.recipe_for(learnt, model)
        embedder = wrap(model, name, self.settings)
        chooser = (
            checkpoint_selection.CheckpointSelector(model, embedder, self._pool(choosing), checkpoints)
            if choosing
            else None
        )
        look = chooser.look if chooser and not recipe.lora else None  # until merged, those weights are of other names
        tuned = tune(model, as_embedded(learnt, self.chunks), recipe, look=look, checkpoints=checkpoints)
        kept = chooser.settle() if chooser else checkpoint_selection.LAST
        model.truncate_dim = recipe.serve_dim or model.truncate_dim  # saved with the weights
        came_of = {"mean_loss" if key == "loss" else key: value for key, value in asdict(tuned).items()}
        facts = {**asdict(recipe), **came_of, "queries that chose the weights": len(choosing), "kept": kept}
        return Challenger(
            wrap(model, name, self.settings),  # anew: its fingerprint is that of the weights it has now
            pairs,
            facts,
            lambda path: version_folder.save(path, lambda draft: write_weights(model, draft), pairs, recipe),
        )

    def _pool(self, pairs: Sequence[Pair]) -> checkpoint_selection.ValidationPool:
        queries = self.start.embed_queries([pair.query for pair in pairs])
        ids, texts = [chunk.id for chunk in self.chunks], [chunk.embedded for chunk in self.chunks]
        return checkpoint_selection.build_validation_pool(pairs, queries, ids, texts, self.vectors)


@dataclass(frozen=True, slots=True)
class AdapterFactory:
    """Fits an adapter behind the queries of a model that serves; its chunks' vectors stay as they are."""

    model: Embedder
    chunks: Sequence[Chunk]
    vectors: Vectors
    seed: int

    def make(self, pairs: Sequence[Pair], name: str, checkpoints: Path | None = None) -> Challenger:
        """Return the model with the adapter that these pairs justify; it takes seconds and keeps no checkpoints."""
        asked = list(dict.fromkeys(pair.query for pair in pairs))
        queries = dict(zip(asked, self.model.embed_queries(asked), strict=True))
        dims = matryoshka_dims(self.model.dim)
        fitted = query_adapter.fit(pairs, queries, self.chunks, self.vectors, dims, self.seed)
        facts = {key: value for key, value in asdict(fitted).items() if key != "matrix"}
        facts["adapts"] = self.model.reference

        def save(path: Path) -> None:
            model = self.model
            version_folder.save(
                path,
                lambda draft: query_adapter.write(fitted, draft, model.reference, model.query_fingerprint),
                pairs,
                None,
            )

        return Challenger(adapt(self.model, fitted.matrix, name), pairs, facts, save, self.vectors)


def as_embedded(pairs: Sequence[Pair], chunks: Sequence[Chunk]) -> list[Pair]:
    """Return the pairs with their chunks as models read them, behind their headings (`Chunk.embedded`).

    A text that was made of a chunk, such as a definition without its term, stays as it is: a heading may hold the term.
    """
    read = {chunk.text: chunk.embedded for chunk in reversed(chunks)}  # of equal texts the first one's headings
    own = {chunk.id: chunk for chunk in chunks}

    def positive(pair: Pair) -> str:
        chunk = own.get(pair.positive_id)
        return chunk.embedded if chunk and chunk.text == pair.positive else read.get(pair.positive, pair.positive)

    return [
        replace(pair, positive=positive(pair), negatives=tuple(read.get(text, text) for text in pair.negatives))
        for pair in pairs
    ]
