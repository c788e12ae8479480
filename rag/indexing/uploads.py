"""Add an uploaded file to the corpus that is being served, and remove it, without a restart or a full index run.

The file's bytes decide how it is read, not what the browser says. Nothing is changed until everything that can fail or
takes long is done: the file is copied into the folder under a temporary name, read, chunked and embedded; then it is
renamed and its rows are written.

Why the mark: a file named MARK is in the folder while the tables are being changed. If it is found later, a change was
interrupted, and an ordinary index run repairs it.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePath

from rag.errors import NoDocuments, StoreFailed, UnknownDocument, Unreadable
from rag.indexing.file_report import FileReport, load_file_report, make_file_report, save_file_report
from rag.indexing.show import ShownDocument, shown_as_indexed
from rag.indexing.update import (
    changing_documents,
    keep_file_report,
    make_chunker,
    update_documents,
    update_vectors,
    uploads_folder,
    uploads_mirror,
)
from rag.indexing.update import (
    read_files as read_corpus,
)
from rag.ingest.chunking import CountTokens
from rag.ingest.discovery import UPLOADS, LeftOut
from rag.ingest.documents import Outcome, Remark, Skipped, Unchanged, read_bytes, read_files
from rag.ingest.parse_cache import ParseCache
from rag.ingest.workers import WorkerPool
from rag.loaders.formats import LOADERS, not_read, suffix_of
from rag.models.arms import Arms
from rag.models.embedder import Embedder, load_embedder, unadapted
from rag.records import ARMS, Document, chunks_of
from rag.settings import Settings
from rag.store.chunk_store import Vectors
from rag.store.lance.tables import IN_LIST
from rag.store.store import Store

MAX_WAIT = 30.0  # seconds to wait for another process that is indexing; a user is waiting
NAME_BYTES = 200  # most file systems allow 255; the temporary copy has a longer name
UNUSABLE = re.compile(r'[<>:"|?*\s]+')  # not allowed in file names by Windows, or not on one line
SHOWN_NAME = 120  # characters shown of the name of a refused file
MARK, PART = ".unfinished", ".part-"  # hidden files are never indexed
STALE_SECONDS = 24 * 3600  # an older temporary copy was left by a process that died
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class UploadResult:
    """An indexed file. `replaced`: there was one of the same name.

    `lost`: what could not be read of it; `note`: what was guessed.
    """

    source: str
    chunks: int
    replaced: bool
    lost: str = ""
    note: str = ""


UploadOutcome = UploadResult | Unchanged | Skipped


@dataclass(frozen=True, slots=True)
class ListedDocument:
    """A document in the list shown to users. Only uploads have `added` and can be removed."""

    source: str
    title: str
    chunks: int
    uploaded: bool
    added: datetime | None


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read of a file: its document first, then those of its attachments, and what is not read of them."""

    source: str
    documents: list[Document]
    remarks: dict[str, Remark]
    skipped: list[Skipped]
    left_out: list[LeftOut]

    @classmethod
    def of(cls, source: str, outcomes: Iterable[Outcome]) -> _Read:
        """Return the outcomes of one file, sorted. Raises Unreadable if it cannot be read itself."""
        read = cls(source, [], {}, [], [])
        for outcome in outcomes:
            match outcome:
                case Document():
                    read.documents.append(outcome)
                case Remark():
                    read.remarks[outcome.source] = outcome
                case Skipped() if outcome.source == source:
                    raise Unreadable(outcome.reason)
                case Skipped():
                    read.skipped.append(outcome)
                case LeftOut():
                    read.left_out.append(outcome)
        return read

    def report(self) -> FileReport:
        """Return the report on the file and its attachments."""
        return make_file_report(
            [document.source for document in self.documents], [], self.skipped, self.remarks, self.left_out, None
        )

    @property
    def lost(self) -> str:
        """Return what could not be read of the file and its attachments, "" if nothing."""
        own = [remark.lost for remark in self.remarks.values() if remark.lost]
        skipped = [f"{PurePath(each.source).name}: {each.reason}" for each in self.skipped]
        left_out = [f"{PurePath(each.source).name} is of another kind" for each in self.left_out if each.why == "kind"]
        return "; ".join([*own, *skipped, *left_out])

    @property
    def note(self) -> str:
        """Return what was guessed, "" if nothing."""
        return "; ".join(remark.note for remark in self.remarks.values() if remark.note)


class Uploads:
    """Adds and removes files of one corpus. Methods may be called from any thread, add and remove one at a time."""

    def __init__(self, settings: Settings, store: Store, arms: Arms) -> None:
        self._settings, self._store, self._arms = settings, store, arms
        self._corpus = arms.corpus
        self._start: Embedder | None = None
        self.folder = uploads_folder(settings, self._corpus)
        self._mirror = uploads_mirror(settings, self._corpus)

    def check(self, name: str, path: Path, is_stopped: Callable[[], bool] = lambda: False) -> Skipped | None:
        """Parse a file in a worker process, ahead of `add`; return why it cannot be read, None if it can.

        Changes nothing but the cache of parsed files, so any number of files may be checked at the same time: one that
        hangs its parser holds up no other.
        """
        try:
            suffix = suffix_of(PurePath(clean_name(name)))
            with self._pool() as pool:
                pool.check(suffix, read_bytes(path), is_stopped)
        except Unreadable as error:
            return Skipped(display_name(name), str(error))
        return None

    def report(self) -> FileReport | None:
        """Return the report on all files of the corpus, None before the first index run that kept one."""
        return load_file_report(self._settings, self._corpus)

    def add(self, name: str, path: Path, progress: Progress = lambda done, total: None) -> UploadOutcome:
        """Add the file at `path`, which the browser calls `name`.

        `progress` gets (done, total) as chunks are embedded; an exception in it cancels the upload without a change.
        Call `update_text_index` after the last file. Raises StoreFailed and BadModel; an unusable file is Skipped.
        """
        self._repair()
        try:
            source = UPLOADS + self._existing_case(clean_name(name))
            with self._copy(path, PurePath(source).suffix) as part:
                count_tokens, chunk_tokens = self._chunker()
                with self._pool() as pool:
                    outcomes = read_files(
                        [(source, part)],
                        known={},
                        count_tokens=count_tokens,
                        chunk_tokens=chunk_tokens,
                        submit=pool.submit,
                    )
                    return self._index(_Read.of(source, outcomes), part, progress)
        except Unreadable as error:
            return Skipped(display_name(name), str(error))

    def remove(self, source: str) -> None:
        """Remove an uploaded file. Its ratings stay: they hold the text that was rated.

        Raises UnknownDocument for any other source, and StoreFailed.
        """
        self._repair()
        document = next(iter(self._store.documents.read(self._corpus.id, source)), None)
        if not source.startswith(UPLOADS):
            raise UnknownDocument(f"{source[:80]!r} is in the documents folder: remove it there, and index again")
        if document is None:
            raise UnknownDocument(f"{source[:80]!r} is not among the documents (any more): reload the page")
        if is_attachment(source):
            raise UnknownDocument(f"{source[:80]!r} is an attachment: remove the message")
        with self._changing():
            self._file(source).unlink(missing_ok=True)
            if self._mirror:
                self._mirror.delete(self._file(source).name)
            former = self._stored(source)
            self._store.documents.delete(self._corpus.id, [each.source for each in former])
            if report := self.report():
                save_file_report(self._settings, self._corpus, report.with_file(source, FileReport()))
            for table in self._store.chunks.table_names(self._corpus.id):  # including those of former models
                self._store.chunks.delete(table, [chunk.id for each in former for chunk in chunks_of(each)])
        self.update_text_index()

    def documents(self) -> list[ListedDocument]:
        """Return all documents of the corpus, uploads first, then by source."""
        listed = [self._listed(*each) for each in self._store.documents.sizes(self._corpus.id)]
        return sorted(listed, key=lambda each: (not each.uploaded, each.source))

    def show(self, source: str) -> ShownDocument:
        """Return what was read of a document and where it is cut. Raises UnknownDocument."""
        document = next(iter(self._store.documents.read_sources(self._corpus.id, [source])), None)
        if document is None:
            raise UnknownDocument(f"{source[:80]!r} is not among the documents (any more): reload the page")
        return shown_as_indexed(document, self._chunker()[0], self.report())

    def update_text_index(self) -> None:
        """Update the full-text indexes after uploads; once for all files, since it takes a second at 50,000 chunks."""
        for table in self._tables():
            self._store.chunks.build_text_index(table)

    def _index(self, read: _Read, part: Path, progress: Progress) -> UploadOutcome:
        """Embed a file's documents, then change folder and tables: the step that must not be interrupted comes last."""
        former = self._stored(read.source)
        was = next((each for each in former if each.source == read.source), None)
        if was and was.hash == read.documents[0].hash and self._file(read.source).exists():
            return Unchanged(read.source)
        chunks = [chunk for document in read.documents for chunk in chunks_of(document)]
        old = [chunk for document in former for chunk in chunks_of(document)]
        texts = [chunk.embedded for chunk in chunks]
        vectors = self._embed(texts, {}, progress)
        with self._changing():
            vectors = self._embed(texts, vectors, progress)  # for a model that was promoted meanwhile
            part.replace(self._file(read.source))
            if self._mirror:
                self._mirror.put(self._file(read.source).name)
            self._store.documents.put(self._corpus.id, read.documents)
            gone = {each.source for each in former} - {each.source for each in read.documents}
            self._store.documents.delete(self._corpus.id, sorted(gone))
            for table, rows in vectors.items():
                self._store.chunks.put(table, chunks, rows)
                self._store.chunks.delete(table, {chunk.id for chunk in old} - {chunk.id for chunk in chunks})
            if report := self.report():
                save_file_report(self._settings, self._corpus, report.with_file(read.source, read.report()))
        return UploadResult(read.source, len(chunks), was is not None, read.lost, read.note)

    def _embed(self, texts: list[str], done: dict[str, Vectors], progress: Progress) -> dict[str, Vectors]:
        """Return table -> vectors for the models that serve now; those in `done` are not embedded again."""
        missing = {table: embedder for table, embedder in self._tables().items() if table not in done}
        embedded, total = 0, len(texts) * len(missing)

        def count(n: int) -> None:
            nonlocal embedded
            embedded += n
            progress(embedded, total)

        vectors = dict(done)
        for table, embedder in missing.items():
            progress(embedded, total)
            vectors[table] = embedder.embed_documents(texts, count)
        return vectors

    def _tables(self) -> dict[str, Embedder]:
        """Return table -> embedder for what serves now: a single entry if both arms have the same weights."""
        served = [self._arms.current(arm) for arm in ARMS]
        return {each.table: each.embedder for each in served}

    def _chunker(self) -> tuple[CountTokens, int]:
        """Return the same chunker as an index run: the start model counts, which usually one of the arms has loaded."""
        loaded = [unadapted(embedder) for embedder in self._tables().values()]
        start = self._start or next((each for each in loaded if each.reference == self._settings.start_model), None)
        self._start = start or load_embedder(self._settings.start_model, self._settings)
        return make_chunker(self._settings, self._start, loaded)

    def _stored(self, source: str) -> list[Document]:
        """Return the stored documents of a file: its own and those of its attachments."""
        inside = (each for each, _, _ in self._store.documents.sizes(self._corpus.id) if each.startswith(f"{source}/"))
        sources = [source, *inside]
        groups = (sources[start : start + IN_LIST] for start in range(0, len(sources), IN_LIST))
        return [each for group in groups for each in self._store.documents.read_sources(self._corpus.id, group)]

    def _pool(self) -> WorkerPool:
        """Return a pool of its own for one file: it starts no process where none is needed."""
        return WorkerPool(ParseCache(self._settings.cache / "parsed"))

    def _file(self, source: str) -> Path:
        return self.folder / source.removeprefix(UPLOADS)

    def _existing_case(self, name: str) -> str:
        """Return the name with the case of an existing file: some file systems are case-insensitive."""
        existing = self._folder().iterdir()
        return next((path.name for path in existing if path.name.casefold() == name.casefold()), name)

    def _listed(self, source: str, title: str, chunks: int) -> ListedDocument:
        uploaded, added = source.startswith(UPLOADS), None
        if uploaded:
            with suppress(OSError):  # the file was deleted by hand: the next index run will notice
                added = datetime.fromtimestamp(self._file(source).stat().st_mtime, UTC)
        return ListedDocument(source, title, chunks, uploaded, added)

    def _folder(self) -> Path:
        """Return the uploads folder, created if needed. Raises StoreFailed."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _failed(self.folder, error) from error
        return self.folder

    @contextmanager
    def _copy(self, path: Path, suffix: str) -> Iterator[Path]:
        """Yield a temporary copy of a file in the uploads folder, with the given suffix; it is deleted afterwards."""
        part = self._folder() / f"{PART}{os.getpid()}-{secrets.token_hex(4)}{suffix}"
        try:
            try:
                for old in self.folder.glob(f"{PART}*"):
                    if old.stat().st_mtime < time.time() - STALE_SECONDS:
                        old.unlink()
                shutil.copyfile(path, part)
            except OSError as error:
                if error.filename == os.fspath(path):
                    raise Unreadable(f"it cannot be opened ({error.strerror}): drop it here again") from error
                raise _failed(part, error) from error
            yield part
        finally:
            part.unlink(missing_ok=True)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the lock for changing documents, with what serves now; the mark stays if the change is interrupted."""
        with changing_documents(self._store, MAX_WAIT):
            self._arms.refresh()
            if self._mirror:
                self._mirror.fetch()
            try:
                (self._folder() / MARK).touch()
                yield
                (self.folder / MARK).unlink(missing_ok=True)
            except OSError as error:
                raise _failed(self.folder, error) from error

    def _repair(self) -> None:
        """Update the tables from the files if an earlier change was interrupted."""
        if not (self.folder / MARK).exists():
            return
        with self._changing():
            known = self._store.documents.hashes(self._corpus.id)
            files = read_corpus(self._settings, self._corpus, known, self._chunker())
            with suppress(NoDocuments):  # a folder was emptied, or nothing can be read: rows are kept
                report = update_documents(self._store, self._corpus, files)
                keep_file_report(self._settings, self._corpus, report)
            for embedder in self._tables().values():
                update_vectors(self._store, self._corpus.id, embedder)


def is_attachment(source: str) -> bool:
    """Return whether a document was uploaded inside another one, such as a message."""
    return source.startswith(UPLOADS) and "/" in source.removeprefix(UPLOADS)


def clean_name(name: str) -> str:
    """Return a safe file name for the name that a browser sent. Raises Unreadable without a supported suffix.

    The result has no path, no invisible or bidirectional control characters, and nothing that file systems reject. A
    name that is too long is cut and ends in a hash of the whole name, so that different names stay different.
    """
    last = unicodedata.normalize("NFC", name.encode("utf-8", "ignore").decode()).replace("\\", "/").rpartition("/")[2]
    visible = _visible(last)
    clean = UNUSABLE.sub(" ", visible).strip(" .")
    suffix = suffix_of(PurePath(clean))
    if suffix not in LOADERS:
        raise Unreadable(not_read(suffix))
    stem, _, ending = clean.rpartition(".") if "." in clean else (clean, "", "txt")
    if len(clean.encode()) > NAME_BYTES:
        kept = stem.encode()[: NAME_BYTES - len(ending) - 10].decode("utf-8", "ignore").rstrip()
        return f"{kept}~{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}.{ending}"
    return clean


def display_name(name: str) -> str:
    """Return a browser's file name on one line, without invisible characters, of at most SHOWN_NAME characters."""
    line = " ".join(_visible(name[: 4 * SHOWN_NAME]).split())
    return line if len(line) <= SHOWN_NAME else line[: SHOWN_NAME - 1] + "…"


def _visible(text: str) -> str:
    return "".join(" " if unicodedata.category(letter)[0] == "C" else letter for letter in text)


def _failed(path: Path, error: OSError) -> StoreFailed:
    return StoreFailed(f"{path}: cannot be written ({error.strerror}): free some space, or make it writable")
