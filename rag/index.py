"""Files -> table `documents` -> one vector table for each model. Does only what is not done yet.

The documents table is the truth about what a corpus holds; a vector table is brought level with it by the ids it lacks
and those it has too many. So an interrupted run loses nothing but its last step, and the next one goes on from there.

Several processes may bring vector tables level at once. Which documents there are is changed by one at a time: it
holds `changing_documents`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from rag.chunking import CountTokens
from rag.embed import Embedder
from rag.errors import NoDocuments, StoreFailed
from rag.ingest import MAX_FILE_BYTES, Corpus, Found, Outcome, Skipped, Unchanged, corpus_of, ingest
from rag.links import Pages
from rag.records import Chunk, Document, chunks_of
from rag.settings import Settings
from rag.store import Store

STEP = 512  # chunks embedded between two writes: 20 s on two cores is the most an interruption costs
FOREVER = -1.0
Embedded = Callable[[int, int], None]
log = logging.getLogger(__name__)


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


def uploads_folder(settings: Settings, corpus: Corpus) -> Path:
    """Return where the files lie that were dropped into the chat: they belong to the documents folder, as champions do.

    It may not be there yet.
    """
    return settings.uploads / corpus.folders_id


@contextmanager
def changing_documents(store: Store, seconds: float = FOREVER) -> Iterator[None]:
    """Be the only one, among all processes, who changes which documents there are. Raises StoreFailed after so long."""
    lock = FileLock(store.folder / "index.lock")
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.warning("another process is changing the index: waiting until it is done")
            lock.acquire(timeout=seconds)
    except Timeout:
        raise StoreFailed(
            f"another process has been changing the index for {seconds:.0f} seconds: try again when it is done"
        ) from None
    except OSError as error:
        raise StoreFailed(f"{lock.lock_file}: cannot be locked ({error.strerror}): make its folder writable") from error
    try:
        yield
    finally:
        lock.release()


def cutting(settings: Settings, start: Embedder, others: Iterable[Embedder]) -> tuple[CountTokens, int]:
    """Return how the tokens of a chunk are counted, and how many it may have: as many as each of the models reads."""
    limit = min(settings.chunk_tokens, start.max_tokens, *(embedder.max_tokens for embedder in others))
    return start.count_tokens, limit


def read_files(
    settings: Settings,
    corpus: Corpus,
    known: Mapping[str, str],
    cut: tuple[CountTokens, int],
    progress: Callable[[list[Found]], Iterable[Found]] = iter,
) -> Iterator[Outcome]:
    """Yield one outcome for each file of a corpus, those that were uploaded among them; `known` as in ingest."""
    count_tokens, chunk_tokens = cut
    return ingest(
        settings.docs,
        known=known,
        count_tokens=count_tokens,
        chunk_tokens=chunk_tokens,
        progress=progress,
        without=[settings.home],
        uploads=uploads_folder(settings, corpus),
        fetch=Pages(settings.cache / "pages", MAX_FILE_BYTES),
    )


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
    have = store.chunk_ids(table)  # first: a document that comes in from now on is embedded twice, but not deleted
    chunks = corpus_chunks(store, corpus_id)
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
    moved = [chunk for chunk in chunks if chunk.id in have & row_of.keys() and stored[row_of[chunk.id]] != chunk]
    if moved:
        store.put_chunks(table, moved, vectors[[row_of[chunk.id] for chunk in moved]])
