"""What a loader writes into: text that grows block by block, the headings above each block, and tables as lines.

The idea a reader would miss: a long table is cut into many chunks, and a row without its headers says nothing. So the
rows of a table that will not fit into one chunk carry them: "Name: Ann | Age: 3".
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
BOMS = (  # the longer ones first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
NEAR_TIE = 0.05  # of coherence, 0 to 1: cp1250 and cp1252 share most letters, and the latter is far commoner
SMALL_TABLE = 400  # characters: it stays whole in a chunk of 128 tokens, so one line of headers serves all its rows
MAX_HEADER_CHARS = 80  # of a column's name; what is longer is a value
MANY = 4  # columns: with fewer, two names that are the same are rather values
NUMBER_OR_DATE = re.compile(r"[-+(]?[\d\s.,:/%€$£-]*\d[\d\s.,:/%€$£)-]*(?:[eE][-+]?\d+)?")
TIME = re.compile(r"(?:1[89]|2[01])\d\d|\d{4}[-/]\d\d?(?:[-/]\d\d?)?|\d\d?[./-]\d\d?[./-](?:\d\d){0,2}")
NOT_A_TITLE = re.compile(
    r"^(untitled|microsoft word - |powerpoint |slide 1$|.*\.(docx?|tex|dvi|indd|rtf|odt|pptx?)$)", re.I
)
FIRST_DAY = "1980-01-01"  # what is older is a program's way to say that it does not know
TEMPLATE_DAYS = ("2013-01-27", "2013-12-23")  # of the files that python-pptx and python-docx begin with
DAY = re.compile(
    r"\s*(?:D:)?(\d{4})[-/]?(\d\d)[-/]?(\d\d)(?!\d{1,5}(?:\D|$))"
)  # also as PDFs write it: D:20260531120000
LAYOUT = re.compile(r"[\x01-\x08\x0b-\x1f\x7f]")  # control characters that office programs use as marks

Row = Sequence[str]


@dataclass(frozen=True, slots=True)
class LoadedText:
    """What a loader makes of a file. `lost` says what is not in it.

    `title`, and `date` on which it was last changed, as 2026-05-31, are empty where the file tells none.
    """

    text: str
    sections: tuple[Section, ...]
    title: str = ""
    lost: str = ""
    date: str = ""


class DocumentBuilder:
    """Collects a document's blocks; `extract` gives what they came to."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._sections: list[Section] = []
        self._blocks: list[Block] = []
        self._path: list[tuple[int, str]] = []
        self._first = ""

    def heading(self, level: int, title: str) -> None:
        """Begin a section under a heading; one with nothing under it joins the next section.

        All of it is text, for contracts number whole clauses with a style for headings; only in the path it is cut.
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
        """Add a block of text."""
        text = LAYOUT.sub(" ", normalise(text)).rstrip()
        if not text.strip():
            return
        self._blocks.append(Block(self._length, self._length + len(text), kind))
        self._parts.append(text + "\n\n")
        self._length += len(text) + 2

    def table(self, rows: Sequence[Row], marked: bool = False) -> None:
        """Add a table, as lines that can be read one by one. Two columns are rather names and values of one thing.

        `marked` says that the file itself calls its first row one of headers. That is believed of short names, since
        each row will repeat them.
        """
        names = list(map(line_of, rows[0])) if marked and rows else []
        rows = [row for row in rows if any(map(str.strip, row))]
        header: Row | None = () if max(map(len, rows), default=0) <= 2 else None
        if len(rows) > 1 and sum(map(bool, names)) > 1 and max(map(len, names)) <= MAX_HEADER_CHARS:
            header, rows = rows[0], rows[1:]
        self.add("\n".join(table_lines(rows, header)), "table")

    def extract(self, title: str = "") -> LoadedText:
        """Return the document."""
        self._close()
        return LoadedText("".join(self._parts), tuple(self._sections), title)

    @property
    def first_heading(self) -> str:
        """Return the heading that came first."""
        return self._first

    def _close(self) -> None:
        self._sections.append(Section(tuple(self._blocks), " > ".join(title for _, title in self._path)))
        self._blocks = []


def table_lines(rows: Sequence[Row], header: Row | None = None) -> list[str]:
    """Return a table as lines: a small one as Markdown, a longer one with each value behind the name of its column.

    `header` names the columns where the rows themselves do not; where it is empty the values stand alone.
    """
    rows = [cells for row in rows if any(cells := [" ".join(cell.split()) for cell in row])]
    if header is None and is_header(rows):
        header, rows = rows[0], rows[1:]
    header = _numbered(header or ())
    grid = [header, *rows] if header else rows
    if len(grid) > 1 and sum(len(cell) + 3 for row in grid for cell in row) <= SMALL_TABLE:
        return _markdown(grid)
    return [_labelled(row, header) for row in rows]


def is_header(rows: Sequence[Row]) -> bool:
    """Return whether the first row names the columns: short texts, few of them the same, few gaps, no number.

    Years and days are names, too, where the rows below have other things in their columns.
    """
    names = [cell for cell in rows[0] if cell] if len(rows) > 1 else []
    return (
        len(names) > 1
        and (len(names) == len(set(names)) or MANY <= len(names) < 2 * len(set(names)))
        and len(names) * 2 > max(map(len, rows))
        and not any(len(name) > MAX_HEADER_CHARS for name in names)
        and _are_names(rows, [column for column, cell in enumerate(rows[0]) if is_number(cell)])
    )


def is_number(cell: str) -> bool:
    """Return whether a cell holds a number or a date."""
    return bool(NUMBER_OR_DATE.fullmatch(cell))


def _are_names(rows: Sequence[Row], numbers: Sequence[int]) -> bool:
    """Return whether the numbers in these columns of the first row are the years or days that the columns are about.

    A single one may as well be a value.
    """
    below = [row[column] for column in numbers for row in rows[1:] if column < len(row) and row[column]]
    times = sum(1 for cell in below if TIME.fullmatch(cell))
    return not numbers or (
        len(numbers) > 1
        and 0 not in numbers
        and all(TIME.fullmatch(rows[0][column]) for column in numbers)
        and times * 2 < len(below)
    )


def _numbered(header: Row) -> list[str]:
    """Return names of columns in one line each; one that was there before gets a number: Total, Total (2)."""
    seen = Counter[str]()
    names = []
    for name in map(line_of, header):
        seen[name] += 1
        names.append(f"{name} ({seen[name]})" if name and seen[name] > 1 else name)
    return names


def decode(data: bytes) -> str:
    """Return bytes as text: by their byte order mark, as UTF-8, or in the encoding that fits best; or refuse them."""
    encoding = next((encoding for bom, encoding in BOMS if data.startswith(bom)), "utf-8")
    if encoding == "utf-8" and b"\0" in data:
        raise Unreadable("it is not text: it has NUL bytes, as binary files have")
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError:
        return _guess(data)


def normalise(text: str) -> str:
    """Return text with plain line ends and without what LanceDB cannot store: NULs and halves of surrogate pairs."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return text.encode("utf-8", "ignore").decode("utf-8")


def good_title(title: str) -> str:
    """Return a title from a file's properties, or nothing for what a program left there."""
    title = one_line(title)
    return "" if NOT_A_TITLE.match(title) else title


def day(written: str) -> str:
    """Return the day that a date of any precision begins with, as 2026-05-31; nothing for what is none."""
    found = DAY.match(written)
    try:
        told = date(*map(int, found.groups())).isoformat() if found else ""
    except ValueError:
        return ""
    return "" if told < FIRST_DAY or told in TEMPLATE_DAYS else told


def one_line(title: str) -> str:
    """Return a title in one line, of a length that can be shown."""
    return line_of(title)[:MAX_TITLE_CHARS]


def line_of(text: str) -> str:
    """Return a text in one line."""
    return " ".join(normalise(text).split())


def _guess(data: bytes) -> str:
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
    """Return one row as a line; empty cells say nothing and are left out."""
    names = [*header, *[""] * (len(row) - len(header))]
    return " | ".join(f"{name}: {cell}" if name else cell for name, cell in zip(names, row, strict=False) if cell)
