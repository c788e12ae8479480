"""Spreadsheets and CSV -> text: one section for each sheet, and every row carries the names of its columns.

Read by openpyxl row by row: slower than its rival in Rust, but it cannot take the process with it. There, a workbook of
5 KB with one cell in the last corner asked for 500 GB and aborted.
"""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, time, timedelta
from io import StringIO
from typing import Any

from rag.errors import Unreadable
from rag.loaders.builder import (
    DocumentBuilder,
    LoadedText,
    Row,
    day,
    decode,
    good_title,
    is_header,
    is_number,
    normalise,
    table_lines,
)
from rag.loaders.safe_zip import office_date, repack

MAX_BYTES = 200_000_000  # of XML, read as a stream
MAX_CELLS = 2_000_000  # gaps included; above that it is data, not a document
LAST_ROW = 1_048_576  # Excel's; a forged number must not count to the end of the world
CURRENCY = re.compile(r"\[\$([^\]-]+)|([€£¥]|(?<!\[)\$)")  # in a number's format; [$-407] is a language
QUOTED = re.compile(r'"[^"]*"|\\.')  # what a number's format says beside the number, and does not compute
UNCOUNTED = re.compile(  # a formula whose value nobody stored; an empty text is a value
    rb'<c\b(?![^>]*\bt="str")[^>]*>\s*<f\b[^>]*(?:/>|>[^<]*</f>)(?:<v ?/>|<v></v>)?</c>'
)
DELIMITERS = ",;\t|"
LOOKED_AT = 20  # rows that show how a file is delimited

warnings.filterwarnings("ignore", module="openpyxl")  # it tells of styles and checks that it does not know


def load_xlsx(data: bytes) -> LoadedText:
    """Read a workbook: what its cells show, formulas by the values stored with them. Raises Unreadable."""
    from openpyxl import load_workbook  # takes a moment, and many folders hold no workbook

    uncounted = 0

    def count(xml: bytes) -> bytes:
        nonlocal uncounted
        uncounted += len(UNCOUNTED.findall(xml))
        return xml

    clean = repack(data, MAX_BYTES, change=count)
    draft, budget = DocumentBuilder(), _Budget()
    try:
        book = load_workbook(clean, read_only=True, data_only=True, keep_links=False)
        for sheet in book.worksheets:
            if sheet.sheet_state == "visible":
                sheet.reset_dimensions()  # what a sheet says of its size is often wrong
                draft.heading(1, sheet.title)
                rows = sheet.iter_rows(max_row=LAST_ROW)
                _write(draft, ([_shown(cell) for cell in budget.pay(row)] for row in rows))
    except Unreadable:
        raise
    except Exception as error:  # a damaged file may break it anywhere
        raise Unreadable(f"it is no Excel file, or damaged ({type(error).__name__}): save it anew as .xlsx") from error
    told = (
        f"{uncounted} formulas in it have no stored value: save it anew in a spreadsheet program" if uncounted else ""
    )
    return replace(draft.extract(good_title(book.properties.title or "")), date=day(office_date(clean)), lost=told)


def load_csv(data: bytes) -> LoadedText:
    """Read a file of separated values, whichever of the usual marks separates them. Raises Unreadable."""
    text = normalise(decode(data))
    draft, budget = DocumentBuilder(), _Budget()
    try:
        _write(draft, map(budget.pay, csv.reader(StringIO(text), delimiter=_delimiter(text))))
    except csv.Error as error:
        raise Unreadable(f"its rows cannot be told apart ({error}): close its quotation marks") from None
    return draft.extract()


class _Budget:
    """Counts cells, so that no file fills the memory."""

    def __init__(self) -> None:
        self._left = MAX_CELLS

    def pay(self, row: Any) -> Any:  # noqa: ANN401  # values of any kind in, the same out
        self._left -= len(row)
        if self._left < 0:
            raise Unreadable(f"it has more than {MAX_CELLS:,} cells: save the part that matters in a file of its own")
        return row


def _write(draft: DocumentBuilder, rows: Iterable[Row]) -> None:
    """Write the tables of a sheet, which blank rows set apart. One that names no columns goes on with those before."""
    header: Row | None = None
    for region in _regions(rows):
        titled = False
        while len(region) > 1 and _filled(region[0]) == 1 < _filled(region[1]):
            draft.add(" ".join(region.pop(0)))  # a title above the table
            titled = True
        if is_header(region) and (header is None or titled or _is_another(header, region)):
            header, region = region[0], region[1:]
        elif header is not None and max(map(len, region)) > len(header):
            header = None
        draft.add("\n".join(table_lines(region, header or ())), "table")


def _is_another(header: Row, region: list[Row]) -> bool:
    """Return whether rows below a blank one have headers of their own, and do not go on with texts below the known.

    They have where a name stands in its column again, the table is wider or narrower, or texts stand above numbers.
    """
    first, *others = region
    named = [column for column, cell in enumerate(first) if cell and not is_number(cell)]
    columns = ([row[column] for row in others if column < len(row) and row[column]] for column in named)
    return (
        any(column < len(header) and first[column] == header[column] for column in named)
        or max(map(len, region)) != len(header)
        or any(sum(map(is_number, cells)) * 2 > len(cells) for cells in columns)
    )


def _regions(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield the runs of rows that have something in them, without empty columns at the right."""
    region: list[Row] = []
    for row in rows:
        cells = list(row)
        while cells and not cells[-1].strip():
            cells.pop()
        if cells:
            region.append(cells)
        elif region:
            yield region
            region = []
    if region:
        yield region


def _filled(row: Row) -> int:
    return sum(1 for cell in row if cell.strip())


def _shown(cell: Any) -> str:  # noqa: ANN401  # openpyxl ships no types
    """Return a cell's value as people read it: 0.125 may be shown as 12.5%, and 3 as 3 €."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        style = cell.number_format
        sign = CURRENCY.search(style)
        return (
            f"{value * 100:.10g}%"
            if "%" in QUOTED.sub("", style)
            else f"{_plain(value)} {sign[1] or sign[2]}"
            if sign
            else _plain(value)
        )
    return _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    if isinstance(value, float):
        return f"{value:.15g}"  # as many digits as Excel knows: 3.3, not 3.3000000000000003
    if isinstance(value, timedelta):
        minutes, seconds = divmod(abs(round(value.total_seconds())), 60)
        sign = "-" if value < timedelta() else ""
        return f"{sign}{minutes // 60}:{minutes % 60:02}" + (f":{seconds:02}" if seconds else "")
    return value.isoformat(" ") if isinstance(value, datetime) else str(value)


def _delimiter(text: str) -> str:
    """Return the mark that cuts the first rows into the same number of columns most often, and into most of them."""
    head = "".join(line for _, line in zip(range(LOOKED_AT), StringIO(text), strict=False))

    def fit(mark: str) -> tuple[float, int]:
        widths = [len(row) for row in csv.reader(StringIO(head), delimiter=mark) if row]
        usual = max(set(widths), key=widths.count, default=1)
        return (widths.count(usual) / len(widths), usual) if usual > 1 else (0.0, 1)

    return max(DELIMITERS, key=fit)
