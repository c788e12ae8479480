"""Files -> table `documents` -> one vector table for each model. Does only what is not done yet.

The documents table is the truth about what a corpus holds; a vector table is brought level with it by the ids it lacks
and those it has too many. So an interrupted run loses nothing but its last step, and the next one goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from rag.embed import Embedder
from rag.errors import NoDocuments
from rag.ingest import Corpus, Outcome, Skipped, Unchanged, corpus_of
from rag.records import Chunk, Document, chunks_of
from rag.settings import Settings
from rag.store import Store

STEP = 512  # chunks embedded between two writes: 20 s on two cores is the most an interruption costs
Embedded = Callable[[int, int], None]


@dataclass(slots=True)
class IndexReport:
    """What an index run found: sources by what happened to them, and what was skipped and why."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def is_unchanged(self) -> bool:
        """Return whether the documents are what they were."""
        return not (self.added or self.changed or self.deleted)


def load_corpus(settings: Settings) -> Corpus:
    """Return the corpus that the settings name. Both models count: a chunk must fit into the one that reads less."""
    return corpus_of(settings.docs, settings.chunk_tokens, f"{settings.start_model} {settings.base_model}")


def update_documents(store: Store, corpus: Corpus, outcomes: Iterable[Outcome]) -> IndexReport:
    """Bring table `documents` level with the files. `outcomes` comes from rag.ingest.ingest, whose errors pass through.

    A source that could not be read this time keeps nothing in the index: answering from a text that nobody can open
    would cite what is not there. Where no file at all could be read nothing is deleted: raises NoDocuments.
    """
    known = store.document_hashes(corpus.id)
    report = IndexReport()
    for outcome in outcomes:
        match outcome:
            case Document():
                (report.changed if outcome.source in known else report.added).append(outcome.source)
                store.put_documents(corpus.id, [outcome])
            case Unchanged():
                report.unchanged.append(outcome.source)
            case Skipped():
                report.skipped.append(outcome)
    if report.skipped and not (report.added or report.changed or report.unchanged):
        first = report.skipped[0]
        raise NoDocuments(
            f"none of the {len(report.skipped)} files can be read, the first, {first.source!r}: {first.reason}"
        )
    kept = {*report.added, *report.changed, *report.unchanged}
    report.deleted = sorted(set(known) - kept)
    store.delete_documents(corpus.id, report.deleted)
    return report


def corpus_chunks(store: Store, corpus_id: str) -> list[Chunk]:
    """Return all chunks of a corpus, sliced from the stored documents."""
    return [chunk for document in store.documents(corpus_id) for chunk in chunks_of(document)]


def update_vectors(
    store: Store, corpus_id: str, embedder: Embedder, progress: Embedded = lambda done, total: None
) -> str:
    """Bring a model's vector table and its index of words level with table `documents`, and return the table's name.

    Embeds only the chunks that the table lacks. `progress` is told (done, total) after each step.
    """
    table = store.chunk_table(corpus_id, embedder.fingerprint)
    chunks = corpus_chunks(store, corpus_id)
    have = store.chunk_ids(table)
    missing = [chunk for chunk in chunks if chunk.id not in have]
    if not store.has_table(table):
        store.put_chunks(table, [], embedder.embed_documents([]))
    progress(0, len(missing))
    for start in range(0, len(missing), STEP):
        step = missing[start : start + STEP]
        vectors = embedder.embed_documents([chunk.text for chunk in step], lambda n: progress(n, len(missing)))
        store.put_chunks(table, step, vectors)
    _refresh_places(store, table, chunks, have)
    store.delete_chunks(table, have - {chunk.id for chunk in chunks})
    store.index_words(table)
    return table


def is_level(store: Store, corpus_id: str, table: str) -> bool:
    """Return whether a vector table holds exactly the chunks of its corpus."""
    return store.has_table(table) and store.chunk_ids(table) == {c.id for c in corpus_chunks(store, corpus_id)}


def _refresh_places(store: Store, table: str, chunks: list[Chunk], have: set[str]) -> None:
    """Give chunks that were there already their new offsets, page and heading; their vectors stay."""
    if not have:
        return
    stored, vectors = store.read_chunks(table)
    row_of = {chunk.id: row for row, chunk in enumerate(stored)}
    moved = [chunk for chunk in chunks if chunk.id in have and stored[row_of[chunk.id]] != chunk]
    if moved:
        store.put_chunks(table, moved, vectors[[row_of[chunk.id] for chunk in moved]])
