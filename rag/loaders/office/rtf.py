"""Read Rich Text (.rtf): its text by striprtf, paragraph by paragraph, with table rows as tables."""

from __future__ import annotations

import re

from rag.errors import Unreadable
from rag.loaders.builder import DocumentBuilder, LoadedText

HIDDEN = re.compile(rb"\\v(?:1)?(?=[\s\\{}])(?:(?!\\v0|\\plain|\}).)*", re.DOTALL)
MAX_BYTES = 50_000_000
PICTURE = re.compile(rb"[0-9a-fA-F\s]{2000,}")  # pictures are hexadecimal; striprtf is slow on them


def load_rtf(data: bytes) -> LoadedText:
    """Read a Rich Text file. Raises Unreadable."""
    builder = DocumentBuilder()
    write_rtf(builder, data)
    return builder.build()


def write_rtf(builder: DocumentBuilder, data: bytes) -> None:
    """Write the text of a Rich Text file; hidden text stays out. Raises Unreadable."""
    from striprtf.striprtf import rtf_to_text  # few folders hold such files

    if not data.lstrip().startswith(b"{\\rtf"):
        raise Unreadable("it is no Rich Text file: open it in its own program and save it as .docx")
    if len(data) > MAX_BYTES:
        raise Unreadable(f"it has more than {MAX_BYTES // 1_000_000} MB: save it as .docx")
    lean = HIDDEN.sub(b"", PICTURE.sub(b"", data))
    try:
        text = rtf_to_text(lean.decode("latin-1"), errors="replace")
    except Exception as error:  # a damaged file may fail anywhere in striprtf
        raise Unreadable(f"it is damaged ({type(error).__name__}): save it as .docx") from error
    rows = list[list[str]]()
    for line in text.split("\n"):
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 2 and line.rstrip().endswith("|"):  # how striprtf writes a row of a table
            rows.append(cells[:-1])
            continue
        builder.table(rows)
        rows = []
        builder.add(" ".join(line.split()))
    builder.table(rows)
