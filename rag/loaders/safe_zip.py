"""Zip files from anywhere -> their parts, within bounds: office files are zips, as e-books and archives are.

A few kilobytes can unpack to terabytes, so the sizes that a zip declares are added up first, and no more than these is
read of any part: Python's zipfile stops there.
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

ENCRYPTED = 1  # bit of a part's flags
CORE = "docProps/core.xml"
CHANGED = [re.compile(rf"<dcterms:{kind}\b[^>]*>([^<]+)<") for kind in ("modified", "created")]
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # what Office puts around a document with a password, and old formats are
MAX_PARTS = 10_000  # a workbook or a book has some hundreds
DOCTYPES = tuple(
    f"<!{word}".encode(code) for word in ("DOCTYPE", "ENTITY") for code in ("utf-8", "utf-16-le", "utf-16-be")
)
XML = (".xml", ".rels", ".vml")
BROKEN = (  # what zipfile and what it unpacks with raise on damaged bytes
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
    """Return an opened zip whose parts are few and together have at most `max_bytes`. Raises Unreadable."""
    if data.startswith(OLE):
        raise Unreadable("it is encrypted, or in an old format: save a copy without a password, in today's format")
    try:
        opened = ZipFile(BytesIO(data))
    except BROKEN:
        raise Unreadable("it is damaged: open it in its own program and save it anew") from None
    parts = opened.infolist()
    if len(parts) > MAX_PARTS:
        raise Unreadable(f"it has {len(parts):,} parts, the most is {MAX_PARTS:,}: unpack or split it")
    size = sum(part.file_size for part in parts)
    if size > max_bytes:
        shown = f"{size / 1e6:,.0f} MB, the most is {max_bytes / 1e6:,.0f}"
        raise Unreadable(f"it is too large: it unpacks to {shown}; split it")
    return opened


def read_part(opened: ZipFile, part: str | ZipInfo) -> bytes:
    """Return one part's bytes, or raise Unreadable."""
    info = opened.NameToInfo.get(part) if isinstance(part, str) else part
    if info is None:
        raise Unreadable(f"it is damaged: {part!r} is missing in it")
    if info.flag_bits & ENCRYPTED:
        raise Unreadable("it is encrypted: save a copy without a password")
    try:
        return opened.read(info)
    except BROKEN:
        raise Unreadable(f"it is damaged: {info.filename!r} in it cannot be unpacked") from None


def office_date(data: BytesIO) -> str:
    """Return when an office file says that it was last changed, as it says it; nothing where it does not."""
    with ZipFile(data) as opened:
        core = opened.read(CORE).decode("utf-8", "replace") if CORE in opened.NameToInfo else ""
    return next((found[1] for found in (kind.search(core) for kind in CHANGED) if found), "")


def repack(
    data: bytes, max_bytes: int, kinds: Collection[str] = XML, change: Callable[[bytes], bytes] = bytes
) -> BytesIO:
    """Return an office file with its XML as it is and all other parts empty: pictures and fonts are not looked into.

    `change` is applied to each part. XML that declares entities is refused: the office formats forbid it, and a few of
    them unfold to gigabytes.
    """
    clean = BytesIO()
    with open_zip(data, max_bytes) as opened, ZipFile(clean, "w", ZIP_STORED) as packed:
        for name, info in opened.NameToInfo.items():
            content = read_part(opened, info) if name.lower().endswith(tuple(kinds)) else b""
            if any(doctype in content for doctype in DOCTYPES):
                raise Unreadable(f"{name!r} in it declares XML entities, which no office program does")
            packed.writestr(name, change(content))
    clean.seek(0)
    return clean
