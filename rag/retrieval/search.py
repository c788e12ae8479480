"""Search: query x arm -> ranked hits.

Why: a question takes its arm's `ServedModel` once, at its start; a promotion swaps the model of the next question.
And the last places may go to chunks that the words found and the embeddings did not, in both arms alike: a rating can
only teach what was shown, so a model that alone decides what is shown never hears of what it misses. That holds for
every way of ranking: what words rank first is among the hits, and train.dataset.credit builds on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rag.models.arms import ServedModel
from rag.records import Hit
from rag.retrieval.fusion import fuse, mmr
from rag.retrieval.rerank import RERANKED, Reranker, load_reranker
from rag.settings import Search, Settings
from rag.store.filters import EVERYWHERE, DocumentFilter
from rag.store.store import Store

DEPTH = 50  # candidates of each ranking where they are fused, reranked or spread
Best = list[tuple[Hit, float]]  # best first, each with what its order goes by: cosine, fused score or reranker's score


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How passages are found, in both arms alike: k hits, `explore` of them open to words, and what orders the rest.

    `mmr` is how much relevance counts against saying something new; 1: it alone.
    """

    k: int = 5
    explore: int = 1
    search: Search = "dense"
    mmr: float = 1.0
    reranker: Reranker | None = None

    @property
    def depth(self) -> int:
        """Return how many candidates the embeddings give."""
        return self.k if self.shows_nearest else max(self.k, DEPTH)

    @property
    def shows_nearest(self) -> bool:
        """Return whether the chunk with the best cosine is always among the hits."""
        return self.search == "dense" and self.mmr == 1 and not self.reranker

    @property
    def asks_words(self) -> bool:
        """Return whether the index of words is needed."""
        return self.search == "hybrid" or self.explore > 0

    def told(self) -> str:
        """Return in words for the user what is on, such as "5, by meaning, the last one open to words"."""
        parts = [f"{self.k}", "by meaning and by words" if self.search == "hybrid" else "by meaning"]
        if self.explore:
            parts.append(f"the last {'one' if self.explore == 1 else self.explore} open to words")
        if self.reranker:
            parts.append(f"reordered by {self.reranker.name}")
        if self.mmr < 1:
            parts.append(f"near-duplicates apart (MMR {self.mmr:g})")
        return ", ".join(parts)


def build_options(settings: Settings) -> SearchOptions:
    """Return how the settings say that passages are found; loads the cross-encoder, if one is set. Raises BadModel."""
    reranker = load_reranker(settings.rerank, settings) if settings.rerank else None
    return SearchOptions(settings.k, settings.explore, settings.search, settings.mmr, reranker)


def retrieve(
    store: Store, served: ServedModel, query: str, way: SearchOptions, only: DocumentFilter = EVERYWHERE
) -> list[Hit]:
    """Return the k best chunks for the query by this arm's embeddings and what else the way says, among `only` these.

    Whatever the order goes by, a hit's score is the cosine.
    """
    (vector,) = served.embedder.embed_queries([query])
    dense = store.chunks.search(served.table, vector, way.depth, only)
    # k are enough to explore: even if words find all that dense ranks first, `explore` of k candidates are others
    n_words = max(way.k, DEPTH) if way.search == "hybrid" else way.k
    lexical = store.chunks.search_text(served.table, query, vector, n_words, only) if way.asks_words else []
    best = hybrid(dense, lexical, way.k) if way.search == "hybrid" else [(hit, hit.score) for hit in dense]
    if way.reranker:
        best = rerank(way.reranker, query, best[: max(way.k, RERANKED)])
    if way.mmr < 1 and best:
        vectors = store.chunks.vectors(served.table, [hit.chunk.id for hit, _ in best])
        best = [best[row] for row in mmr([worth for _, worth in best], vectors, way.k, way.mmr)]
    return with_explore([hit for hit, _ in best], lexical, way.k, way.explore)


def hybrid(dense: Sequence[Hit], lexical: Sequence[Hit], k: int) -> Best:
    """Return the two rankings as one. A hit is marked "words" where the embeddings alone would not have shown it."""
    shown = {hit.chunk.id for hit in dense[:k]}
    found = {hit.chunk.id: hit for hit in dense}
    found |= {hit.chunk.id: replace(hit, origin="words") for hit in lexical if hit.chunk.id not in shown}
    fused = fuse([(1.0, dense), (1.0, lexical)])
    return [(replace(found[chunk_id], rank=rank), fused[chunk_id]) for rank, chunk_id in enumerate(fused, start=1)]


def rerank(reranker: Reranker, query: str, best: Best) -> Best:
    """Return the candidates in the order of the cross-encoder; of equal ones the former order stands."""
    scores = reranker.score(query, [hit.chunk.text for hit, _ in best]) if best else []
    pairs = [(hit, score) for (hit, _), score in zip(best, scores, strict=True)]
    return sorted(pairs, key=lambda pair: -pair[1])


def with_explore(ranked: Sequence[Hit], lexical: Sequence[Hit], k: int, explore: int) -> list[Hit]:
    """Return the k best ranked hits, the last of them displaced by what the words found and these k lack.

    Candidates are the `explore` best lexical hits outside the first k - explore ranked ones. One that is among the k
    anyway stays there as what it is; only a chunk that would not have been shown is marked "explore". So a ranked hit
    always has its rank, and no word in common means no change.
    """
    first = {hit.chunk.id for hit in ranked[: k - explore]}
    shown = {hit.chunk.id for hit in ranked[:k]}
    candidates = [hit for hit in lexical if hit.chunk.id not in first][:explore]
    new = [hit for hit in candidates if hit.chunk.id not in shown]
    hits = [*ranked[: k - len(new)], *new]
    return [replace(hit, rank=rank) for rank, hit in enumerate(hits, start=1)]
