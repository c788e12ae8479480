"""Read Word files and EPUB books: both become XHTML, of which all text is kept, unlike that of a web page.

mammoth converts Word to HTML and keeps what a reader of the raw paragraphs loses: text in content controls, text boxes,
footnotes and tracked insertions. An EPUB is a zip of XHTML chapters in the order of its package file.
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
from rag.loaders.builder import DocumentBuilder, LoadedText
from rag.loaders.decoding import decode, normalise, one_line
from rag.loaders.metadata import day
from rag.loaders.office.office_math import word_math_to_text
from rag.loaders.safe_zip import office_date, open_zip, read_part, repack
from rag.loaders.web.xhtml import BLOCKS, SILENT, Element, parse_xml, tag_of, text_of

MAX_WORD_BYTES = 40_000_000  # of XML: some 5,000 pages; mammoth needs 25 times as much memory
MAX_BOOK_BYTES = 500_000_000  # including pictures, which are not unpacked
HEADINGS = {f"h{level}": level for level in range(1, 7)}
LISTS = frozenset(("ul", "ol"))
BACK_LINKS = "↑↩\ufe0e "  # added by mammoth and pandoc after each note
CODE_STYLES = ("Source Code", "HTML Preformatted", "Preformatted Text", "Code", "Code Block", "macro")
STYLES = "\n".join(
    ["p[style-name='Title'] => h1:fresh", *(rf"p[style-name='{name}'] => pre:separator('\n')" for name in CODE_STYLES)]
)
NOTE = re.compile(r"(?:footnote|endnote)-|fn:?\d")  # how the id of a note begins
MAX_SPAN = 1_000  # rows or columns that a cell spans; more is forged
BREAK = "\0"  # stands for <br>: no text contains a NUL
CONTAINER, RIGHTS = "META-INF/container.xml", "META-INF/encryption.xml"


def load_docx(data: bytes) -> LoadedText:
    """Read a Word file: headings by style, lists, tables, notes, formulas. Raises Unreadable."""
    import mammoth  # slow to import, and many folders hold no Word file

    clean = repack(data, MAX_WORD_BYTES, change=word_math_to_text)
    no_pictures = mammoth.images.img_element(lambda image: {})
    try:
        html = mammoth.convert_to_html(clean, convert_image=no_pictures, style_map=STYLES).value
    except Exception as error:  # a damaged file may fail anywhere in mammoth
        raise Unreadable(
            f"it is not a Word file, or it is damaged ({type(error).__name__}): save it again as .docx"
        ) from error
    builder = DocumentBuilder()
    write_html(builder, html)
    return replace(builder.build(builder.first_heading), date=day(office_date(clean)))


def load_epub(data: bytes) -> LoadedText:
    """Read the chapters of an e-book in order. A damaged chapter is left out and noted in `lost`.

    Raises Unreadable for a book that is no EPUB or is copy-protected.
    """
    builder, lost = DocumentBuilder(), list[str]()
    with open_zip(data, MAX_BOOK_BYTES) as book:
        package = _package(book)
        tree = _parse(decode(read_part(book, package)))
        chapters = list(_chapters(tree, dirname(package)))
        if RIGHTS in book.NameToInfo:
            _refuse_encrypted(book, chapters)
        for chapter in chapters:
            try:
                write_html(builder, decode(read_part(book, chapter)))
            except Unreadable as error:
                lost.append(f"{chapter!r}, {error}")
    title = next((text_of(element) for element in tree.iter() if tag_of(element) == "title"), "")
    note = f"{len(lost)} of its {len(chapters)} chapters cannot be read, the first: {lost[0]}" if lost else ""
    return replace(builder.build(one_line(title) or builder.first_heading), lost=note, date=_date(tree))


def write_html(builder: DocumentBuilder, html: str) -> None:
    """Write all text of an HTML body into a builder. Raises Unreadable."""
    root = _parse(html if "<body" in html[:5000] or "<html" in html[:5000] else f"<body>{html}</body>")
    items = (each for each in root.iter() if tag_of(each) == "li")
    notes = {f"#{each.get('id')}": each for each in items if NOTE.match(each.get("id") or "")}
    writer = _Writer(builder, notes)
    try:
        writer.walk(root)
    except RecursionError:
        raise Unreadable("its markup is nested too deeply") from None
    writer.flush()


class _Writer:
    """Walks an XHTML tree; inline text is collected until a block begins or ends.

    A note is written after the block that links to it: at the end of the document it would be under another heading.
    """

    def __init__(self, builder: DocumentBuilder, notes: dict[str, Element]) -> None:
        self._builder, self._notes = builder, notes
        self._line: list[str] = []
        self._note_links: list[Element] = []

    def walk(self, element: Element) -> None:
        self._line.append(element.text or "")
        for child in element:
            self._visit(child, tag_of(child))
            self._line.append(child.tail or "")

    def flush(self) -> None:
        text = _tidy("".join(self._line))
        self._line = []
        self._builder.add(text)
        self._write_notes(self._note_links)
        self._note_links = []

    def _write_notes(self, links: Iterable[Element]) -> None:
        for link in links:
            note = self._notes.get(link.get("href") or "")
            if note is not None and (text := text_of(note).rstrip(BACK_LINKS)):
                self._builder.add(f"{text_of(link)} {text}")
                note.clear()  # notes that nothing links to stay where they are

    def _visit(self, child: Element, tag: str) -> None:
        if tag == "br":
            self._line.append(BREAK)
        elif tag in HEADINGS:
            self.flush()
            self._builder.heading(HEADINGS[tag], text_of(child))
        elif tag in LISTS:
            self.flush()
            self._builder.add("\n".join(_items(child, 0)), "list")
            self._write_notes(_links(child))
        elif tag == "table":
            self.flush()
            self._builder.table(_grid(child), has_header=_has_header(child))
            self._write_notes(_links(child))
        elif tag == "pre":
            self.flush()
            self._builder.add(_verbatim(child).strip("\n"), "code")
        elif tag in BLOCKS:
            self.flush()
            self.walk(child)
            self.flush()
        elif tag and tag not in SILENT:
            if tag == "a":
                self._note_links.append(child)
            self.walk(child)


def _links(element: Element) -> Iterator[Element]:
    return (each for each in element.iter() if tag_of(each) == "a")


def _verbatim(element: Element) -> str:
    """Return the text of a code block with all its spaces and line breaks."""
    for each in element.iter():
        if tag_of(each) == "br":
            each.tail = "\n" + (each.tail or "")
    return "".join(element.itertext())


def _items(parent: Element, depth: int) -> Iterator[str]:
    """Yield the lines of a list, nested lists indented."""
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
    """Return a table's texts by row and column. A cell that spans several rows is repeated in each of them."""
    grid: list[list[str]] = []
    hanging: dict[int, tuple[str, int]] = {}  # column -> (text, rows it still spans)
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


def _has_header(table: Element) -> bool:
    """Return whether the first row is marked as a header: all its cells are <th>, or it is in a <thead>."""
    cells = next(_rows(table), [])
    return bool(cells) and (
        all(tag_of(cell) == "th" for cell in cells) or tag_of(cells[0].getparent().getparent()) == "thead"
    )


def _span(cell: Element, name: str) -> int:
    value = cell.get(name) or ""
    return min(int(value), MAX_SPAN) if value.isascii() and value.isdigit() else 1


def _rows(table: Element) -> Iterator[list[Element]]:
    """Yield the cells of each row; a nested table is text of its cell."""
    for row in table.iter():
        if tag_of(row) == "tr" and next(above for above in row.iterancestors() if tag_of(above) == "table") is table:
            yield [cell for cell in row if tag_of(cell) in ("td", "th")]


def _tidy(text: str) -> str:
    """Return collected text with line breaks only for <br> and single spaces elsewhere."""
    return "\n".join(line for part in text.split(BREAK) if (line := " ".join(part.split())))


def _parse(text: str) -> Element:
    return parse_xml(normalise(text))


def _package(book: ZipFile) -> str:
    """Return the name of the package file, which lists the parts of the book."""
    for element in _parse(decode(read_part(book, CONTAINER))).iter():
        if tag_of(element) == "rootfile" and element.get("full-path"):
            return str(element.get("full-path"))
    raise Unreadable("it is not an EPUB book: it names no package file")


def _date(package: Element) -> str:
    """Return the day of the last change, else of publication, in a package file; "" if it has neither."""
    dates = [
        (element.get("property") != "dcterms:modified", day(element.text or ""))
        for element in package.iter()
        if tag_of(element) == "date" or element.get("property") == "dcterms:modified"
    ]
    return next((found for _, found in sorted(dates) if found), "")


def _chapters(package: Element, folder: str) -> Iterator[str]:
    """Yield the names of the chapters in reading order, without the table of contents."""
    items = {element.get("id"): element for element in package.iter() if tag_of(element) == "item"}
    for reference in (element.get("idref") for element in package.iter() if tag_of(element) == "itemref"):
        item = items.get(reference)
        if item is not None and "nav" not in (item.get("properties") or "").split() and item.get("href"):
            yield normpath(join(folder, unquote(item.get("href").partition("#")[0])))


def _refuse_encrypted(book: ZipFile, chapters: list[str]) -> None:
    """Raise Unreadable if chapters are encrypted. Publishers obfuscate fonts the same way, which does not matter."""
    tree = _parse(decode(read_part(book, RIGHTS)))
    encrypted = {unquote(element.get("URI") or "") for element in tree.iter() if tag_of(element) == "cipherreference"}
    if encrypted & set(chapters):
        raise Unreadable("its chapters are encrypted by copy protection: only the seller's reader can open it")
