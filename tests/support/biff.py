"""Small workbooks in the format of Excel 97 (BIFF8), written record by record."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

FIRST_FORMAT = 164  # lower numbers are built into Excel


def make_xls(
    cells: Mapping[tuple[int, int], str | tuple[float, str]],
    hidden_rows: Sequence[int] = (),
    hidden_columns: Sequence[int] = (),
    merged: Sequence[tuple[int, int, int, int]] = (),
    hidden_sheet: str = "",
    box: str = "",
    chart: str = "",
) -> bytes:
    """Return a workbook with a sheet "Fees" of texts and of (number, format), by row and column from 0."""
    formats = sorted({cell[1] for cell in cells.values() if isinstance(cell, tuple)})
    sheet = _begin(0x10)
    sheet += b"".join(_record(0x7D, struct.pack("<HHHHHH", c, c, 2560, 0, 1, 0)) for c in hidden_columns)
    sheet += b"".join(_record(0x208, struct.pack("<HHHHHHI", r, 0, 9, 255, 0, 0, 0x20)) for r in hidden_rows)
    for (row, column), cell in cells.items():
        if isinstance(cell, str):
            sheet += _record(0x204, struct.pack("<HHH", row, column, 0) + _text(cell, "<H"))
        else:
            style = 1 + formats.index(cell[1])
            sheet += _record(0x203, struct.pack("<HHHd", row, column, style, cell[0]))
    if box:  # its characters, then how they look
        runs = _record(0x3C, bytes(16))
        sheet += _record(0x5D, struct.pack("<HHHHH12xHH", 0x15, 18, 6, 1, 0, 0, 0))
        sheet += (
            _record(0x1B6, struct.pack("<HH6xHHI", 0, 0, len(box), 16, 0)) + _record(0x3C, b"\0" + box.encode()) + runs
        )
    if chart:
        name = _record(0x100D, struct.pack("<HB", 0, len(chart)) + b"\1" + chart.encode("utf-16-le"))
        sheet += _begin(0x20) + name + _record(0x0A, b"")
    ranges = b"".join(struct.pack("<HHHH", top, bottom, left, right) for top, left, bottom, right in merged)
    sheet += _record(0xE5, struct.pack("<H", len(merged)) + ranges) + _record(0x0A, b"")
    other = _begin(0x10) + _record(0x204, struct.pack("<HHH", 0, 0, 0) + _text("secret", "<H")) + _record(0x0A, b"")
    styles = b"".join(
        _record(0x41E, struct.pack("<H", FIRST_FORMAT + at) + _text(style, "<H")) for at, style in enumerate(formats)
    )
    styles += b"".join(
        _record(0xE0, struct.pack("<HHHBBBBIIH", 0, number, 1, 0x20, 0, 0, 0, 0, 0, 0))
        for number in (0, *range(FIRST_FORMAT, FIRST_FORMAT + len(formats)))
    )
    names = [("Fees", 0), *([(hidden_sheet, 1)] if hidden_sheet else [])]
    size = len(_begin(5) + styles) + sum(12 + len(name) for name, _ in names) + 4
    listed = b"".join(
        _record(0x85, struct.pack("<IBB", size + len(sheet) * at, hidden, 0) + _text(name, "<B"))
        for at, (name, hidden) in enumerate(names)
    )
    return _begin(5) + styles + listed + _record(0x0A, b"") + sheet + other


def _record(kind: int, content: bytes) -> bytes:
    return struct.pack("<HH", kind, len(content)) + content


def _begin(kind: int) -> bytes:
    return _record(0x809, struct.pack("<HHHHII", 0x600, kind, 0x0DBB, 0x07CC, 0, 6))


def _text(text: str, length: str) -> bytes:
    return struct.pack(length, len(text)) + b"\0" + text.encode("latin-1")
