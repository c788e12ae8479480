"""A web page made ready for trafilatura, which looks for the main text that a site's pages have amid their menus.

The idea a reader would miss: a page that marks no main text is mostly a document which some program exported, and all
of its body is meant to be read. Of such pages trafilatura gathered paragraphs only: of 25 pages of manuals 20 lost
every heading, and all together 93% of the list items. Inside an <article> these are kept (decision 21).
"""

from __future__ import annotations

from typing import Any

from lxml import etree

MAIN = "//article | //main | //*[@role='main']"
INNER = "ancestor::li | ancestor::dd | ancestor::td"
MENU_LINKS, MENU_SHARE = 4, 0.7  # that many links, which are so much of the text: they lead elsewhere, and say nothing
MARKS = ("", "¶", "#", "§")  # links to the heading that they stand behind

Element = Any  # lxml ships no types


def mend(page: Element) -> None:
    """Change a parsed page so that what people wrote in it survives the search for its main text."""
    etree.strip_tags(page, "sub", "sup")  # else H<sub>2</sub>O, where people look for H2O
    for link in list(page.iter("a")):
        _clear(link)
    for code in page.xpath("//pre"):
        etree.strip_tags(code, "code")
        if not code.xpath(INNER):  # there, trafilatura would open its fence in the middle of a line
            _put_into(etree.Element("code"), code)  # else its lines are text, and a comment among them a heading
    for caption in list(page.iter("caption")):
        _to_paragraph(caption)
    body = page.find(".//body")
    if body is not None and not page.xpath(MAIN):
        for element in [each for each in body.iter("p", "table", "ul", "ol", "dl") if _is_menu(each)]:
            element.drop_tree()
        _put_into(etree.Element("article"), body)
    for entries in page.xpath("//td//ul | //td//ol | //th//ul | //th//ol"):
        _to_line(entries)


def _clear(link: Element) -> None:
    """Remove a mark to link to: beside an empty one a heading counts as a menu, and is left out."""
    if link.get("href") is None:
        link.drop_tag()
    elif _text(link) in MARKS:
        link.drop_tree()


def _to_paragraph(caption: Element) -> None:
    """Put a table's caption before it: within, it would become the name of the first column."""
    table = caption.getparent()
    paragraph = etree.Element("p")
    paragraph.text = _text(caption)
    caption.drop_tree()
    if table is not None and table.tag == "table":
        table.addprevious(paragraph)


def _to_line(entries: Element) -> None:
    """Turn a list within a table's cell, which trafilatura leaves out, into text of that cell."""
    text = "; ".join(filter(None, map(_text, entries)))
    tail = entries.tail
    entries.clear()
    entries.tag, entries.text, entries.tail = "span", f" {text} ", tail


def _is_menu(element: Element) -> bool:
    links = list(element.iter("a"))
    linked = sum(len(_text(link)) for link in links)
    return len(links) >= MENU_LINKS and linked > MENU_SHARE * len(_text(element))


def _put_into(inner: Element, outer: Element) -> None:
    """Put all that an element holds into another one, and that into the element."""
    inner.text, outer.text = outer.text, None
    inner.extend(list(outer))
    outer.append(inner)


def _text(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())
