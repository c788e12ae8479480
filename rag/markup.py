"""Word files and e-books -> text. Both become HTML in which everything counts, unlike a web page's.

mammoth makes HTML of a Word file and keeps what readers of its raw paragraphs lose: text in content controls, boxes,
footnotes and tracked insertions. An e-book is a zip of HTML chapters, in the order its package file gives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html.entities import html5
from posixpath import dirname, join, normpath
from typing import Any
from urllib.parse import unquote
from zipfile import ZipFile

from lxml import etree

from rag.drafts import Draft, Extract, decode, normalise, one_line
from rag.errors import Unreadable
from rag.zips import open_zip, read_part, repack

MAX_WORD_BYTES = 40_000_000  # of XML: some 5,000 pages; mammoth takes 25 times as much memory
MAX_BOOK_BYTES = 500_000_000  # pictures included, which are not unpacked
HEADINGS = {f"h{level}": level for level in range(1, 7)}
BLOCKS = frozenset(
    re.findall(
        r"\w+",
        """address article aside blockquote body center dd div dl dt figcaption figure footer header hr html main p
        section""",
    )
)
LISTS = frozenset(("ul", "ol"))
SILENT = frozenset(("head", "img", "nav", "script", "style", "svg", "template"))
ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]{0,31});")
KEPT = frozenset(("amp", "lt", "gt", "quot", "apos"))  # XML knows these five
DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
BACK_LINK = "↑"  # mammoth's, behind each note
STYLES = "p[style-name='Title'] => h1:fresh"
BREAK = "\0"  # where <br> stood: no text holds this
CONTAINER, RIGHTS = "META-INF/container.xml", "META-INF/encryption.xml"

Element = Any  # lxml ships no types


def load_docx(data: bytes) -> Extract:
    """Read a Word file: headings by its styles, lists, tables, notes. Raises Unreadable."""
    import mammoth  # takes a moment, and many folders hold no Word file

    clean = repack(data, MAX_WORD_BYTES)
    no_pictures = mammoth.images.img_element(lambda image: {})
    try:
        html = mammoth.convert_to_html(clean, convert_image=no_pictures, style_map=STYLES).value
    except Exception as error:  # a damaged file may break it anywhere
        raise Unreadable(f"it is no Word file, or damaged ({type(error).__name__}): save it anew as .docx") from error
    draft = Draft()
    write_html(draft, html)
    return draft.extract(draft.first_heading)


def load_epub(data: bytes) -> Extract:
    """Read an e-book's chapters in their order. A damaged chapter costs itself, not the book. Raises Unreadable."""
    draft, lost = Draft(), list[str]()
    with open_zip(data, MAX_BOOK_BYTES) as book:
        package = _package(book)
        tree = _parse_xml(decode(read_part(book, package)))
        chapters = list(_chapters(tree, dirname(package)))
        if RIGHTS in book.NameToInfo:
            _refuse_locked(book, chapters)
        for chapter in chapters:
            try:
                write_html(draft, decode(read_part(book, chapter)))
            except Unreadable as error:
                lost.append(f"{chapter!r}, {error}")
    title = next((_text(element) for element in tree.iter() if _tag(element) == "title"), "")
    told = f"{len(lost)} of its {len(chapters)} chapters cannot be read, the first: {lost[0]}" if lost else ""
    return replace(draft.extract(one_line(title) or draft.first_heading), lost=told)


def write_html(draft: Draft, html: str) -> None:
    """Write all text of an HTML body into a draft."""
    root = _parse_xml(html if "<body" in html[:5000] or "<html" in html[:5000] else f"<body>{html}</body>")
    writer = _Writer(draft)
    try:
        writer.walk(root)
    except RecursionError:
        raise Unreadable("its markup is nested too deeply") from None
    writer.flush()


class _Writer:
    """Walks a page. Text in a line is gathered until a block begins or ends."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._line: list[str] = []

    def walk(self, element: Element) -> None:
        self._line.append(element.text or "")
        for child in element:
            self._visit(child, _tag(child))
            self._line.append(child.tail or "")

    def flush(self) -> None:
        text = _tidy("".join(self._line))
        self._line = []
        self._draft.add(text)

    def _visit(self, child: Element, tag: str) -> None:
        if tag == "br":
            self._line.append(BREAK)
        elif tag in HEADINGS:
            self.flush()
            self._draft.heading(HEADINGS[tag], _text(child))
        elif tag in LISTS:
            self.flush()
            self._draft.add("\n".join(_items(child, 0)), "list")
        elif tag == "table":
            self.flush()
            self._draft.table([[_text(cell) for cell in row] for row in _rows(child)])
        elif tag == "pre":
            self.flush()
            self._draft.add("".join(child.itertext()).strip("\n"), "code")
        elif tag in BLOCKS:
            self.flush()
            self.walk(child)
            self.flush()
        elif tag and tag not in SILENT:
            self.walk(child)


def _items(parent: Element, depth: int) -> Iterator[str]:
    """Yield the lines of a list, those of lists within it indented."""
    for number, item in enumerate((child for child in parent if _tag(child)), 1):
        mark = f"{number}." if _tag(parent) == "ol" else "-"
        lists = [child for child in item.iter() if _tag(child) in LISTS]
        own = _text(item, without=lists).removesuffix(BACK_LINK).rstrip()
        if own:
            yield f"{'  ' * depth}{mark} {own}"
        for child in lists:
            if not any(_tag(above) in LISTS and above in lists for above in child.iterancestors()):
                yield from _items(child, depth + 1)


def _rows(table: Element) -> Iterator[list[Element]]:
    """Yield the cells of a table's rows; a table within a cell is text of this cell."""
    for row in table.iter():
        if _tag(row) == "tr" and next(above for above in row.iterancestors() if _tag(above) == "table") is table:
            yield [cell for cell in row if _tag(cell) in ("td", "th")]


def _text(element: Element, without: list[Element] | None = None) -> str:
    """Return an element's text in one line; what stands in blocks of their own is set apart."""
    parts: list[str] = []

    def gather(node: Element) -> None:
        if _tag(node) in SILENT or not _tag(node) or node in (without or ()):
            return
        parts.append(node.text or "")
        for child in node:
            apart = " " if _tag(child) in BLOCKS or _tag(child) in ("br", "td", "th", "li") else ""
            parts.append(apart)
            gather(child)
            parts.append(apart + (child.tail or ""))

    gather(element)
    return " ".join("".join(parts).split())


def _tidy(text: str) -> str:
    """Return gathered text with its line breaks where <br> stood and single blanks elsewhere."""
    return "\n".join(line for part in text.split(BREAK) if (line := " ".join(part.split())))


def _tag(element: Element) -> str:
    """Return an element's name without its namespace; nothing for a comment or an instruction."""
    return element.tag.rpartition("}")[2].lower() if isinstance(element.tag, str) else ""


def _parse_xml(text: str) -> Element:
    """Parse XHTML as leniently as XML can be; entities of its own are neither declared nor fetched nor unfolded."""
    text = DECLARATION.sub("", ENTITY.sub(_letter, normalise(text)))
    parser = etree.XMLParser(
        encoding="utf-8",
        recover=True,
        huge_tree=True,  # without it, long or deeply nested text is cut off, and nothing says so
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
    )
    try:
        root = etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError:
        root = None
    if root is None:
        raise Unreadable("its markup cannot be read")
    return root


def _letter(match: re.Match[str]) -> str:
    """Return what an entity of HTML stands for; one that nobody knows stays as it is written."""
    return match[0] if match[1] in KEPT else html5.get(match[1] + ";", f"&amp;{match[1]};")


def _package(book: ZipFile) -> str:
    """Return the name of the file that says what the book consists of."""
    for element in _parse_xml(decode(read_part(book, CONTAINER))).iter():
        if _tag(element) == "rootfile" and element.get("full-path"):
            return str(element.get("full-path"))
    raise Unreadable("it is no e-book: it names no package file")


def _chapters(package: Element, folder: str) -> Iterator[str]:
    """Yield the names of the chapters in reading order; the table of contents is none."""
    items = {element.get("id"): element for element in package.iter() if _tag(element) == "item"}
    for reference in (element.get("idref") for element in package.iter() if _tag(element) == "itemref"):
        item = items.get(reference)
        if item is not None and "nav" not in (item.get("properties") or "").split() and item.get("href"):
            yield normpath(join(folder, unquote(item.get("href").partition("#")[0])))


def _refuse_locked(book: ZipFile, chapters: list[str]) -> None:
    """Raise Unreadable where chapters are encrypted; publishers scramble fonts in the same way, which harms nobody."""
    tree = _parse_xml(decode(read_part(book, RIGHTS)))
    locked = {unquote(element.get("URI") or "") for element in tree.iter() if _tag(element) == "cipherreference"}
    if locked & set(chapters):
        raise Unreadable("its chapters are encrypted by copy protection: only the shop's own reader opens it")
