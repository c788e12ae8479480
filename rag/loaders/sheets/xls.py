"""Read workbooks of Excel 97 to 2003, and 5.0 and 95 (.xls), as their cells show them, with xlrd."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from typing import Any

from rag.errors import Unreadable
from rag.loaders import ole
from rag.loaders.builder import DocumentBuilder, LoadedText
from rag.loaders.sheets.number_formats import show
from rag.loaders.sheets.sheet_extras import cell_name, comment_line
from rag.loaders.sheets.sheet_layout import Layout
from rag.loaders.sheets.spreadsheet import Budget, write_rows
from rag.loaders.sheets.xls_drawings import drawn_texts

OLDER = (b"\x09\x00", b"\x09\x02", b"\x09\x04", b"\x09\x08")  # how a workbook before Excel 5.0 begins
UNICODE = 80  # xlrd's number of the format of Excel 97
Book = Any  # xlrd ships no types


def load_xls(data: bytes) -> LoadedText:
    """Read a workbook as its cells show it; hidden sheets, rows and columns left out. Raises Unreadable.

    Charts are read by their titles and the names of their series; their values are cells.
    """
    import xlrd  # few folders hold such files

    if not data.startswith((ole.SIGNATURE, *OLDER)):
        raise Unreadable("it is no .xls file, or it is damaged: save it as .xlsx")
    builder, budget, left_out = DocumentBuilder(), Budget(), Counter[str]()
    try:
        book = _open(_workbook(data))
        for at, name in enumerate(book.sheet_names()):
            sheet = book.sheet_by_name(name)
            if sheet.visibility:
                left_out["sheets"] += 1
            else:
                builder.heading(1, name)
                layout = _layout(sheet)
                write_rows(builder, layout.arrange(map(budget.spend, _rows(book, sheet))))
                left_out.update(rows=len(layout.hidden_rows), columns=len(layout.hidden_columns))
                _write_drawings(builder, book, at, {_flat(note.text) for note in sheet.cell_note_map.values()})
                for (row, column), note in sorted(sheet.cell_note_map.items()):
                    builder.add(comment_line(note.text, note.author, cell_name(row, column)))
            book.unload_sheet(name)
    except Unreadable:
        raise
    except xlrd.XLRDError as error:
        why = "it is protected by a password: save a copy without one" if "encrypted" in str(error) else ""
        raise Unreadable(why or f"it cannot be read ({error}): save it as .xlsx") from None
    except Exception as error:  # a damaged file may fail anywhere in xlrd
        raise Unreadable(f"it is damaged ({type(error).__name__}): save it as .xlsx") from error
    hidden = ", ".join(f"{count} {kind}" for kind, count in left_out.items() if count)
    note = f"what is hidden is left out: {hidden}" if hidden else ""
    charts = book._all_sheets_count - book.nsheets
    lost = f"{charts} sheets that are a chart or a macro are not read" if charts > 0 else ""
    return replace(builder.build(), note=note, lost=lost)


def _write_drawings(builder: DocumentBuilder, book: Book, at: int, comments: set[str]) -> None:
    """Write the text boxes and charts of a sheet."""
    if book.biff_version < UNICODE:
        return
    boxes, charts = drawn_texts(book.mem, book._sh_abs_posn[at])  # xlrd says no more of where a sheet begins
    for box in boxes:
        if box not in comments:
            builder.add(box)
    for chart in charts:
        builder.add(f"Chart: {chart}" if chart else "")


def _flat(text: str) -> str:
    return " ".join(text.split())


def _workbook(data: bytes) -> bytes:
    """Return the stream of a workbook's records out of its container.

    Why not by xlrd: it follows a chain of sectors that leads back into itself for ever, and its memory grows.
    """
    if not data.startswith(ole.SIGNATURE):
        return data
    with ole.open_ole(data) as opened:
        for name in ("Workbook", "Book"):
            if opened.exists(name):
                return bytes(opened.openstream(name).read())
    raise Unreadable("it has no workbook in it: save it as .xlsx")


def _open(data: bytes) -> Book:
    import xlrd

    options = {"file_contents": data, "on_demand": True, "ragged_rows": True, "logfile": StringIO()}
    try:
        return xlrd.open_workbook(**options, formatting_info=True)
    except xlrd.XLRDError:
        raise
    except Exception:  # noqa: BLE001  # styles may be damaged where the cells are not
        return xlrd.open_workbook(**options)


def _layout(sheet: Any) -> Layout:  # noqa: ANN401
    rows = {row for row, info in sheet.rowinfo_map.items() if info.hidden and row < sheet.nrows}
    columns = {column for column, info in sheet.colinfo_map.items() if info.hidden and column < sheet.ncols}
    merged = tuple((top, left, bottom - 1, right - 1) for top, bottom, left, right in sheet.merged_cells)
    return Layout(frozenset(rows), frozenset(columns), merged)


def _rows(book: Book, sheet: Any) -> Iterator[list[str]]:  # noqa: ANN401
    for row in range(sheet.nrows):
        yield [_shown(book, cell) for cell in sheet.row(row)]


def _shown(book: Book, cell: Any) -> str:  # noqa: ANN401
    """Return a cell's value as the sheet displays it."""
    import xlrd

    value = cell.value
    if cell.ctype in (xlrd.XL_CELL_NUMBER, xlrd.XL_CELL_DATE):
        return show(value, _style(book, cell), from_1904=bool(book.datemode))
    if cell.ctype == xlrd.XL_CELL_BOOLEAN:
        return str(bool(value))
    if cell.ctype == xlrd.XL_CELL_ERROR:
        return str(xlrd.error_text_from_code.get(value, "#ERROR"))
    return str(value)


def _style(book: Book, cell: Any) -> str:  # noqa: ANN401
    if cell.xf_index is None or not book.xf_list:
        return "General"
    style = book.format_map.get(book.xf_list[cell.xf_index].format_key)
    return style.format_str if style else "General"
