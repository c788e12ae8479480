"""Incremental indexing: files -> table `documents` -> one vector table per model.

Why two steps: the documents table is the truth about a corpus, and a vector table is synchronised with it by chunk id.
An interrupted run loses only its last step, and the next run continues from there. Only texts to be embedded are read,
a few documents at a time, so memory does not grow with the corpus and a new file costs only that file.

Several processes may update vector tables at once. Only one at a time may change which documents there are: it holds
the lock of `changing_documents`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from rag.errors import NoDocuments, StoreFailed
from rag.heading_path import HEADING_TOKENS
from rag.home_address import shared_home
from rag.indexing.file_report import FileReport, load_file_report, make_file_report, save_file_report
from rag.ingest.chunking import CountTokens
from rag.ingest.corpus import Corpus
from rag.ingest.discovery import LeftOut, SourceFile
from rag.ingest.documents import MAX_FILE_BYTES, Outcome, Remark, Skipped, Unchanged, ingest
from rag.ingest.parse_cache import ParseCache
from rag.ingest.stat_cache import StatCache
from rag.ingest.web_pages import PageFetcher
from rag.ingest.workers import WorkerPool, worker_count
from rag.loaders.formats import SLOW_SUFFIXES, suffix_of
from rag.models.embedder import Embedder
from rag.records import Chunk, Document, chunks_of
from rag.settings import Settings
from rag.store import schema
from rag.store.chunk_store import TableDiff
from rag.store.lance.tables import IN_LIST
from rag.store.store import Store
from rag.store.vector_index import VectorIndexInfo

if TYPE_CHECKING:
    from rag.shared_home.home import SharedHome
    from rag.shared_home.mirror import Mirror

STEP = 512  # chunks embedded between two writes: an interruption costs at most 20 s on two cores
MAX_UNWRITTEN = 512  # documents per write, or HELD_CHARS characters: each write compares with all stored documents
FIRST_WRITE = 4  # documents; each next write has twice as many, so that the first ones can be searched within seconds
HELD_CHARS = 5_000_000  # characters of the documents in memory at once, while they are written or read
FOREVER = -1.0  # filelock's value for no timeout
INDEX = "index"  # the lease in a shared home
Embedded = Callable[[int, int], None]  # called with (done, total)
Tally = Callable[[list[Chunk]], None]
log = logging.getLogger(__name__)


@dataclass(slots=True)
class IndexReport:
    """The result of an index run: sources by what happened to them, and the skipped files with reasons."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    remarks: dict[str, Remark] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    files: FileReport = field(default_factory=FileReport)
    caught_up: dict[str, int] = field(default_factory=dict)  # arm -> missing vectors of documents not read in this run

    @property
    def is_unchanged(self) -> bool:
        """Return whether no document was added, changed or deleted."""
        return not (self.added or self.changed or self.deleted)


Written = Callable[[IndexReport], None]


def uploads_folder(settings: Settings, corpus: Corpus) -> Path:
    """Return the folder of the uploaded files, which may not exist yet.

    Like champions, uploads belong to the documents folders and not to the chunking.
    """
    return settings.uploads / corpus.folders_id


def uploads_mirror(settings: Settings, corpus: Corpus) -> Mirror | None:
    """Return what keeps that folder the same on all machines of a shared home; None for a home on this disk."""
    home = shared_home(settings.home)
    return home.mirror(uploads_folder(settings, corpus)) if home else None


@contextmanager
def changing_documents(store: Store, seconds: float = FOREVER) -> Iterator[None]:
    """Hold the lock, across processes, for changing the set of documents. Raises StoreFailed after `seconds`."""
    if home := shared_home(store.folder.parent):
        with _leasing_index(home, store, None if seconds == FOREVER else seconds):
            yield
        return
    lock = FileLock(store.folder / "index.lock")
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.warning("another process is changing the index: waiting until it has finished")
            lock.acquire(timeout=seconds)
    except Timeout:
        raise StoreFailed(
            f"another process has been changing the index for {seconds:.0f} seconds: try again when it has finished"
        ) from None
    except OSError as error:
        raise StoreFailed(f"{lock.lock_file}: cannot be locked ({error.strerror}): make its folder writable") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _leasing_index(home: SharedHome, store: Store, seconds: float | None) -> Iterator[None]:
    """Do the same in a shared home: over its store, and among all machines."""
    if other := home.holder(INDEX):
        log.warning("%s is changing the index: waiting until it has finished", other)
    with ExitStack() as held:
        try:
            lease = held.enter_context(home.lease(INDEX, seconds))
        except TimeoutError as error:
            raise StoreFailed(
                f"{error} has been changing the index for {seconds:.0f} seconds: try again when it has finished"
            ) from None
        store.tables.forget()
        if lease.taken_over:
            store.tables.fence(schema.DOCUMENTS)
        yield


@contextmanager
def _building(store: Store, table: str) -> Iterator[bool]:
    """Hold the lock for building a table's index; yield False where another process does that."""
    if home := shared_home(store.folder.parent):
        with home.tables.alone(f"index-{table}") as is_alone:
            yield is_alone
        return
    with ExitStack() as held:
        try:
            held.enter_context(FileLock(store.folder / f"{table}.lock", timeout=0))
            is_alone = True
        except Timeout:
            is_alone = False
        yield is_alone


def make_chunker(settings: Settings, start: Embedder, others: Iterable[Embedder]) -> tuple[CountTokens, int]:
    """Return the start model's token counter and the token limit of a chunk, which fits into every model.

    The models read the chunk's headings before its text (`Chunk.embedded`), so the limit leaves space for them.
    """
    least = min(embedder.max_tokens for embedder in (start, *others))
    return start.count_tokens, min(settings.chunk_tokens, max(least // 2, least - HEADING_TOKENS))


def _containers(source: str) -> Iterator[str]:
    """Yield the sources that a document may be an attachment of: "a/b.eml/c.pdf" is in "a/b.eml", and may be in "a"."""
    for end in (match.start() for match in re.finditer("/", source)):
        yield source[:end]


def read_files(
    settings: Settings,
    corpus: Corpus,
    known: Mapping[str, str],
    chunker: tuple[CountTokens, int],
    progress: Callable[[list[SourceFile]], Iterable[SourceFile]] = iter,
    pool_of: Callable[[ParseCache], WorkerPool] = WorkerPool,
) -> Iterator[Outcome]:
    """Yield one outcome for each file of a corpus, uploads included; `known` as in ingest.

    A file with the size and times of the last run is Unchanged and is not opened. `pool_of` makes what parses files.
    """
    count_tokens, chunk_tokens = chunker
    stats = StatCache(settings.cache / f"seen-{corpus.id}.json")
    parsed = ParseCache(settings.cache / "parsed")
    reported = load_file_report(settings, corpus)
    unreported = set(known) - {record.source for record in (reported.files if reported else ())}
    unchanged: list[str] = []
    hashes: dict[str, str] = {}

    def changed(files: list[SourceFile]) -> Iterable[SourceFile]:
        unchanged.extend(
            source
            for source, path in files
            if source not in unreported and stats.is_unchanged(source, path, known.get(source))
        )
        unopened = set(unchanged)
        unchanged.extend(each for each in known if not unopened.isdisjoint(_containers(each)))
        opened = [each for each in files if each[0] not in unopened]
        pool.workers = worker_count(_sizes(opened))
        return progress(opened)

    with pool_of(parsed) as pool:
        for outcome in ingest(
            settings.docs,
            known=known,
            unreported=unreported,
            count_tokens=count_tokens,
            chunk_tokens=chunk_tokens,
            progress=changed,
            without=[settings.home],
            uploads=uploads_folder(settings, corpus),
            follow_links=settings.follow_links,
            fetch=PageFetcher(settings.cache / "pages", MAX_FILE_BYTES, private=settings.private_addresses),
            submit=pool.submit,
            ahead=pool.ahead,
        ):
            if isinstance(outcome, Document | Unchanged):
                hashes[outcome.source] = outcome.hash if isinstance(outcome, Document) else known[outcome.source]
            yield outcome
    yield from map(Unchanged, unchanged)
    stats.save(hashes)
    parsed.remove_unused()


def _sizes(files: Iterable[SourceFile]) -> Iterator[int]:
    """Yield the sizes in bytes of the files of slow formats."""
    for _, path in files:
        if suffix_of(path) in SLOW_SUFFIXES:
            try:
                yield path.stat().st_size
            except OSError:  # reading it will say why
                yield 0


def keep_file_report(settings: Settings, corpus: Corpus, report: IndexReport) -> None:
    """Add the report on all files to that of an index run, and store it. Raises StoreFailed."""
    report.files = make_file_report(
        [*report.added, *report.changed],
        report.unchanged,
        report.skipped,
        report.remarks,
        report.left_out,
        load_file_report(settings, corpus),
    )
    try:
        save_file_report(settings, corpus, report.files)
    except OSError as error:
        raise StoreFailed(f"the report on the files cannot be written ({error.strerror}): make room") from error


def update_documents(
    store: Store, corpus: Corpus, outcomes: Iterable[Outcome], written: Written = lambda report: None
) -> IndexReport:
    """Update table `documents` from the outcomes of rag.ingest.documents.ingest, whose errors pass through.

    `written` is called after each write but the last with the report so far, and may embed what was written.

    A source that cannot be read any more is deleted: an answer must not cite a text that nobody can open. If no file at
    all can be read, nothing is deleted. Raises NoDocuments.
    """
    store.documents.add_chunk_ids(corpus.id)
    known = store.documents.hashes(corpus.id)
    report = IndexReport()
    read: list[Document] = []
    chars, most = 0, FIRST_WRITE
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
                case Remark():
                    report.remarks[outcome.source] = outcome
                case LeftOut():
                    report.left_out.append(outcome)
            if len(read) >= most or chars > HELD_CHARS:
                store.documents.put(corpus.id, read)
                read, chars, most = [], 0, min(2 * most, MAX_UNWRITTEN)
                written(report)
    finally:  # keep what was read, even if reading is interrupted
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
    """Return all chunks of a corpus, sliced from the stored documents. For training, which needs them in memory."""
    return store.documents.chunks(corpus_id)


def update_vectors(
    store: Store,
    corpus_id: str,
    embedder: Embedder,
    progress: Embedded = lambda done, total: None,
    tally: Tally = lambda chunks: None,
    step: int = STEP,
) -> str:
    """Update a model's vector table and full-text index from table `documents`; return the table's name.

    Embeds only the chunks that the table lacks. `progress` is called with (done, total) after each step, and
    `tally` with the chunks that were embedded, `step` of them at most between two writes.
    """
    table = store.chunks.table_name(corpus_id, embedder.fingerprint)
    if not store.chunks.exists(table):
        store.chunks.put(table, [], embedder.embed_documents([]))
    diff = store.chunks.diff(corpus_id, table)
    progress(0, len(diff.missing))
    for missing, moved in _batches(store, corpus_id, diff, step):
        texts = [chunk.embedded for chunk in missing]
        vectors = embedder.embed_documents(texts, lambda n: progress(n, len(diff.missing)))
        store.chunks.put(table, missing, vectors)
        _update_metadata(store, table, moved)
        tally(missing)
    store.chunks.delete(table, diff.surplus)
    store.chunks.build_text_index(table)
    return table


def is_up_to_date(store: Store, corpus_id: str, table: str) -> bool:
    """Return whether a vector table holds exactly the chunks of its corpus, with current offsets and headings."""
    return store.chunks.exists(table) and not store.chunks.diff(corpus_id, table)


def update_vector_index(store: Store, table: str, embedder: Embedder) -> VectorIndexInfo | None:
    """Build the vector index that a table needs for its size; return it, or None if nothing had to be built.

    Takes minutes for a large table. Does nothing if another process is building it.
    """
    if not store.chunks.vector_index_is_due(table):
        return None
    with _building(store, table) as is_alone:
        if not is_alone:
            return None
        queries = embedder.embed_queries(store.chunks.sample_queries(table))
        made = store.chunks.build_vector_index(table, queries)
        store.chunks.build_text_index(table)  # merging rows into the vector index changed the full-text index, too
        return made


def _batches(store: Store, corpus_id: str, diff: TableDiff, step: int) -> Iterator[tuple[list[Chunk], list[Chunk]]]:
    """Yield (missing, moved) chunks in batches of at most `step` each."""
    missing: list[Chunk] = []
    moved: list[Chunk] = []
    for sources in _groups(diff.sources):
        for document in store.documents.read_sources(corpus_id, sources):
            for chunk in chunks_of(document):
                if chunk.id in diff.missing:
                    missing.append(chunk)
                elif chunk.id in diff.moved:
                    moved.append(chunk)
                if len(missing) == step or len(moved) == step:
                    yield missing, moved
                    missing, moved = [], []
    if missing or moved:
        yield missing, moved


def _groups(lengths: Mapping[str, int]) -> Iterator[list[str]]:
    """Yield groups of sources to read at once, by their lengths in characters: each read scans all document ids."""
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


def _update_metadata(store: Store, table: str, moved: list[Chunk]) -> None:
    """Store new offsets, pages and headings of chunks; their vectors stay."""
    if moved:
        store.chunks.put(table, moved, store.chunks.vectors(table, [chunk.id for chunk in moved]))
