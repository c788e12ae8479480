"""Files -> documents, cut into chunks with stable ids. A file that cannot be used costs itself, never the others.

rag.ingest.discovery finds the files, rag.loaders reads each kind, rag.ingest.chunking splits the text.
A file may hold several documents: an archive its files, a list the pages of its addresses. Each has its own outcome.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rag.errors import Unreadable
from rag.ingest.archives import unpack
from rag.ingest.chunking import CHUNKER_VERSION, CountTokens, chunk_text
from rag.ingest.discovery import ARCHIVES, LISTS, UPLOADS, Found, find_files, suffix_of
from rag.ingest.stat_cache import changed_on
from rag.ingest.table_columns import with_columns
from rag.ingest.web_pages import Fetch, addresses
from rag.loaders import LOADERS
from rag.loaders.builder import LoadedText
from rag.records import Document, Span, content_id

MAX_FILE_BYTES = 100_000_000  # a book has one million; what is larger is data or a dump, and would fill the memory
Extracting = Callable[[str, bytes], LoadedText]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is not indexed, and why; or what part of one that is."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A file whose bytes are those that were indexed before."""

    source: str


Outcome = Document | Skipped | Unchanged


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents and how they are cut. `id` names the tables: it changes with folders, chunking and tokenizer."""

    id: str
    folders: tuple[Path, ...]

    @property
    def folders_id(self) -> str:
        """Return the hash of the folders alone: what a champion belongs to."""
        return content_id(*map(os.fspath, self.folders))


def corpus_of(folders: Sequence[Path], chunk_tokens: int, tokenizer_id: str) -> Corpus:
    """Return the corpus that these folders are when cut into chunks of so many tokens of this tokenizer."""
    resolved = tuple(Path(os.path.realpath(folder)) for folder in folders)
    parts = (*map(os.fspath, resolved), str(chunk_tokens), tokenizer_id, CHUNKER_VERSION)
    return Corpus(content_id(*parts), resolved)


def ingest(
    folders: Sequence[Path],
    *,
    known: Mapping[str, str],
    count_tokens: CountTokens,
    chunk_tokens: int,
    progress: Callable[[list[Found]], Iterable[Found]] = iter,
    without: Collection[Path] = (),
    uploads: Path | None = None,
    fetch: Fetch | None = None,
    extract: Extracting | None = None,
) -> Iterator[Outcome]:
    """Yield one outcome per document, in the order of find_files; the caller may stop at any time.

    `known` maps a source to the hash of the bytes that are stored: such a file is Unchanged and not parsed. `progress`
    wraps the list of files, as tqdm does. `fetch` gets the pages of listed addresses; without it lists are skipped.
    `extract` parses, as the loaders do.
    Raises NoDocuments as find_files does.
    """
    done: set[str] = set()
    for found, path in progress(find_files(folders, without=without, uploads=uploads, known=known)):
        changed = "" if suffix_of(path) in LISTS else changed_on(path)
        for source, suffix, content in _documents_in(found, path, None if found.startswith(UPLOADS) else fetch):
            if source in done:  # an address that stands in two lists
                continue
            done.add(source)
            try:
                if isinstance(content, Unreadable):
                    raise content
                if known.get(source) == _hash(content):
                    yield Unchanged(source)
                else:
                    document, lost = _document(source, suffix, content, changed, count_tokens, chunk_tokens, extract)
                    yield document
                    if lost:
                        yield Skipped(source, lost)
            except Unreadable as error:
                yield Skipped(source, str(error))


def read_document(source: str, path: Path, *, count_tokens: CountTokens, chunk_tokens: int) -> tuple[Document, str]:
    """Read one file, and say what part of it could not be read; or raise Unreadable with the reason."""
    return _document(source, suffix_of(path), _read(path), changed_on(path), count_tokens, chunk_tokens)


def _documents_in(source: str, path: Path, fetch: Fetch | None) -> Iterator[tuple[str, str, bytes | Unreadable]]:
    """Yield (source, suffix, bytes or why there are none) of each document that a file holds: itself, mostly."""
    suffix = suffix_of(path)
    try:
        data = _read(path)
        if suffix in ARCHIVES:
            for inside, content in unpack(data, LOADERS, (*ARCHIVES, *LISTS), MAX_FILE_BYTES):
                yield f"{source}/{inside}", PurePosixPath(inside).suffix.lower(), content
        elif suffix in LISTS:
            yield from _pages(source, data, fetch)
        else:
            yield source, suffix, data
    except Unreadable as error:
        yield source, suffix, error


def _pages(source: str, data: bytes, fetch: Fetch | None) -> Iterator[tuple[str, str, bytes | Unreadable]]:
    """Yield the pages of a list; a page's source is its address."""
    listed = list(addresses(data))
    if not listed:
        raise Unreadable("it lists no address: write one a line, beginning with http:// or https://")
    if fetch is None:
        raise Unreadable("lists of addresses are followed only where they lie in the documents folder")
    for address in listed:
        try:
            yield address, *fetch(address)
        except Unreadable as error:
            yield address, "", error


def _read(path: Path) -> bytes:
    """Return a file's bytes, or raise Unreadable. What is no regular file or too large is never opened."""
    try:
        _check_kind_and_size(path)
        data = path.read_bytes()
    except FileNotFoundError:
        gone = f"it is a link to {os.fspath(path.readlink())!r}, which is gone" if path.is_symlink() else "it is gone"
        raise Unreadable(gone) from None
    except OSError as error:
        raise Unreadable(f"it cannot be opened: {error.strerror}") from None
    if not data:
        raise Unreadable("it is empty")
    return data


def _check_kind_and_size(path: Path) -> None:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        os.scandir(path).close()  # only a folder that could not be listed comes here: raise its OSError again
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable("it is not a regular file")  # a FIFO would block for ever
    if status.st_size > MAX_FILE_BYTES:
        size, most = (f"{number / 1e6:.0f} MB" for number in (status.st_size, MAX_FILE_BYTES))
        raise Unreadable(f"it is too large: {size}, and a document may have {most}; split it")


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _document(
    source: str,
    suffix: str,
    data: bytes,
    changed: str,
    count_tokens: CountTokens,
    chunk_tokens: int,
    extracting: Extracting | None = None,
) -> tuple[Document, str]:
    """Return a file's document, and what of the file is not in it."""
    extract = extracting(suffix, data) if extracting else LOADERS[suffix](data)
    chunks = chunk_text(extract.text, extract.sections, count_tokens, chunk_tokens)
    if not chunks:
        raise Unreadable("it has no text")
    named = zip(with_columns(extract.text, chunks), chunks, strict=True)
    spans = tuple(Span(start, end, heading, section.page) for heading, (start, end, section) in named)
    title = extract.title or " ".join(PurePosixPath(source).stem.split())
    date = extract.date or changed
    return Document(content_id(source), source, title, _hash(data), extract.text, spans, date), extract.lost
