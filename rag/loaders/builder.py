"""Assemble a document block by block: text, heading paths, tables as lines. Also decoding, titles and dates.

Why tables as lines: a long table is cut into many chunks, and a row without its column names means nothing. So each row
of a table that does not fit into one chunk carries them: "Name: Ann | Age: 3".
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import charset_normalizer

from rag.errors import Unreadable
from rag.loaders.blocks import Block, Kind, Section

MAX_TITLE_CHARS = 200
BOMS = (  # UTF-32 before UTF-16: its mark begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
NEAR_TIE = 0.05  # of coherence, 0 to 1: cp1250 and cp1252 share most letters, and cp1252 is far more common
SMALL_TABLE = 400  # characters: fits into one chunk of 128 tokens, so a single header row is enough
MAX_HEADER_CHARS = 80  # of a column name; a longer cell is a value
MIN_COLUMNS_FOR_REPEATS = 4  # with fewer columns, two equal cells are probably values and not names
NUMBER_OR_DATE = re.compile(r"[-+(]?[\d\s.,:/%€$£-]*\d[\d\s.,:/%€$£)-]*(?:[eE][-+]?\d+)?")
YEAR_OR_DAY = re.compile(r"(?:1[89]|2[01])\d\d|\d{4}[-/]\d\d?(?:[-/]\d\d?)?|\d\d?[./-]\d\d?[./-](?:\d\d){0,2}")
NOT_A_TITLE = re.compile(
    r"^(untitled|microsoft word - |powerpoint |slide 1$|.*\.(docx?|tex|dvi|indd|rtf|odt|pptx?)$)", re.I
)
FIRST_DAY = "1980-01-01"  # an earlier date means that the program did not know it
TEMPLATE_DAYS = ("2013-01-27", "2013-12-23")  # of the templates that python-pptx and python-docx start from
DAY = re.compile(r"\s*(?:D:)?(\d{4})[-/]?(\d\d)[-/]?(\d\d)(?!\d{1,5}(?:\D|$))")  # PDFs write D:20260531120000
CONTROL = re.compile(r"[\x01-\x08\x0b-\x1f\x7f]")  # control characters that office programs use as marks

Row = Sequence[str]


@dataclass(frozen=True, slots=True)
class LoadedText:
    """The text of a file and its sections.

    `title` and `date` (of the last change, such as 2026-05-31) are empty if the file does not state them. `lost` is a
    note for the user on the parts that could not be read.
    """

    text: str
    sections: tuple[Section, ...]
    title: str = ""
    lost: str = ""
    date: str = ""


class DocumentBuilder:
    """Collects the blocks of a document; `build` returns the result."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._sections: list[Section] = []
        self._blocks: list[Block] = []
        self._path: list[tuple[int, str]] = []
        self._first = ""

    def heading(self, level: int, title: str) -> None:
        """Begin a section under a heading; a heading with nothing under it joins the next section.

        The text keeps the heading in full, since contracts style whole clauses as headings; the path has it truncated.
        """
        whole, title = line_of(title), one_line(title)
        if not title:
            return
        if self._blocks and self._blocks[-1].kind != "heading":
            self._close()
        self._first = self._first or title
        self._path = [above for above in self._path if above[0] < level] + [(level, title)]
        self.add(f"{'#' * min(level, 6)} {whole}", "heading")

    def add(self, text: str, kind: Kind = "prose") -> None:
        """Add a block of text; blank text is ignored."""
        text = CONTROL.sub(" ", normalise(text)).rstrip()
        if not text.strip():
            return
        self._blocks.append(Block(self._length, self._length + len(text), kind))
        self._parts.append(text + "\n\n")
        self._length += len(text) + 2

    def table(self, rows: Sequence[Row], has_header: bool = False) -> None:
        """Add a table as lines that make sense one by one.

        A table of two columns is taken as names and values of one thing, without a header. `has_header` says that the
        file marks the first row as a header; this is used only if its names are short, since every row repeats them.
        """
        names = list(map(line_of, rows[0])) if has_header and rows else []
        rows = [row for row in rows if any(map(str.strip, row))]
        header: Row | None = () if max(map(len, rows), default=0) <= 2 else None
        if len(rows) > 1 and sum(map(bool, names)) > 1 and max(map(len, names)) <= MAX_HEADER_CHARS:
            header, rows = rows[0], rows[1:]
        self.add("\n".join(table_lines(rows, header)), "table")

    def build(self, title: str = "") -> LoadedText:
        """Return the document."""
        self._close()
        return LoadedText("".join(self._parts), tuple(self._sections), title)

    @property
    def first_heading(self) -> str:
        """Return the first heading, "" if there is none yet."""
        return self._first

    def _close(self) -> None:
        self._sections.append(Section(tuple(self._blocks), " > ".join(title for _, title in self._path)))
        self._blocks = []


def table_lines(rows: Sequence[Row], header: Row | None = None) -> list[str]:
    """Return a table as lines: a small one as Markdown, a longer one as "name: value | name: value" per row.

    `header` is used as the column names; with None the first row is, if it looks like a header; an empty one means
    that there are no names.
    """
    rows = [cells for row in rows if any(cells := [" ".join(cell.split()) for cell in row])]
    if header is None and is_header(rows):
        header, rows = rows[0], rows[1:]
    header = _numbered_names(header or ())
    grid = [header, *rows] if header else rows
    if len(grid) > 1 and sum(len(cell) + 3 for row in grid for cell in row) <= SMALL_TABLE:
        return _markdown(grid)
    return [_labelled(row, header) for row in rows]


def is_header(rows: Sequence[Row]) -> bool:
    """Return whether the first row holds column names: short texts, few duplicates, few gaps, no numbers.

    Years and dates count as names if the rows below have other values in those columns.
    """
    names = [cell for cell in rows[0] if cell] if len(rows) > 1 else []
    return (
        len(names) > 1
        and (len(names) == len(set(names)) or MIN_COLUMNS_FOR_REPEATS <= len(names) < 2 * len(set(names)))
        and len(names) * 2 > max(map(len, rows))
        and not any(len(name) > MAX_HEADER_CHARS for name in names)
        and _are_dated_columns(rows, [column for column, cell in enumerate(rows[0]) if is_number(cell)])
    )


def is_number(cell: str) -> bool:
    """Return whether a cell holds a number or a date."""
    return bool(NUMBER_OR_DATE.fullmatch(cell))


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


def normalise(text: str) -> str:
    """Return text with \\n line ends and without what LanceDB cannot store: NULs and lone surrogates."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return text.encode("utf-8", "ignore").decode("utf-8")


def good_title(title: str) -> str:
    """Return the title in a file's properties, or "" for a program's default such as "Untitled"."""
    title = one_line(title)
    return "" if NOT_A_TITLE.match(title) else title


def day(written: str) -> str:
    """Return the day of a date or timestamp, as 2026-05-31; "" if there is none, or if it is a program's default."""
    found = DAY.match(written)
    try:
        iso = date(*map(int, found.groups())).isoformat() if found else ""
    except ValueError:
        return ""
    return "" if iso < FIRST_DAY or iso in TEMPLATE_DAYS else iso


def one_line(title: str) -> str:
    """Return a title on one line, truncated to MAX_TITLE_CHARS."""
    return line_of(title)[:MAX_TITLE_CHARS]


def line_of(text: str) -> str:
    """Return a text on one line, with single spaces."""
    return " ".join(normalise(text).split())


def _are_dated_columns(rows: Sequence[Row], numbers: Sequence[int]) -> bool:
    """Return whether the first row's numbers, in columns `numbers`, are years or dates that name their columns.

    A single one may just as well be a value, so it does not count.
    """
    below = [row[column] for column in numbers for row in rows[1:] if column < len(row) and row[column]]
    dates_below = sum(1 for cell in below if YEAR_OR_DAY.fullmatch(cell))
    return not numbers or (
        len(numbers) > 1
        and 0 not in numbers
        and all(YEAR_OR_DAY.fullmatch(rows[0][column]) for column in numbers)
        and dates_below * 2 < len(below)
    )


def _numbered_names(header: Row) -> list[str]:
    """Return column names on one line each, duplicates numbered: Total, Total (2)."""
    counts = Counter[str]()
    names = []
    for name in map(line_of, header):
        counts[name] += 1
        names.append(f"{name} ({counts[name]})" if name and counts[name] > 1 else name)
    return names


def _decode_by_guess(data: bytes) -> str:
    """Decode bytes in the encoding that charset_normalizer rates best; cp1252 wins a near tie."""
    guesses = charset_normalizer.from_bytes(data)
    best = guesses.best()
    if best is None:
        raise Unreadable("it is not text: no known encoding fits its bytes; save it as UTF-8")
    western = next((guess for guess in guesses if "cp1252" in guess.could_be_from_charset), best)
    near = western.chaos <= best.chaos and western.coherence >= best.coherence - NEAR_TIE
    return str(western if near else best)


def _markdown(grid: Sequence[Row]) -> list[str]:
    width = max(map(len, grid))
    lines = [[*(cell.replace("|", "\\|") for cell in row), *[""] * (width - len(row))] for row in grid]
    return [f"| {' | '.join(row)} |" for row in (lines[0], ["---"] * width, *lines[1:])]


def _labelled(row: Row, header: Row) -> str:
    """Return one row as a line of "name: value" cells; empty cells are left out."""
    names = [*header, *[""] * (len(row) - len(header))]
    return " | ".join(f"{name}: {cell}" if name else cell for name, cell in zip(names, row, strict=False) if cell)
