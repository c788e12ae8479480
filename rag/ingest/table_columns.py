"""A chunk that begins amid a Markdown table -> its headings, with the names of the table's columns at their end. Pure.

The idea a reader would miss: a chunk's text is a slice of its document, so no header row can be put before it. But its
headings may say more than the page does: they are shown with it, models read them, and an LLM is told them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from rag.heading_path import PATH
from rag.loaders.blocks import Block, Section

COLUMNS = "columns: "
CELL = re.compile(r"(?<!\\)\|")
RULE = re.compile(r"[\s|:-]*-[\s|:-]*")  # the line below the names
MOST_BYTES = 60  # of the names: models read some 48 tokens of a heading path, and the section is to be among them


def with_columns(text: str, chunks: Sequence[tuple[int, int, Section]]) -> Iterator[str]:
    """Yield the heading path of each chunk (start, end, section) of a text."""
    for section, group in groupby(chunks, lambda chunk: chunk[2]):
        tables = [block for block in section.blocks if block.kind == "table"]
        for start, _, _ in group:
            names = next((_names(text, block) for block in tables if block.start < start < block.end), "")
            yield PATH.join(filter(None, (section.heading, COLUMNS + names if names else "")))


def _names(text: str, table: Block) -> str:
    """Return the names of a table's columns; nothing where each row carries them."""
    lines = text[table.start : table.end].lstrip().split("\n", 2)
    if len(lines) < 2 or "|" not in lines[1] or not RULE.fullmatch(lines[1]):
        return ""
    names = " | ".join(filter(None, (" ".join(name.split()) for name in CELL.split(lines[0]))))
    if len(names.encode()) <= MOST_BYTES:
        return names
    return names.encode()[:MOST_BYTES].decode("utf-8", "ignore").rpartition(" ")[0]
