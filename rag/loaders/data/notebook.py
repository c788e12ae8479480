"""Read Jupyter notebooks: Markdown cells, code to the letter, and text outputs, without pictures."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import Any

from rag.errors import Unreadable
from rag.loaders.builder import DocumentBuilder, LoadedText
from rag.loaders.decoding import decode_noting, normalise, one_line
from rag.loaders.markup.markdown import load_markdown
from rag.loaders.messages.letter import add_loaded
from rag.loaders.text import TERMINAL

MAX_OUTPUT_LINES = 40  # of a cell; what follows is left out, and noted
MAX_OUTPUT_CHARS = 4_000
DATA_PICTURE = re.compile(r"!\[([^\]]*)\]\((?:data:|attachment:)[^)]*\)")
REWRITTEN = re.compile(r"^.*\r(?!\n)", re.MULTILINE)  # a progress bar rewrites its line


@dataclass(slots=True)
class _Left:
    lines: int = 0
    notes: list[str] = field(default_factory=list)


def load_ipynb(data: bytes) -> LoadedText:
    """Read a notebook. Raises Unreadable if it is none."""
    decoded = decode_noting(data)
    try:
        book = json.loads(decoded.text)
    except (ValueError, RecursionError):
        raise Unreadable("it is no notebook: it is not valid JSON; save it again in Jupyter") from None
    cells = _cells(book)
    if cells is None:
        raise Unreadable("it is no notebook: it has no cells")
    metadata = book.get("metadata") if isinstance(book.get("metadata"), dict) else {}
    info = metadata.get("language_info") or metadata.get("kernelspec") or {}
    language = str(info.get("name") or info.get("language") or "python") if isinstance(info, dict) else "python"
    builder, left = DocumentBuilder(), _Left()
    for cell in cells:
        if isinstance(cell, dict):
            _write_cell(builder, cell, language, left)
    title = metadata.get("title")
    title = title if isinstance(title, str) else ""
    note = f"{left.lines} lines of long outputs are left out" if left.lines else ""
    loaded = builder.build(one_line(title) or builder.first_heading)
    return replace(loaded, note="; ".join(filter(None, (note, decoded.note))))


def _cells(book: Any) -> list[Any] | None:  # noqa: ANN401  # JSON
    """Return the cells of a notebook, of version 3 too, None if there is no list of them."""
    if not isinstance(book, dict):
        return None
    if isinstance(book.get("worksheets"), list):
        sheets = [sheet.get("cells") for sheet in book["worksheets"] if isinstance(sheet, dict)]
        return [cell for cells in sheets if isinstance(cells, list) for cell in cells]
    return book["cells"] if isinstance(book.get("cells"), list) else None


def _write_cell(builder: DocumentBuilder, cell: dict[str, Any], language: str, left: _Left) -> None:
    kind = cell.get("cell_type")
    source = normalise(_joined(cell.get("source", cell.get("input"))))
    if kind == "heading":
        builder.heading(int(cell.get("level") or 1), source)
    elif kind == "markdown":
        add_loaded(builder, load_markdown(DATA_PICTURE.sub(r"\1", source).encode("utf-8", "ignore")))
    elif kind == "code":
        fence = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`{3,}", source)), 3)
        if source.strip():
            builder.add(f"{fence}{language}\n{source.rstrip()}\n{fence}", "code")
        _write_outputs(builder, cell.get("outputs"), left)
    else:
        builder.add(source)


def _write_outputs(builder: DocumentBuilder, outputs: object, left: _Left) -> None:
    """Write the text outputs of a cell as one code block, truncated."""
    texts = [_output(each) for each in outputs if isinstance(each, dict)] if isinstance(outputs, list) else []
    text = TERMINAL.sub("", "\n".join(filter(str.strip, texts)))
    text = REWRITTEN.sub("", normalise_newlines(text)).rstrip()
    lines = text.split("\n")
    kept = "\n".join(lines[:MAX_OUTPUT_LINES])[:MAX_OUTPUT_CHARS]
    dropped = len(lines) - kept.count("\n") - 1
    if len(kept) < len(text):
        left.lines += max(1, dropped)
        kept += f"\n… ({max(1, dropped)} more lines of output)"
    if kept.strip():
        builder.add(f"Output:\n```\n{kept}\n```", "code")


def normalise_newlines(text: str) -> str:
    """Return text with \\r\\n as \\n; a lone \\r stays, because it rewrites its line."""
    return text.replace("\r\n", "\n").replace("\0", "")


def _output(output: dict[str, Any]) -> str:
    """Return the text of an output; "" for a picture or a widget."""
    if output.get("output_type") in ("error", "pyerr"):
        return f"{output.get('ename', '')}: {output.get('evalue', '')}"
    data = output.get("data") if isinstance(output.get("data"), dict) else {}
    bundle = {**output, **(data or {})}
    if "image/png" in bundle or "png" in bundle or "application/vnd.jupyter.widget-view+json" in bundle:
        return ""
    return next(
        (_joined(bundle[key]) for key in ("text/plain", "text/markdown", "text/latex", "text") if bundle.get(key)), ""
    )


def _joined(source: object) -> str:
    """Return a cell's text, which is one string or a list of lines."""
    return "".join(map(str, source)) if isinstance(source, list) else str(source or "")
