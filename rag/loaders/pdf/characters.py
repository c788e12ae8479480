"""The characters of a PDF page with their boxes, line by line as PDFium finds them.

Why words are not read letter by letter: asking for a box costs 1 microsecond, so small letters that stand close
together share one, which halves the calls.
"""

from __future__ import annotations

import ctypes
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

import pypdfium2
from pypdfium2 import raw

from rag.loaders.pdf.accents import ACCENT, Box, Piece, put_accents

RTL = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]")  # Hebrew and Arabic: their lines run from right to left
HYPHENS = "\x02\ufffe"  # PDFium's marks for a hyphen at the end of a line
PIECE = re.compile(r"([a-z]{3,}|\.(?: *\.){3,})?(?(1)[,.;:]?|[^ \n]\uffff?) *|\n| +")  # a word, dots, a character
BEYOND_16_BITS = re.compile("[\U00010000-\U0010ffff]")
LONE_HALF = re.compile("[\ud800-\udfff]")
SECOND_HALF = "\uffff"  # stands for no character
NO_CODES = (0, 0xFFFD)
NO_CODE = re.compile("[\0\ufffd]")
UTF8_PAIR = re.compile("[\uc280-\ud7bf]")  # both bytes of a letter in UTF-8, taken for one in UTF-16
HANGUL = re.compile("[\uac00-\ud7ff]")
MIN_UTF8_PAIRS = 8  # letters of a page; one Korean syllable in eight looks so, eight never
NO_LETTER = re.compile("[\x01\x03-\x08\x0e-\x1f]")  # codes of a font without a map to letters; \x02 may be a hyphen
NO_LETTERS = dict.fromkeys((*range(1, 9), *range(14, 32)), " ")
OTHER_BLANK = re.compile(r"\r|[^\S\n ]")
WIDEST = 1.5  # heights of an average letter, above it letters do not stand close together


# Declared with plain pointers, a call costs half of what it does with pypdfium2's, which checks five types.
_get_char_box = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, *[ctypes.c_void_p] * 4)(
    ctypes.cast(raw.FPDFText_GetCharBox, ctypes.c_void_p).value or 0
)


def raw_lines(textpage: pypdfium2.PdfTextPage, text: str, page_box: Sequence[float]) -> Iterator[list[Piece]]:
    """Yield the pieces between two of PDFium's line breaks, those outside the page left out; `text` is text_of it."""
    has_rtl = bool(RTL.search(text))
    box_of = _loose_box(textpage) if has_rtl else _tight_box(textpage)
    starts: list[int] | None = [] if not has_rtl and ACCENT.search(text) else None
    for pieces in _pieces(text, box_of, page_box, starts):
        if starts is not None:
            pieces, starts[:] = put_accents(pieces, starts, box_of), []
        yield pieces


def _pieces(
    text: str, box_of: Callable[[int], Box | None], page_box: Sequence[float], starts: list[int] | None
) -> Iterator[list[Piece]]:
    """Yield the pieces of each line. The index of each one's first character goes to `starts`, if that is a list."""
    low_x, low_y, high_x, high_y = (2 * edge for edge in page_box)
    pieces: list[Piece] = []
    for match in PIECE.finditer(text):
        piece, ends = match[0], False
        if match[1]:
            for each in _boxes(piece, match.start(), match.end(1), box_of):
                if low_x <= each[1] + each[3] <= high_x and low_y <= each[2] + each[4] <= high_y:
                    pieces.append(each)
        elif piece == "\n":
            ends = True
        elif piece[0] != " ":
            box = box_of(match.start())
            if box and low_x <= box[0] + box[2] <= high_x and low_y <= box[1] + box[3] <= high_y:
                pieces.append((piece.replace(SECOND_HALF, ""), *box))
            ends = piece[0] in HYPHENS  # PDFium joins the next line to it
        if starts is not None:
            starts += range(match.start(), match.start() + len(pieces) - len(starts))
        if ends:
            yield pieces
            pieces = []
    yield pieces


def text_of(textpage: pypdfium2.PdfTextPage) -> str:
    """Return a page's text, one character for each that PDFium counts, and each blank as a space.

    PDFium counts both halves of a letter beyond U+FFFF, such as emoji: SECOND_HALF follows such a one. Mathematical
    letters become plain ones, as people type them in a question and models know them.
    """
    count = textpage.count_chars()
    buffer = (ctypes.c_ushort * (count + 1))()
    written = raw.FPDFText_GetText(textpage.raw, 0, count, buffer) if count else 1
    text = bytes(buffer)[: 2 * count].decode("utf-16-le", "replace")
    if written != count + 1 or NO_CODE.search(text):
        codes = buffer[:count]
        for index in range(count) if written != count + 1 else (n for n, code in enumerate(codes) if code in NO_CODES):
            codes[index] = raw.FPDFText_GetUnicode(textpage.raw, index) or ord(" ")
        buffer[:count] = codes
        text = bytes(buffer)[: 2 * count].decode("utf-16-le", "surrogatepass")
        text = LONE_HALF.sub(" ", text)
    if len(text) < count:
        text = BEYOND_16_BITS.sub(lambda match: f"{_plain(match[0])}{SECOND_HALF}", text)
    if UTF8_PAIR.search(text):
        text = from_utf8(text)
    text = OTHER_BLANK.sub(" ", text)
    return text.translate(NO_LETTERS) if NO_LETTER.search(text) else text


def from_utf8(text: str) -> str:
    """Return a text with the letters of a font whose map to Unicode is written in UTF-8 instead of UTF-16.

    A Cyrillic letter is a Hangul syllable then. All syllables of the page must be such pairs of bytes.
    """
    found = HANGUL.findall(text)
    if len(found) < MIN_UTF8_PAIRS or not all(
        ord(each) >= 0xC280 and 0x80 <= ord(each) & 0xFF <= 0xBF for each in found
    ):
        return text
    return UTF8_PAIR.sub(lambda match: ord(match[0]).to_bytes(2, "big").decode("utf-8"), text)


def _plain(letter: str) -> str:
    return unicodedata.normalize("NFKC", letter) if "\U0001d400" <= letter <= "\U0001d7ff" else letter


def _boxes(word: str, start: int, end: int, box_of: Callable[[int], Box | None]) -> list[Piece]:
    """Return a word with its box, or the dots that fill a line; its letters one by one where they stand apart.

    Its letters are those from `start` to `end`; a comma and blanks may follow.
    """
    first, last = box_of(start), box_of(end - 1)
    if first and last:
        left, right = min(first[0], last[0]), max(first[2], last[2])
        bottom, top = min(first[1], last[1]), max(first[3], last[3])
        if word[0] == "." or max(right - left, top - bottom) < WIDEST * (end - start) * max(
            first[3] - first[1], last[3] - last[1]
        ):
            return [(word, left, bottom, right, top)]
    letters = word.rstrip(" ")
    texts = [*letters[:-1], letters[-1] + word[len(letters) :]]
    boxes = ((text, box_of(index)) for index, text in enumerate(texts, start))
    return [(text, *box) for text, box in boxes if box]


def _tight_box(textpage: pypdfium2.PdfTextPage) -> Callable[[int], Box | None]:
    """Return a function index -> (left, bottom, right, top) of a character's ink; None where it has none."""
    edges = (ctypes.c_double * 4)()
    size, start = ctypes.sizeof(ctypes.c_double), ctypes.addressof(edges)
    left, bottom, right, top = (ctypes.c_void_p(start + size * n) for n in range(4))
    handle = ctypes.cast(textpage.raw, ctypes.c_void_p)

    def box(index: int) -> Box | None:
        return tuple(edges) if _get_char_box(handle, index, left, right, bottom, top) else None

    return box


def _loose_box(textpage: pypdfium2.PdfTextPage) -> Callable[[int], Box | None]:
    """Return a function as _tight_box does, for the place that a character takes: only words have gaps between."""
    rect = raw.FS_RECTF()
    handle, get = textpage.raw, raw.FPDFText_GetLooseCharBox

    def box(index: int) -> Box | None:
        return (rect.left, rect.bottom, rect.right, rect.top) if get(handle, index, ctypes.byref(rect)) else None

    return box
