"""Parse XHTML leniently, as found in e-books and as mammoth writes it, and return the text of an element."""

from __future__ import annotations

import re
from html.entities import html5
from typing import Any

from lxml import etree

from rag.errors import Unreadable
from rag.loaders.tables import END_OF_PARAGRAPH, cell_line

BLOCKS = frozenset(
    re.findall(
        r"\w+",
        """address article aside blockquote body center dd div dl dt figcaption figure footer header hr html main p
        section""",
    )
)
PARAGRAPHS = frozenset(re.findall(r"\S+", "p li ul ol dl dt dd table pre blockquote h1 h2 h3 h4 h5 h6"))
SILENT = frozenset(("annotation", "head", "img", "nav", "script", "style", "svg", "template"))
ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]{0,31});")
XML_ENTITIES = frozenset(("amp", "lt", "gt", "quot", "apos"))  # predefined in XML
DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")

Element = Any  # lxml ships no types


def parse_xml(text: str) -> Element:
    """Parse XHTML, recovering from errors. Entities that the document declares are neither expanded nor fetched.

    `text` must not contain NULs (see `rag.loaders.builder.normalise`). Raises Unreadable.
    """
    text = DECLARATION.sub("", ENTITY.sub(_character, text))
    parser = etree.XMLParser(
        encoding="utf-8",
        recover=True,
        huge_tree=True,  # without it, long or deeply nested text is cut off silently
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


def text_of(element: Element, without: list[Element] | None = None) -> str:
    """Return an element's text on one line, with a space between blocks. Elements in `without` are skipped."""
    parts: list[str] = []

    def gather(node: Element) -> None:
        if tag_of(node) in SILENT or not tag_of(node) or node in (without or ()):
            return
        parts.append(node.text or "")
        for child in node:
            space = " " if tag_of(child) in BLOCKS or tag_of(child) in ("br", "td", "th", "li") else ""
            parts.append(space)
            gather(child)
            parts.append(space + (child.tail or ""))

    gather(element)
    return " ".join("".join(parts).split())


def cell_text(cell: Element) -> str:
    """Return a table cell's text: <br> as a line break, an end of paragraph around each paragraph and list item.

    A table in the cell has a line per row, with commas between its cells.
    """
    parts = [" ".join((cell.text or "").split("\n"))]
    for child in cell:
        tag = tag_of(child)
        if tag == "br":
            parts.append("\n")
        elif tag == "tr":
            cells = (cell_line(cell_text(each)) for each in child if tag_of(each) in ("td", "th"))
            parts += [END_OF_PARAGRAPH, ", ".join(filter(None, cells)), END_OF_PARAGRAPH]
        elif tag and tag not in SILENT:
            end = END_OF_PARAGRAPH if tag in PARAGRAPHS else " " if tag in BLOCKS else ""
            parts += [end, cell_text(child), end]
        parts.append(" ".join((child.tail or "").split("\n")))
    return "".join(parts)


def tag_of(element: Element) -> str:
    """Return an element's name in lower case without its namespace; "" for a comment or a processing instruction."""
    return element.tag.rpartition("}")[2].lower() if isinstance(element.tag, str) else ""


def _character(match: re.Match[str]) -> str:
    """Return the character of an HTML entity; an unknown one stays as written."""
    return match[0] if match[1] in XML_ENTITIES else html5.get(match[1] + ";", f"&amp;{match[1]};")
