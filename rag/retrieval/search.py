"""Retrieve the ranked hits of one arm for a query: dense or hybrid search, reranking, MMR, explore slots.

Why explore slots: a rating can only teach about what was shown, so a model that alone decides what is shown never
learns what it misses. In both arms the last places may go to chunks that BM25 finds and the embeddings do not. This
holds for all options: BM25's first chunk is always among the hits, and rag.feedback.credit relies on it.

A query uses its arm's `ServedModel` from start to end; a promotion applies to the next query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rag.models.arms import ServedModel
from rag.records import Hit
from rag.retrieval.fusion import combine, mmr
from rag.retrieval.rerank import RERANKED, Reranker, load_reranker
from rag.settings import Search, Settings
from rag.store.filters import EVERYWHERE, DocumentFilter
from rag.store.store import Store

DEPTH = 50  # candidates of each ranking that are fused, reranked or diversified
ScoredHits = list[tuple[Hit, float]]  # best first; the score that orders them: cosine, fused or the reranker's


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """Search options shared by both arms: k hits, up to `explore` of them from BM25, and how the others are ranked.

    `mmr` is the weight of relevance against diversity; 1 means relevance only.
    """

    k: int = 5
    explore: int = 1
    search: Search = "dense"
    mmr: float = 1.0
    reranker: Reranker | None = None

    @property
    def depth(self) -> int:
        """Return how many candidates dense search returns."""
        return self.k if self.is_plain_dense else max(self.k, DEPTH)

    @property
    def is_plain_dense(self) -> bool:
        """Return whether the chunk with the best cosine is always among the hits."""
        return self.search == "dense" and self.mmr == 1 and not self.reranker

    @property
    def uses_full_text(self) -> bool:
        """Return whether the full-text index (BM25) is needed."""
        return self.search == "hybrid" or self.explore > 0

    def summary(self) -> str:
        """Return a summary for the user, such as "5, by meaning, the last one may be a keyword match"."""
        parts = [f"{self.k}", "by meaning and by keywords" if self.search == "hybrid" else "by meaning"]
        if self.explore == 1:
            parts.append("the last one may be a keyword match")
        elif self.explore:
            parts.append(f"the last {self.explore} may be keyword matches")
        if self.reranker:
            parts.append(f"reordered by {self.reranker.name}")
        if self.mmr < 1:
            parts.append(f"near-duplicates demoted (MMR {self.mmr:g})")
        return ", ".join(parts)


def build_options(settings: Settings) -> SearchOptions:
    """Return the search options of the settings; loads the cross-encoder if one is set. Raises BadModel."""
    reranker = load_reranker(settings.rerank, settings) if settings.rerank else None
    return SearchOptions(settings.k, settings.explore, settings.search, settings.mmr, reranker)


def retrieve(
    store: Store, served: ServedModel, query: str, options: SearchOptions, only: DocumentFilter = EVERYWHERE
) -> list[Hit]:
    """Return the k best chunks of one arm for a query, among the documents of the filter `only`.

    The score of a hit is always its cosine, whatever ranked it. Raises StoreFailed, or BadModel from a remote embedder.
    """
    (vector,) = served.embedder.embed_queries([query])
    dense = store.chunks.search(served.table, vector, options.depth, only)
    # k are enough for exploring: even if BM25 finds all the top dense hits, `explore` of its k hits are others
    n_lexical = max(options.k, DEPTH) if options.search == "hybrid" else options.k
    found = store.chunks.search_keywords(served.table, query, vector, n_lexical, only) if options.uses_full_text else []
    lexical = [hit for hit, _ in found]
    best = [(hit, hit.score) for hit in dense]
    if options.search == "hybrid":
        best = hybrid(dense, found, options.k, served.dense_weight)
    if options.reranker:
        best = rerank(options.reranker, query, best[: max(options.k, RERANKED)])
    if options.mmr < 1 and best:
        vectors = store.chunks.vectors(served.table, [hit.chunk.id for hit, _ in best])
        best = [best[row] for row in mmr([score for _, score in best], vectors, options.k, options.mmr)]
    return with_explore([hit for hit, _ in best], lexical, options.k, options.explore)


def hybrid(dense: Sequence[Hit], lexical: ScoredHits, k: int, dense_weight: float | None = None) -> ScoredHits:
    """Return both rankings combined by cosine and BM25 score; `lexical` are hits with their BM25 scores.

    A hit has origin "words" if dense search alone would not have shown it.
    """
    shown = {hit.chunk.id for hit in dense[:k]}
    found = {hit.chunk.id: hit for hit in dense}
    found |= {hit.chunk.id: replace(hit, origin="words") for hit, _ in lexical if hit.chunk.id not in shown}
    cosines = {chunk_id: hit.score for chunk_id, hit in found.items()}
    scores = combine(cosines, {hit.chunk.id: score for hit, score in lexical}, dense_weight)
    return [(replace(found[chunk_id], rank=rank), scores[chunk_id]) for rank, chunk_id in enumerate(scores, start=1)]


def rerank(reranker: Reranker, query: str, best: ScoredHits) -> ScoredHits:
    """Return the candidates in the order of the cross-encoder; equal scores keep their order."""
    scores = reranker.score(query, [hit.chunk.text for hit, _ in best]) if best else []
    pairs = [(hit, score) for (hit, _), score in zip(best, scores, strict=True)]
    return sorted(pairs, key=lambda pair: -pair[1])


def with_explore(ranked: Sequence[Hit], lexical: Sequence[Hit], k: int, explore: int) -> list[Hit]:
    """Return the k best ranked hits, the last ones replaced by lexical hits that are not among these k.

    Candidates are the `explore` best lexical hits outside the first k - explore ranked ones. A candidate that is among
    the k anyway stays there unchanged; only a chunk that would not have been shown is marked "explore". So ranked hits
    keep their ranks, and a query without a matching word changes nothing.
    """
    first = {hit.chunk.id for hit in ranked[: k - explore]}
    shown = {hit.chunk.id for hit in ranked[:k]}
    candidates = [hit for hit in lexical if hit.chunk.id not in first][:explore]
    new = [hit for hit in candidates if hit.chunk.id not in shown]
    hits = [*ranked[: k - len(new)], *new]
    return [replace(hit, rank=rank) for rank, hit in enumerate(hits, start=1)]
