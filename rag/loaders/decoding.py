"""Decode the bytes of a text file, and put text into the form that is stored: \\n line ends, no NULs."""

from __future__ import annotations

import codecs

import charset_normalizer

from rag.errors import Unreadable

MAX_TITLE_CHARS = 200
BOMS = (  # UTF-32 before UTF-16: its mark begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
NEAR_TIE = 0.05  # of coherence, 0 to 1: cp1250 and cp1252 share most letters, and cp1252 is far more common


def decode(data: bytes) -> str:
    """Decode bytes by their byte order mark, as UTF-8, or in the most likely encoding.

    Raises Unreadable for binary data.
    """
    encoding = next((encoding for bom, encoding in BOMS if data.startswith(bom)), "utf-8")
    if encoding == "utf-8" and b"\0" in data:
        raise Unreadable("it is not text: it has NUL bytes, like a binary file")
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError:
        return _decode_by_guess(data)


def _decode_by_guess(data: bytes) -> str:
    """Decode bytes in the encoding that charset_normalizer rates best; cp1252 wins a near tie."""
    guesses = charset_normalizer.from_bytes(data)
    best = guesses.best()
    if best is None:
        raise Unreadable("it is not text: no known encoding fits its bytes; save it as UTF-8")
    western = next((guess for guess in guesses if "cp1252" in guess.could_be_from_charset), best)
    near = western.chaos <= best.chaos and western.coherence >= best.coherence - NEAR_TIE
    return str(western if near else best)


def normalise(text: str) -> str:
    """Return text with \\n line ends and without what LanceDB cannot store: NULs and lone surrogates."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return text.encode("utf-8", "ignore").decode("utf-8")


def one_line(title: str) -> str:
    """Return a title on one line, truncated to MAX_TITLE_CHARS."""
    return line_of(title)[:MAX_TITLE_CHARS]


def line_of(text: str) -> str:
    """Return a text on one line, with single spaces."""
    return " ".join(normalise(text).split())
