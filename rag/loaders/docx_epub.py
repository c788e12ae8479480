"""Word files and e-books -> text. Both become HTML in which everything counts, unlike a web page's.

mammoth makes HTML of a Word file and keeps what readers of its raw paragraphs lose: text in content controls, boxes,
footnotes and tracked insertions. An e-book is a zip of HTML chapters, in the order its package file gives.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from posixpath import dirname, join, normpath
from urllib.parse import unquote
from zipfile import ZipFile

from rag.errors import Unreadable
from rag.loaders.builder import DocumentBuilder, LoadedText, day, decode, normalise, one_line
from rag.loaders.office_math import word_math_to_text
from rag.loaders.safe_zip import office_date, open_zip, read_part, repack
from rag.loaders.xhtml import BLOCKS, SILENT, Element, parse_xml, tag_of, text_of

MAX_WORD_BYTES = 40_000_000  # of XML: some 5,000 pages; mammoth takes 25 times as much memory
MAX_BOOK_BYTES = 500_000_000  # pictures included, which are not unpacked
HEADINGS = {f"h{level}": level for level in range(1, 7)}
LISTS = frozenset(("ul", "ol"))
BACK_LINKS = "↑↩\ufe0e "  # mammoth's and pandoc's, behind each note
CODE_STYLES = ("Source Code", "HTML Preformatted", "Preformatted Text", "Code", "Code Block", "macro")
STYLES = "\n".join(
    ["p[style-name='Title'] => h1:fresh", *(rf"p[style-name='{name}'] => pre:separator('\n')" for name in CODE_STYLES)]
)
NOTE = re.compile(r"(?:footnote|endnote)-|fn:?\d")  # what the id of a note begins with
MOST_SPANNED = 1_000  # rows or columns; more is forged
BREAK = "\0"  # where <br> stood: no text holds this
CONTAINER, RIGHTS = "META-INF/container.xml", "META-INF/encryption.xml"


def load_docx(data: bytes) -> LoadedText:
    """Read a Word file: headings by its styles, lists, tables, notes. Raises Unreadable."""
    import mammoth  # takes a moment, and many folders hold no Word file

    clean = repack(data, MAX_WORD_BYTES, change=word_math_to_text)
    no_pictures = mammoth.images.img_element(lambda image: {})
    try:
        html = mammoth.convert_to_html(clean, convert_image=no_pictures, style_map=STYLES).value
    except Exception as error:  # a damaged file may break it anywhere
        raise Unreadable(f"it is no Word file, or damaged ({type(error).__name__}): save it anew as .docx") from error
    draft = DocumentBuilder()
    write_html(draft, html)
    return replace(draft.extract(draft.first_heading), date=day(office_date(clean)))


def load_epub(data: bytes) -> LoadedText:
    """Read an e-book's chapters in their order. A damaged chapter costs itself, not the book. Raises Unreadable."""
    draft, lost = DocumentBuilder(), list[str]()
    with open_zip(data, MAX_BOOK_BYTES) as book:
        package = _package(book)
        tree = _parse(decode(read_part(book, package)))
        chapters = list(_chapters(tree, dirname(package)))
        if RIGHTS in book.NameToInfo:
            _refuse_locked(book, chapters)
        for chapter in chapters:
            try:
                write_html(draft, decode(read_part(book, chapter)))
            except Unreadable as error:
                lost.append(f"{chapter!r}, {error}")
    title = next((text_of(element) for element in tree.iter() if tag_of(element) == "title"), "")
    told = f"{len(lost)} of its {len(chapters)} chapters cannot be read, the first: {lost[0]}" if lost else ""
    return replace(draft.extract(one_line(title) or draft.first_heading), lost=told, date=_date(tree))


def write_html(draft: DocumentBuilder, html: str) -> None:
    """Write all text of an HTML body into a draft."""
    root = _parse(html if "<body" in html[:5000] or "<html" in html[:5000] else f"<body>{html}</body>")
    items = (each for each in root.iter() if tag_of(each) == "li")
    notes = {f"#{each.get('id')}": each for each in items if NOTE.match(each.get("id") or "")}
    writer = _Writer(draft, notes)
    try:
        writer.walk(root)
    except RecursionError:
        raise Unreadable("its markup is nested too deeply") from None
    writer.flush()


class _Writer:
    """Walks a page. Text in a line is gathered until a block begins or ends.

    A note follows the block that points to it: at the end of the document it would stand under a heading of others.
    """

    def __init__(self, draft: DocumentBuilder, notes: dict[str, Element]) -> None:
        self._draft, self._notes = draft, notes
        self._line: list[str] = []
        self._pointers: list[Element] = []

    def walk(self, element: Element) -> None:
        self._line.append(element.text or "")
        for child in element:
            self._visit(child, tag_of(child))
            self._line.append(child.tail or "")

    def flush(self) -> None:
        text = _tidy("".join(self._line))
        self._line = []
        self._draft.add(text)
        self._write_notes(self._pointers)
        self._pointers = []

    def _write_notes(self, links: Iterable[Element]) -> None:
        for link in links:
            note = self._notes.get(link.get("href") or "")
            if note is not None and (text := text_of(note).rstrip(BACK_LINKS)):
                self._draft.add(f"{text_of(link)} {text}")
                note.clear()  # what is left of the notes, to which nothing points, stays in its place

    def _visit(self, child: Element, tag: str) -> None:
        if tag == "br":
            self._line.append(BREAK)
        elif tag in HEADINGS:
            self.flush()
            self._draft.heading(HEADINGS[tag], text_of(child))
        elif tag in LISTS:
            self.flush()
            self._draft.add("\n".join(_items(child, 0)), "list")
            self._write_notes(_links(child))
        elif tag == "table":
            self.flush()
            self._draft.table(_grid(child), marked=_has_headers(child))
            self._write_notes(_links(child))
        elif tag == "pre":
            self.flush()
            self._draft.add(_verbatim(child).strip("\n"), "code")
        elif tag in BLOCKS:
            self.flush()
            self.walk(child)
            self.flush()
        elif tag and tag not in SILENT:
            if tag == "a":
                self._pointers.append(child)
            self.walk(child)


def _links(element: Element) -> Iterator[Element]:
    return (each for each in element.iter() if tag_of(each) == "a")


def _verbatim(element: Element) -> str:
    """Return the text of a code block with all its blanks and lines."""
    for each in element.iter():
        if tag_of(each) == "br":
            each.tail = "\n" + (each.tail or "")
    return "".join(element.itertext())


def _items(parent: Element, depth: int) -> Iterator[str]:
    """Yield the lines of a list, those of lists within it indented."""
    for number, item in enumerate((child for child in parent if tag_of(child)), 1):
        mark = f"{number}." if tag_of(parent) == "ol" else "-"
        lists = [child for child in item.iter() if tag_of(child) in LISTS]
        own = text_of(item, without=lists).rstrip(BACK_LINKS)
        if own:
            yield f"{'  ' * depth}{mark} {own}"
        for child in lists:
            if not any(tag_of(above) in LISTS and above in lists for above in child.iterancestors()):
                yield from _items(child, depth + 1)


def _grid(table: Element) -> list[list[str]]:
    """Return a table's texts by row and column. What spans several rows stands in each: without it a row says less."""
    grid: list[list[str]] = []
    hanging: dict[int, tuple[str, int]] = {}  # by column, for how many rows yet
    for cells in map(deque, _rows(table)):
        row: list[str] = []
        above, hanging = hanging, {}
        while cells or len(row) in above:
            if len(row) in above:
                (text, height), width = above[len(row)], 1
            else:
                cell = cells.popleft()
                text, height, width = text_of(cell), _span(cell, "rowspan"), _span(cell, "colspan")
            for part in (text, *[""] * (width - 1)):
                if height > 1:
                    hanging[len(row)] = part, height - 1
                row.append(part)
        grid.append(row)
    return grid


def _has_headers(table: Element) -> bool:
    """Return whether the first row is marked as one of headers: by its cells, all of them, or by what it stands in."""
    cells = next(_rows(table), [])
    return bool(cells) and (
        all(tag_of(cell) == "th" for cell in cells) or tag_of(cells[0].getparent().getparent()) == "thead"
    )


def _span(cell: Element, name: str) -> int:
    told = cell.get(name) or ""
    return min(int(told), MOST_SPANNED) if told.isascii() and told.isdigit() else 1


def _rows(table: Element) -> Iterator[list[Element]]:
    """Yield the cells of a table's rows; a table within a cell is text of this cell."""
    for row in table.iter():
        if tag_of(row) == "tr" and next(above for above in row.iterancestors() if tag_of(above) == "table") is table:
            yield [cell for cell in row if tag_of(cell) in ("td", "th")]


def _tidy(text: str) -> str:
    """Return gathered text with its line breaks where <br> stood and single blanks elsewhere."""
    return "\n".join(line for part in text.split(BREAK) if (line := " ".join(part.split())))


def _parse(text: str) -> Element:
    return parse_xml(normalise(text))


def _package(book: ZipFile) -> str:
    """Return the name of the file that says what the book consists of."""
    for element in _parse(decode(read_part(book, CONTAINER))).iter():
        if tag_of(element) == "rootfile" and element.get("full-path"):
            return str(element.get("full-path"))
    raise Unreadable("it is no e-book: it names no package file")


def _date(package: Element) -> str:
    """Return the day of the last change that a package file tells, or of publication."""
    told = [
        (element.get("property") != "dcterms:modified", day(element.text or ""))
        for element in package.iter()
        if tag_of(element) == "date" or element.get("property") == "dcterms:modified"
    ]
    return next((found for _, found in sorted(told) if found), "")


def _chapters(package: Element, folder: str) -> Iterator[str]:
    """Yield the names of the chapters in reading order; the table of contents is none."""
    items = {element.get("id"): element for element in package.iter() if tag_of(element) == "item"}
    for reference in (element.get("idref") for element in package.iter() if tag_of(element) == "itemref"):
        item = items.get(reference)
        if item is not None and "nav" not in (item.get("properties") or "").split() and item.get("href"):
            yield normpath(join(folder, unquote(item.get("href").partition("#")[0])))


def _refuse_locked(book: ZipFile, chapters: list[str]) -> None:
    """Raise Unreadable where chapters are encrypted; publishers scramble fonts in the same way, which harms nobody."""
    tree = _parse(decode(read_part(book, RIGHTS)))
    locked = {unquote(element.get("URI") or "") for element in tree.iter() if tag_of(element) == "cipherreference"}
    if locked & set(chapters):
        raise Unreadable("its chapters are encrypted by copy protection: only the shop's own reader opens it")
