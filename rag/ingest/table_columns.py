"""Append a table's column names to the heading path of each chunk that starts inside the table.

Why in the headings: the text of a chunk is a slice of its document, so no header row can be put before it. The heading
path is shown with the chunk, and both embedding models and the LLM read it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from rag.heading_path import PATH_SEPARATOR
from rag.loaders.blocks import Block, Section

COLUMNS = "columns: "
CELL = re.compile(r"(?<!\\)\|")
RULE = re.compile(r"[\s|:-]*-[\s|:-]*")  # the line below the header row
MAX_BYTES = 60  # of the names: models read about 48 tokens of a heading path, which should include the section


def headings_with_columns(text: str, chunks: Sequence[tuple[int, int, Section]]) -> Iterator[str]:
    """Yield the heading path of each chunk (start, end, section), such as "Guide > columns: Name | Age"."""
    for section, group in groupby(chunks, lambda chunk: chunk[2]):
        tables = [block for block in section.blocks if block.kind == "table"]
        for start, _, _ in group:
            names = next((_names(text, block) for block in tables if block.start < start < block.end), "")
            yield PATH_SEPARATOR.join(filter(None, (section.heading, COLUMNS + names if names else "")))


def _names(text: str, table: Block) -> str:
    """Return the column names of a Markdown table, truncated to MAX_BYTES; "" if each row carries its names."""
    lines = text[table.start : table.end].lstrip().split("\n", 2)
    if len(lines) < 2 or "|" not in lines[1] or not RULE.fullmatch(lines[1]):
        return ""
    names = " | ".join(filter(None, (" ".join(name.split()) for name in CELL.split(lines[0]))))
    if len(names.encode()) <= MAX_BYTES:
        return names
    return names.encode()[:MAX_BYTES].decode("utf-8", "ignore").rpartition(" ")[0]
