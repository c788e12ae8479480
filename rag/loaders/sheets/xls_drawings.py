"""Read the text boxes and the names in charts of an old workbook, which xlrd passes over. Method: [MS-XLS] 2.4."""

from __future__ import annotations

import struct
from collections.abc import Iterator

BEGIN, END, MORE, TEXT, CHART_TEXT = 0x809, 0x0A, 0x3C, 0x1B6, 0x100D  # kinds of records
LENGTH = slice(10, 12)  # in a TEXT record: how many characters follow in the MORE records
MAX_RECORDS = 2_000_000


def drawn_texts(stream: bytes, start: int) -> tuple[list[str], list[str]]:
    """Return (text boxes, charts) of the sheet whose records begin at `start`; a chart as its title and series names.

    Comments are text boxes, too.
    """
    boxes, charts = list[str](), list[list[str]]()
    depth = wanted = 0
    for kind, content in _records(stream, start):
        if kind == BEGIN:
            depth += 1
            charts += [[]] if depth > 1 else []
        elif kind == END:
            depth -= 1
            if depth <= 0:
                break
        elif kind == TEXT and len(content) >= LENGTH.stop:
            wanted = int.from_bytes(content[LENGTH], "little")
            boxes.append("")
        elif kind == MORE and wanted:
            text = _decode(content)[:wanted]
            boxes[-1] += text
            wanted -= max(1, len(text))
        elif kind == CHART_TEXT and len(content) > 4 and depth > 1:
            charts[-1].append(" ".join(_decode(content[3:])[: content[2]].split()))
    lines = (" ".join(text.split()) for text in boxes)
    return list(filter(None, lines)), [", ".join(dict.fromkeys(filter(None, names))) for names in charts]


def _records(stream: bytes, position: int) -> Iterator[tuple[int, bytes]]:
    for _ in range(MAX_RECORDS):
        if position + 4 > len(stream):
            return
        kind, size = struct.unpack_from("<HH", stream, position)
        yield kind, bytes(stream[position + 4 : position + 4 + size])
        position += 4 + size


def _decode(content: bytes) -> str:
    """Return characters after the byte that says whether they have one or two bytes each."""
    return content[1:].decode("utf-16-le" if content[:1] == b"\1" else "latin-1", "ignore")
