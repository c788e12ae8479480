"""Tables as lines of text that make sense one by one.

Why: a long table is cut into many chunks, and a row without its column names means nothing. So each row of a table that
does not fit into one chunk carries them: "Name: Ann | Age: 3". A cell becomes one line, and what stood on lines of its
own in it stays apart: "fish; mice".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from rag.loaders.decoding import line_of

SMALL_TABLE = 400  # characters: fits into one chunk of 128 tokens, so a single header row is enough
MAX_HEADER_CHARS = 80  # of a column name; a longer cell is a value
MIN_COLUMNS_FOR_REPEATS = 4  # with fewer columns, two equal cells are probably values and not names
NUMBER_OR_DATE = re.compile(r"[-+(]?[\d\s.,:/%€$£-]*\d[\d\s.,:/%€$£)-]*(?:[eE][-+]?\d+)?")
END_OF_PARAGRAPH = "\v"  # in the text of a cell; a newline there is a line break, which may just wrap a line
NEXT_LINE = re.compile(r"[^\S\n\v]*([\n\v])\s*")
GOES_ON = ".,;:!?…-–—/(+=&。、；：！？"  # a line that ends in one needs no separator
BEGINS_ENTRY = "-*•([{\"'“„«+#"  # besides letters and digits
WRAPPED_WIDTH = 30  # characters: a longer line that goes on in lower case was wrapped; shorter ones are entries
YEAR_OR_DAY = re.compile(r"(?:1[89]|2[01])\d\d|\d{4}[-/]\d\d?(?:[-/]\d\d?)?|\d\d?[./-]\d\d?[./-](?:\d\d){0,2}")
Row = Sequence[str]


def table_lines(rows: Sequence[Row], header: Row | None = None) -> list[str]:
    """Return a table as lines: a small one as Markdown, a longer one as "name: value | name: value" per row.

    `header` is used as the column names; with None the first row is, if it looks like a header; an empty one means
    that there are no names.
    """
    rows = [row for row in rows if any(map(str.strip, row))]
    if header is None and is_header(rows):
        header, rows = rows[0], rows[1:]
    names = [list(map(line_of, rows[0]))] if not header and rows and is_header(rows) else []
    rows = names + [list(map(cell_line, row)) for row in rows[len(names) :]]
    header = _numbered_names(header or ())
    grid = [header, *rows] if header else rows
    if len(grid) > 1 and sum(len(cell) + 3 for row in grid for cell in row) <= SMALL_TABLE:
        return _markdown(grid)
    return [_labelled(row, header) for row in rows]


def cell_line(cell: str) -> str:
    """Return a cell's text on one line: "; " between its paragraphs, and between its lines unless one is wrapped."""
    if "\n" not in cell and "\v" not in cell:
        return " ".join(cell.split())
    parts = ["", *NEXT_LINE.split(cell)]
    lines = [
        (mark, line) for mark, part in zip(parts[::2], parts[1::2], strict=True) if (line := " ".join(part.split()))
    ]
    joined = lines[0][1] if lines else ""
    for (_, above), (mark, line) in pairwise(lines):
        goes_on = above[-1] in GOES_ON or (mark == "\n" and _is_wrapped(above, line))
        joined += f"{' ' if goes_on else '; '}{line}"
    return joined


def _is_wrapped(above: str, line: str) -> bool:
    begins_entry = line[0].isalnum() or line[0] in BEGINS_ENTRY
    return not begins_entry or (line[0].islower() and len(above) > WRAPPED_WIDTH)


def is_header(rows: Sequence[Row]) -> bool:
    """Return whether the first row holds column names: short texts, few duplicates, few gaps, no numbers.

    Years and dates count as names if the rows below have other values in those columns.
    """
    names = [line for cell in rows[0] if (line := " ".join(cell.split()))] if len(rows) > 1 else []
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


def _markdown(grid: Sequence[Row]) -> list[str]:
    width = max(map(len, grid))
    lines = [[*(cell.replace("|", "\\|") for cell in row), *[""] * (width - len(row))] for row in grid]
    return [f"| {' | '.join(row)} |" for row in (lines[0], ["---"] * width, *lines[1:])]


def _labelled(row: Row, header: Row) -> str:
    """Return one row as a line of "name: value" cells; empty cells are left out."""
    names = [*header, *[""] * (len(row) - len(header))]
    return " | ".join(f"{name}: {cell}" if name else cell for name, cell in zip(names, row, strict=False) if cell)
