"""Return the pairs that a training on the stored labels would make now, or count their queries."""

from __future__ import annotations

from collections.abc import Sequence

from rag.feedback.credit import KeywordRanks, judged_queries, unranked
from rag.feedback.pairs import MadePairs, alike, count_rated, rated_pairs
from rag.feedback.ratings import current_labels
from rag.records import Chunk, LabelledPair, chunks_of
from rag.store.store import Store


def count_rated_now(
    store: Store, corpus_id: str, ranks: KeywordRanks | None = None, labels: Sequence[LabelledPair] | None = None
) -> int:
    """Return how many rated queries have a positive in this corpus now, by `count_rated`.

    `labels` are the current ones, which are read where they are not given. Without `ranks` BM25 searches the vector
    table that lacks the fewest chunks: the ranks depend on the texts alone.
    """
    labels = current_labels(store) if labels is None else labels
    chunks = chunks_for(labels, store, corpus_id)
    if ranks is None and judged_queries(labels):
        ranks = _keyword_ranks(store, corpus_id, {chunk.id for chunk in chunks})
    return count_rated(labels, chunks, ranks.of(labels) if ranks else unranked)


def pairs_now(store: Store, corpus_id: str) -> MadePairs:
    """Return the pairs that a training on the stored labels would make now, without those of synthetic queries."""
    labels = current_labels(store)
    chunks = [chunk for document in store.documents.read(corpus_id) for chunk in chunks_of(document)]
    ranks = _keyword_ranks(store, corpus_id, {chunk.id for chunk in chunks}) if judged_queries(labels) else None
    return rated_pairs(labels, chunks, alike, ranks.of(labels) if ranks else unranked)


def chunks_for(labels: Sequence[LabelledPair], store: Store, corpus_id: str) -> list[Chunk]:
    """Return the corpus's chunks for matching labels; their texts are read only if a labelled chunk id is gone."""
    chunks = store.documents.outline(corpus_id)
    known = {chunk.id for chunk in chunks}
    if any(label.label and label.chunk_id not in known for label in labels):
        return [chunk for document in store.documents.read(corpus_id) for chunk in chunks_of(document)]
    return chunks


def _keyword_ranks(store: Store, corpus_id: str, chunk_ids: set[str]) -> KeywordRanks | None:
    """Return the BM25 ranks of the most complete table; None where nothing was indexed."""
    tables = store.chunks.table_names(corpus_id)
    if not tables:
        return None
    table = min(tables, key=lambda name: len(chunk_ids - store.chunks.ids(name)))
    store.chunks.build_text_index(table)  # a table of an earlier release has none
    return KeywordRanks(store, table)
