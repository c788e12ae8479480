"""Read the content of a web page: all of its text but what its site repeats, as headings, lists, code and tables.

Why an own walk: trafilatura picks what looks like paragraphs, and lost bare lines, captions, whole last sections and a
forum's answers; the figures are in decision 26.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import lxml.html
from lxml import etree

from rag.errors import Unreadable
from rag.loaders.builder import DocumentBuilder, LoadedText
from rag.loaders.decoding import decode_declared, normalise, one_line
from rag.loaders.metadata import day
from rag.loaders.web.boilerplate import Boilerplate, content_roots, measure
from rag.loaders.web.walker import PageWriter

META_DATES = ("article:modified_time", "dateModified", "dcterms.modified", "article:published_time", "date")
NO_TEXT = "no main text was found in this page: it is empty, or a script makes its text"

Element = Any  # lxml ships no types


def load_html(data: bytes) -> LoadedText:
    """Read the content of a page as Markdown. Raises Unreadable."""
    try:
        decoded = decode_declared(data)
        loaded = _read(normalise(decoded.text))
    except Unreadable:
        raise
    except Exception as error:  # a hostile page may break lxml in any way
        raise Unreadable(f"its HTML cannot be read ({type(error).__name__}): save the page again") from error
    if not loaded.text:
        raise Unreadable(NO_TEXT)
    return replace(loaded, note="; ".join(filter(None, (decoded.note, loaded.note))))


def _read(html: str) -> LoadedText:
    page = _parse(html)
    title = one_line(page.findtext(".//title") or "")
    measures = measure(page)
    roots = content_roots(page, measures)
    boilerplate = Boilerplate(page, roots, measures)
    builder = DocumentBuilder()
    writer = PageWriter(builder, boilerplate)
    for root in roots:
        writer.write(root)
    first = next((each for root in roots for each in root.iter("h1") if each not in boilerplate), None)
    head = one_line("".join(first.itertext())) if first is not None else ""
    loaded = builder.build(head.rstrip("¶# ") or title or builder.first_heading)
    left_out = boilerplate.comments
    note = f"comments of readers are left out: {left_out}" if left_out else ""
    return replace(loaded, text=loaded.text.rstrip(), date=_date(page), note=note)


def _parse(html: str) -> Element:
    """Parse a page or a fragment of one. Raises Unreadable for one without an element."""
    parser = lxml.html.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        return lxml.html.document_fromstring(html.encode(), parser)
    except etree.ParserError as error:
        raise Unreadable(NO_TEXT) from error


def _date(page: Element) -> str:
    """Return the day of the last change, else of publication, "" if the page states neither."""
    metadata = {
        meta.get("property") or meta.get("name") or meta.get("itemprop"): meta.get("content")
        for meta in page.iter("meta")
    }
    return next(filter(None, (day(metadata.get(name) or "") for name in META_DATES)), "")
