"""List the files that one version of a LanceDB table consists of, read from its manifest.

Why: LanceDB never changes a file once it is written, so a version copied by its manifest and the files named there is
consistent while others write. A copy of the whole folder would also keep what was deleted. The layout of a manifest is
in lance's protos/table.proto and docs (lance.org/format): a protobuf message, then 16 bytes that say where it begins.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from pathlib import Path

FOOTER = struct.Struct("<QHH4s")  # position of the message, format version (two numbers), magic bytes
MAGIC = b"LANC"
VERSIONS, DATA, DELETIONS, INDICES = "_versions", "data", "_deletions", "_indices"
FRAGMENTS, INDEX_SECTION = 2, 6  # fields of Manifest
FRAGMENT_ID, FRAGMENT_FILES, DELETION_FILE = 1, 2, 3  # of DataFragment
PATH, BASE = 1, 7  # of DataFile
FILE_TYPE, READ_VERSION, DELETION_ID = 1, 2, 3  # of DeletionFile
SUFFIXES = ("arrow", "bin")  # of a deletion file, by its type
VARINT, EIGHT, SIZED, FOUR = 0, 1, 2, 5  # wire types of protobuf

Field = tuple[int, int | bytes]


def manifests(table: Path) -> list[Path]:
    """Return the manifests in a table's folder, the newest version first."""
    found = [path for path in (table / VERSIONS).glob("*.manifest") if path.stem.isdigit()]
    return sorted(found, key=version_of, reverse=True)


def version_of(manifest: Path) -> int:
    """Return a manifest's version: LanceDB counts the names of its files down, so that the newest is listed first."""
    number = int(manifest.stem)
    return (1 << 64) - 1 - number if number >> 63 else number


def files_of_version(table: Path, manifest: bytes) -> list[str]:
    """Return the paths, inside the table's folder, of all files that a manifest names, without itself.

    Also those that the app keeps in the folder for itself. Raises ValueError if the manifest cannot be read, and
    FileNotFoundError if a file is not there: after a compaction, or because it was lost.
    """
    named, indices = _named(manifest)
    for name in named:
        if not (table / name).is_file():
            raise FileNotFoundError(2, "No such file", str(table / name))
    for folder in indices:
        inside = [path for path in (table / folder).rglob("*") if path.is_file()]
        if not inside:
            raise FileNotFoundError(2, "No such file", str(table / folder))
        named += [path.relative_to(table).as_posix() for path in inside]
    return sorted({*named, *(path.name for path in table.glob("*.json"))})


def _named(manifest: bytes) -> tuple[list[str], list[str]]:
    """Return the data and deletion files, and the folders of indexes, that a manifest names."""
    try:
        position, _, _, magic = FOOTER.unpack(manifest[-FOOTER.size :])
        if magic != MAGIC:
            raise ValueError("it does not end as a manifest does")
        files: list[str] = []
        indices: list[str] = []
        for number, value in _fields(_message(manifest, position)):
            if number == FRAGMENTS:
                files += _files_of_fragment(_sized(value))
            elif number == INDEX_SECTION:
                indices += [
                    f"{INDICES}/{_uuid(_sized(index))}"
                    for field, index in _fields(_message(manifest, int(value)))
                    if field == 1
                ]
    except (struct.error, IndexError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"it is cut off or overwritten ({type(error).__name__})") from error
    return files, indices


def _files_of_fragment(fragment: bytes) -> Iterator[str]:
    fields = list(_fields(fragment))
    number = int(dict(fields).get(FRAGMENT_ID, 0))
    for field, value in fields:
        if field == FRAGMENT_FILES:
            parts = dict(_fields(_sized(value)))
            if parts.get(BASE):
                raise ValueError("it names files of another folder")
            yield f"{DATA}/{_sized(parts[PATH]).decode()}"
        elif field == DELETION_FILE:
            parts = dict(_fields(_sized(value)))
            suffix = SUFFIXES[int(parts.get(FILE_TYPE, 0))]
            read, named = (int(parts.get(field, 0)) for field in (READ_VERSION, DELETION_ID))
            yield f"{DELETIONS}/{number}-{read}-{named}.{suffix}"


def _uuid(index: bytes) -> uuid.UUID:
    """Return the id of an index, which is the name of its folder: IndexMetadata.uuid.uuid."""
    return uuid.UUID(bytes=_sized(dict(_fields(_sized(dict(_fields(index))[1])))[1]))


def _message(data: bytes, position: int) -> bytes:
    """Return the message at a position: its length in four bytes, then itself."""
    (size,) = struct.unpack_from("<I", data, position)
    found = data[position + 4 : position + 4 + size]
    if len(found) != size:
        raise ValueError("it is cut off")
    return found


def _fields(message: bytes) -> Iterator[Field]:
    """Yield (number, value) of each field of a protobuf message (protobuf.dev/programming-guides/encoding)."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == VARINT:
            number, at = _varint(message, at)
            yield key >> 3, number
            continue
        if kind == SIZED:
            size, at = _varint(message, at)
        else:
            size = {EIGHT: 8, FOUR: 4}[kind]
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Return the number at a position, and the position after it."""
    number = shift = 0
    while True:
        byte = message[at]
        at += 1
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return number, at


def _sized(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("a number where bytes belong")
    return value
