"""A person looks for a passage -> what to read, from all retrievers at once and from far beyond what was shown.

The idea a reader would miss: the arms together are one voice and the words are the other. Were each list a voice of its
own, two arms that miss the same chunk would outvote the words that find it, and that chunk is what people look for.
Both arms count alike, so the order is the same whichever of them found what: a rater who has not rated yet learns
nothing about the sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rag.models.arms import ServedModel
from rag.records import Chunk, Hit
from rag.retrieval.fusion import fuse
from rag.store.store import Store

DEPTH = 50  # of each list; a question shows 5, and a chunk that stands lower everywhere is found by other words
SHOWN = 20  # more than anybody reads


def search_passages(store: Store, arms: Iterable[ServedModel], query: str, n: int = SHOWN) -> list[Chunk]:
    """Return at most n chunks for what a person typed, best first: words and every arm's embeddings, fused.

    Makes the index of words where it is missing or behind. Raises StoreFailed, or BadModel from a remote embedder.
    """
    retrievers = {(each.table, each.embedder.query_fingerprint): each for each in arms}  # the same weights speak once
    dense, lexical = [], list[Hit]()
    for table, print_ in sorted(retrievers):
        (vector,) = retrievers[table, print_].embedder.embed_queries([query])
        dense.append(store.chunks.search(table, vector, DEPTH))
        if not lexical:  # the words of every arm's table are the same
            store.chunks.build_text_index(table)
            lexical = store.chunks.search_text(table, query, vector, DEPTH)
    return fuse_retrievers([dense, [lexical]], n)


def fuse_retrievers(voices: Sequence[Sequence[Sequence[Hit]]], n: int) -> list[Chunk]:
    """Return the n best chunks by reciprocal rank fusion, ties by id.

    Each voice says as much as any other; the lists of one voice share what it says.
    """
    chunks = {hit.chunk.id: hit.chunk for lists in voices for hits in lists for hit in hits}
    best = fuse([(1 / len(lists), hits) for lists in voices for hits in lists])
    return [chunks[chunk_id] for chunk_id in list(best)[:n]]
