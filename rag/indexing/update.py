"""Files -> table `documents` -> one vector table for each model. Does only what is not done yet.

The documents table is the truth about what a corpus holds; a vector table is brought level with it by the ids it lacks
and those it has too many. So an interrupted run loses nothing but its last step, and the next one goes on from there.
Only texts that are to be embedded are read, a few documents at a time: memory does not grow with the corpus, and one
new file costs that file.

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

from rag.errors import NoDocuments, StoreFailed
from rag.heading_path import HEADING_TOKENS
from rag.ingest.chunking import CountTokens
from rag.ingest.discovery import Found
from rag.ingest.documents import MAX_FILE_BYTES, Corpus, Outcome, Skipped, Unchanged, corpus_of, ingest
from rag.ingest.parse_cache import ParseCache
from rag.ingest.stat_cache import StatCache
from rag.ingest.web_pages import PageFetcher
from rag.models.embedder import Embedder
from rag.records import Chunk, Document, chunks_of
from rag.settings import Settings
from rag.store.lance import IN_LIST
from rag.store.store import Store
from rag.store.table_diff import TableDiff
from rag.store.vector_index import VectorIndexInfo

STEP = 512  # chunks embedded between two writes: 20 s on two cores is the most an interruption costs
MOST_UNWRITTEN = 512  # documents, or so many characters: each write compares with all documents that are there
HELD_CHARS = 5_000_000  # whose documents are in memory at once, while they are written or read
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


def make_chunker(settings: Settings, start: Embedder, others: Iterable[Embedder]) -> tuple[CountTokens, int]:
    """Return how the tokens of a chunk are counted, and how many it may have: as many as each of the models reads.

    Before them the models read the chunk's headings (`Chunk.embedded`), for which room is left.
    """
    least = min(embedder.max_tokens for embedder in (start, *others))
    return start.count_tokens, min(settings.chunk_tokens, max(least // 2, least - HEADING_TOKENS))


def read_files(
    settings: Settings,
    corpus: Corpus,
    known: Mapping[str, str],
    cut: tuple[CountTokens, int],
    progress: Callable[[list[Found]], Iterable[Found]] = iter,
) -> Iterator[Outcome]:
    """Yield one outcome for each file of a corpus, those that were uploaded among them; `known` as in ingest.

    A file that looks as it did when it was read last is Unchanged, and is not opened.
    """
    count_tokens, chunk_tokens = cut
    seen = StatCache(settings.cache / f"seen-{corpus.id}.json")
    parsed = ParseCache(settings.cache / "parsed")
    same: list[str] = []
    hashes: dict[str, str] = {}

    def changed(files: list[Found]) -> Iterable[Found]:
        same.extend(source for source, path in files if seen.is_same(source, path, known.get(source)))
        unopened = set(same)
        return progress([each for each in files if each[0] not in unopened])

    for outcome in ingest(
        settings.docs,
        known=known,
        count_tokens=count_tokens,
        chunk_tokens=chunk_tokens,
        progress=changed,
        without=[settings.home],
        uploads=uploads_folder(settings, corpus),
        fetch=PageFetcher(settings.cache / "pages", MAX_FILE_BYTES),
        extract=parsed.extract,
    ):
        if not isinstance(outcome, Skipped):
            hashes[outcome.source] = outcome.hash if isinstance(outcome, Document) else known[outcome.source]
        yield outcome
    yield from map(Unchanged, same)
    seen.keep(hashes)
    parsed.tidy()


def update_documents(store: Store, corpus: Corpus, outcomes: Iterable[Outcome]) -> IndexReport:
    """Bring table `documents` level with the files. `outcomes` comes from rag.ingest.ingest, whose errors pass through.

    A source that could not be read this time keeps nothing in the index: answering from a text that nobody can open
    would cite what is not there. Where no file at all could be read nothing is deleted: raises NoDocuments.
    """
    store.documents.add_chunk_ids(corpus.id)
    known = store.documents.hashes(corpus.id)
    report = IndexReport()
    read: list[Document] = []
    chars = 0
    try:
        for outcome in outcomes:
            match outcome:
                case Document():
                    (report.changed if outcome.source in known else report.added).append(outcome.source)
                    read.append(outcome)
                    chars += len(outcome.text)
                case Unchanged():
                    report.unchanged.append(outcome.source)
                case Skipped():
                    report.skipped.append(outcome)
            if len(read) >= MOST_UNWRITTEN or chars > HELD_CHARS:
                store.documents.put(corpus.id, read)
                read, chars = [], 0
    finally:  # what was read is kept, also where reading is broken off
        store.documents.put(corpus.id, read)
    if report.skipped and not (report.added or report.changed or report.unchanged):
        first = report.skipped[0]
        raise NoDocuments(
            f"none of the {len(report.skipped)} files can be read, the first, {first.source!r}: {first.reason}"
        )
    kept = {*report.added, *report.changed, *report.unchanged}
    report.deleted = sorted(set(known) - kept)
    store.documents.delete(corpus.id, report.deleted)
    return report


def corpus_chunks(store: Store, corpus_id: str) -> list[Chunk]:
    """Return all chunks of a corpus, sliced from the stored documents: for training, which holds them anyway."""
    return [chunk for document in store.documents.read(corpus_id) for chunk in chunks_of(document)]


def update_vectors(
    store: Store, corpus_id: str, embedder: Embedder, progress: Embedded = lambda done, total: None
) -> str:
    """Bring a model's vector table and its index of words level with table `documents`, and return the table's name.

    Embeds only the chunks that the table lacks. `progress` is told (done, total) after each step.
    """
    table = store.chunks.table_name(corpus_id, embedder.fingerprint)
    if not store.chunks.exists(table):
        store.chunks.put(table, [], embedder.embed_documents([]))
    gap = store.chunks.diff(corpus_id, table)
    progress(0, len(gap.missing))
    for missing, moved in _in_steps(store, corpus_id, gap):
        texts = [chunk.embedded for chunk in missing]
        vectors = embedder.embed_documents(texts, lambda n: progress(n, len(gap.missing)))
        store.chunks.put(table, missing, vectors)
        _refresh_places(store, table, moved)
    store.chunks.delete(table, gap.surplus)
    store.chunks.build_text_index(table)
    return table


def is_up_to_date(store: Store, corpus_id: str, table: str) -> bool:
    """Return whether a vector table holds exactly the chunks of its corpus, each in its place."""
    return store.chunks.exists(table) and not store.chunks.diff(corpus_id, table)


def update_vector_index(store: Store, table: str, embedder: Embedder) -> VectorIndexInfo | None:
    """Give a vector table the index for its size, if it is due another one; return what it got, None where nothing was.

    Takes minutes for a large table. Where another process is at it, it is left to that one.
    """
    if not store.chunks.vector_index_is_due(table):
        return None
    try:
        with FileLock(store.folder / f"{table}.lock", timeout=0):
            queries = embedder.embed_queries(store.chunks.sample_queries(table))
            made = store.chunks.build_vector_index(table, queries)
            store.chunks.build_text_index(table)  # folding new rows in has folded them into the index of words, too
            return made
    except Timeout:
        return None


def _in_steps(store: Store, corpus_id: str, gap: TableDiff) -> Iterator[tuple[list[Chunk], list[Chunk]]]:
    """Yield the chunks that are missing and those that moved, so many at once as are embedded between two writes."""
    missing: list[Chunk] = []
    moved: list[Chunk] = []
    for sources in _in_groups(gap.sources):
        for document in store.documents.read_sources(corpus_id, sources):
            for chunk in chunks_of(document):
                if chunk.id in gap.missing:
                    missing.append(chunk)
                elif chunk.id in gap.moved:
                    moved.append(chunk)
                if len(missing) == STEP or len(moved) == STEP:
                    yield missing, moved
                    missing, moved = [], []
    if missing or moved:
        yield missing, moved


def _in_groups(lengths: Mapping[str, int]) -> Iterator[list[str]]:
    """Yield the sources that are read at once: many small ones, for each time the ids of all documents are read."""
    group: list[str] = []
    chars = 0
    for source, length in lengths.items():
        if group and (len(group) == IN_LIST or chars + length > HELD_CHARS):
            yield group
            group, chars = [], 0
        group.append(source)
        chars += length
    if group:
        yield group


def _refresh_places(store: Store, table: str, moved: list[Chunk]) -> None:
    """Give chunks that were there already their new offsets, page and heading; their vectors stay."""
    if moved:
        store.chunks.put(table, moved, store.chunks.vectors(table, [chunk.id for chunk in moved]))
