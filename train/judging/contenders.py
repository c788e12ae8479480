"""Build the models to compare in each split: base, champion and challenger, retrained where pairs would leak.

Why the champion may be retrained: it may have been trained on a fold's test queries. Then its recipe, retrained on its
own pairs without those, is evaluated in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rag.feedback.chunk_matching import ChunkMatcher
from rag.indexing.update import update_vectors
from rag.models.arms import promoted_models
from rag.models.embedder import Embedder, Vectors, load_embedder
from rag.models.registry import START_WEIGHTS
from rag.models.weights import read_dense_weight
from rag.records import Chunk, Pair, Qrels
from train.chunk_vectors import embed_chunks, table_vectors
from train.context import TrainingContext
from train.dataset.split import Split, without_leaks
from train.judging.evaluate import ScoredCandidate
from train.tuning.challenger import Bar, Challenger, ChallengerFactory


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model with the vectors of all chunks (chunks, dim), in their order.

    `dense_weight` is the share of its cosine in hybrid search, None the usual one.
    """

    name: str
    embedder: Embedder
    vectors: Vectors
    dense_weight: float | None = None

    def on(self, held_out: Qrels) -> ScoredCandidate:
        """Embed these queries, and return the candidate for scoring."""
        queries = self.embedder.embed_queries(list(held_out.relevant))
        return ScoredCandidate(self.name, queries, self.vectors, self.dense_weight)


def served_candidates(context: TrainingContext, bar: Bar) -> dict[str, Candidate]:
    """Return the candidates base, champion, start and shared; each model is loaded once, its table updated first.

    `champion` is what serves whom the training is for, `shared` what serves everybody: another one for a group.
    """
    settings, store, corpus = context.settings, context.store, context.corpus
    arms = promoted_models(settings, corpus.folders_id, context.group)
    shared = promoted_models(settings, corpus.folders_id)["tuned"]
    start = (START_WEIGHTS, settings.start_model)
    models = {"base": arms["base"], "champion": arms["tuned"], "start": start, "shared": shared}
    embedders = {reference: load_embedder(reference, settings) for reference in {ref for _, ref in models.values()}}
    vectors: dict[str, Vectors] = {}
    for name, reference in models.values():
        embedder = embedders[reference]
        if embedder.fingerprint not in vectors:
            vectors[embedder.fingerprint] = table_vectors(
                store, update_vectors(store, corpus.id, embedder, bar(name)), context.chunks, settings.cache
            )
    return {
        role: Candidate(
            name, embedders[reference], vectors[embedders[reference].fingerprint], read_dense_weight(reference)
        )
        for role, (name, reference) in models.items()
    }


def challenger_candidates(trained: Challenger, name: str, chunks: Sequence[Chunk], bar: Bar, cache: Path) -> Candidate:
    """Return a newly trained model as a candidate; embeds the chunks unless their vectors are known."""
    if trained.vectors is not None:
        return Candidate(name, trained.embedder, trained.vectors)
    return Candidate(name, trained.embedder, embed_chunks(trained.embedder, chunks, cache, bar(name)))


def retrain_without(
    champion: Candidate,
    start: Candidate,
    pairs: Sequence[Pair],
    factory: ChallengerFactory,
    part: Split,
    chunks: Sequence[Chunk],
    bar: Bar,
    cache: Path,
) -> Candidate:
    """Return the champion if none of its training pairs leak into this split, else retrain it without them.

    `pairs` are the champion's training pairs, remapped to the current chunks (`remap_to_current_chunks`). Where none of
    the remaining ones has a current chunk, the start weights are returned.
    """
    left = without_leaks(pairs, part.held_out, chunks)
    if len(left) == len(pairs):
        return champion
    known = {chunk.id for chunk in chunks}
    if not any(pair.positive_id in known for pair in left):
        return Candidate(champion.name, start.embedder, start.vectors, champion.dense_weight)
    again = challenger_candidates(factory.make(left, champion.name), champion.name, chunks, bar, cache)
    return replace(again, dense_weight=champion.dense_weight)


def remap_to_current_chunks(pairs: Sequence[Pair], chunks: Sequence[Chunk]) -> list[Pair]:
    """Return an earlier training's pairs with the current chunks that match their texts; others unchanged.

    A text that was split into several chunks since keeps its text, all of which the model was trained on.
    """
    anchors = ChunkMatcher(chunks)

    def remap(pair: Pair) -> Pair:
        found = anchors.find(pair.positive_id, pair.positive)
        if found is None or found == pair.positive_id:
            return pair
        text = anchors.texts[found]
        return replace(pair, positive_id=found, positive=text if pair.positive in text else pair.positive)

    return [remap(pair) for pair in pairs]


def candidates_for(candidates: Mapping[str, Candidate], held_out: Qrels) -> dict[str, ScoredCandidate]:
    """Return each role's candidate with these queries embedded."""
    return {role: candidate.on(held_out) for role, candidate in candidates.items()}
