"""Whether the extra `ocr` is installed, and what it may take; imports no parser, so that asking costs nothing."""

from __future__ import annotations

import re
from importlib.util import find_spec

INSTALL = "install text recognition (OCR): make ocr, or pip install 'thumbtune[ocr]'"
VERSION = "ocr1"  # of what is recognised, for caches: change it with the models or the order of lines
SECONDS_PER_PICTURE = 60.0  # a dense page takes 5 to 25 s of a core, and the cores may be busy
MOST_SECONDS = 3 * 3600.0  # 500 scanned pages; a file that claims a million pictures must not hang for a year
BYTES_PER_PAGE = 20_000  # of a TIFF at least, which may pack its pages as fax machines do
PDF_PICTURE = re.compile(rb"/Subtype\s*/Image\b")
TIFF = (b"II*\0", b"MM\0*")


def is_installed() -> bool:
    """Return whether pictures of text can be read."""
    return find_spec("rapidocr") is not None


def reader_version() -> str:
    """Return what the text of a picture depends on: "" where it is not read."""
    return VERSION if is_installed() else ""


def seconds_for(data: bytes) -> float:
    """Return how many seconds recognising the text of a file may take at most, by the pictures in it.

    A time limit for a PDF or TIFF allows as much more, at most MOST_SECONDS: a scanned book is read for hours.
    """
    if not is_installed():
        return 0.0
    pictures = 0
    if data.startswith(TIFF):
        pictures = 1 + len(data) // BYTES_PER_PAGE
    elif data[:1024].lstrip().startswith(b"%PDF-"):
        pictures = len(PDF_PICTURE.findall(data))
    return min(SECONDS_PER_PICTURE * pictures, MOST_SECONDS)
