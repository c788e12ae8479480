"""Write blocks of AsciiDoc, Org, LaTeX and Wiki text: headings, paragraphs, lists, code, tables, notes after each."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rag.loaders.builder import DocumentBuilder
from rag.loaders.decoding import line_of

INDENT = "  "


class MarkupWriter:
    """Collects the lines of a list until another block begins; notes follow the block that points to them."""

    def __init__(self, builder: DocumentBuilder) -> None:
        self.builder = builder
        self._items, self._notes, self._count = list[str](), list[str](), 0

    def heading(self, level: int, title: str) -> None:
        """Begin a section."""
        self.flush()
        self.builder.heading(level, title)

    def paragraph(self, text: str) -> None:
        """Add a paragraph; its line breaks stay, runs of blanks are one."""
        self.flush()
        self.builder.add("\n".join(filter(None, map(line_of, text.split("\n")))))
        self._write_notes()

    def item(self, depth: int, mark: str, text: str) -> None:
        """Add a list item; `depth` counts from 0."""
        self._items.append(f"{INDENT * depth}{mark} {line_of(text)}".rstrip())

    def more(self, depth: int, text: str) -> None:
        """Add a further paragraph of an item at `depth`."""
        if text.strip():
            self._items.append(f"{INDENT * (depth + 1)}{line_of(text)}")

    def code(self, code: str, language: str = "") -> None:
        """Add a block of code."""
        self.flush()
        self.builder.code(code, language)
        self._write_notes()

    def table(self, rows: Sequence[Sequence[str]], has_header: bool = False) -> None:
        """Add a table."""
        self.flush()
        self.builder.table([list(map(line_of, row)) for row in rows], has_header=has_header)
        self._write_notes()

    def note(self, text: str) -> str:
        """Return the mark of a footnote, whose text follows the block."""
        self._count += 1
        self._notes.append(f"[{self._count}] {line_of(text)}")
        return f"[{self._count}]"

    def flush(self) -> None:
        """End a list."""
        if self._items:
            items, self._items = self._items, []
            self.builder.add(textwrap.dedent("\n".join(items)), "list")
            self._write_notes()

    def _write_notes(self) -> None:
        notes, self._notes = self._notes, []
        for note in notes:
            self.builder.add(note)
