"""Read files into documents cut into chunks with stable ids. A file that fails is skipped; the others are still read.

rag.ingest.discovery finds the files, rag.loaders reads each format, rag.ingest.chunking splits the text. A file may
hold several documents: an archive its files, a list of URLs its pages. Each has its own outcome.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rag.errors import Unreadable
from rag.ingest.archives import Content, expand
from rag.ingest.chunking import CountTokens, chunk_text
from rag.ingest.discovery import ARCHIVES, UPLOADS, URL_LISTS, LeftOut, SourceFile, find_files
from rag.ingest.stat_cache import modified_on
from rag.ingest.table_columns import headings_with_columns
from rag.ingest.web_pages import Fetch, parse_addresses
from rag.ingest.workers import Parsing, parse, parse_here
from rag.loaders.blocks import Section
from rag.loaders.builder import LoadedText
from rag.loaders.formats import suffix_of
from rag.records import PAGE_TURN, Document, Span, content_id

MAX_FILE_BYTES = 100_000_000  # a book has one million; a larger file is data or a dump, and would fill the memory
MAX_AHEAD_BYTES = 50_000_000  # of files that are being parsed while an earlier one is: memory stays flat
Load = Callable[[str, bytes], LoadedText]  # (suffix, bytes) -> text
Submit = Callable[[str, bytes], Parsing]  # the same, perhaps in the background


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is not indexed, and the reason."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A file whose bytes are already indexed."""

    source: str


@dataclass(frozen=True, slots=True)
class Remark:
    """Follows a document of which `lost` could not be read, or that was read with a `note` on what was guessed."""

    source: str
    lost: str = ""
    note: str = ""


Outcome = Document | Skipped | Unchanged | Remark | LeftOut


@dataclass(frozen=True, slots=True)
class Begun:
    """A file that is being parsed: the hash and size of its bytes, whether these are indexed, and its text to come."""

    source: str
    hash: str
    modified: str
    size: int
    is_known: bool
    text: Parsing


def ingest(
    folders: Sequence[Path],
    *,
    known: Mapping[str, str],
    unreported: Collection[str] = (),
    count_tokens: CountTokens,
    chunk_tokens: int,
    progress: Callable[[list[SourceFile]], Iterable[SourceFile]] = iter,
    without: Collection[Path] = (),
    uploads: Path | None = None,
    follow_links: bool = False,
    fetch: Fetch | None = None,
    submit: Submit | None = None,
    ahead: int = 0,
) -> Iterator[Outcome]:
    """Yield one outcome per document, in the order of find_files; the caller may stop at any time.

    `known` maps a source to the hash of its indexed bytes: a file with the same hash is Unchanged and not parsed. Of
    those that are `unreported`, since an earlier run was killed, the Remark is found once more.
    `progress` wraps the list of files, as tqdm does. `fetch` gets the pages of listed URLs; without it lists are
    skipped. `submit` replaces the loaders, for example by worker processes; up to `ahead` files are then parsed at
    once. A Remark follows its document. Raises NoDocuments as find_files does.
    """
    left_out: list[LeftOut] = []
    files = find_files(
        folders,
        without=without,
        uploads=uploads,
        known=known,
        follow_links=follow_links,
        left_out=left_out.append,
    )
    yield from read_files(
        progress(files),
        known=known,
        unreported=unreported,
        count_tokens=count_tokens,
        chunk_tokens=chunk_tokens,
        fetch=fetch,
        submit=submit,
        ahead=ahead,
    )
    yield from left_out


def read_files(
    files: Iterable[SourceFile],
    *,
    known: Mapping[str, str],
    unreported: Collection[str] = (),
    count_tokens: CountTokens,
    chunk_tokens: int,
    fetch: Fetch | None = None,
    submit: Submit | None = None,
    ahead: int = 0,
) -> Iterator[Outcome]:
    """Yield one outcome per document in these files, as `ingest` does for those of folders."""
    done: set[str] = set()
    waiting: deque[Begun | Outcome] = deque()
    begun: dict[str, Begun | Outcome] = {}  # of the file that is being opened

    def is_readable(source: str) -> bool:
        """Return whether a message's own text could be parsed: what hangs a worker is not opened here."""
        message = begun.get(source)
        return not isinstance(message, Begun) or _is_readable(message.text)

    def finished(most: int) -> Iterator[Outcome]:
        """Yield outcomes from the front until at most so many files wait, and no more than is allowed in memory."""
        while waiting and (
            len(waiting) > most or not isinstance(waiting[0], Begun) or waiting[0].text.is_done() or _held(waiting)
        ):
            first = waiting.popleft()
            if isinstance(first, Begun):
                yield from _outcomes(first, count_tokens, chunk_tokens)
            else:
                yield first

    for file_source, path in files:
        begun.clear()
        modified = "" if suffix_of(path) in URL_LISTS else modified_on(path)
        allowed = None if file_source.startswith(UPLOADS) else fetch
        for source, suffix, content in _documents_in(file_source, path, allowed, is_readable):
            if source in done:  # a URL that is in two lists
                continue
            done.add(source)
            begun[source] = _begin(source, suffix, content, modified, known, unreported, submit or parse_here)
            waiting.append(begun[source])
            yield from finished(ahead)
    yield from finished(0)


def read_document(
    source: str, path: Path, *, count_tokens: CountTokens, chunk_tokens: int, load: Load | None = None
) -> tuple[Document, Remark]:
    """Return the document of one file and the remark on how it was read. Raises Unreadable with the reason."""
    data = read_bytes(path)
    loaded = (load or parse)(suffix_of(path), data)
    document = _document(source, _hash(data), loaded, modified_on(path), count_tokens, chunk_tokens)
    return document, Remark(source, loaded.lost, loaded.note)


def _begin(
    source: str,
    suffix: str,
    content: Content,
    modified: str,
    known: Mapping[str, str],
    unreported: Collection[str],
    submit: Submit,
) -> Begun | Outcome:
    """Begin to parse a file, or return its outcome where nothing has to be parsed."""
    match content:
        case str():
            return LeftOut(source, content)
        case Unreadable():
            return Skipped(source, str(content))
    digest = _hash(content)
    is_known = known.get(source) == digest
    if is_known and source not in unreported:
        return Unchanged(source)
    return Begun(source, digest, modified, len(content), is_known, submit(suffix, content))


def _is_readable(text: Parsing) -> bool:
    try:
        text.result()
    except Unreadable:
        return False
    return True


def _outcomes(begun: Begun, count_tokens: CountTokens, chunk_tokens: int) -> Iterator[Outcome]:
    """Yield the outcomes of a file, once it is parsed."""
    try:
        loaded = begun.text.result()
        if begun.is_known:
            yield Unchanged(begun.source)
        else:
            yield _document(begun.source, begun.hash, loaded, begun.modified, count_tokens, chunk_tokens)
        if loaded.lost or loaded.note:
            yield Remark(begun.source, loaded.lost, loaded.note)
    except Unreadable as error:
        yield Skipped(begun.source, str(error))


def _held(waiting: Iterable[Begun | Outcome]) -> bool:
    """Return whether the files that wait are too large together."""
    return sum(each.size for each in waiting if isinstance(each, Begun)) > MAX_AHEAD_BYTES


def _documents_in(
    source: str, path: Path, fetch: Fetch | None, is_readable: Callable[[str], bool]
) -> Iterator[tuple[str, str, Content]]:
    """Yield (source, suffix, bytes or error) of each document in a file, which is usually the file itself."""
    suffix = suffix_of(path)
    try:
        data = read_bytes(path)
        if suffix in URL_LISTS:
            yield from _pages(source, data, fetch)
        else:
            yield from expand(source, suffix, data, (*ARCHIVES, *URL_LISTS), MAX_FILE_BYTES, is_readable)
    except Unreadable as error:
        yield source, suffix, error


def _pages(source: str, data: bytes, fetch: Fetch | None) -> Iterator[tuple[str, str, Content]]:
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


def read_bytes(path: Path) -> bytes:
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


def _page(text: str, start: int, section: Section) -> int | None:
    """Return the page on which a chunk of a section begins: a section may hold the end of the next page's sentence."""
    if section.page is None:
        return None
    return section.page + text.count(PAGE_TURN, section.blocks[0].start, start)


def _document(
    source: str, digest: str, loaded: LoadedText, modified: str, count_tokens: CountTokens, chunk_tokens: int
) -> Document:
    """Return the document of a file, cut into chunks. Raises Unreadable if it has no text."""
    chunks = chunk_text(loaded.text, loaded.sections, count_tokens, chunk_tokens)
    if not chunks:
        raise Unreadable("it has no text")
    headed = zip(headings_with_columns(loaded.text, chunks), chunks, strict=True)
    spans = tuple(
        Span(start, end, heading, _page(loaded.text, start, section)) for heading, (start, end, section) in headed
    )
    title = loaded.title or " ".join(PurePosixPath(source).stem.split())
    date = loaded.date or modified
    return Document(content_id(source), source, title, digest, loaded.text, spans, date)
