"""Read Excel workbooks and CSV: one section per sheet, and every row carries the names of its columns.

Why openpyxl, row by row: it is slower than calamine in Rust, but it cannot crash the process. There, a workbook of 5 KB
with a single cell in the last row and column requested 500 GB and aborted.
"""

from __future__ import annotations

import csv
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, time, timedelta
from io import StringIO
from typing import Any
from zipfile import ZipFile

from rag.errors import Unreadable
from rag.loaders.builder import DocumentBuilder, LoadedText
from rag.loaders.decoding import decode_noting, normalise
from rag.loaders.metadata import day, good_title
from rag.loaders.office.ooxml import to_transitional
from rag.loaders.safe_zip import office_date, repack
from rag.loaders.sheets.number_formats import show
from rag.loaders.sheets.sheet_extras import SheetExtras
from rag.loaders.sheets.sheet_layout import read_layout
from rag.loaders.tables import Row, is_header, is_number, table_lines

MAX_BYTES = 200_000_000  # of XML, read as a stream
MAX_CELLS = 2_000_000  # empty ones included; a larger file is data, not a document
LAST_ROW = 1_048_576  # Excel's limit; a forged row number must not be counted up to
UNCOMPUTED = re.compile(  # a formula without a stored value; an empty text is a value
    rb'<c\b(?![^>]*\bt="str")[^>]*>\s*<f\b[^>]*(?:/>|>[^<]*</f>)(?:<v ?/>|<v></v>)?</c>'
)
BLANK_CELL = re.compile(rb"<c r=\"[A-Z]{1,3}\d{1,7}\"[^<>]*?(?:/>|></c>)")
BLANK_ROW = re.compile(rb"<row\b[^<>]*?(?:/>|>\s*</row>)")
PLACELESS = re.compile(rb"<(?:c(?! r=)|row(?![^>]* r=))[ />]")  # counted from the one before, so none may go
SEPARATOR = re.compile(r"sep=(.)\n", re.I)  # a first line that Excel writes and hides
LONG_FIELD, MAX_FIELD = 131_072, 100_000_000  # characters
DELIMITERS = ",;\t|"
SNIFFED_ROWS = 20  # rows read to detect the delimiter

warnings.filterwarnings("ignore", module="openpyxl")  # it warns of styles and validations that it does not support


def load_xlsx(data: bytes) -> LoadedText:
    """Read a workbook as its cells show it; formulas by their stored values, hidden sheets left out.

    Raises Unreadable.
    """
    from openpyxl import load_workbook  # slow to import, and many folders hold no workbook

    uncomputed = 0

    def count(xml: bytes) -> bytes:
        nonlocal uncomputed
        uncomputed += len(UNCOMPUTED.findall(xml))
        return without_blanks(to_transitional(xml))

    clean = repack(data, MAX_BYTES, change=count)
    builder, budget, left_out = DocumentBuilder(), Budget(), Counter[str]()
    try:
        parts = ZipFile(clean)
        book = load_workbook(clean, read_only=True, data_only=True, keep_links=False)
        extras = SheetExtras(parts, [sheet.title for sheet in book.worksheets if sheet.sheet_state == "visible"])
        for sheet in book.worksheets:
            if sheet.sheet_state == "visible":
                sheet.reset_dimensions()  # the size that a sheet states is often wrong
                builder.heading(1, sheet.title)
                part = sheet._worksheet_path.lstrip("/")  # it says no more
                layout = read_layout(parts.read(part))
                rows = sheet.iter_rows(max_row=LAST_ROW)
                shown = ([_display(cell, book.epoch.year == 1904) for cell in budget.spend(row)] for row in rows)
                write_rows(builder, layout.arrange(shown))
                extras.write(builder, part)
                left_out.update(rows=len(layout.hidden_rows), columns=len(layout.hidden_columns))
            else:
                left_out["sheets"] += 1
        extras.write_chart_sheets(builder)
    except Unreadable:
        raise
    except Exception as error:  # a damaged file may fail anywhere in openpyxl
        raise Unreadable(
            f"it is not an Excel file, or it is damaged ({type(error).__name__}): save it again as .xlsx"
        ) from error
    lost = f"{uncomputed} of its formulas have no stored value: save it again in a spreadsheet program"
    hidden = ", ".join(f"{count} {kind}" for kind, count in left_out.items() if count)
    note = f"what is hidden is left out: {hidden}" if hidden else ""
    title, date = good_title(book.properties.title or ""), day(office_date(clean))
    return replace(builder.build(title), date=date, lost=lost if uncomputed else "", note=note)


def without_blanks(xml: bytes) -> bytes:
    """Return a sheet's XML without the rows and cells that have a format and no value.

    Why: a sheet that is formatted down to row 1,048,576 took 14 s for the 60 cells that it has.
    """
    if b"<sheetData" not in xml or PLACELESS.search(xml):
        return xml
    return BLANK_ROW.sub(b"", BLANK_CELL.sub(b"", xml))


def load_csv(data: bytes) -> LoadedText:
    """Read a CSV file; the delimiter (comma, semicolon, tab or bar) is detected. Raises Unreadable."""
    decoded = decode_noting(data)
    text = normalise(decoded.text)
    builder, budget = DocumentBuilder(), Budget()
    named = SEPARATOR.match(text)
    text = text[named.end() :] if named else text
    mark = named[1] if named else _delimiter(text)
    csv.field_size_limit(MAX_FIELD)
    try:
        if text.count('"') % 2 and max(map(len, re.split('"', text))) > LONG_FIELD:
            raise csv.Error("a quotation mark is never closed")
        write_rows(builder, map(budget.spend, csv.reader(StringIO(text), delimiter=mark)))
    except csv.Error as error:
        raise Unreadable(f"it cannot be split into rows ({error}): close its quotation marks") from None
    return replace(builder.build(), note=decoded.note)


class Budget:
    """Counts cells, so that no file fills the memory: raises Unreadable above MAX_CELLS."""

    def __init__(self) -> None:
        self._left = MAX_CELLS

    def spend(self, row: Any) -> Any:  # noqa: ANN401  # values of any kind in, the same out
        self._left -= len(row)
        if self._left < 0:
            raise Unreadable(f"it has more than {MAX_CELLS:,} cells: save the part that matters as a separate file")
        return row


def write_rows(builder: DocumentBuilder, rows: Iterable[Row]) -> None:
    """Write the tables of a sheet, which blank rows separate. A table without a header reuses the previous one."""
    header: Row | None = None
    for region in _regions(rows):
        titled = False
        while len(region) > 1 and _filled(region[0]) == 1 < _filled(region[1]):
            builder.add(" ".join(region.pop(0)))  # a title above the table
            titled = True
        if is_header(region) and (header is None or titled or _has_own_header(header, region)):
            header, region = region[0], region[1:]
        elif header is not None and max(map(len, region)) > len(header):
            header = None
        builder.add("\n".join(table_lines(region, header or ())), "table")


def _has_own_header(header: Row, region: list[Row]) -> bool:
    """Return whether the rows after a blank one begin with a new header and do not continue the table above.

    They do if a name of `header` is repeated in its column, if the width differs, or if texts stand above numbers.
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
    """Yield the runs of rows that are not blank, without empty cells at the right."""
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


def _display(cell: Any, from_1904: bool = False) -> str:  # noqa: ANN401  # openpyxl ships no types
    """Return a cell's value as the sheet displays it: 0.125 may be 12.5%, and 1069 may be 01069."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return show(value, cell.number_format or "General", from_1904)
    if isinstance(value, datetime):
        from openpyxl.utils.datetime import to_excel  # slow to import

        serial = to_excel(value, datetime(1904, 1, 1) if from_1904 else datetime(1899, 12, 30))
        return show(serial, cell.number_format, from_1904)
    return _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    if isinstance(value, timedelta):
        minutes, seconds = divmod(abs(round(value.total_seconds())), 60)
        sign = "-" if value < timedelta() else ""
        return f"{sign}{minutes // 60}:{minutes % 60:02}" + (f":{seconds:02}" if seconds else "")
    return value.isoformat(" ") if isinstance(value, datetime) else str(value)


def _delimiter(text: str) -> str:
    """Return the delimiter that gives the first rows the same number of columns most often; of equals, most columns."""
    head = "".join(line for _, line in zip(range(SNIFFED_ROWS), StringIO(text), strict=False))

    def fit(mark: str) -> tuple[float, int]:
        widths = [len(row) for row in csv.reader(StringIO(head), delimiter=mark) if row]
        usual = max(set(widths), key=widths.count, default=1)
        return (widths.count(usual) / len(widths), usual) if usual > 1 else (0.0, 1)

    return max(DELIMITERS, key=fit)
