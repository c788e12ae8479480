"""An archive -> the files in it, each a document of its own, named "archive.zip/inner.md". Nothing is written to disk.

Zips come from anywhere, so everything is counted before it is unpacked: how many files, how large, how much larger than
they lie there. What is refused is yielded with its reason, so that the user reads it like that of any other file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import PurePosixPath
from zipfile import ZipInfo

from rag.errors import Unreadable
from rag.loaders.safe_zip import open_zip, read_part

MAX_ARCHIVE_BYTES = 2_000_000_000  # unpacked, one file after the other; a shelf of books
MAX_RATIO = 200  # unpacked to packed: text has 3 to 10, a log 50
SMALL = 1_000_000  # bytes: what unpacks to less harms nobody, whatever its ratio
UTF8 = 0x800  # bit of a name that says it is UTF-8; without it, it is whatever the packer had
JUNK = frozenset(("__MACOSX", "__pycache__", "node_modules"))

Member = tuple[str, bytes | Unreadable]


def unpack(data: bytes, kinds: Collection[str], nested: Collection[str], max_file: int) -> Iterator[Member]:
    """Yield (path inside, bytes) for each file whose suffix is in `kinds`, or the reason why it is not used.

    An archive or list within (`nested`) is not followed. Hidden files and what tools leave behind are left out, as in a
    folder. Raises Unreadable for the archive as a whole.
    """
    with open_zip(data, MAX_ARCHIVE_BYTES) as opened:
        done: set[str] = set()
        for info in opened.infolist():
            path = PurePosixPath(_name(info).replace("\\", "/"))  # as some programs for Windows write it
            if info.is_dir() or path.suffix.lower() not in {*kinds, *nested} or _is_left_out(path):
                continue
            try:
                _check(info, path, nested, done, max_file)
                yield str(path), read_part(opened, info)
            except Unreadable as error:
                yield str(path), error


def _check(info: ZipInfo, path: PurePosixPath, nested: Collection[str], done: set[str], max_file: int) -> None:
    """Raise Unreadable for a file that must not be unpacked."""
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise Unreadable("its path leads out of the archive: pack it anew")
    if path.suffix.lower() in nested:
        raise Unreadable("it is an archive or a list of addresses within an archive: unpack it beside the other files")
    if str(path) in done:
        raise Unreadable("another file in the archive has the same name: pack it anew")
    done.add(str(path))
    if info.file_size > max_file:
        raise Unreadable(
            f"it is too large: {info.file_size / 1e6:.0f} MB, and a document may have {max_file / 1e6:.0f}"
        )
    if info.file_size > SMALL and info.file_size > MAX_RATIO * info.compress_size:
        raise Unreadable(f"it unpacks to more than {MAX_RATIO} times its size, as bombs do: unpack it yourself")
    if info.file_size == 0:
        raise Unreadable("it is empty")


def _is_left_out(path: PurePosixPath) -> bool:
    return any(part in JUNK or (part.startswith(".") and part != "..") for part in path.parts)


def _name(info: ZipInfo) -> str:
    """Return a name as it was meant: packers write UTF-8 without saying so, and zipfile takes it for cp437."""
    if info.flag_bits & UTF8:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename
