"""Search passages for a person: both arms and BM25 fused into one ranking, deeper than an answer's hits.

Why two groups: both arms together weigh as much as BM25. If each list counted alone, two arms that miss the same chunk
would outvote the keyword search that finds it, and that chunk is what people look for. Both arms weigh the same, so the
order does not depend on which arm found what, and a rater who has not rated yet learns nothing about the sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rag.models.arms import ServedModel
from rag.records import Chunk, Hit
from rag.retrieval.fusion import fuse
from rag.store.store import Store

DEPTH = 50  # hits of each list; an answer uses 5, and a chunk ranked lower everywhere needs another query
SHOWN = 20  # more than anybody reads


def search_passages(store: Store, arms: Iterable[ServedModel], query: str, n: int = SHOWN) -> list[Chunk]:
    """Return at most n chunks for a query, best first: BM25 and every arm's embeddings, fused.

    Builds the full-text index if it is missing or out of date. Raises StoreFailed, or BadModel from a remote embedder.
    """
    retrievers = {(each.table, each.embedder.query_fingerprint): each for each in arms}  # equal weights count once
    dense, lexical = [], list[Hit]()
    for table, fingerprint in sorted(retrievers):
        (vector,) = retrievers[table, fingerprint].embedder.embed_queries([query])
        dense.append(store.chunks.search(table, vector, DEPTH))
        if not lexical:  # the texts of every arm's table are the same
            store.chunks.build_text_index(table)
            lexical = store.chunks.search_text(table, query, vector, DEPTH)
    return fuse_retrievers([dense, [lexical]], n)


def fuse_retrievers(groups: Sequence[Sequence[Sequence[Hit]]], n: int) -> list[Chunk]:
    """Return the n best chunks by reciprocal rank fusion, ties by id.

    All groups weigh the same; the lists of a group share its weight.
    """
    chunks = {hit.chunk.id: hit.chunk for lists in groups for hits in lists for hit in hits}
    best = fuse([(1 / len(lists), hits) for lists in groups for hits in lists])
    return [chunks[chunk_id] for chunk_id in list(best)[:n]]
