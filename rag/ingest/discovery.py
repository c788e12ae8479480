"""Documents folders -> the files in them, each under the name that people are shown.

What is hidden, a link that goes in circles, or another program's own folder is left out; what cannot be listed is not:
reading it says why.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath

from rag.errors import NoDocuments
from rag.loaders import DOCUMENT_SUFFIXES, LOADERS

ARCHIVES, LISTS = (".zip",), (".url", ".urls")
FOUND = frozenset((*LOADERS, *ARCHIVES, *LISTS))
SUFFIXES = f"{' '.join((*DOCUMENT_SUFFIXES, *ARCHIVES, *LISTS))}, and source code"
UPLOADS = "uploads/"  # what the sources of files that were dropped into the chat begin with, and those of no others
NEVER_ENTERED = frozenset({"node_modules", "__pycache__"})  # beside hidden folders and virtual environments

Found = tuple[str, Path]


def find_files(
    folders: Sequence[Path],
    *,
    without: Collection[Path] = (),
    uploads: Path | None = None,
    known: Collection[str] = (),
) -> list[Found]:
    """Return (source, path) of every file with a known suffix, sorted by source. A folder may be a single file, too.

    The source is what people are shown: the path inside its folder; with several folders, after the folder's name.
    Hidden files and folders, virtual environments, node_modules, __pycache__ and the folders in `without` (the state
    folder) are left out below a folder, not when named themselves. A file that is reached twice counts once. What was
    uploaded lies in a folder of its own, which may be missing. Raises NoDocuments for another folder that is missing,
    for one that was emptied (`known` are the sources that are indexed), and where no file is found at all.
    """
    excluded = {os.path.realpath(folder) for folder in without}
    found: dict[str, Path] = {}
    reached: set[str] = set()
    labelled = list(zip(_labels(folders), folders, strict=True))
    if uploads is not None and uploads.is_dir():
        labelled.append((UPLOADS, uploads))
    for label, folder in labelled:
        here = list(_walk(folder, excluded))
        if label != UPLOADS and all(os.path.isdir(path) for path, _, _ in here):  # noqa: PTH112  # as in _may_enter
            _refuse_emptied(label, folder, known)
        for path, real, inside in here:
            if real not in reached:
                reached.add(real)
                found[_source(label, inside)] = path
    if not found:
        raise NoDocuments(
            f"nothing to index in {_shown(folders)}: put documents there ({SUFFIXES}), or name other folders"
        )
    return sorted(found.items())


def locate(source: str, folders: Sequence[Path], uploads: Path) -> Path | None:
    """Return the file that is shown under this source, None where none is: what find_files says, of one file."""
    for label, folder in [*zip(_labels(folders), folders, strict=True), (UPLOADS, uploads)]:
        inside = source.removeprefix("./").removeprefix(label).lstrip("/")
        path = folder if folder.is_file() else folder / inside
        if ".." in PurePosixPath(inside).parts or not os.path.isfile(path):  # noqa: PTH113  # as in _may_enter
            continue
        if _source(label, _inside(folder, path)) == source:
            return path
    return None


def _refuse_emptied(label: str, folder: Path, known: Collection[str]) -> None:
    """Raise NoDocuments where documents are indexed from a folder that holds no file: its disk may not be mounted."""
    prefix = _source(label, ".").removesuffix(".")
    lost = sum(source.startswith(prefix) and not source.startswith(UPLOADS) for source in known)
    if lost:
        raise NoDocuments(
            f"nothing to index in {_shown([folder])}, and the index has documents of it ({lost}): "
            "mount it, put a document there, or remove it from THUMBTUNE_DOCS"
        )


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


def _source(label: str, inside: str) -> str:
    """Return the name shown for a file; bytes of a file name that are not UTF-8 are shown as \\xe9 and the like.

    A documents folder may hold a folder of the name that uploads have: its sources begin with "./".
    """
    if label == UPLOADS:
        name = UPLOADS + inside
    else:
        name = "/".join(filter(None, (label, inside)))
        name = f"./{name}" if name.startswith(UPLOADS) else name
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _inside(folder: Path, path: Path) -> str:
    """Return the path inside a folder; "" for the folder, or the single file, itself."""
    return path.relative_to(folder).as_posix() if path != folder else ""


def _walk(folder: Path, excluded: set[str]) -> Iterator[tuple[Path, str, str]]:
    """Yield the files of a folder that have a known suffix, and folders that cannot be listed: reading says why.

    Each comes with where it really is, and with its path inside the folder: asked once for each folder below, which for
    50,000 files takes half the time.
    """
    if not os.path.lexists(folder):
        raise NoDocuments(f"there is no {os.fspath(folder)!r}: create this folder with documents, or name another")
    if not folder.is_dir():
        if suffix_of(folder) not in FOUND:
            raise NoDocuments(f"{os.fspath(folder)!r} is neither a folder nor a document ({SUFFIXES}): name another")
        yield folder, os.path.realpath(folder), ""
        return
    unlisted: list[Path] = []
    entered = {os.path.realpath(folder)}

    def note(error: OSError) -> None:
        unlisted.append(Path(error.filename))

    for parent, folders, files in os.walk(folder, onerror=note, followlinks=True):
        folders[:] = sorted(name for name in folders if _may_enter(Path(parent, name), excluded, entered))
        here, inside = os.path.realpath(parent), _inside(folder, Path(parent))
        for name in sorted(files):
            path = Path(parent, name)
            if not name.startswith(".") and suffix_of(path) in FOUND:
                is_link = os.path.islink(path)  # noqa: PTH114  # as in _may_enter
                real = os.path.realpath(path) if is_link else f"{here.rstrip('/')}/{name}"
                yield path, real, f"{inside}/{name}".lstrip("/")
    for path in unlisted:
        yield path, os.path.realpath(path), _inside(folder, path)


def _may_enter(folder: Path, excluded: set[str], entered: set[str]) -> bool:
    """Tell whether a folder is to be searched, and remember it: a link back up is not followed again."""
    real = os.path.realpath(folder)
    if folder.name.startswith(".") or folder.name in NEVER_ENTERED or real in excluded or real in entered:
        return False
    entered.add(real)
    return not os.path.exists(folder / "pyvenv.cfg")  # noqa: PTH110  # Path.exists raises where it may not be entered


def suffix_of(path: Path) -> str:
    """Return what tells a file's kind, such as ".pdf"."""
    return path.suffix.lower()
