"""Files -> documents, cut into chunks with stable ids. A file that cannot be used costs itself, never the others.

What each kind of file becomes is in rag.loaders, where a document is cut in rag.chunking; here are files and folders.
A file may hold several documents: an archive its files, a list the pages of its addresses. Each has its own outcome.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rag.archives import unpack
from rag.chunking import CHUNKER_VERSION, CountTokens, cut
from rag.drafts import Extract
from rag.errors import NoDocuments, Unreadable
from rag.links import Fetch, addresses
from rag.loaders import LOADERS, NAMED
from rag.records import Document, Span, content_id

MAX_FILE_BYTES = 100_000_000  # a book has one million; what is larger is data or a dump, and would fill the memory
ARCHIVES, LISTS = (".zip",), (".url", ".urls")
FOUND = frozenset((*LOADERS, *ARCHIVES, *LISTS))
SUFFIXES = f"{' '.join(NAMED)}, and source code"  # of one document
ALL_SUFFIXES = f"{' '.join((*NAMED, *ARCHIVES, *LISTS))}, and source code"
UPLOADS = "uploads/"  # what the sources of files that were dropped into the chat begin with, and those of no others
NEVER_ENTERED = frozenset({"node_modules", "__pycache__"})  # beside hidden folders and virtual environments

Found = tuple[str, Path]
Extracting = Callable[[str, bytes], Extract]


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
    for found, path in progress(find_files(folders, without=without, uploads=uploads)):
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
                    document, lost = _document(source, suffix, content, count_tokens, chunk_tokens, extract)
                    yield document
                    if lost:
                        yield Skipped(source, lost)
            except Unreadable as error:
                yield Skipped(source, str(error))


def read_document(source: str, path: Path, *, count_tokens: CountTokens, chunk_tokens: int) -> tuple[Document, str]:
    """Read one file, and say what part of it could not be read; or raise Unreadable with the reason."""
    return _document(source, _suffix(path), _read(path), count_tokens, chunk_tokens)


def _documents_in(source: str, path: Path, fetch: Fetch | None) -> Iterator[tuple[str, str, bytes | Unreadable]]:
    """Yield (source, suffix, bytes or why there are none) of each document that a file holds: itself, mostly."""
    suffix = _suffix(path)
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


def find_files(folders: Sequence[Path], *, without: Collection[Path] = (), uploads: Path | None = None) -> list[Found]:
    """Return (source, path) of every file with a known suffix, sorted by source. A folder may be a single file, too.

    The source is what people are shown: the path inside its folder; with several folders, after the folder's name.
    Hidden files and folders, virtual environments, node_modules, __pycache__ and the folders in `without` (the state
    folder) are left out below a folder, not when named themselves. A file that is reached twice counts once. What was
    uploaded lies in a folder of its own, which may be missing. Raises NoDocuments for another folder that is missing
    and where no file is found at all.
    """
    excluded = {os.path.realpath(folder) for folder in without}
    found: dict[str, Path] = {}
    reached: set[str] = set()
    labelled = list(zip(_labels(folders), folders, strict=True))
    if uploads is not None and uploads.is_dir():
        labelled.append((UPLOADS, uploads))
    for label, folder in labelled:
        for path in _walk(folder, excluded):
            real = os.path.realpath(path)
            if real not in reached:
                reached.add(real)
                found[_source(label, folder, path)] = path
    if not found:
        raise NoDocuments(
            f"nothing to index in {_shown(folders)}: put documents there ({ALL_SUFFIXES}), or name other folders"
        )
    return sorted(found.items())


def locate(source: str, folders: Sequence[Path], uploads: Path) -> Path | None:
    """Return the file that is shown under this source, None where none is: what find_files says, of one file."""
    for label, folder in [*zip(_labels(folders), folders, strict=True), (UPLOADS, uploads)]:
        inside = source.removeprefix("./").removeprefix(label).lstrip("/")
        path = folder if folder.is_file() else folder / inside
        if ".." not in PurePosixPath(inside).parts and path.is_file() and _source(label, folder, path) == source:
            return path
    return None


def _shown(folders: Sequence[Path]) -> str:
    return ", ".join(repr(os.fspath(folder)) for folder in folders)


def _labels(folders: Sequence[Path]) -> list[str]:
    """Return what each folder's sources begin with: nothing for one folder, else enough of its path to differ."""
    parts = [folder.absolute().parts for folder in folders]
    if len(parts) == 1:
        return ["" if folders[0].is_dir() else parts[0][-1]]
    for length in range(1, max(map(len, parts)) + 1):
        labels = ["/".join(part[-length:]) for part in parts]
        if len(set(labels)) == len(labels):
            return labels
    return labels


def _source(label: str, folder: Path, path: Path) -> str:
    """Return the name shown for a file; bytes of a file name that are not UTF-8 are shown as \\xe9 and the like.

    A documents folder may hold a folder of the name that uploads have: its sources begin with "./".
    """
    inside = path.relative_to(folder).as_posix() if path != folder else ""
    if label == UPLOADS:
        name = UPLOADS + inside
    else:
        name = "/".join(filter(None, (label, inside)))
        name = f"./{name}" if name.startswith(UPLOADS) else name
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _walk(folder: Path, excluded: set[str]) -> Iterator[Path]:
    """Yield the files of a folder that have a known suffix, and folders that cannot be listed: reading says why."""
    if not os.path.lexists(folder):
        raise NoDocuments(f"there is no {os.fspath(folder)!r}: create this folder with documents, or name another")
    if not folder.is_dir():
        if _suffix(folder) not in FOUND:
            raise NoDocuments(
                f"{os.fspath(folder)!r} is neither a folder nor a document ({ALL_SUFFIXES}): name another"
            )
        yield folder
        return
    unlisted: list[Path] = []
    entered = {os.path.realpath(folder)}

    def note(error: OSError) -> None:
        unlisted.append(Path(error.filename))

    for parent, folders, files in os.walk(folder, onerror=note, followlinks=True):
        folders[:] = sorted(name for name in folders if _may_enter(Path(parent, name), excluded, entered))
        paths = (Path(parent, name) for name in sorted(files) if not name.startswith("."))
        yield from (path for path in paths if _suffix(path) in FOUND)
    yield from unlisted


def _may_enter(folder: Path, excluded: set[str], entered: set[str]) -> bool:
    """Tell whether a folder is to be searched, and remember it: a link back up is not followed again."""
    real = os.path.realpath(folder)
    if folder.name.startswith(".") or folder.name in NEVER_ENTERED or real in excluded or real in entered:
        return False
    entered.add(real)
    return not (folder / "pyvenv.cfg").exists()


def _suffix(path: Path) -> str:
    return path.suffix.lower()


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
    count_tokens: CountTokens,
    chunk_tokens: int,
    extracting: Extracting | None = None,
) -> tuple[Document, str]:
    """Return a file's document, and what of the file is not in it."""
    extract = extracting(suffix, data) if extracting else LOADERS[suffix](data)
    chunks = cut(extract.text, extract.sections, count_tokens, chunk_tokens)
    if not chunks:
        raise Unreadable("it has no text")
    spans = tuple(Span(start, end, section.heading, section.page) for start, end, section in chunks)
    title = extract.title or " ".join(PurePosixPath(source).stem.split())
    return Document(content_id(source), source, title, _hash(data), extract.text, spans), extract.lost
