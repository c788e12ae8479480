"""Read OpenDocument spreadsheets (.ods): one section per visible sheet, every row with the names of its columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from rag.loaders.builder import DocumentBuilder, LoadedText
from rag.loaders.opendocument.inline import Anchored, Inline
from rag.loaders.opendocument.objects import comment_text, form_fields, write_chart
from rag.loaders.opendocument.package import Children, Element, OpenDocument, child, count_of, full, get, name_of
from rag.loaders.opendocument.text import table_rows, write_margins
from rag.loaders.sheets.number_formats import plain
from rag.loaders.sheets.sheet_extras import cell_name
from rag.loaders.sheets.sheet_layout import MAX_COLUMNS, MAX_MERGES, Layout
from rag.loaders.sheets.spreadsheet import Budget, write_rows

HIDDEN = ("collapse", "filter")
SCIENTIFIC = re.compile(r"\d[.,]\d{5,}E\+?\d+")
LONG_NUMBER = 15  # digits: a program shows one with more as 1.23457E+15, but people search for its digits
MAX_BLANK = 1_000  # blank rows that are counted below a cell over several rows
STORED = ("office:string-value", "office:date-value", "office:time-value", "office:boolean-value")


@dataclass(slots=True)
class _Grid:
    """The cells of a sheet by row and column, blank rows at most once; rows that are hidden, cells that are merged."""

    rows: list[list[str]] = field(default_factory=list)
    hidden: set[int] = field(default_factory=set)
    merged: list[tuple[int, int, int, int]] = field(default_factory=list)
    below: int = 0  # the last row that a cell above spans
    comments: list[str] = field(default_factory=list)


def load_ods(data: bytes) -> LoadedText:
    """Read an OpenDocument spreadsheet as its cells show it; hidden sheets, rows and columns left out.

    Raises Unreadable.
    """
    document = OpenDocument(data, "office:spreadsheet")
    builder, budget, left_out = DocumentBuilder(), Budget(), Counter[str]()
    reader = _Reader(document, budget)
    for table in document.body.iterfind(full("table:table")):
        style = get(table, "table:style-name")
        if document.styles.value("table", style, "style:table-properties", "table:display") == "false":
            left_out["sheets"] += 1
            continue
        builder.heading(1, get(table, "table:name"))
        grid, anchored = reader.read(table)
        width = max(map(len, grid.rows), default=0)
        columns = frozenset(column for column in _hidden_columns(table) if column < width)
        write_rows(builder, Layout(frozenset(grid.hidden), columns, tuple(grid.merged)).arrange(grid.rows))
        left_out.update(rows=sum(any(grid.rows[row]) for row in grid.hidden), columns=len(columns))
        for line in (*anchored.lines, *grid.comments):
            builder.add(line)
        for root in anchored.charts:
            write_chart(builder, root)
    write_margins(builder, document)
    hidden = ", ".join(f"{count} {kind}" for kind, count in left_out.items() if count)
    note = f"what is hidden is left out: {hidden}" if hidden else ""
    return replace(builder.build(document.title), date=document.date, note=note)


class _Reader:
    """Reads sheets, all of them within one budget of cells."""

    def __init__(self, document: OpenDocument, budget: Budget) -> None:
        self._document, self._budget = document, budget
        self._inline = Inline(document, document.styles, form_fields(document))

    def read(self, table: Element) -> tuple[_Grid, Anchored]:
        """Return a sheet's cells, and its shapes' lines and charts."""
        grid, anchored = _Grid(), Anchored()
        at = 0  # the row's number in the file
        for row, _ in table_rows(table):
            times = count_of(row, "table:number-rows-repeated")
            self._add(grid, row, times, at, anchored)
            at += times
        shapes = child(table, "table:shapes")
        for shape in shapes if shapes is not None else ():
            self._shape(shape, anchored)
        return grid, anchored

    def _add(self, grid: _Grid, row: Element, times: int, at: int, anchored: Anchored) -> None:
        top = len(grid.rows)
        cells = self._cells(row, at, top, grid, anchored)
        is_hidden = get(row, "table:visibility") in HIDDEN
        if not cells:
            spanned = min(max(0, grid.below - top + 1), MAX_BLANK)
            times = min(times, max(1, spanned))
        elif is_hidden:
            times = min(times, max(1, grid.below - top + 1))
        for _ in range(times):
            grid.rows.append(list(self._budget.spend(cells)))
        if is_hidden:
            grid.hidden |= set(range(top, top + times))

    def _cells(self, row: Element, at: int, top: int, grid: _Grid, anchored: Anchored) -> list[str]:
        """Return a row's texts without empty cells at the right, however often these are repeated."""
        cells, column = list[str](), 0
        for cell in row:
            name = name_of(cell)
            if name not in ("table:table-cell", "table:covered-table-cell"):
                continue
            text = self._text(cell, anchored) if name == "table:table-cell" else ""
            times = min(count_of(cell, "table:number-columns-repeated"), MAX_COLUMNS)
            wide, high = (count_of(cell, f"table:number-{side}-spanned") for side in ("columns", "rows"))
            if text:
                cells.extend([""] * (min(column, MAX_COLUMNS) - len(cells)))
                cells.extend([text] * min(times, MAX_COLUMNS - len(cells)))
                if (wide > 1 or high > 1) and len(grid.merged) < MAX_MERGES:
                    grid.merged.append((top, column, top + high - 1, column + wide - 1))
                    grid.below = max(grid.below, top + high - 1)
            for note in cell.iterfind(full("office:annotation")):
                grid.comments += filter(None, [comment_text(note, cell_name(at, column))])
            column += times
        return cells

    def _text(self, cell: Element, anchored: Anchored) -> str:
        """Return what a cell shows; of a file that does not say it, the stored value."""
        lines = list[str]()
        for each in cell:
            if name_of(each) == "text:p":
                lines.append(self._inline.line(each, anchored))
            elif name_of(each).startswith("draw:"):
                self._shape(each, anchored)
        text = "\n".join(lines).strip()
        value = get(cell, "office:value")
        if SCIENTIFIC.fullmatch(text) and len(value) > LONG_NUMBER and value.isdigit():
            return value
        if text or not get(cell, "office:value-type"):
            return text
        try:
            return plain(float(value)) if value else next(filter(None, (get(cell, each) for each in STORED)), "")
        except (ValueError, OverflowError):
            return value

    def _shape(self, shape: Element, anchored: Anchored) -> None:
        found = Anchored()
        text = " ".join(self._inline.line(Children([shape]), found).split())
        text = text or self._inline.flat(shape, found)
        anchored.lines += filter(None, [*found.lines, text])
        anchored.charts += found.charts


def _hidden_columns(table: Element) -> Iterator[int]:
    column = 0
    for each in table.iter(full("table:table-column")):
        times = min(count_of(each, "table:number-columns-repeated"), MAX_COLUMNS)
        if get(each, "table:visibility") in HIDDEN:
            yield from range(column, column + times)
        column += times
