"""Read files into documents cut into chunks with stable ids. A file that fails is skipped; the others are still read.

rag.ingest.discovery finds the files, rag.loaders reads each format, rag.ingest.chunking splits the text. A file may
hold several documents: an archive its files, a list of URLs its pages. Each has its own outcome.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rag.errors import Unreadable
from rag.ingest.archives import expand
from rag.ingest.chunking import CountTokens, chunk_text
from rag.ingest.discovery import ARCHIVES, UPLOADS, URL_LISTS, SourceFile, find_files
from rag.ingest.stat_cache import modified_on
from rag.ingest.table_columns import headings_with_columns
from rag.ingest.web_pages import Fetch, parse_addresses
from rag.loaders.builder import LoadedText
from rag.loaders.formats import LOADERS, suffix_of
from rag.records import Document, Span, content_id

MAX_FILE_BYTES = 100_000_000  # a book has one million; a larger file is data or a dump, and would fill the memory
Load = Callable[[str, bytes], LoadedText]  # (suffix, bytes) -> text


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is not indexed and the reason, or the part of an indexed file that could not be read."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A file whose bytes are already indexed."""

    source: str


Outcome = Document | Skipped | Unchanged


def ingest(
    folders: Sequence[Path],
    *,
    known: Mapping[str, str],
    count_tokens: CountTokens,
    chunk_tokens: int,
    progress: Callable[[list[SourceFile]], Iterable[SourceFile]] = iter,
    without: Collection[Path] = (),
    uploads: Path | None = None,
    fetch: Fetch | None = None,
    load: Load | None = None,
) -> Iterator[Outcome]:
    """Yield one outcome per document, in the order of find_files; the caller may stop at any time.

    `known` maps a source to the hash of its indexed bytes: a file with the same hash is Unchanged and not parsed.
    `progress` wraps the list of files, as tqdm does. `fetch` gets the pages of listed URLs; without it lists are
    skipped. `load` replaces the loaders, for example by a cache of them. Raises NoDocuments as find_files does.
    """
    done: set[str] = set()
    for file_source, path in progress(find_files(folders, without=without, uploads=uploads, known=known)):
        modified = "" if suffix_of(path) in URL_LISTS else modified_on(path)
        allowed = None if file_source.startswith(UPLOADS) else fetch
        for source, suffix, content in _documents_in(file_source, path, allowed):
            if source in done:  # a URL that is in two lists
                continue
            done.add(source)
            try:
                if isinstance(content, Unreadable):
                    raise content
                if known.get(source) == _hash(content):
                    yield Unchanged(source)
                else:
                    document, lost = _document(source, suffix, content, modified, count_tokens, chunk_tokens, load)
                    yield document
                    if lost:
                        yield Skipped(source, lost)
            except Unreadable as error:
                yield Skipped(source, str(error))


def read_document(
    source: str, path: Path, *, count_tokens: CountTokens, chunk_tokens: int, load: Load | None = None
) -> tuple[Document, str]:
    """Return the document of one file and a note on what of it could not be read. Raises Unreadable with the reason."""
    return _document(source, suffix_of(path), _read(path), modified_on(path), count_tokens, chunk_tokens, load)


def _documents_in(source: str, path: Path, fetch: Fetch | None) -> Iterator[tuple[str, str, bytes | Unreadable]]:
    """Yield (source, suffix, bytes or error) of each document in a file, which is usually the file itself."""
    suffix = suffix_of(path)
    try:
        data = _read(path)
        if suffix in URL_LISTS:
            yield from _pages(source, data, fetch)
        else:
            yield from expand(source, suffix, data, (*ARCHIVES, *URL_LISTS), MAX_FILE_BYTES)
    except Unreadable as error:
        yield source, suffix, error


def _pages(source: str, data: bytes, fetch: Fetch | None) -> Iterator[tuple[str, str, bytes | Unreadable]]:
    """Yield (source, suffix, bytes or error) of each page of a list; the source of a page is its address."""
    listed = list(parse_addresses(data))
    if not listed:
        raise Unreadable("it lists no address: write one a line, beginning with http:// or https://")
    if fetch is None:
        raise Unreadable("lists of addresses are read only in the documents folder")
    for address in listed:
        try:
            yield address, *fetch(address)
        except Unreadable as error:
            yield address, "", error


def _read(path: Path) -> bytes:
    """Return a file's bytes. Raises Unreadable; a file that is not regular or too large is never opened."""
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
        os.scandir(path).close()  # only a folder that could not be listed gets here: raise its OSError again
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable("it is not a regular file")  # a FIFO would block forever
    if status.st_size > MAX_FILE_BYTES:
        size, most = (f"{number / 1e6:.0f} MB" for number in (status.st_size, MAX_FILE_BYTES))
        raise Unreadable(f"it is too large: {size}, the limit for a document is {most}; split it")


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _document(
    source: str,
    suffix: str,
    data: bytes,
    modified: str,
    count_tokens: CountTokens,
    chunk_tokens: int,
    load: Load | None = None,
) -> tuple[Document, str]:
    """Return the document of a file and a note on what of the file is not in it."""
    loaded = load(suffix, data) if load else LOADERS[suffix](data)
    chunks = chunk_text(loaded.text, loaded.sections, count_tokens, chunk_tokens)
    if not chunks:
        raise Unreadable("it has no text")
    headed = zip(headings_with_columns(loaded.text, chunks), chunks, strict=True)
    spans = tuple(Span(start, end, heading, section.page) for heading, (start, end, section) in headed)
    title = loaded.title or " ".join(PurePosixPath(source).stem.split())
    date = loaded.date or modified
    return Document(content_id(source), source, title, _hash(data), loaded.text, spans, date), loaded.lost
