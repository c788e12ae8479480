"""Open the container of older Office files and Outlook messages (OLE2, MS-CFB) by olefile, unless it is damaged."""

from __future__ import annotations

from typing import Any

SIGNATURE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# Raised by olefile for a damaged container; a folder that lists itself is recursion without end.
DAMAGED = (OSError, ValueError, IndexError, TypeError, AttributeError, RecursionError)
SWOLLEN = 4  # streams of more than so many times the file's bytes: sectors are read again and again, for gigabytes


def open_ole(data: bytes) -> Any:  # noqa: ANN401  # olefile ships no types
    """Return an olefile.OleFileIO, to be closed. Raises one of DAMAGED, also for streams far larger than it."""
    import olefile  # few folders hold such files

    opened = olefile.OleFileIO(data)
    size = sum(entry.size for entry in opened.direntries if entry and entry.entry_type == olefile.STGTY_STREAM)
    if size > SWOLLEN * len(data):
        opened.close()
        raise OSError(f"its streams are of {size:,} bytes, and the file of {len(data):,}")
    return opened
