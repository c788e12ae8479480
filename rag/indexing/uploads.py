"""One file at a time into the corpus that is being served, and out of it again: no restart, no full index run.

A file's bytes decide, not what a browser says of them. Nothing is changed until all that can fail or takes long is
done: the file is copied beside its place, read, cut and embedded; then it is renamed, and its rows are written.

The idea a reader would miss: a mark stands in the folder for as long as the tables are being changed. Where it is found
later, somebody was cut off there, and an ordinary index run sets right whatever it was.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePath

from rag.errors import NoDocuments, StoreFailed, UnknownDocument, Unreadable
from rag.indexing.update import (
    changing_documents,
    make_chunker,
    read_files,
    update_documents,
    update_vectors,
    uploads_folder,
)
from rag.ingest.chunking import CountTokens
from rag.ingest.discovery import UPLOADS
from rag.ingest.documents import Skipped, Unchanged, read_document
from rag.loaders import LOADERS
from rag.models.arms import Arms
from rag.models.embedder import Embedder, load_embedder, unadapted
from rag.records import ARMS, Document, chunks_of
from rag.settings import Settings
from rag.store.chunk_store import Vectors
from rag.store.store import Store

PATIENCE = 30.0  # seconds that a file waits for another process which indexes; people are looking at it
NAME_BYTES = 200  # most file systems take 255; the copy beside it has a longer name
UNUSABLE = re.compile(r'[<>:"|?*\s]+')  # by Windows in a name, or by people in a line
SHOWN_NAME = 120  # characters of a name that was refused
MARK, PART = ".unfinished", ".part-"  # hidden files are never indexed
STALE_SECONDS = 24 * 3600  # a copy this old is nobody's any more
Tell = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class UploadResult:
    """A file that can be asked about from now on. `replaced`: one of the same name. `lost`: what was not read of it."""

    source: str
    chunks: int
    replaced: bool
    lost: str = ""


Taken = UploadResult | Unchanged | Skipped


@dataclass(frozen=True, slots=True)
class ListedDocument:
    """A document as people look for it. Only what was uploaded may be removed, and of it is known when it came."""

    source: str
    title: str
    chunks: int
    uploaded: bool
    added: datetime | None


class Uploads:
    """The way of files into one corpus. Methods may be called from any thread; take and remove one at a time."""

    def __init__(self, settings: Settings, store: Store, arms: Arms) -> None:
        self._settings, self._store, self._arms = settings, store, arms
        self._corpus = arms.corpus
        self._start: Embedder | None = None
        self.folder = uploads_folder(settings, self._corpus)

    def take(self, name: str, path: Path, tell: Tell = lambda done, total: None) -> Taken:
        """Take in a file that a browser calls `name` and that lies at `path`.

        `tell` gets (done, total) as chunks are embedded; what it raises ends the intake, with nothing changed. Call
        `index_words` after the last file. Raises StoreFailed and BadModel; a file that cannot be used is Skipped.
        """
        self._repair()
        try:
            source = UPLOADS + self._spelling(clean_name(name))
            with self._copy(path, PurePath(source).suffix) as part:
                count_tokens, chunk_tokens = self._cutting()
                document, lost = read_document(source, part, count_tokens=count_tokens, chunk_tokens=chunk_tokens)
                taken = self._add(document, part, tell)
                return replace(taken, lost=lost) if isinstance(taken, UploadResult) else taken
        except Unreadable as error:
            return Skipped(shown(name), str(error))

    def remove(self, source: str) -> None:
        """Remove a file that was dropped into the chat. Its ratings stay: they keep the text that was rated.

        Raises UnknownDocument for any other, and StoreFailed.
        """
        self._repair()
        document = next(iter(self._store.documents.read(self._corpus.id, source)), None)
        if not source.startswith(UPLOADS):
            raise UnknownDocument(f"{source[:80]!r} lies in the documents folder: remove it there, and index again")
        if document is None:
            raise UnknownDocument(f"{source[:80]!r} is not among the documents (any more): reload the page")
        with self._changing():
            self._file(source).unlink(missing_ok=True)
            self._store.documents.delete(self._corpus.id, [source])
            for table in self._store.chunks.table_names(self._corpus.id):  # also where a former model's vectors lie
                self._store.chunks.delete(table, [chunk.id for chunk in chunks_of(document)])
        self.index_words()

    def documents(self) -> list[ListedDocument]:
        """Return all documents of the corpus, what was dropped into the chat first, then by source."""
        listed = [self._listed(*each) for each in self._store.documents.sizes(self._corpus.id)]
        return sorted(listed, key=lambda each: (not each.uploaded, each.source))

    def index_words(self) -> None:
        """Bring the indexes of words level with what was taken in. A second of work at 50,000 chunks, so once."""
        for table in self._tables():
            self._store.chunks.build_text_index(table)

    def _add(self, document: Document, part: Path, tell: Tell) -> Taken:
        """Embed a document, then change folder and tables. The only step that may not be cut off comes last."""
        before = next(iter(self._store.documents.read(self._corpus.id, document.source)), None)
        if before and before.hash == document.hash and self._file(document.source).exists():
            return Unchanged(document.source)
        chunks, old = chunks_of(document), chunks_of(before) if before else []
        texts = [chunk.embedded for chunk in chunks]
        vectors = self._embed(texts, {}, tell)
        with self._changing():
            vectors = self._embed(texts, vectors, tell)  # where one was promoted meanwhile
            part.replace(self._file(document.source))
            self._store.documents.put(self._corpus.id, [document])
            for table, rows in vectors.items():
                self._store.chunks.put(table, chunks, rows)
                self._store.chunks.delete(table, {chunk.id for chunk in old} - {chunk.id for chunk in chunks})
        return UploadResult(document.source, len(chunks), before is not None)

    def _embed(self, texts: list[str], done: dict[str, Vectors], tell: Tell) -> dict[str, Vectors]:
        """Return table -> vectors for what serves now, those that are done already as they are."""
        missing = {table: embedder for table, embedder in self._tables().items() if table not in done}
        told, total = 0, len(texts) * len(missing)

        def progress(n: int) -> None:
            nonlocal told
            told += n
            tell(told, total)

        vectors = dict(done)
        for table, embedder in missing.items():
            tell(told, total)
            vectors[table] = embedder.embed_documents(texts, progress)
        return vectors

    def _tables(self) -> dict[str, Embedder]:
        """Return what serves now, by table: one, where both arms have the same weights."""
        served = [self._arms.current(arm) for arm in ARMS]
        return {each.table: each.embedder for each in served}

    def _cutting(self) -> tuple[CountTokens, int]:
        """Cut as an index run does: by the start model's tokens, which one of the arms has loaded, or nearly always."""
        loaded = [unadapted(embedder) for embedder in self._tables().values()]
        start = self._start or next((each for each in loaded if each.reference == self._settings.start_model), None)
        self._start = start or load_embedder(self._settings.start_model, self._settings)
        return make_chunker(self._settings, self._start, loaded)

    def _file(self, source: str) -> Path:
        return self.folder / source.removeprefix(UPLOADS)

    def _spelling(self, name: str) -> str:
        """Return the name as a file has it that is there already: on some disks two cases are one file."""
        there = self._folder().iterdir()
        return next((path.name for path in there if path.name.casefold() == name.casefold()), name)

    def _listed(self, source: str, title: str, chunks: int) -> ListedDocument:
        uploaded, added = source.startswith(UPLOADS), None
        if uploaded:
            with suppress(OSError):  # somebody took the file away by hand: an index run will notice
                added = datetime.fromtimestamp(self._file(source).stat().st_mtime, UTC)
        return ListedDocument(source, title, chunks, uploaded, added)

    def _folder(self) -> Path:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _failed(self.folder, error) from error
        return self.folder

    @contextmanager
    def _copy(self, path: Path, suffix: str) -> Iterator[Path]:
        """Yield a copy of a file beside its place, with the suffix that says how it is read; it is gone afterwards."""
        part = self._folder() / f"{PART}{os.getpid()}{suffix}"
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
        """Change documents as the only one, for what serves at this moment; the mark stays where that is cut off."""
        with changing_documents(self._store, PATIENCE):
            self._arms.refresh()
            try:
                (self._folder() / MARK).touch()
                yield
                (self.folder / MARK).unlink(missing_ok=True)
            except OSError as error:
                raise _failed(self.folder, error) from error

    def _repair(self) -> None:
        """Bring tables level with the files where somebody was cut off while changing them."""
        if not (self.folder / MARK).exists():
            return
        with self._changing():
            known = self._store.documents.hashes(self._corpus.id)
            files = read_files(self._settings, self._corpus, known, self._cutting())
            with suppress(NoDocuments):  # a folder was emptied, or nothing can be read now: rows are kept
                update_documents(self._store, self._corpus, files)
            for embedder in self._tables().values():
                update_vectors(self._store, self._corpus.id, embedder)


def clean_name(name: str) -> str:
    """Return what a file is called here, of what a browser calls it. Raises Unreadable for what is no document's name.

    No path, nothing invisible, nothing that turns the text around, nothing that a file system or a line takes amiss; a
    name that is too long ends in a hash of the whole, so that two of them stay two.
    """
    last = unicodedata.normalize("NFC", name.encode("utf-8", "ignore").decode()).replace("\\", "/").rpartition("/")[2]
    visible = _visible(last)
    clean = UNUSABLE.sub(" ", visible).strip(" .")
    stem, _, ending = clean.rpartition(".")
    if not stem.strip() or f".{ending.lower()}" not in LOADERS:
        raise Unreadable("this file format is not supported: save it as PDF, Markdown or text")
    if len(clean.encode()) > NAME_BYTES:
        kept = stem.encode()[: NAME_BYTES - len(ending) - 10].decode("utf-8", "ignore").rstrip()
        return f"{kept}~{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}.{ending}"
    return clean


def shown(name: str) -> str:
    """Return a browser's name of a file in a form that may stand in a line."""
    line = " ".join(_visible(name[: 4 * SHOWN_NAME]).split())
    return line if len(line) <= SHOWN_NAME else line[: SHOWN_NAME - 1] + "…"


def _visible(text: str) -> str:
    return "".join(" " if unicodedata.category(letter)[0] == "C" else letter for letter in text)


def _failed(path: Path, error: OSError) -> StoreFailed:
    return StoreFailed(f"{path}: cannot be written ({error.strerror}): free some space, or make it writable")
