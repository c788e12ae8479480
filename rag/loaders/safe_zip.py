"""Open untrusted zip files within limits on size and number of parts: office files, e-books and archives.

Why: a few kilobytes can unpack to terabytes. The declared sizes are added up first, and Python's zipfile never reads
more of a part than its declared size.
"""

from __future__ import annotations

import lzma
import re
import struct
import zlib
from collections.abc import Callable, Collection
from io import BytesIO
from zipfile import ZIP_STORED, BadZipFile, LargeZipFile, ZipFile, ZipInfo

from rag.errors import Unreadable
from rag.loaders import ole

ENCRYPTED = 1  # bit in the flags of a part
CORE = "docProps/core.xml"
CHANGED = [re.compile(rf"<dcterms:{kind}\b[^>]*>([^<]+)<") for kind in ("modified", "created")]
MAX_PARTS = 10_000  # a workbook or a book has a few hundred
DOCTYPES = tuple(
    f"<!{word}".encode(code) for word in ("DOCTYPE", "ENTITY") for code in ("utf-8", "utf-16-le", "utf-16-be")
)
XML = (".xml", ".rels", ".vml")
BROKEN = (  # raised by zipfile and its decompressors on damaged bytes
    BadZipFile,
    LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


def open_zip(data: bytes, max_bytes: int) -> ZipFile:
    """Open a zip of at most MAX_PARTS parts and `max_bytes` unpacked. Raises Unreadable."""
    if data.startswith(ole.SIGNATURE):
        raise Unreadable(_why_no_zip(data))
    try:
        opened = ZipFile(BytesIO(data))
    except BROKEN:
        raise Unreadable("it is damaged: open it in its own program and save it again") from None
    parts = opened.infolist()
    if len(parts) > MAX_PARTS:
        raise Unreadable(f"it has {len(parts):,} parts, the limit is {MAX_PARTS:,}: unpack or split it")
    size = sum(part.file_size for part in parts)
    if size > max_bytes:
        sizes = f"{size / 1e6:,.0f} MB, the limit is {max_bytes / 1e6:,.0f}"
        raise Unreadable(f"it is too large: it unpacks to {sizes}; split it")
    return opened


def _why_no_zip(data: bytes) -> str:
    """Return what is wrong with an office file that is in the older container."""
    try:
        with ole.open_ole(data) as opened:
            is_encrypted = opened.exists("EncryptedPackage")
    except ole.DAMAGED:
        return "it is damaged, or encrypted: open it in its own program and save a copy without a password"
    if is_encrypted:
        return "it is protected by a password: save a copy without one"
    return "it is in an older format than its name says: save it again in the current one"


def read_part(opened: ZipFile, part: str | ZipInfo) -> bytes:
    """Return the bytes of one part. Raises Unreadable if it is missing, encrypted or damaged."""
    info = opened.NameToInfo.get(part) if isinstance(part, str) else part
    if info is None:
        raise Unreadable(f"it is damaged: its part {part!r} is missing")
    if info.flag_bits & ENCRYPTED:
        raise Unreadable("it is encrypted: save a copy without a password")
    try:
        return opened.read(info)
    except BROKEN:
        raise Unreadable(f"it is damaged: its part {info.filename!r} cannot be unpacked") from None


def office_date(data: BytesIO) -> str:
    """Return the date of the last change, else of creation, as an office file states it; "" if it does not."""
    with ZipFile(data) as opened:
        core = opened.read(CORE).decode("utf-8", "replace") if CORE in opened.NameToInfo else ""
    return next((found[1] for found in (kind.search(core) for kind in CHANGED) if found), "")


def repack(
    data: bytes, max_bytes: int, kinds: Collection[str] = XML, change: Callable[[bytes], bytes] = bytes
) -> BytesIO:
    """Return an office file with only its XML parts; all other parts, such as pictures and fonts, are emptied.

    `kinds` are the suffixes of the parts to keep, `change` is applied to each part. XML that declares entities is
    refused: the office formats forbid it, and a few entities can expand to gigabytes. Raises Unreadable.
    """
    clean = BytesIO()
    with open_zip(data, max_bytes) as opened, ZipFile(clean, "w", ZIP_STORED) as packed:
        for name, info in opened.NameToInfo.items():
            if not name:
                continue  # nothing can refer to it, and zipfile cannot write it
            content = read_part(opened, info) if name.lower().endswith(tuple(kinds)) else b""
            if any(doctype in content for doctype in DOCTYPES):
                raise Unreadable(f"its part {name!r} declares XML entities, which no office program does")
            packed.writestr(name, change(content))
    clean.seek(0)
    return clean
