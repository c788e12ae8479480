"""Read OpenDocument text (.odt): headings and lists with their numbers, tables, notes, comments, text boxes, code."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace

from lxml import etree

from rag.errors import Unreadable
from rag.loaders.builder import DocumentBuilder, LoadedText
from rag.loaders.decoding import line_of
from rag.loaders.office.header_rows import join_headers
from rag.loaders.opendocument.inline import COUNTERS, SHAPES, SILENT, Anchored, Inline
from rag.loaders.opendocument.numbering import BULLET, Counts, Numbering
from rag.loaders.opendocument.objects import comment_text, form_fields, write_chart
from rag.loaders.opendocument.package import (
    Children,
    Element,
    OpenDocument,
    Styles,
    child,
    count_of,
    full,
    get,
    name_of,
)
from rag.loaders.tables import END_OF_PARAGRAPH, cell_line

CODE_STYLES = {"Preformatted Text", "Source Code", "Source Text Block", "HTML Preformatted", "Code", "Code Block",
               "Listing", "SourceCode"}  # fmt: skip
TITLE = "Title"
MAX_COLUMNS = 1_000  # of a table in a text
MAX_COVERED = 100_000  # cells below and beside merged ones of a table; more are forged
COVERED = etree.Element(full("table:covered-table-cell"))
MARGINS = {
    "style:header": "Page header",
    "style:header-first": "Page header of the first page",
    "style:header-left": "Page header of even pages",
    "style:footer": "Page footer",
    "style:footer-first": "Page footer of the first page",
    "style:footer-left": "Page footer of even pages",
}


def load_odt(data: bytes) -> LoadedText:
    """Read an OpenDocument text. Raises Unreadable."""
    document = OpenDocument(data, "office:text")
    builder = DocumentBuilder()
    writer = TextWriter(builder, document, document.styles)
    try:
        write_margins(builder, document)
        writer.write(document.body)
    except RecursionError:
        raise Unreadable("its markup is nested too deeply") from None
    hidden = writer.inline.hidden
    note = f"hidden text is left out ({hidden} passages)" if hidden else ""
    return replace(builder.build(builder.first_heading or document.title), date=document.date, note=note)


def write_margins(builder: DocumentBuilder, document: OpenDocument) -> None:
    """Write the headers and footers of the pages in use, each text once, marked as such; without page numbers."""
    inline = Inline(document, document.page_styles, {}, counters=False)
    seen = set[str]()
    for name, label in MARGINS.items():
        for page in document.used_pages():
            margin = child(page, name)
            if margin is None or get(margin, "style:display") == "false":
                continue
            text = inline.flat(margin, Anchored())
            is_counter = len(text.split()) < 2 and any(name_of(each) in COUNTERS for each in margin.iter())
            if len(re.findall(r"[^\W\d_]", text)) > 1 and text not in seen and not is_counter:
                seen.add(text)
                builder.add(f"{label}: {text}")


class TextWriter:
    """Writes the blocks of a text into a builder. What is anchored in a paragraph or table follows it."""

    def __init__(self, builder: DocumentBuilder, document: OpenDocument, styles: Styles) -> None:
        self.inline = Inline(document, styles, form_fields(document))
        self._builder, self._document, self._styles = builder, document, styles
        self._numbering = Numbering(styles)
        self._code, self._items = list[str](), list[str]()

    def write(self, parent: Element) -> None:
        """Write all blocks of an element."""
        self._blocks(parent)
        self._flush()

    def _blocks(self, parent: Element) -> None:
        for element in parent:
            name = name_of(element)
            if name in ("text:p", "text:h"):
                self._paragraph(element, name)
            elif name == "text:list":
                self._flush()
                self._list(element, 1, "", None)
                self._flush()
            elif name == "table:table":
                self._flush()
                self._table(element)
            elif name == "office:annotation":
                self._after(Anchored([comment_text(element)]))
            elif name == "text:section" and self.inline.is_hidden(element):
                continue
            elif SHAPES.match(name):
                self._after(self._anchored(element))
            elif name == "draw:control":
                anchored = Anchored()
                self._builder.add(self.inline.line(Children([element]), anchored))
            elif name and not SILENT.match(name):
                self._blocks(element)

    def _anchored(self, shape: Element) -> Anchored:
        anchored = Anchored()
        text = self.inline.line(Children([shape]), anchored)
        anchored.lines += filter(None, [text])
        return anchored

    def _paragraph(self, element: Element, name: str) -> None:
        if self.inline.is_hidden(element):
            return
        anchored, styles = Anchored(), self._styles.names(get(element, "text:style-name"))
        if name == "text:p" and styles & CODE_STYLES:
            self._flush_items()
            self._code.append(self.inline.code(element, anchored))
        else:
            self._flush()
            text = self.inline.line(element, anchored)
            level = count_of(element, "text:outline-level") if name == "text:h" else 1
            if name == "text:h":
                number = self._numbering.heading(element, level) if text else ""
                self._builder.heading(level, f"{number} {text}".strip())
            elif TITLE in styles:
                self._builder.heading(1, text)
            else:
                self._builder.add(text)
        self._after(anchored)

    def _after(self, anchored: Anchored) -> None:
        if anchored.lines or anchored.shapes or anchored.charts:
            self._flush()
        for line in anchored.lines:
            self._builder.add(line)
        for root in anchored.charts:
            write_chart(self._builder, root)
        for shape in anchored.shapes:
            self._blocks(shape)
            self._flush()

    def _list(self, element: Element, level: int, style: str, counts: Counts | None) -> None:
        """Collect the lines of a list; headings, tables and code in it are blocks of their own."""
        counts, style = self._begin_list(element, style, counts)
        for item in (each for each in element if name_of(each) in ("text:list-item", "text:list-header")):
            mark = self._mark(item, counts, style, level)
            for each in item:
                if name_of(each) == "text:list":
                    self._list(each, level + 1, style, counts)
                elif name_of(each) in ("text:p", "text:h"):
                    mark = self._item(each, level, mark)
                elif name_of(each):
                    self._flush_items()
                    self._blocks(Children([each]))

    def _begin_list(self, element: Element, style: str, counts: Counts | None) -> tuple[Counts, str]:
        if counts is None:
            first = next(element.iter(full("text:p"), full("text:h")), None)
            counts = self._numbering.begin(element, get(first, "text:style-name"))
        return counts, get(element, "text:style-name") or style

    def _mark(self, item: Element, counts: Counts, style: str, level: int) -> str:
        """Count an item and return its number, BULLET or, where it has no text of its own, ""."""
        has_own = any(name_of(each) in ("text:p", "text:h") and _has_text(each) for each in item)
        numbered = name_of(item) == "text:list-item" and has_own
        return self._numbering.item(counts, style or counts.style, level, item) if numbered else ""

    def _item(self, paragraph: Element, level: int, mark: str) -> str:
        """Collect a paragraph of a list item, the first one with its mark; return the mark that is left to write."""
        if self.inline.is_hidden(paragraph):
            return mark
        if name_of(paragraph) == "text:h":
            anchored = Anchored()
            text = self.inline.line(paragraph, anchored)
            self._flush()
            self._builder.heading(count_of(paragraph, "text:outline-level"), f"{mark.strip('-')} {text}".strip())
            self._after(anchored)
            return ""
        if self._styles.names(get(paragraph, "text:style-name")) & CODE_STYLES:
            self._paragraph(paragraph, "text:p")
            return mark
        anchored = Anchored()
        text = line_of(self.inline.line(paragraph, anchored))
        if text:
            self._flush_code()
            self._items.append(f"{'  ' * (level - 1)}{mark} {text}" if mark else f"{'  ' * level}{text}")
        if anchored.lines or anchored.shapes or anchored.charts:
            self._after(anchored)
        return "" if text else mark

    def _table(self, table: Element) -> None:
        """Write a table; rows of column names above each other become one, a cell over several rows is in each."""
        anchored = Anchored()
        rows, spans, marked = list[list[str]](), list[int](), 0
        hanging: dict[int, tuple[str, int]] = {}  # column -> (text, rows it still spans)
        for row, is_header in with_covered(list(table_rows(table))):
            cells, widths = list[str](), list[int]()
            below: dict[int, tuple[str, int]] = {}
            for cell in row:
                name = name_of(cell)
                if name not in ("table:table-cell", "table:covered-table-cell"):
                    continue
                text = self._cell(cell, anchored)
                wide, high = (count_of(cell, f"table:number-{side}-spanned") for side in ("columns", "rows"))
                for _ in range(min(count_of(cell, "table:number-columns-repeated"), MAX_COLUMNS - len(cells))):
                    above = hanging.get(len(cells))
                    if above and not text:
                        cells.append(above[0])
                        below |= {len(cells) - 1: (above[0], above[1] - 1)} if above[1] > 1 else {}
                        widths.append(1)
                        continue
                    below |= {len(cells): (text, high - 1)} if high > 1 and text else {}
                    cells.append(text)
                    if name == "table:table-cell":
                        widths.append(wide)
            hanging = below
            rows.append(cells)
            spans = spans or widths
            marked += is_header
        title, rows, has_header = join_headers(rows, spans, marked)
        self._builder.add(title)
        self._builder.table(rows, has_header=has_header)
        self._after(anchored)

    def _cell(self, cell: Element, anchored: Anchored) -> str:
        """Return a cell's text, an end of paragraph after each paragraph and list item; text boxes in their place."""
        own = Anchored(anchored.lines)
        lines = list(self._cell_lines(cell, own))
        anchored.charts += own.charts
        while own.shapes:
            lines.append(self.inline.flat(own.shapes.pop(0), own))
        return END_OF_PARAGRAPH.join(filter(None, lines))

    def _cell_lines(self, parent: Element, anchored: Anchored) -> Iterator[str]:
        for each in parent:
            name = name_of(each)
            if name in ("text:p", "text:h"):
                yield "" if self.inline.is_hidden(each) else self.inline.line(each, anchored)
            elif name == "text:list":
                yield from self._list_in_cell(each, 1, "", None, anchored)
            elif name == "table:table":
                for row, _ in table_rows(each):
                    cells = (
                        cell_line(self._cell(cell, anchored)) for cell in row if name_of(cell) == "table:table-cell"
                    )
                    yield ", ".join(filter(None, cells))
            elif name == "office:annotation":
                anchored.lines += filter(None, [comment_text(each)])
            elif name and not SILENT.match(name) and not (name == "text:section" and self.inline.is_hidden(each)):
                yield from self._cell_lines(each, anchored)

    def _list_in_cell(
        self, element: Element, level: int, style: str, counts: Counts | None, anchored: Anchored
    ) -> Iterator[str]:
        counts, style = self._begin_list(element, style, counts)
        for item in (each for each in element if name_of(each) in ("text:list-item", "text:list-header")):
            mark = self._mark(item, counts, style, level).removeprefix(BULLET)
            for each in item:
                if name_of(each) == "text:list":
                    yield from self._list_in_cell(each, level + 1, style, counts, anchored)
                    continue
                for line in self._cell_lines(Children([each]), anchored):
                    yield f"{mark} {line}".strip()
                    mark = ""

    def _flush(self) -> None:
        self._flush_code()
        self._flush_items()

    def _flush_code(self) -> None:
        self._builder.code("\n".join(self._code))
        self._code = []

    def _flush_items(self) -> None:
        self._builder.add(textwrap.dedent("\n".join(self._items)), "list")
        self._items = []


def table_rows(table: Element) -> Iterator[tuple[Element, bool]]:
    """Yield the rows of a table, groups of rows opened, and whether each is marked as a header."""
    for element in table:
        name = name_of(element)
        if name == "table:table-row":
            yield element, False
        elif name in ("table:table-header-rows", "table:table-rows", "table:table-row-group"):
            for row, is_header in table_rows(element):
                yield row, is_header or name == "table:table-header-rows"


def with_covered(rows: list[tuple[Element, bool]]) -> Iterator[tuple[Sequence[Element], bool]]:
    """Yield rows with the covered cells below and beside merged ones, which docutils does not write.

    A table that has any is taken as it is.
    """
    if any(name_of(cell) == "table:covered-table-cell" for row, _ in rows for cell in row):
        yield from rows
        return
    hanging: dict[int, int] = {}  # column -> rows in which it is still covered
    covered = 0
    for row, is_header in rows:
        cells, below, column = Children(), {each: high - 1 for each, high in hanging.items() if high > 1}, 0
        for cell in (*(each for each in row if name_of(each) == "table:table-cell"), None):
            while column in hanging:
                cells.append(COVERED)
                column += 1
            if cell is None:
                break
            wide, high = (count_of(cell, f"table:number-{side}-spanned") for side in ("columns", "rows"))
            wide = min(wide, max(1, MAX_COLUMNS - column))
            cells += [cell, *[COVERED] * (wide - 1)]
            below |= dict.fromkeys(range(column, column + wide), high - 1) if high > 1 else {}
            column += max(wide, count_of(cell, "table:number-columns-repeated"))
        covered += len(below)
        hanging = below if covered < MAX_COVERED else {}
        yield cells, is_header


def _has_text(paragraph: Element) -> bool:
    return bool("".join(paragraph.itertext()).strip())
