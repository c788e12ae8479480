"""The cells of an AsciiDoc table by row: copies, cells over several columns or rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

SPEC = re.compile(r"(?:(\d+)(?:\.(\d+))?(\+|\*)|\.(\d+)\+)?[<^>]?(?:\.[<^>])?([aehlmsdv])?$")
MAX_COLUMNS = 200


def cells_of(lines: Sequence[str], columns: int, sign: str, plain: Callable[[str], str]) -> list[list[str]]:
    """Return the rows of a table by its number of columns, 0 for that of its first line."""
    text = "\n".join(line for line in lines if not line.startswith("//"))
    if not columns:
        first = next(filter(str.strip, lines), "")
        columns = sum(_width(part) for part in _split(first, sign)[:-1])
    pieces = _split(text, sign)
    cells = list[tuple[str, int, int]]()
    for before, piece in pairwise(pieces):
        wide, high, times = _spec(before)
        last = piece is pieces[-1]
        content = piece if last else SPEC.sub("", piece.rstrip(" ")) if _has_spec(piece) else piece
        shown = plain(" ".join(content.split()))
        cells += [(shown, wide, high)] * times
    rows, row = list[list[str]](), list[str]()
    hanging = dict[tuple[int, int], str]()
    columns = min(max(columns, 1), MAX_COLUMNS)
    for shown, wide, high in cells:
        while (len(rows), len(row)) in hanging:
            row.append(hanging.pop((len(rows), len(row))))
        for other in range(1, min(high, 1000)):
            hanging[len(rows) + other, len(row)] = shown
        row += [shown, *[""] * (min(wide, columns) - 1)]
        while (len(rows), len(row)) in hanging and len(row) < columns:
            row.append(hanging.pop((len(rows), len(row))))
        if len(row) >= columns:
            rows.append(row)
            row = []
    return [*rows, row] if row else rows


def _split(text: str, sign: str) -> list[str]:
    return [part.replace(f"\\{sign}", sign) for part in re.split(rf"(?<!\\){re.escape(sign)}", text)]


def _has_spec(piece: str) -> bool:
    """Return whether what precedes a cell's sign ends in a specifier, such as "2+" or "a", after a blank or alone."""
    last = re.split(r"\s", piece)[-1]
    return bool(last) and bool(SPEC.fullmatch(last))


def _spec(before: str) -> tuple[int, int, int]:
    """Return (columns, rows, copies) of the cell whose sign follows."""
    found = SPEC.search(re.split(r"\s", before)[-1])
    if not found or not found[0]:
        return 1, 1, 1
    if found[3] == "*":
        return 1, 1, min(int(found[1]), MAX_COLUMNS)
    return int(found[1] or 1), int(found[2] or found[4] or 1), 1


def _width(before: str) -> int:
    wide, _, times = _spec(before)
    return wide * times


def count_of(cols: str) -> int:
    """Return the number of columns that cols="1,2*,3" states."""
    count = 0
    for part in filter(None, (each.strip() for each in re.split(r"[,;]", cols))):
        found = re.match(r"(\d+)\*", part)
        count += int(found[1]) if found else 1
    return min(count, MAX_COLUMNS)
