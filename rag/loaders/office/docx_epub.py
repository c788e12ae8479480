"""Read Word files and EPUB books: both become XHTML, of which all text is kept, unlike that of a web page.

mammoth converts Word to HTML and keeps what a reader of the raw paragraphs loses: text in content controls, text boxes,
footnotes and tracked insertions. An EPUB is a zip of XHTML chapters in the order of its package file.
"""

from __future__ import annotations

import email
import email.policy
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from posixpath import dirname, join, normpath
from urllib.parse import unquote
from zipfile import ZipFile

import lxml.html
from lxml import etree

from rag.errors import Unreadable
from rag.loaders.builder import DocumentBuilder, LoadedText
from rag.loaders.decoding import decode, decode_named, normalise, one_line
from rag.loaders.metadata import day
from rag.loaders.office.header_rows import join_headers
from rag.loaders.office.office_math import word_math_to_text
from rag.loaders.office.ooxml import Package
from rag.loaders.office.rtf import write_rtf
from rag.loaders.office.word_prepare import CODE_STYLE, INSERT_STYLE, NUMBER_STYLE, Insert, Preparation
from rag.loaders.safe_zip import office_date, open_zip, read_part
from rag.loaders.web.xhtml import BLOCKS, SILENT, Element, cell_text, parse_xml, tag_of, text_of

MAX_WORD_BYTES = 40_000_000  # of XML: some 5,000 pages; mammoth needs 25 times as much memory
MAX_BOOK_BYTES = 500_000_000  # including pictures, which are not unpacked
HEADINGS = {f"h{level}": level for level in range(1, 7)}
LISTS = frozenset(("ul", "ol"))
BACK_LINKS = "↑↩\ufe0e "  # added by mammoth and pandoc after each note
CODE_STYLES = ("Source Code", "HTML Preformatted", "Preformatted Text", "Code", "Code Block", "macro")
STYLES = "\n".join(
    [
        "p[style-name='Title'] => h1:fresh",
        f"r.{NUMBER_STYLE} => span.number:fresh",
        f"p.{INSERT_STYLE} => p.insert:fresh",
        rf"p.{CODE_STYLE} => pre:separator('\n')",
        *(rf"p[style-name='{name}'] => pre:separator('\n')" for name in CODE_STYLES),
    ]
)
NOTE = re.compile(r"(?:footnote|endnote)-|fn:?\d")  # how the id of a note begins
MAX_SPAN = 1_000  # rows or columns that a cell spans; more is forged
BREAK = "\0"  # stands for <br>: no text contains a NUL
MAX_CHUNK_DEPTH = 3  # of Word files embedded in each other
MIME = re.compile(rb"\s*(?:MIME-Version|From|Content-Type|Subject|Date):", re.I)
MARKUP = re.compile(rb"(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[\s\0]*<")
CHARSET = re.compile(rb"charset\s*=\s*[\"']?([\w-]+)", re.I)
CONTAINER, RIGHTS = "META-INF/container.xml", "META-INF/encryption.xml"


def load_docx(data: bytes) -> LoadedText:
    """Read a Word file: headings by style, lists, tables, notes, formulas. Raises Unreadable."""
    builder = DocumentBuilder()
    hidden, date, lost = _write_word(builder, data, 0)
    note = f"hidden text is left out ({hidden} passages)" if hidden else ""
    return replace(builder.build(builder.first_heading), date=date, note=note, lost="; ".join(lost))


def _write_word(builder: DocumentBuilder, data: bytes, depth: int) -> tuple[int, str, list[str]]:
    """Write a Word file; return how much of it is hidden, its date, and what could not be read. Raises Unreadable."""
    import mammoth  # slow to import, and many folders hold no Word file

    lost = list[str]()

    def read_chunk(name: str) -> Insert:
        def write(target: DocumentBuilder) -> None:
            try:
                with open_zip(data, MAX_BOOK_BYTES) as opened:
                    _write_chunk(target, name, read_part(opened, name), depth)
            except Unreadable as error:
                lost.append(f"its embedded file {name!r} cannot be read: {error}")

        return write

    package = Package(data, MAX_WORD_BYTES, change=word_math_to_text)
    no_pictures = mammoth.images.img_element(lambda image: {})
    try:
        prepared = Preparation(package, read_chunk)
        clean = package.pack()
        html = mammoth.convert_to_html(clean, convert_image=no_pictures, style_map=STYLES).value
    except Exception as error:  # a damaged file may fail anywhere in mammoth
        raise Unreadable(
            f"it is not a Word file, or it is damaged ({type(error).__name__}): save it again as .docx"
        ) from error
    write_html(builder, html, prepared.inserts)
    return prepared.hidden, day(office_date(clean)), lost


def _write_chunk(builder: DocumentBuilder, name: str, data: bytes, depth: int) -> None:
    """Write a file embedded in a Word file (altChunk), by its bytes and name. Raises Unreadable."""
    suffix = name.rpartition(".")[2].lower()
    if data.startswith(b"PK"):
        if depth >= MAX_CHUNK_DEPTH:
            raise Unreadable("Word files are embedded in each other too deeply")
        _write_word(builder, data, depth + 1)
    elif data.startswith(b"{\\rtf"):
        write_rtf(builder, data)
    elif suffix in ("mht", "mhtml", "eml") or MIME.match(data):
        message = email.message_from_bytes(data, policy=email.policy.default)
        for part in message.walk():
            if part.get_content_type() in ("text/html", "application/xhtml+xml"):
                payload = part.get_payload(decode=True)
                write_page(builder, payload if isinstance(payload, bytes) else b"", part.get_content_charset() or "")
                return
        raise Unreadable("it holds no HTML")
    elif suffix in ("htm", "html", "xhtml") or MARKUP.match(data):
        write_page(builder, data)
    else:
        for paragraph in re.split(r"\n\s*\n", normalise(decode(data))):
            builder.add(paragraph)


def write_page(builder: DocumentBuilder, data: bytes, encoding: str = "") -> None:
    """Write all text of an HTML page, which need not be well-formed. Raises Unreadable."""
    try:
        text = decode_named(data, encoding) if encoding else decode_page(data)
    except (LookupError, UnicodeDecodeError):
        text = decode_page(data)
    text = re.sub(r"\A\s*<\?xml[^>]*\?>", "", normalise(text))
    if not text.strip():
        return
    root = lxml.html.document_fromstring(text)
    etree.strip_elements(root, etree.Comment, "script", "style", with_tail=False)
    write_html(builder, etree.tostring(root, encoding="unicode", method="xml"))


def decode_page(data: bytes) -> str:
    """Return the text of a page by the charset that it declares, else as any text. Raises Unreadable."""
    declared = CHARSET.search(data[:2000])
    try:
        return decode_named(data, declared[1].decode()) if declared else decode(data)
    except (LookupError, UnicodeDecodeError):
        return decode(data)


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


def write_html(builder: DocumentBuilder, html: str, inserts: Sequence[Insert] = ()) -> None:
    """Write all text of an HTML body into a builder, and `inserts[n]` for `<p class="insert">n</p>`.

    Raises Unreadable.
    """
    root = _parse(html if "<body" in html[:5000] or "<html" in html[:5000] else f"<body>{html}</body>")
    items = (each for each in root.iter() if tag_of(each) == "li")
    notes = {f"#{each.get('id')}": each for each in items if NOTE.match(each.get("id") or "")}
    writer = _Writer(builder, notes, inserts)
    try:
        writer.walk(root)
    except RecursionError:
        raise Unreadable("its markup is nested too deeply") from None
    writer.flush()


class _Writer:
    """Walks an XHTML tree; inline text is collected until a block begins or ends.

    A note is written after the block that links to it: at the end of the document it would be under another heading.
    """

    def __init__(self, builder: DocumentBuilder, notes: dict[str, Element], inserts: Sequence[Insert]) -> None:
        self._builder, self._notes, self._inserts = builder, notes, inserts
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
            _write_table(self._builder, child)
            self._write_notes(_links(child))
        elif tag == "pre":
            self.flush()
            self._builder.code(_verbatim(child).strip("\n"))
        elif child.get("class") == "insert" and (child.text or "").isdigit() and int(child.text) < len(self._inserts):
            self.flush()
            self._inserts[int(child.text)](self._builder)
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
    start = parent.get("start") or ""
    for number, item in enumerate((child for child in parent if tag_of(child)), int(start) if start.isdigit() else 1):
        mark = _mark(item) or (f"{number}." if tag_of(parent) == "ol" else "-")
        lists = [child for child in item.iter() if tag_of(child) in LISTS]
        own = text_of(item, without=lists).rstrip(BACK_LINKS)
        if own:
            yield f"{'  ' * depth}{mark} {own}"
        for child in lists:
            if not any(tag_of(above) in LISTS and above in lists for above in child.iterancestors()):
                yield from _items(child, depth + 1)


def _mark(item: Element) -> str:
    """Return the number that a list item carries as its first words, and take it out of the item; "" if none."""
    for element in item.iter():
        if element.get("class") == "number":
            mark = element.text or ""
            element.text = ""
            return mark.strip()
        if element is not item and (tag_of(element) in LISTS or (element.text or "").strip()):
            return ""
    return ""


def _write_table(builder: DocumentBuilder, table: Element) -> None:
    """Write a table; rows of column names above each other become one, and a title across it goes above."""
    spans = [[_span(cell, "colspan") for cell in row] for row in _rows(table)]
    marked = _header_rows(table)
    title, grid, has_header = join_headers(_grid(table), spans[0] if spans else [], marked)
    builder.add(title)
    builder.table(grid, has_header=has_header)


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
                text, height, width = cell_text(cell).strip(), _span(cell, "rowspan"), _span(cell, "colspan")
            for part in (text, *[""] * (width - 1)):
                if height > 1:
                    hanging[len(row)] = part, height - 1
                row.append(part)
        grid.append(row)
    return grid


def _header_rows(table: Element) -> int:
    """Return how many of the first rows are marked as headers: all their cells are <th>, or they are in a <thead>."""
    count = 0
    for cells in _rows(table):
        inside = cells and tag_of(cells[0].getparent().getparent()) == "thead"
        if not cells or not (inside or all(tag_of(cell) == "th" for cell in cells)):
            break
        count += 1
    return count


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
