"""XHTML as it is found in e-books, and as mammoth makes it: parsed leniently, and an element's text. Pure."""

from __future__ import annotations

import re
from html.entities import html5
from typing import Any

from lxml import etree

from rag.errors import Unreadable

BLOCKS = frozenset(
    re.findall(
        r"\w+",
        """address article aside blockquote body center dd div dl dt figcaption figure footer header hr html main p
        section""",
    )
)
SILENT = frozenset(("annotation", "head", "img", "nav", "script", "style", "svg", "template"))
ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]{0,31});")
KEPT = frozenset(("amp", "lt", "gt", "quot", "apos"))  # XML knows these five
DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")

Element = Any  # lxml ships no types


def parse_xml(text: str) -> Element:
    """Parse XHTML as leniently as XML can be; entities of its own are neither declared nor fetched nor unfolded.

    Raises Unreadable. The text has no NUL, as `rag.loaders.builder.normalise` gives it.
    """
    text = DECLARATION.sub("", ENTITY.sub(_letter, text))
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


def text_of(element: Element, without: list[Element] | None = None) -> str:
    """Return an element's text in one line; what stands in blocks of their own is set apart."""
    parts: list[str] = []

    def gather(node: Element) -> None:
        if tag_of(node) in SILENT or not tag_of(node) or node in (without or ()):
            return
        parts.append(node.text or "")
        for child in node:
            apart = " " if tag_of(child) in BLOCKS or tag_of(child) in ("br", "td", "th", "li") else ""
            parts.append(apart)
            gather(child)
            parts.append(apart + (child.tail or ""))

    gather(element)
    return " ".join("".join(parts).split())


def tag_of(element: Element) -> str:
    """Return an element's name without its namespace; nothing for a comment or an instruction."""
    return element.tag.rpartition("}")[2].lower() if isinstance(element.tag, str) else ""


def _letter(match: re.Match[str]) -> str:
    """Return what an entity of HTML stands for; one that nobody knows stays as it is written."""
    return match[0] if match[1] in KEPT else html5.get(match[1] + ";", f"&amp;{match[1]};")
