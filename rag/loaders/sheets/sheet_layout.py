"""Read a sheet's hidden rows and columns and its merged cells, and arrange its rows by them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from rag.loaders.office.header_rows import join_headers

ROW = re.compile(rb"<(?:\w+:)?row\b[^>]*>")
COLUMN = re.compile(rb"<(?:\w+:)?col\b[^>]*>")
MERGED = re.compile(rb"<(?:\w+:)?mergeCell\b[^>]*\bref=\"([A-Z]{1,3})(\d{1,7}):([A-Z]{1,3})(\d{1,7})\"")
HIDDEN = re.compile(rb"\bhidden=\"(?:1|true)\"")
NUMBER = re.compile(rb"\b(r|min|max)=\"(\d{1,7})\"")
JOINED = "\0"  # stands for a row that was joined with the one above: no cell contains a NUL
MAX_COLUMNS, MAX_MERGES = 16_384, 20_000


@dataclass(frozen=True, slots=True)
class Layout:
    """What is hidden, and the merged cells as (first row, first column, last row, last column), all from 0."""

    hidden_rows: frozenset[int]
    hidden_columns: frozenset[int]
    merged: tuple[tuple[int, int, int, int], ...]

    def arrange(self, rows: Iterable[list[str]]) -> Iterable[list[str]]:
        """Return the visible cells row by row; group names stand on each row, header rows are joined."""
        if not (self.hidden_rows or self.hidden_columns or self.merged):
            return rows
        grid = list(rows)
        for top, left, bottom, _ in self.merged:
            if top < len(grid) and left < len(grid[top]) and grid[top][left]:
                for row in grid[top + 1 : bottom + 1]:
                    if any(row):
                        row.extend([""] * (left + 1 - len(row)))
                        row[left] = grid[top][left]
        self._join(grid)
        kept = (row for at, row in enumerate(grid) if at not in self.hidden_rows and row != [JOINED])
        return ([cell for column, cell in enumerate(row) if column not in self.hidden_columns] for row in kept)

    def _join(self, grid: list[list[str]]) -> None:
        """Join each row that has cells over several columns with the row of names below, if both are names."""
        wide = {(top, left): right - left + 1 for top, left, _, right in self.merged if right > left}
        for (top, left), width in wide.items():
            if top < len(grid) and any(grid[top]):
                grid[top].extend([""] * (min(left + width, MAX_COLUMNS) - len(grid[top])))
        for top in sorted({top for top, _ in wide if top + 2 < len(grid)}):
            spans, column = list[int](), 0
            while column < len(grid[top]):
                spans.append(wide.get((top, column), 1))
                column += spans[-1]
            end = next((index for index in range(top, len(grid)) if not any(grid[index])), len(grid))
            title, joined, _ = join_headers(grid[top:end], spans)
            if not title and len(joined) < end - top:
                grid[top : top + 2] = [joined[0], [JOINED]]


def read_layout(xml: bytes) -> Layout:
    """Return the layout that a sheet's XML states."""
    rows, columns = set[int](), set[int]()
    for found in ROW.finditer(xml) if b"hidden=" in xml else ():
        if HIDDEN.search(found[0]):
            rows |= {int(value) - 1 for name, value in NUMBER.findall(found[0]) if name == b"r"}
    for found in COLUMN.finditer(xml) if b"hidden=" in xml else ():
        ends = {name: int(value) for name, value in NUMBER.findall(found[0])}
        if HIDDEN.search(found[0]):
            columns |= set(range(ends.get(b"min", 1) - 1, min(ends.get(b"max", 1), MAX_COLUMNS)))
    merged = [
        (int(found[2]) - 1, _column(found[1]), int(found[4]) - 1, _column(found[3]))
        for _, found in zip(range(MAX_MERGES), MERGED.finditer(xml), strict=False)
    ]
    return Layout(frozenset(rows), frozenset(columns), tuple(merged))


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number - 1
