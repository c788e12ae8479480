"""Whether the extra `ocr` is installed; imports nothing else, so that asking costs nothing."""

from __future__ import annotations

from importlib.util import find_spec

INSTALL = "install text recognition (OCR): pip install 'thumbtune[ocr]'"
VERSION = "ocr1"  # of what is recognised, for caches: change it with the models or the order of lines


def is_installed() -> bool:
    """Return whether pictures of text can be read."""
    return find_spec("rapidocr") is not None


def reader_version() -> str:
    """Return what the text of a picture depends on: "" where it is not read."""
    return VERSION if is_installed() else ""
