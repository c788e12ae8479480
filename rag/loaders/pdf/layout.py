"""The text of a PDF page in reading order, from the boxes of its characters.

Why: PDFium's own text loses the break between two cells on one line, reads two columns across where a program wrote
them row by row, and puts a raised footnote mark to the number before it: 400.01 and 3 became 400.013.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pypdfium2

from rag.loaders.decoding import normalise
from rag.loaders.pdf.accents import Piece
from rag.loaders.pdf.characters import HYPHENS, RTL, raw_lines, text_of
from rag.loaders.pdf.turned import turned, turns_of

GAP = 1.6  # heights between two characters: wider than any gap between words of justified text, so a cell or a column
BACKWARDS = 0.8  # heights: the next character lies this far before the last one, so it begins another cell or line
RAISED = 0.2  # heights above the base line: a footnote mark or an exponent
MIN_COLUMN_LINES = 4  # rows in which both columns have text; fewer may be a table
MIN_COLUMN_CHARS = 15  # of an average line in a column of prose; cells of a table are shorter
ALIGNED = 0.7  # share of a column's lines that begin at its left edge, within one height
FILLED = 0.5  # share of the left column's lines that come near its right edge, as prose does and cells do not
MOST_CHARS = 200_000  # of a page; a poster has 20,000. Beyond, the page is taken as PDFium gives it, without boxes
SPACELESS = re.compile("[\u0e00-\u0eff\u1780-\u17ff\u3040-\u9fff\uac00-\ud7af\uf900-\ufaff]")  # no blank between words
LOOK_BACK = 6  # characters in which the same one in the same place is a second print of it (bold, Thai marks)
SAME_PLACE = 0.15  # heights
LETTER_GAP = 0.35  # heights between two letters of a script without blanks
TOUCHING = 0.28  # heights between two pieces of one word that PDFium breaks; between words there are 0.4 or more
SLANTED = 3.0  # height by width of an average letter: 1.5 to 2.5 in level text
RTL_GAP = 0.1  # heights between two words of a line from right to left
DIGITS = "0123456789"
STOPS = ".,:;!?"
NUMBER = re.compile(r"[-\u2212]?[0-9,]+")
DESCENDING = frozenset("fgjpqyQç,;|()[]{}/\\@$_\u0192")  # an italic f does, too
MIN_STANDING = 3
MIN_RAISED_LINE = 6  # characters of a line, in fewer the base line is not known
UNPLACED = -1  # turn of a line whose place is not known
SMALLEST = 1.5  # points of ink: capitals of 2 points, half of the smallest print
NO_HEIGHT = 0.1  # points of a letter, up to which its font states none
SMALL_NEXT_TO_OTHERS = 0.3  # of the height of the page's middle line


@dataclass(slots=True)
class Segment:
    """A piece of a line without a wide gap: its text and box, in points, turned so that the text runs to the right."""

    text: str
    left: float
    right: float
    bottom: float
    top: float

    @property
    def height(self) -> float:
        """Return the height of its box, in points."""
        return max(0.1, self.top - self.bottom)


@dataclass(slots=True)
class Line:
    """A line as PDFium finds it: its segments from left to right, and its turn in quarters, or UNPLACED."""

    segments: list[Segment] = field(default_factory=list)
    turn: int = 0

    @property
    def upright(self) -> bool:
        """Return whether it runs to the right on the page (or to the left in Hebrew and Arabic)."""
        return self.turn == 0

    @property
    def text(self) -> str:
        """Return its text, one space between segments."""
        return " ".join(segment.text for segment in self.segments)

    @property
    def bottom(self) -> float:
        """Return the lowest edge, in points from the bottom of the page."""
        return min(segment.bottom for segment in self.segments)

    @property
    def top(self) -> float:
        """Return the highest edge."""
        return max(segment.top for segment in self.segments)


def read_lines(page: pypdfium2.PdfPage) -> list[Line]:
    """Return the lines of a page in reading order, columns one after the other; text outside the page is left out."""
    textpage = page.get_textpage()
    try:
        if textpage.count_chars() > MOST_CHARS:
            return _unplaced_lines(textpage)
        text = text_of(textpage)
        pieces = list(raw_lines(textpage, text, page.get_bbox()))
    finally:
        textpage.close()
    has_rtl = bool(RTL.search(text))
    lines = [
        line for chars, turn in zip(pieces, turns_of(pieces), strict=True) for line in _lines_of(chars, turn, has_rtl)
    ]
    return _by_columns(_from_the_top(whole_rows(without_unreadable(lines))))


def without_unreadable(lines: list[Line]) -> list[Line]:
    """Return the lines of a page without those that nobody can read, as text of one point hidden for a machine.

    A page that is drawn small as a whole keeps its lines, and dashes and dots are low in any size. So are all letters
    of a font that states no height for them, but they are wide.
    """
    heights = sorted(line.top - line.bottom for line in lines)
    least = min(SMALLEST, heights[len(heights) // 2] * SMALL_NEXT_TO_OTHERS) if heights else 0.0
    return [line for line in lines if line.top - line.bottom >= least or not _is_unreadable(line)]


def _is_unreadable(line: Line) -> bool:
    """Return whether a low line has letters, and they are narrow as well."""
    width = sum(segment.right - segment.left for segment in line.segments)
    return any(map(str.isalnum, line.text)) and width < SMALLEST * len(line.text)


def _unplaced_lines(textpage: pypdfium2.PdfTextPage) -> list[Line]:
    """Return a page's lines in PDFium's order, each at no place of its own."""
    lines = normalise(textpage.get_text_bounded()).split("\n")
    return [Line([Segment(line, 0, 0, 0, 0)], UNPLACED) for line in lines if line.strip()]


def _lines_of(chars: list[Piece], turn: int, has_rtl: bool) -> Iterator[Line]:
    """Yield the line, or the lines, that PDFium's line of characters is."""
    if not chars:
        return
    if turn:
        chars = [turned(char, turn) for char in chars]
    height = _height(chars)
    if has_rtl and any(RTL.match(char[0]) for char in chars):
        yield Line([_segment(from_right_to_left(chars, height), chars)], turn)
        return
    raised = float("inf")
    if len(chars) >= MIN_RAISED_LINE:
        raised = sorted([char[2] for char in chars])[len(chars) // 2] + RAISED * height
    base: float | None = None
    line, text, part = Line(turn=turn), "", list[Piece]()
    for char in chars:
        between = "" if not part or _goes_on(part[-1], char, height, raised) else _between(part, char, height, raised)
        if between is None:
            text += " " * char[0].endswith(" ")
            continue
        if between in ("\n", "\t"):
            line.segments.append(_segment(text, part))
            text, part = "", []
            if between == "\n":
                yield line
                line = Line(turn=turn)
        elif between:
            base = _base_line(chars) if base is None else base
            text = text.rstrip() + between if char[2] > base + RAISED * height else text
        text += char[0]
        part.append(char)
    line.segments.append(_segment(text, part))
    yield line


def _base_line(chars: Sequence[Piece]) -> float:
    """Return where most characters of a line stand; those that reach below it are left out where others are enough."""
    standing = [char[2] for char in chars if DESCENDING.isdisjoint(char[0])]
    bottoms = sorted(standing if len(standing) >= MIN_STANDING else [char[2] for char in chars])
    return bottoms[len(bottoms) // 2]


def _height(chars: Sequence[Piece]) -> float:
    """Return the height of a line's letters, in points; of all its characters where it has none.

    Without the letters alone, a line of a table of contents would be as high as the dots that fill it.
    """
    heights = sorted([char[4] - char[2] for char in chars])
    height = heights[3 * len(heights) // 4]
    if heights[-1] > 2 * height:
        letters = sorted([char[4] - char[2] for char in chars if char[0][0].isalnum()])
        height = letters[3 * len(letters) // 4] if letters else height
    if height > NO_HEIGHT:
        return height
    low = [char for char in chars if char[4] - char[2] <= NO_HEIGHT]
    are_wide = sum(char[3] - char[1] for char in low) >= SMALLEST * sum(len(char[0].rstrip()) for char in low)
    return max(NO_HEIGHT, heights[-1]) if are_wide else NO_HEIGHT


def _goes_on(before: Piece, char: Piece, height: float, raised: float) -> bool:
    """Return whether a character simply follows another: what _between finds as well, in a third of the time."""
    _, _, bottom, right, top = before
    _, left, low, _, high = char
    return 0 <= left - right <= GAP * height and low <= raised and abs(low + high - bottom - top) <= 2 * height


def _between(part: list[Piece], char: Piece, height: float, raised: float) -> str | None:
    """Return what stands before a character: a line break, a tab (wide gap), ^ (raised digit), or nothing.

    None if the character is a second print of one before it.
    """
    _, left, bottom, right, top = part[-1]
    gap = char[1] - right
    if gap < 0 and any(_is_second_print(char, before, height) for before in part[-LOOK_BACK:]):
        return None
    shift = abs(char[2] + char[4] - bottom - top) / 2
    if shift > height or gap < -BACKWARDS * height - (right - left):
        return "\n"
    if gap > GAP * height:
        return "\t"
    is_raised = char[2] > raised and bottom <= raised and char[0][0] in DIGITS and char[4] - char[2] < height
    return "^" if is_raised else ""


def from_right_to_left(chars: Sequence[Piece], height: float) -> str:
    """Return the text of a line of Hebrew or Arabic, by the places of its letters; numbers and Latin words stay.

    PDFium keeps the order in which glyphs were written, which is from the left in some files and words. A full stop to
    the left of a number comes after it.
    """
    text, run, last_left = "", "", None
    for written, left, _, right, _ in sorted(chars, key=lambda char: -(char[1] + char[3])):
        character = written.rstrip()
        if last_left is not None and last_left - right > RTL_GAP * height:
            text, run = text + _number_then_stop(run) + " ", ""
        if RTL.match(character) or not (character.isalnum() or run):
            text, run = text + _number_then_stop(run) + unicodedata.normalize("NFKC", character), ""
        else:
            run = character + run
        last_left = left
    return text + _number_then_stop(run)


def _number_then_stop(run: str) -> str:
    number = run.lstrip(STOPS)
    return number + run[: len(run) - len(number)][::-1] if number[:1] in DIGITS else run


def _is_second_print(char: Piece, before: Piece, height: float) -> bool:
    return (
        char[0].rstrip() == before[0].rstrip()
        and abs(char[1] - before[1]) < SAME_PLACE * height
        and abs(char[2] - before[2]) < SAME_PLACE * height
    )


def _segment(text: str, chars: Sequence[Piece]) -> Segment:
    _, lefts, bottoms, rights, tops = zip(*chars, strict=True)
    return Segment(" ".join(text.split()), min(lefts), max(rights), min(bottoms), max(tops))


def whole_rows(lines: Sequence[Line]) -> list[Line]:
    """Return the lines with neighbours that stand in one row as one line: PDFium breaks some rows between cells.

    In scripts without blanks it may even break between all letters, and give some twice.
    """
    rows: list[Line] = []
    for line in lines:
        first = line.segments[0]
        if rows and _is_printed_again(first, rows[-1].segments[-1]):
            continue
        if not rows or not _in_one_row(rows[-1], line):
            rows.append(line)
            continue
        last = rows[-1].segments[-1]
        joint = "" if _is_spaceless(last, first) else _joint(last, first)
        if joint is not None:
            last.text, last.right = last.text + joint + first.text, first.right
            last.bottom, last.top = min(last.bottom, first.bottom), max(last.top, first.top)
            rows[-1].segments += line.segments[1:]
        else:
            rows[-1].segments += line.segments
    return rows


def _is_spaceless(last: Segment, first: Segment) -> bool:
    gap = first.left - last.right
    return bool(SPACELESS.match(last.text[-1:]) and SPACELESS.match(first.text)) and gap < LETTER_GAP * last.height


def _joint(last: Segment, first: Segment) -> str | None:
    """Return what joins two segments that are pieces of one word, such as a capital and the rest of it; None if apart.

    That is ^ before a footnote mark or an exponent. Two numbers at different heights are never one: 112 and 3.
    """
    if _is_slanted(last) or _is_slanted(first) or last.text[-1:] in HYPHENS:
        return None
    before, after = last.text[-1:], first.text[:1]
    are_letters = before.isalnum() and after.isalnum()
    height = min(last.height, first.height) if are_letters else max(last.height, first.height)  # a full stop is low
    if first.left - last.right >= TOUCHING * height:
        return None
    is_level = abs(first.bottom - last.bottom) < RAISED * last.height
    is_number = bool(NUMBER.fullmatch(first.text))
    if is_number and not is_level and first.bottom > last.bottom and first.top > last.top - RAISED * last.height:
        return "^"
    return None if before in DIGITS and after in DIGITS and not (is_level and is_number) else ""


def _is_slanted(segment: Segment) -> bool:
    """Return whether a segment of some letters is as high as text that rises, such as the labels of an axis."""
    return len(segment.text) > 2 and segment.height * len(segment.text) > SLANTED * (segment.right - segment.left)


def _is_printed_again(segment: Segment, before: Segment) -> bool:
    """Return whether a short segment was printed before in the same place."""
    return (
        bool(SPACELESS.match(segment.text))
        and segment.text in before.text
        and segment.right < before.right + SAME_PLACE * before.height
        and segment.left > before.left - SAME_PLACE * before.height
        and abs(segment.bottom + segment.top - before.bottom - before.top) < 3 * before.height  # marks stand above
    )


def _from_the_top(lines: list[Line]) -> list[Line]:
    """Return the lines, turned around where all are turned and PDFium gives them from the last to the first."""
    if len(lines) > 1 and all(not line.upright and line.bottom < after.bottom for line, after in pairwise(lines)):
        return lines[::-1]
    return lines


def _in_one_row(line: Line, following: Line) -> bool:
    last, first = line.segments[-1], following.segments[0]
    if line.turn != following.turn or line.turn == UNPLACED or first.left <= last.right - SAME_PLACE * last.height:
        return False
    bottom, top, low, high = line.bottom, line.top, following.bottom, following.top
    return min(top, high) - max(bottom, low) > 0.6 * min(top - bottom, high - low)


def _by_columns(lines: list[Line]) -> list[Line]:
    """Return the lines with each run of two columns that were written row by row read one column after the other."""
    ordered: list[Line] = []
    start = 0
    while start < len(lines):
        end, gutter = _run(lines, start)
        rows = lines[start:end]
        if gutter is not None and _are_columns(rows, gutter):
            parts = [segment for row in rows for segment in row.segments]
            ordered += [Line([part]) for part in parts if part.right <= gutter]
            ordered += [Line([part]) for part in parts if part.right > gutter]
            start = end
        else:
            ordered.append(lines[start])
            start += 1
    return ordered


def _run(lines: Sequence[Line], start: int) -> tuple[int, float | None]:
    """Return the end of the rows from `start` on that share a gutter, and the gutter's middle, None without one."""
    if len(lines[start].segments) != 2 or not lines[start].upright:
        return start + 1, None
    left, right = lines[start].segments
    low, high = left.right, right.left
    end = start + 1
    while end < len(lines) and lines[end].upright and len(lines[end].segments) <= 2:
        parts = lines[end].segments
        middle = (low + high) / 2
        if any(part.left < middle < part.right for part in parts):
            break
        narrower_low = max([low, *(part.right for part in parts if part.right <= middle)])
        narrower_high = min([high, *(part.left for part in parts if part.left >= middle)])
        if narrower_high - narrower_low < parts[0].height * 0.5:
            break
        low, high = narrower_low, narrower_high
        end += 1
    return end, (low + high) / 2


def _are_columns(rows: Sequence[Line], gutter: float) -> bool:
    """Return whether rows are two columns of prose and no table."""
    full = [row.segments for row in rows if len(row.segments) == 2]
    if len(full) < MIN_COLUMN_LINES:
        return False
    for column in zip(*full, strict=True):
        texts = [part.text for part in column]
        edge, height = min(part.left for part in column), column[0].height
        letters = sum(sum(map(str.isalpha, text)) for text in texts)
        if (
            sum(map(len, texts)) < MIN_COLUMN_CHARS * len(texts)
            or letters < 0.6 * sum(map(len, texts))
            or sum(part.left < edge + height for part in column) < ALIGNED * len(column)
        ):
            return False
    lefts = [row[0] for row in full]
    edge, width = max(part.right for part in lefts), gutter - min(part.left for part in lefts)
    return sum(part.right > edge - 0.25 * width for part in lefts) >= FILLED * len(lefts)
