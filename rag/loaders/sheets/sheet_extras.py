"""Read what belongs to a sheet of an Excel workbook but is in no cell: comments, charts, text boxes, diagrams."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from zipfile import ZipFile

from rag.loaders.builder import DocumentBuilder
from rag.loaders.office.ooxml import Element, Package, attribute, chart_table, diagram_lines, drawing_lines, local

CELLS = re.compile(r"/?xl/(?:worksheets/[^/]+|sharedStrings|styles|calcChain)\.xml", re.IGNORECASE)
SHEET_OF = re.compile(r"'((?:[^']|'')+)'!|([^\s'!(),:]+)!")  # in a reference such as 'My sheet'!A1:B2
THREAD = "tc="  # how the author of the copy of a thread begins, which older programs show


class SheetExtras:
    """The parts of a workbook but its cells."""

    def __init__(self, opened: ZipFile, visible: Collection[str]) -> None:
        """Take an unpacked workbook and the names of its visible sheets."""
        self._package = Package.of({name: opened.read(name) for name in opened.namelist() if not CELLS.fullmatch(name)})
        self._visible = frozenset(visible)
        people = (
            each
            for name in self._package.parts
            if "/persons/" in name and not name.endswith(".rels")
            for each in self._package.tree(name)
        )
        self._people = {attribute(each, "id"): attribute(each, "displayName") for each in people}

    def write(self, builder: DocumentBuilder, sheet: str) -> None:
        """Write what belongs to the sheet in part `sheet`: text boxes, charts, then comments with their cells."""
        for drawing in self._package.related(sheet, "drawing"):
            self._write_drawing(builder, drawing)
        threads = list(self._threads(sheet))
        answered = {place for place, _, _ in threads}
        notes = [each for each in self._notes(sheet) if not (each[0] in answered and each[1].startswith(THREAD))]
        for place, author, text in (*notes, *threads):
            builder.add(comment_line(text, author, place))

    def write_chart_sheets(self, builder: DocumentBuilder) -> None:
        """Write the visible sheets that are a chart and have no cells."""
        main = self._package.main_part()
        relations = self._package.relations(main)
        for sheet in (each for each in self._package.tree(main).iter() if local(each) == "sheet"):
            keys = [value for key, value in sheet.attrib.items() if key.endswith("relationships}id")]
            relation = relations.get(keys[0]) if keys else None
            if relation and relation.kind == "chartsheet" and not sheet.get("state"):
                builder.heading(1, sheet.get("name") or "")
                self.write(builder, relation.target)

    def _write_drawing(self, builder: DocumentBuilder, drawing: str) -> None:
        for line in drawing_lines(self._package.tree(drawing)):
            builder.add(line)
        for part in self._package.related(drawing, "diagramData"):
            builder.add("\n".join(f"- {line}" for line in diagram_lines(self._package.tree(part))), "list")
        for part in self._package.related(drawing, "chart"):
            chart = self._package.tree(part)
            title, rows = chart_table(chart, with_values=not self._is_of_visible_cells(chart))
            builder.add(f"Chart: {title}" if title else "Chart:" if rows else "")
            builder.table(rows, has_header=True)

    def _is_of_visible_cells(self, chart: Element) -> bool:
        """Return whether all values of a chart are cells of visible sheets: they are part of the text already."""
        formulas = [each.text or "" for each in chart.iter() if local(each) == "f"]
        named = {quoted.replace("''", "'") or plain for text in formulas for quoted, plain in SHEET_OF.findall(text)}
        return bool(named) and named <= self._visible

    def _notes(self, sheet: str) -> Iterator[tuple[str, str, str]]:
        for part in self._package.related(sheet, "comments"):
            root = self._package.tree(part)
            authors = [each.text or "" for each in root.iter() if local(each) == "author"]
            for each in (note for note in root.iter() if local(note) == "comment"):
                number = attribute(each, "authorId")
                author = authors[int(number)] if number.isdigit() and int(number) < len(authors) else ""
                yield attribute(each, "ref"), author, _text(each)

    def _threads(self, sheet: str) -> Iterator[tuple[str, str, str]]:
        for part in self._package.related(sheet, "threadedComment"):
            for each in self._package.tree(part):
                if local(each) == "threadedComment":
                    yield attribute(each, "ref"), self._people.get(attribute(each, "personId"), ""), _text(each)


def comment_line(text: str, author: str, place: str) -> str:
    """Return a comment on a cell as one line; Excel begins its text with the author's name, which is left out."""
    author, text = " ".join(author.split()), " ".join(text.split())
    text = text.removeprefix(f"{author}:").strip() if author else text
    return f"Comment{f' by {author}' if author else ''} on {place}: {text}" if text else ""


def cell_name(row: int, column: int) -> str:
    """Return the name of a cell by its row and column from 0, such as B1 for (0, 1)."""
    letters, column = "", column + 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return f"{letters}{row + 1}"


def _text(comment: Element) -> str:
    return "".join(each.text or "" for each in comment.iter() if local(each) in ("t", "text"))
