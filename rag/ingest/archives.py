"""Read the files inside archives, mailboxes and messages, each as a document named "archive.zip/inner.md".

Why the limits: zips and mails are untrusted, so the number, size and compression ratio of the files are checked before
anything is unpacked. A rejected file is yielded with its reason, which users see like that of any other skipped file.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from importlib import import_module
from pathlib import PurePosixPath
from zipfile import ZipInfo

from rag.errors import Unreadable
from rag.ingest.discovery import LeftOutWhy
from rag.ingest.workers import unreadable
from rag.loaders.formats import LOADERS, PICTURE_SUFFIXES, is_illustration, suffix_of
from rag.loaders.safe_zip import open_zip, read_part

MAX_ARCHIVE_BYTES = 2_000_000_000  # unpacked, one file after the other; hundreds of books
MAX_RATIO = 200  # unpacked to packed: text has 3 to 10, a log 50
SMALL = 1_000_000  # bytes: a file that unpacks to less is harmless, whatever its ratio
UTF8 = 0x800  # flag: the name is UTF-8; without it, the encoding is unknown
ATTACHING = {".eml": "rag.loaders.messages.mail", ".msg": "rag.loaders.messages.outlook"}  # opened on use
JUNK = frozenset(("__MACOSX", "__pycache__", "node_modules"))

ZIP, MAILBOX = ".zip", ".mbox"
LOGO_BYTES = 100_000  # a smaller picture in a mail is a logo, mostly; a photographed letter has a million
MAX_NESTING = 4  # messages attached to messages
MAX_ATTACHED_BYTES = 300_000_000  # of all attachments in a message, whose nested messages are counted again

Content = bytes | Unreadable | LeftOutWhy
Member = tuple[str, Content]
Inner = tuple[str, str, Content]  # (source, suffix, content)


def expand(
    source: str,
    suffix: str,
    data: bytes,
    nested: Collection[str],
    max_file: int,
    is_readable: Callable[[str], bool] = lambda source: True,
) -> Iterator[Inner]:
    """Yield the documents in a file: those of a zip, the messages of a mailbox, the attachments of a message.

    A message is a document itself; its attachments are opened only if it `is_readable`, which is asked after it was
    yielded. `nested` and `max_file` are as for `unpack`. Raises Unreadable for the file.
    """
    yield from _expand(source, suffix, data, nested, max_file, is_readable, 0)


def _expand(
    source: str,
    suffix: str,
    data: bytes,
    nested: Collection[str],
    max_file: int,
    is_readable: Callable[[str], bool],
    depth: int,
) -> Iterator[Inner]:
    members: Iterator[Member]
    if suffix == ZIP:
        members = unpack(data, {*LOADERS, MAILBOX}, nested, max_file)
    elif suffix == MAILBOX:
        members = iter(import_module("rag.loaders.messages.mail").messages_of(data))
    else:
        yield source, suffix, data
        if suffix not in ATTACHING or not is_readable(source):
            return
        if depth > MAX_NESTING:
            yield (
                f"{source}/attachments",
                "",
                Unreadable(f"more than {MAX_NESTING} messages are attached to each other"),
            )
            return
        members = _attached(suffix, data, max_file)
    for name, content in members:
        inner, inside = f"{source}/{name}", ".eml" if suffix == MAILBOX else suffix_of(PurePosixPath(name))
        if not isinstance(content, bytes):
            yield inner, inside, content
            continue
        try:
            yield from _expand(inner, inside, content, nested, max_file, is_readable, depth + 1)
        except Unreadable as error:
            yield inner, inside, error


def _attached(suffix: str, data: bytes, max_file: int) -> Iterator[Member]:
    """Yield the attachments of a message. A logo or other picture is left out; the text of the message names it."""
    try:
        attachments = list(import_module(ATTACHING[suffix]).attachments_of(data))
    except Exception as error:  # noqa: BLE001  # whatever a parser raises costs the attachments of one message
        yield "attachments", unreadable(suffix, error)
        return
    left = MAX_ATTACHED_BYTES
    for name, content in attachments:
        suffix_of_name = suffix_of(PurePosixPath(name))
        if suffix_of_name not in {*LOADERS, ZIP, MAILBOX}:
            yield name, "kind"
            continue
        size = len(content) if isinstance(content, bytes) else 0
        if suffix_of_name in PICTURE_SUFFIXES and size < LOGO_BYTES:
            yield name, "illustration"
            continue
        left -= size
        if size > max_file or left < 0:
            yield name, Unreadable(f"it is too large: {size / 1e6:.0f} MB, save it as a file of its own")
        else:
            yield name, content or Unreadable("it is empty")


def unpack(data: bytes, suffixes: Collection[str], nested: Collection[str], max_file: int) -> Iterator[Member]:
    """Yield (path inside, bytes, the reason why it is skipped or why it is left out) of each file.

    Archives and lists inside the archive (suffixes in `nested`) are not opened. Hidden files and those of tools are
    left out, as in a folder. `max_file` is in bytes. Raises Unreadable for the archive as a whole.
    """
    with open_zip(data, MAX_ARCHIVE_BYTES) as opened:
        done: set[str] = set()
        for info in opened.infolist():
            path = PurePosixPath(_name(info).replace("\\", "/"))  # written by some Windows programs
            if info.is_dir():
                continue
            if why := _why_left_out(path, {*suffixes, *nested}):
                yield str(path), why
                continue
            try:
                _check(info, path, nested, done, max_file)
                yield str(path), read_part(opened, info)
            except Unreadable as error:
                yield str(path), error


def _check(info: ZipInfo, path: PurePosixPath, nested: Collection[str], done: set[str], max_file: int) -> None:
    """Raise Unreadable for a file that must not be unpacked."""
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise Unreadable("its path leads out of the archive: pack it again")
    if path.suffix.lower() in nested:
        raise Unreadable("it is an archive or a list of addresses inside an archive: unpack it next to the other files")
    if str(path) in done:
        raise Unreadable("another file in the archive has the same name: pack it again")
    done.add(str(path))
    if info.file_size > max_file:
        raise Unreadable(
            f"it is too large: {info.file_size / 1e6:.0f} MB, the limit for a document is {max_file / 1e6:.0f} MB"
        )
    if info.file_size > SMALL and info.file_size > MAX_RATIO * info.compress_size:
        raise Unreadable(f"it unpacks to more than {MAX_RATIO} times its size, like a zip bomb: unpack it yourself")
    if info.file_size == 0:
        raise Unreadable("it is empty")


def _why_left_out(path: PurePosixPath, suffixes: Collection[str]) -> LeftOutWhy | None:
    """Return why a file in an archive is left out, as it would be in a folder; None if it is a document."""
    if not JUNK.isdisjoint(path.parts):
        return "tools"
    if any(part.startswith(".") and part != ".." for part in path.parts):
        return "hidden"
    if is_illustration(path):
        return "illustration"
    return None if suffix_of(path) in suffixes else "kind"


def _name(info: ZipInfo) -> str:
    """Return a file name decoded as UTF-8 if possible: many packers omit the flag, and zipfile then assumes cp437."""
    if info.flag_bits & UTF8:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename
