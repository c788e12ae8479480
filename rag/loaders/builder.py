"""Assemble a document block by block: text, heading paths, tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag.loaders.blocks import Block, Kind, Section
from rag.loaders.decoding import line_of, normalise, one_line
from rag.loaders.symbols import plain_signs
from rag.loaders.tables import MAX_HEADER_CHARS, Row, table_lines

CONTROL = re.compile(r"[\x01-\x08\x0b-\x1f\x7f]")  # control characters that office programs use as marks
BLANK_START = re.compile(r"\A(?:[^\S\n]*\n)+")


@dataclass(frozen=True, slots=True)
class LoadedText:
    """The text of a file and its sections.

    `title` and `date` (of the last change, such as 2026-05-31) are empty if the file does not state them. Two notes for
    the user: `lost` on the parts that could not be read, `note` on what was guessed, such as the encoding.
    """

    text: str
    sections: tuple[Section, ...]
    title: str = ""
    lost: str = ""
    date: str = ""
    note: str = ""


def fenced(code: str, language: str = "") -> str:
    """Return code in a Markdown fence that the code itself does not have."""
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`{3,}", code))])
    return f"{fence}{language}\n{code}\n{fence}"


class DocumentBuilder:
    """Collects the blocks of a document; `build` returns the result."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._sections: list[Section] = []
        self._blocks: list[Block] = []
        self._path: list[tuple[int, str]] = []
        self._first = ""

    def heading(self, level: int, title: str) -> None:
        """Begin a section under a heading; a heading with nothing under it joins the next section.

        The text keeps the heading in full, since contracts style whole clauses as headings; the path has it truncated.
        """
        whole, title = line_of(plain_signs(title)), one_line(plain_signs(title))
        if not title:
            return
        if self._blocks and self._blocks[-1].kind != "heading":
            self._close()
        self._first = self._first or title
        self._path = [above for above in self._path if above[0] < level] + [(level, title)]
        self.add(f"{'#' * min(level, 6)} {whole}", "heading")

    def add(self, text: str, kind: Kind = "prose") -> None:
        """Add a block of text; blank text is ignored."""
        text = CONTROL.sub(" ", normalise(text)).rstrip()
        text = text if kind == "code" else plain_signs(text)
        if not text.strip():
            return
        self._blocks.append(Block(self._length, self._length + len(text), kind))
        self._parts.append(text + "\n\n")
        self._length += len(text) + 2

    def code(self, code: str, language: str = "") -> None:
        """Add code exactly as it is, in a fence that the code itself does not have; blank lines around it go."""
        code = BLANK_START.sub("", code).rstrip()
        if code.strip():
            self.add(fenced(code, language), "code")

    def table(self, rows: Sequence[Row], has_header: bool | None = False) -> None:
        """Add a table as lines that make sense one by one.

        A table of two columns is taken as names and values of one thing, without a header. `has_header` says that the
        file marks the first row as a header; this is used only if its names are short, since every row repeats them.
        None says that the first row holds no names.
        """
        names = list(map(line_of, rows[0])) if has_header and rows else []
        rows = [row for row in rows if any(map(str.strip, row))]
        header: Row | None = () if has_header is None or max(map(len, rows), default=0) <= 2 else None
        if len(rows) > 1 and sum(map(bool, names)) > 1 and max(map(len, names)) <= MAX_HEADER_CHARS:
            header, rows = rows[0], rows[1:]
        self.add("\n".join(table_lines(rows, header)), "table")

    def build(self, title: str = "") -> LoadedText:
        """Return the document."""
        self._close()
        return LoadedText("".join(self._parts), tuple(self._sections), title)

    @property
    def first_heading(self) -> str:
        """Return the first heading, "" if there is none yet."""
        return self._first

    def _close(self) -> None:
        self._sections.append(Section(tuple(self._blocks), " > ".join(title for _, title in self._path)))
        self._blocks = []
