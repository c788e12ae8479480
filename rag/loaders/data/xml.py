"""Read the text of XML: sections and headings of documents (DocBook, TEI, JATS, DITA), records of data as tables.

Why entities are not expanded: a few lines can expand to gigabytes, or name a file of the machine. Those that the file
itself declares as plain text are filled in.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from lxml import etree

from rag.errors import Unreadable
from rag.loaders.builder import DocumentBuilder, LoadedText
from rag.loaders.decoding import decode_declared, line_of, normalise, one_line
from rag.loaders.metadata import day
from rag.loaders.web.html import load_html
from rag.loaders.web.xhtml import DECLARATION, tag_of

MAX_BYTES = 50_000_000
MAX_ELEMENTS = 1_000_000  # a larger file is data, not a document
MAX_DEPTH = 100  # elements inside each other; the text of deeper ones is read as one paragraph
MAX_ENTITY = 1_000  # characters
REFERENCE = re.compile(r"&([\w.-]+);")
LONG = 160  # characters of a cell of a table
HEADINGS = frozenset(("title", "head", "heading", "h1", "h2", "h3", "h4", "h5", "h6", "headline", "term"))
PROSE = frozenset(
    re.findall(
        r"\w+",
        """p para simpara ab l line lg quote blockquote note li item listitem caption summary description abstract
        shortdesc""",
    )
)
CODE = frozenset(("programlisting", "screen", "literallayout", "codeblock", "code", "pre", "eg", "synopsis"))
INLINE = frozenset(
    re.findall(
        r"\w+",
        """a abbrev acronym b bold br citetitle cite code command emphasis emph em filename footnote foreign hi i
        indexterm ital italic ext link literal lb name option ph phrase q ref replaceable rs sc span strong
        sub sup superscript subscript tt term u ulink uicontrol userinput varname xref""",
    )
)
PARAGRAPHS = frozenset(("p", "para", "simpara", "ab"))
ROWS = frozenset(("row", "tr"))
SILENT = frozenset(("script", "style", "indexterm", "teiheader"))
NAMES = ("name", "id", "key", "title", "label")  # attributes that say what an element is about
DATES = frozenset(("date", "pubdate", "updated", "modified", "lastbuilddate"))

Element = Any  # lxml ships no types


def load_xml(data: bytes) -> LoadedText:
    """Read XML; a page of XHTML is read as a web page. Raises Unreadable."""
    if len(data) > MAX_BYTES:
        raise Unreadable(f"it is data: {len(data) / 1e6:.0f} MB, the limit for XML is {MAX_BYTES / 1e6:.0f}; split it")
    decoded = decode_declared(data)
    root, entities, lost = _parse(normalise(decoded.text))
    if tag_of(root) == "html":
        return load_html(data)
    _fill_entities(root, entities)
    builder = DocumentBuilder()
    _Writer(builder, is_document=_is_document(root)).write(root, 0)
    dates = (day("".join(each.itertext())) for each in root.iter() if tag_of(each) in DATES)
    date = next(filter(None, dates), "")
    return replace(builder.build(_title(root) or builder.first_heading), note=decoded.note, date=date, lost=lost)


def _parse(text: str) -> tuple[Element, dict[str, str], str]:
    """Return the root element, the entities that the file declares, and a note on broken markup. Raises Unreadable."""
    parser = etree.XMLParser(
        encoding="utf-8",
        recover=True,
        huge_tree=True,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(DECLARATION.sub("", text).encode(), parser)
    except etree.XMLSyntaxError:
        root = None
    if root is None:
        raise Unreadable("it is no XML: its markup cannot be read")
    dtd = root.getroottree().docinfo.internalDTD
    declared = {each.name: each.content or "" for each in dtd.entities()} if dtd is not None else {}
    if any(name in declared for content in declared.values() for name in REFERENCE.findall(content)):
        raise Unreadable("it declares XML entities that contain each other, which can expand to gigabytes")
    broken = [error for error in parser.error_log if error.level >= etree.ErrorLevels.FATAL]
    unknown = all(error.type_name in ("WAR_UNDECLARED_ENTITY", "ERR_UNDECLARED_ENTITY") for error in broken)
    return root, declared, "" if unknown else f"its markup is broken in line {broken[0].line}: parts may be missing"


def _fill_entities(root: Element, entities: dict[str, str]) -> None:
    """Replace references to entities by the plain text that the file declares for them."""
    for reference in list(root.iter(etree.Entity)):
        content = entities.get(reference.name, "")
        text = content if content and len(content) <= MAX_ENTITY and "<" not in content else f"&{reference.name};"
        parent, before = reference.getparent(), reference.getprevious()
        text += reference.tail or ""
        if before is not None:
            before.tail = (before.tail or "") + text
        else:
            parent.text = (parent.text or "") + text
        parent.remove(reference)


def _is_document(root: Element) -> bool:
    """Return whether an XML file is a text for readers: paragraphs, or text between elements."""
    prose = words = 0
    for number, element in enumerate(root.iter()):
        if number > MAX_ELEMENTS:
            raise Unreadable(f"it has more than {MAX_ELEMENTS:,} elements: it is data; save the part that matters")
        own = len(element.text or "") * bool((element.text or "").strip())
        tails = sum(len(child.tail or "") for child in element if (child.tail or "").strip())
        words += own + tails
        if tag_of(element) in PARAGRAPHS or (len(element) > 0 and own + tails):
            prose += own + tails
    return prose * 2 > words


def _title(root: Element) -> str:
    for element in root.iter():
        if tag_of(element) in ("title", "article-title", "headline") and _text(element):
            return one_line(_text(element))
    return ""


class _Writer:
    """Writes elements as blocks."""

    def __init__(self, builder: DocumentBuilder, *, is_document: bool) -> None:
        self._builder = builder
        self._is_document = is_document

    def write(self, element: Element, depth: int, level: int = 1) -> None:
        """Write an element: as a heading, a paragraph, a table of its records, or child by child."""
        name = tag_of(element)
        if not name or name in SILENT:
            return
        if name in CODE and not _is_inline(element):
            self._builder.add(normalise("".join(element.itertext())).strip("\n"), "code")
        elif name in HEADINGS and self._is_document:
            self._builder.heading(int(name[1]) if re.fullmatch(r"h\d", name) else level, _text(element))
        elif len(element) == 0 or depth > MAX_DEPTH or self._is_paragraph(element):
            self._builder.add(self._labelled(element))
        else:
            self._write_children(element, depth, level)

    def _write_children(self, element: Element, depth: int, level: int) -> None:
        own = _attributes(element) if not self._is_document else ""
        if own:
            self._builder.add(f"{_name(element)}: {own}")
        if (element.text or "").strip():
            self._builder.add(line_of(element.text))
        children = [child for child in element if tag_of(child)]
        if self._write_table(children):
            return
        lines: list[str] = []
        below = level + any(tag_of(child) in HEADINGS for child in children)
        for child in children:
            if not self._is_document and len(child) == 0:
                lines.append(self._labelled(child))
            else:
                self._flush(lines)
                self.write(child, depth + 1, level if tag_of(child) in HEADINGS else below)
            if (child.tail or "").strip():
                self._flush(lines)
                self._builder.add(line_of(child.tail))
        self._flush(lines)

    def _flush(self, lines: list[str]) -> None:
        self._builder.add("\n".join(filter(None, lines)), "list")
        lines.clear()

    def _write_table(self, children: list[Element]) -> bool:
        """Write children that are records or rows as a table; return whether they were."""
        names = {tag_of(child) for child in children}
        if len(children) < 2 or len(names) != 1 or any((child.tail or "").strip() for child in children):
            return False
        if names <= ROWS:
            self._builder.table([[_text(cell) for cell in child if tag_of(cell)] for child in children])
            return True
        if self._is_document or any((child.text or "").strip() and len(child) for child in children):
            return False
        records = [_record(child) for child in children]
        if any(record is None for record in records):
            return False
        columns = list(dict.fromkeys(key for record in records for key in record or ()))
        filled = sum(len(record or ()) for record in records)
        if len(columns) < 2 or filled * 2 < len(columns) * len(records):
            return False
        rows = [[(record or {}).get(column, "") for column in columns] for record in records]
        self._builder.table([columns, *rows], has_header=True)
        return True

    def _is_paragraph(self, element: Element) -> bool:
        """Return whether an element is one paragraph: text with inline elements only."""
        inline = all(not tag_of(child) or (tag_of(child) in INLINE and _is_inline(child)) for child in element)
        own = (element.text, *(child.tail for child in element))
        return inline and (self._is_document or any(map(str.strip, filter(None, own))))

    def _labelled(self, element: Element) -> str:
        """Return an element's text; in data with its name: "price: 12"."""
        text, name = _text(element), _name(element)
        if self._is_document or name in PROSE:
            return text
        about = next((element.get(key) for key in NAMES if element.get(key)), "")
        rest = _attributes(element, without=about)
        label = about if about and text else name
        return f"{label}: {'; '.join(filter(None, (text, rest)))}" if text or rest else ""


def _record(element: Element) -> dict[str, str] | None:
    """Return the attributes and leaves of an element by name, None if it has other elements, long or mixed text."""
    record = {str(key).rpartition("}")[2]: str(value) for key, value in element.attrib.items()}
    if len(element) == 0 and _text(element):
        record[_name(element)] = _text(element)
    for child in element:
        name, text = _name(child), _text(child)
        if len(child) or len(text) > LONG or (child.tail or "").strip():
            return None
        text = text or _attributes(child)
        if text:
            record[name] = f"{record[name]}, {text}" if name in record else text
    return record


def _attributes(element: Element, without: str = "") -> str:
    """Return the attributes of an element as "name value" pairs, without those that only programs read."""
    pairs = ((str(key), str(value)) for key, value in element.attrib.items())
    return ", ".join(
        f"{key.rpartition('}')[2]} {value}"
        for key, value in pairs
        if value.strip() and value != without and not key.startswith(("{http://www.w3.org/2001/XMLSchema", "xmlns"))
    )


def _name(element: Element) -> str:
    """Return an element's name as written, without its namespace."""
    return str(element.tag).rpartition("}")[2] if isinstance(element.tag, str) else ""


def _is_inline(element: Element) -> bool:
    """Return whether an element stands in a line of text."""
    parent, before = element.getparent(), element.getprevious()
    lead = before.tail if before is not None else parent.text if parent is not None else ""
    return bool((lead or "").strip() or (element.tail or "").strip()) or "\n" not in "".join(element.itertext())


def _text(element: Element) -> str:
    """Return an element's text on one line, with a blank around elements that do not stand in a line of text."""
    if len(element) == 0:
        return line_of(element.text or "")
    parts: list[str] = []
    for event, part in etree.iterwalk(element, events=("start", "end")):
        gap = "" if part is element or tag_of(part) in INLINE else " "
        parts.append(f"{gap}{part.text or ''}" if event == "start" else gap)
        if event == "end" and part is not element:
            parts.append(part.tail or "")
    return line_of("".join(parts))
