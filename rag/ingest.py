"""Files -> documents, cut into chunks with stable ids. A file that cannot be used costs itself, never the others.

What each kind of file becomes is in rag.loaders, where a document is cut in rag.chunking; here are files and folders.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rag.chunking import CHUNKER_VERSION, CountTokens, cut
from rag.errors import NoDocuments
from rag.loaders import LOADERS, Unreadable
from rag.records import Document, Span, content_id

MAX_FILE_BYTES = 100_000_000  # a book has one million; what is larger is data or a dump, and would fill the memory
SUFFIXES = " ".join(LOADERS)
NEVER_ENTERED = frozenset({"node_modules", "__pycache__"})  # beside hidden folders and virtual environments

Found = tuple[str, Path]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is not indexed, and why."""

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
) -> Iterator[Outcome]:
    """Yield one outcome per file, in the order of find_files; the caller may stop at any time.

    `known` maps a source to the hash of the bytes that are stored: such a file is Unchanged and not parsed. `progress`
    wraps the list of files, as tqdm does. Raises NoDocuments as find_files does.
    """
    for source, path in progress(find_files(folders, without=without)):
        try:
            data = _read(path)
            if known.get(source) == _hash(data):
                yield Unchanged(source)
            else:
                yield _document(source, path, data, count_tokens, chunk_tokens)
        except Unreadable as error:
            yield Skipped(source, str(error))


def read_document(source: str, path: Path, *, count_tokens: CountTokens, chunk_tokens: int) -> Document:
    """Read one file, or raise Unreadable with the reason."""
    return _document(source, path, _read(path), count_tokens, chunk_tokens)


def find_files(folders: Sequence[Path], *, without: Collection[Path] = ()) -> list[Found]:
    """Return (source, path) of every file with a known suffix, sorted by source. A folder may be a single file, too.

    The source is what people are shown: the path inside its folder; with several folders, after the folder's name.
    Hidden files and folders, virtual environments, node_modules, __pycache__ and the folders in `without` (the state
    folder) are left out below a folder, not when named themselves. A file that is reached twice counts once. Raises
    NoDocuments for a folder that is missing and where no file is found at all.
    """
    excluded = {os.path.realpath(folder) for folder in without}
    found: dict[str, Path] = {}
    reached: set[str] = set()
    for label, folder in zip(_labels(folders), folders, strict=True):
        for path in _walk(folder, excluded):
            real = os.path.realpath(path)
            if real not in reached:
                reached.add(real)
                found[_source(label, folder, path)] = path
    if not found:
        raise NoDocuments(
            f"nothing to index in {_shown(folders)}: put documents there ({SUFFIXES}), or name other folders"
        )
    return sorted(found.items())


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
    """Return the name shown for a file; bytes of a file name that are not UTF-8 are shown as \\xe9 and the like."""
    inside = path.relative_to(folder).as_posix() if path != folder else ""
    return os.fsencode("/".join(filter(None, (label, inside)))).decode("utf-8", "backslashreplace")


def _walk(folder: Path, excluded: set[str]) -> Iterator[Path]:
    """Yield the files of a folder that have a known suffix, and folders that cannot be listed: reading says why."""
    if not os.path.lexists(folder):
        raise NoDocuments(f"there is no {os.fspath(folder)!r}: create this folder with documents, or name another")
    if not folder.is_dir():
        if _suffix(folder) not in LOADERS:
            raise NoDocuments(f"{os.fspath(folder)!r} is neither a folder nor a document ({SUFFIXES}): name another")
        yield folder
        return
    unlisted: list[Path] = []
    entered = {os.path.realpath(folder)}

    def note(error: OSError) -> None:
        unlisted.append(Path(error.filename))

    for parent, folders, files in os.walk(folder, onerror=note, followlinks=True):
        folders[:] = sorted(name for name in folders if _may_enter(Path(parent, name), excluded, entered))
        paths = (Path(parent, name) for name in sorted(files) if not name.startswith("."))
        yield from (path for path in paths if _suffix(path) in LOADERS)
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


def _document(source: str, path: Path, data: bytes, count_tokens: CountTokens, chunk_tokens: int) -> Document:
    extract = LOADERS[_suffix(path)](data)
    chunks = cut(extract.text, extract.sections, count_tokens, chunk_tokens)
    if not chunks:
        raise Unreadable("it has no text")
    spans = tuple(Span(start, end, section.heading, section.page) for start, end, section in chunks)
    title = extract.title or " ".join(PurePosixPath(source).stem.split())
    return Document(content_id(source), source, title, _hash(data), extract.text, spans)
