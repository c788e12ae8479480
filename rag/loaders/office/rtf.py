"""Read Rich Text (.rtf) by striprtf: headings, lists with their numbers, tables, notes, text boxes, page headers."""

from __future__ import annotations

import re
import textwrap

from rag.errors import Unreadable
from rag.loaders.builder import DocumentBuilder, LoadedText
from rag.loaders.office import rtf_marks as mark
from rag.loaders.tables import END_OF_PARAGRAPH

HIDDEN = re.compile(rb"\\v(?:1)?(?=[\s\\{}])(?:(?!\\v0|\\plain|\}).)*", re.DOTALL)
MAX_BYTES = 50_000_000
PICTURE = re.compile(rb"[0-9a-fA-F\s]{2000,}")  # pictures are hexadecimal; striprtf is slow on them
PIECES = re.compile(f"([\n{mark.CELL}{mark.ROW}])")
STORY = re.compile(f"{mark.STORY}([{mark.NOTE}-{mark.FOOTER}])([^{mark.STORY}{mark.END_OF_STORY}]*){mark.END_OF_STORY}")
LABELS = {mark.NOTE: "", mark.COMMENT: "Comment: ", mark.HEADER: "Page header: ", mark.FOOTER: "Page footer: "}
LABEL = re.compile(f"{mark.LABEL}([^{mark.END_OF_LABEL}]*){mark.END_OF_LABEL}")
LEVEL = re.compile(f"[{mark.LEVELS[0]}-{mark.HEADINGS[-1]}]")
MARKS = re.compile("[\ufdd0-\ufdef]")
LAST_CELL = re.compile(f"(?:{mark.INNER_CELL}\\s*)*{mark.INNER_ROW}")


def load_rtf(data: bytes) -> LoadedText:
    """Read a Rich Text file. Raises Unreadable."""
    builder = DocumentBuilder()
    write_rtf(builder, data)
    return builder.build(builder.first_heading)


def write_rtf(builder: DocumentBuilder, data: bytes) -> None:
    """Write the text of a Rich Text file; hidden text stays out. Raises Unreadable."""
    from striprtf.striprtf import rtf_to_text  # few folders hold such files

    if not data.lstrip().startswith(b"{\\rtf"):
        raise Unreadable("it is no Rich Text file: open it in its own program and save it as .docx")
    if len(data) > MAX_BYTES:
        raise Unreadable(f"it has more than {MAX_BYTES // 1_000_000} MB: save it as .docx")
    lean = HIDDEN.sub(b"", PICTURE.sub(b"", data))
    try:
        text = rtf_to_text(mark.Marker().mark(lean.decode("latin-1")), errors="replace")
    except Exception as error:  # a damaged file may fail anywhere in striprtf
        raise Unreadable(f"it is damaged ({type(error).__name__}): save it as .docx") from error
    _Writer(builder).write(text)


class _Writer:
    """Writes text with marks into a builder."""

    def __init__(self, builder: DocumentBuilder) -> None:
        self._builder = builder
        self._rows, self._cells, self._items = list[list[str]](), list[str](), list[str]()
        self._notes = list[str]()  # they follow the paragraph or table that they are in
        self._said = set[str]()  # page headers and footers, which each section may repeat

    def write(self, text: str) -> None:
        """Write all blocks."""
        open_text = ""
        for piece in PIECES.split(text):
            if piece == mark.CELL:
                self._cells.append(self._cell(open_text))
            elif piece == mark.ROW:
                self._rows.append(self._cells)
                self._cells = []
            elif piece == "\n" and self._cells:
                open_text += mark.IN_CELL
                continue
            elif piece == "\n":
                self._paragraph(open_text)
            else:
                open_text += piece
                continue
            open_text = ""
        self._rows += [[*self._cells, self._cell(open_text)]] if self._cells else []
        self._paragraph("" if self._cells else open_text)
        self._flush()

    def _cell(self, text: str) -> str:
        text = LAST_CELL.sub(END_OF_PARAGRAPH, self._without_stories(text)).replace(mark.INNER_CELL, ", ")
        text = text.replace(mark.IN_CELL, END_OF_PARAGRAPH)
        return self._plain(LABEL.sub(lambda found: f"{number_of(found[1])} ", text), "\n").strip()

    def _paragraph(self, text: str) -> None:
        if text.strip():
            self._flush_rows()
        text = self._without_stories(text)
        level, label = LEVEL.search(text), LABEL.search(text)
        lines = self._plain(LABEL.sub("", text), "\n").split("\n")
        plain = "\n".join(filter(None, (" ".join(line.split()) for line in lines)))
        number = number_of(label[1]) if label else ""
        if level and level[0] in mark.HEADINGS and plain:
            self._flush()
            self._builder.heading(mark.HEADINGS.index(level[0]) + 1, f"{number} {plain}".strip())
        elif label and plain:
            self._flush_rows()
            indent = "  " * (mark.LEVELS.index(level[0]) if level and level[0] in mark.LEVELS else 0)
            self._items.append(f"{indent}{number or '-'} {plain}".replace("\n", " "))
        elif plain or self._rows:
            self._flush()
            self._builder.add(plain)
        if self._notes and not self._rows:
            self._flush()
            self._write_notes()

    def _without_stories(self, text: str) -> str:
        """Take notes, comments, page headers and footers out of a text: they follow it."""

        def take(found: re.Match[str]) -> str:
            words = " ".join(self._plain(LABEL.sub(lambda label: f"{number_of(label[1])} ", found[2]), " ").split())
            is_margin = found[1] in (mark.HEADER, mark.FOOTER)
            if not is_margin:
                self._notes += [LABELS[found[1]] + words] * bool(words)
            elif words not in self._said and len(re.findall(r"[^\W\d_]", words)) > 1:
                self._flush()
                self._builder.add(LABELS[found[1]] + words)
                self._said.add(words)
            return ""

        before = None
        while before != text:  # a story may hold another one
            before, text = text, STORY.sub(take, text)
        return text

    @staticmethod
    def _plain(text: str, line_break: str) -> str:
        """Return a text without marks, line breaks as `line_break`."""
        return MARKS.sub("", text.replace(mark.LINE, line_break).replace(mark.IN_CELL, " "))

    def _flush(self) -> None:
        self._flush_rows()
        self._builder.add(textwrap.dedent("\n".join(self._items)), "list")
        self._items = []

    def _write_notes(self) -> None:
        for note in self._notes:
            self._builder.add(note)
        self._notes = []

    def _flush_rows(self) -> None:
        if self._rows:
            self._builder.table(self._rows)
            self._rows = []
            self._write_notes()


def number_of(label: str) -> str:
    """Return the number of a list item as shown, "" for a bullet, which may be a letter of a symbol font."""
    label = " ".join(MARKS.sub("", label).split())
    return label if any(each.isalnum() for each in label) and label not in ("o", "O", "v", "Ø", "§", "ü", "q") else ""
