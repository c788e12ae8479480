"""Read a web page's table of values as texts by row and column, and tell it from one that only lays out the page."""

from __future__ import annotations

import re
from collections import deque
from typing import Any

from rag.loaders.web.boilerplate import Boilerplate
from rag.loaders.web.page_text import cell_text

Element = Any  # lxml ships no types
MAX_SPAN = 1_000  # rows or columns that a cell spans; more is forged
MAX_CELLS = 2_000_000
MOST_TABLES = 20  # in a table: more are layout, and looking into each of 500 nested ones took 20 s
LONG_CELL = 1_000  # characters: a table with such cells sets the page, and holds no values
SENTENCE = re.compile(r"(?:\S+\s+){3}.*\w\W?\.|.*\w[\u3002\uff01]", re.DOTALL)  # "Max. temp." is none
CODE = re.compile(r"`+[^`]+`+")


def sets_page(table: Element) -> bool:
    """Return whether a table only lays out the page: its cells hold headings, code, other tables or long texts."""
    if table.get("role") in ("presentation", "none"):
        return True
    if table.xpath("count(.//table)") > MOST_TABLES:
        return True
    rows = [row for row in table.iter("tr") if next(row.iterancestors("table"), None) is table]
    if max((len(row) for row in rows), default=0) <= 1 and not table.xpath(".//th"):
        return True
    if table.xpath(".//pre | .//dl | .//table[string-length(.) > $long]", long=LONG_CELL):
        return True
    if table.xpath(".//table") and not table.xpath("./thead | ./tr/th | ./tbody/tr/th"):
        return True
    if table.xpath("./thead | ./tr/th | ./tbody/tr/th"):
        return False
    return bool(table.xpath(".//h1 | .//h2 | .//h3 | .//h4")) or any(
        len("".join(cell.itertext())) > LONG_CELL for cell in table.iter("td")
    )


def grid_of(table: Element, boilerplate: Boilerplate | None = None) -> tuple[list[list[str]], bool | None]:
    """Return a table's texts by row and column, and whether its first row is marked as names; None if it holds none.

    A cell is repeated in each row that it spans, and a header cell in each column too; several header rows become one:
    "Berlin, Cost".
    """
    grid: list[list[str]] = []
    headers = 0
    hanging: dict[int, tuple[str, int]] = {}  # column -> (text, rows it still spans)
    size = 0
    for row in (each for each in table.iter("tr") if next(each.iterancestors("table"), None) is table):
        cells = deque(cell for cell in row if cell.tag in ("td", "th"))
        if not cells:
            continue
        is_header = headers == len(grid) and (row.getparent().tag == "thead" or all(cell.tag == "th" for cell in cells))
        line: list[str] = []
        above, hanging = hanging, {}
        while cells or len(line) in above:
            if len(line) in above:
                (text, height), width = above[len(line)], 1
            else:
                cell = cells.popleft()
                text, height, width = cell_text(cell, boilerplate), _span(cell, "rowspan"), _span(cell, "colspan")
            for part in (text, *[text if is_header else ""] * (width - 1)):
                if height > 1:
                    hanging[len(line)] = part, height - 1
                line.append(part)
        size += len(line)
        if size > MAX_CELLS:
            break
        headers += is_header
        grid.append(line)
    if 1 < headers < len(grid):
        grid = [_joined_names(grid[:headers]), *grid[headers:]]
    return grid, headers > 0 or (None if _begins_with_values(grid) else False)


def _begins_with_values(grid: list[list[str]]) -> bool:
    """Return whether the first row of a table without marked names has a sentence, or code above code: a legend."""
    first, *others = grid or [[]]
    code = [column for column, cell in enumerate(first) if CODE.fullmatch(cell)]
    below = [row[column] for row in others for column in code if column < len(row)]
    is_code = sum(1 for cell in below if CODE.fullmatch(cell)) * 2 > len(below)
    return is_code or any(map(SENTENCE.fullmatch, first))


def _joined_names(rows: list[list[str]]) -> list[str]:
    width = max(map(len, rows))
    columns = ([row[column] if column < len(row) else "" for row in rows] for column in range(width))
    return [", ".join(dict.fromkeys(filter(None, names))) for names in columns]


def _span(cell: Element, name: str) -> int:
    value = cell.get(name) or ""
    return min(int(value), MAX_SPAN) if value.isascii() and value.isdigit() and int(value) else 1
