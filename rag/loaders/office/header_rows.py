"""Join rows of column names above each other into one: "Berlin" over "Cost" and "Visitors" -> "Berlin, Cost"."""

from __future__ import annotations

from collections.abc import Sequence

from rag.loaders.tables import MAX_HEADER_CHARS, YEAR_OR_DAY, is_number

MAX_HEADER_ROWS = 4


def join_headers(
    grid: Sequence[Sequence[str]], spans: Sequence[int], marked: int = 0
) -> tuple[str, list[list[str]], bool]:
    """Return (title, rows, whether the first row is a header) of a table.

    `spans` are the widths of the first row's cells; a cell's text stands in the first of its columns. `marked` is how
    many rows the file marks as headers. A first row of one cell across the whole table is its title.
    """
    rows = [list(row) for row in grid]
    title, width = "", max(map(len, rows), default=0)
    if len(rows) > 1 and list(spans) == [width] and width > 1 and rows[0][0] and sum(map(bool, rows[1])) > 1:
        title, rows = rows[0][0], rows[1:]
        return title, rows, marked > 1 or (marked == 1 and len(rows) > 1 and _are_names(rows[0]))
    if len(rows) < 2:
        return title, rows, marked > 0
    above = _spread(rows[0], spans)
    height = min(marked, MAX_HEADER_ROWS, len(rows) - 1)
    if height < 2 and any(span > 1 for span in spans) and len(rows) > 2:
        height = 2 if _names_below(rows[0], above, rows[1]) else height
    if height < 2:
        return title, rows, marked > 0
    names = list[str]()
    for column in range(width):
        parts = list[str]()
        for row in (above, *rows[1:height]):
            part = " ".join(row[column].split()) if column < len(row) else ""
            if part and part not in parts:
                parts.append(part)
        names.append(", ".join(parts))
    return title, [names, *rows[height:]], True


def _spread(row: Sequence[str], spans: Sequence[int]) -> list[str]:
    """Return a row with the text of each cell in all of its columns."""
    spread, column = list(row), 0
    for span in spans:
        for other in range(column + 1, min(column + span, len(row))):
            spread[other] = spread[other] or row[column]
        column += span
    return spread


def _names_below(first: Sequence[str], above: Sequence[str], second: Sequence[str]) -> bool:
    """Return whether the second row names the columns that the wide cells of the first one cover."""
    wide = [column for column, text in enumerate(above) if text and (column >= len(first) or not first[column])]
    wide += [column - 1 for column in wide if column and column - 1 not in wide]
    below = [second[column] if column < len(second) else "" for column in wide]
    return (
        _are_names([cell for cell in first if not YEAR_OR_DAY.fullmatch(cell)] or [""], True)
        and _are_names(second)
        and bool(below)
        and sum(map(bool, below)) * 2 > len(below)
    )


def _are_names(row: Sequence[str], may_be_empty: bool = False) -> bool:
    return (any(row) or may_be_empty) and not any(
        is_number(cell) or len(cell) > MAX_HEADER_CHARS for cell in row if cell
    )
