"""Read the main text of a web page as Markdown: prepare the page with lxml, then extract it with trafilatura.

Why the preparation: a page that marks no main text is mostly a document that a program exported, and all of its body
is content. From such pages trafilatura took only paragraphs: of 25 pages of manuals 20 lost every heading, and all
together lost 93% of their list items. Inside an <article> they are kept (decision 21).
"""

from __future__ import annotations

import logging
import re
from typing import Any

from lxml import etree

from rag.errors import Unreadable
from rag.loaders.builder import LoadedText
from rag.loaders.decoding import decode_declared, normalise, one_line
from rag.loaders.markup.markdown import OutlineEntry, first_heading, outline_of, sections_of
from rag.loaders.metadata import day

MAIN = "//main | //*[@role='main']"
MARKED = f"//article | {MAIN}"
OUTER_ARTICLES = ".//article[not(ancestor::article)]"
SITE_PARTS = "ancestor::article or ancestor::nav or ancestor::aside or ancestor::footer or ancestor::form"
LISTS_OUTSIDE = f".//*[self::ul or self::ol][not({SITE_PARTS})]"
NOTE_WORDS = "notes?|warn(?:ing)?s?|tips?|admonition|callout|important|caution|info"  # in the class of an aside
NOTE = re.compile(rf"(?<![a-z])(?:{NOTE_WORDS})(?![a-z])")  # "note_box" and "noteBox" are notes, "footnotes" are not
SHORT = 250  # characters: on a page this small trafilatura may return all words in order, without headings
INLINE_PARENTS = "ancestor::li | ancestor::dd | ancestor::td"
MENU_LINKS, MENU_SHARE = 4, 0.7  # a list with this many links, which are this share of its text, is a menu
MENU_CHARS = 40  # per link on average: longer links are titles, as in a list of references
NUMBER = re.compile(r"[-−+]?\d+")
MAX_MENU_SHARE = 0.8  # of a page's text: beyond this the page itself is a list of links, and is read
ANCHOR = "place"  # tag for <a name>: all are removed in one call, because removing them one by one takes minutes
PERMALINKS = ("", "¶", "#", "§")  # texts of the links after a heading that point to it
META_DATES = ("article:modified_time", "dateModified", "dcterms.modified", "article:published_time", "date")
ESCAPED = re.compile(r"(`+[^`]*`+)|\\([\\`*_{}\[\]()#+\-.!<>~])")

Element = Any  # lxml ships no types


def load_html(data: bytes) -> LoadedText:
    """Read the main text of a page as Markdown, which keeps headings, lists, code and tables. Raises Unreadable."""
    decoded = decode_declared(data)
    markdown, title, date = _main_text(normalise(decoded.text))
    outline = outline_of(markdown)
    text = _unescape(markdown, outline)
    title = first_heading(outline, level=1) or title or first_heading(outline)
    return LoadedText(text, sections_of(text, outline), title, date=date, note=decoded.note)


def prepare_page(page: Element) -> None:
    """Change a parsed page in place so that trafilatura keeps its content."""
    _inline_sub_and_sup(page)
    for link in list(page.iter("a")):
        _remove_anchor(link)
    etree.strip_tags(page, ANCHOR)
    for code in page.xpath("//pre"):
        etree.strip_tags(code, "code")
        if not code.xpath(INLINE_PARENTS):  # there, trafilatura would open the code fence in the middle of a line
            _wrap_content(etree.Element("code"), code)  # else its lines are text, and a comment in it a heading
    for caption in list(page.iter("caption")):
        _caption_to_paragraph(caption)
    body = page.find(".//body")
    if body is not None and not page.xpath(MARKED):
        _mark_body(body)
    for main in page.xpath(MAIN)[:1]:
        _mark_main(main)
    for entries in page.xpath("//td//ul | //td//ol | //th//ul | //th//ol"):
        _list_to_line(entries)


def _main_text(html: str) -> tuple[str, str, str]:
    """Return a page's main text as Markdown, its <title> and its date. Raises Unreadable."""
    if "<html" not in html[:5000].lower():
        html = f"<html><body>{html}</body></html>"  # trafilatura rejects fragments
    try:
        markdown, title, date = _extract_markdown(html)
    except Exception as error:  # a hostile page may break lxml or trafilatura in any way
        raise Unreadable(f"its HTML cannot be read ({type(error).__name__}): save the page again") from error
    if not markdown:
        raise Unreadable("no main text was found in this page: it is empty, or a script makes its text")
    return normalise(markdown), one_line(title), date


def _extract_markdown(html: str) -> tuple[str, str, str]:
    import trafilatura  # slow to import, and many folders hold no page

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # a page that it rejects is reported as Unreadable
    page = trafilatura.load_html(html, len(html) + 1)
    if page is None:
        return "", "", ""
    title = page.findtext(".//title") or ""
    prepare_page(page)
    metadata = {
        meta.get("property") or meta.get("name") or meta.get("itemprop"): meta.get("content")
        for meta in page.iter("meta")
    }
    dates = (day(metadata.get(name) or "") for name in META_DATES)  # of the last change before that of publication
    date = next(filter(None, dates), "")
    return trafilatura.extract(page, output_format="markdown", include_comments=False) or "", title, date


def _unescape(markdown: str, outline: list[OutlineEntry]) -> str:
    """Undo trafilatura's escapes (snake\\_case) outside code, line by line, so that the outline stays valid."""
    rows = markdown.split("\n")
    for entry in outline:
        if entry.kind != "code":
            rows[entry.first : entry.end] = [
                ESCAPED.sub(lambda match: match[1] or match[2], row) for row in rows[entry.first : entry.end]
            ]
    return "\n".join(rows)


def _inline_sub_and_sup(page: Element) -> None:
    """Put subscripts and superscripts into their line: people search for H2O, and for 10^6."""
    for raised in page.iter("sup"):
        if NUMBER.fullmatch(_text(raised)):
            raised.text = f"^{raised.text or ''}"  # else 10<sup>6</sup> would become 106
    etree.strip_tags(page, "sub", "sup")


def _remove_anchor(link: Element) -> None:
    """Remove an anchor or permalink: trafilatura takes a heading with an empty link for a menu and drops it."""
    if link.get("href") is None:
        link.tag = ANCHOR
    elif _text(link) in PERMALINKS:
        link.drop_tree()


def _mark_body(body: Element) -> None:
    """Mark all of a body except its menus as the main text."""
    menus = [each for each in body.iter("ul", "ol") if _is_menu(each)]
    if sum(len(_text(menu)) for menu in menus) < MAX_MENU_SHARE * len(_text(body)):
        for menu in menus:
            menu.drop_tree()
    _wrap_content(etree.Element("article"), body)


def _mark_main(main: Element) -> None:
    """Mark all of a <main> as the main text if it has several articles: trafilatura would take only the first.

    A single article stays as it is: what surrounds it is comments, or belongs to the site. So do articles with bare
    text between their elements, which would be lost. Notes in asides become part of the text.
    """
    if len(_text(main)) < SHORT:
        return
    articles = [article for article in main.xpath(OUTER_ARTICLES) if _text(article)]
    others = [each for each in articles if _is_mostly_links(each) or each.xpath("ancestor::li")]  # teasers, comments
    full = [each for each in articles if each not in others]
    if len(full) > 1 and not any(map(_has_bare_text, (main, *full))):
        menus = [each for each in main.xpath(LISTS_OUTSIDE) if _is_menu(each)]
        for element in (*menus, *others):
            element.drop_tree()
        for article in list(main.iter("article")):
            article.attrib.clear()  # trafilatura drops a div with certain class names
            article.tag = "div"
        _wrap_content(etree.Element("article", itemprop="articleBody"), main)  # trafilatura looks for this first
    for note in list(main.iter("aside")):
        if NOTE.search(note.get("class", "")) and not _is_mostly_links(note):
            note.tag = "div"


def _has_bare_text(element: Element) -> bool:
    """Return whether an element has text of its own, outside its child elements."""
    return any(map(str.strip, filter(None, (element.text, *(child.tail for child in element)))))


def _is_mostly_links(element: Element) -> bool:
    """Return whether most of an element's text is links, as in a teaser of another page."""
    return sum(len(_text(link)) for link in element.iter("a")) > MENU_SHARE * len(_text(element))


def _is_menu(element: Element) -> bool:
    links = list(element.iter("a"))
    linked = sum(len(_text(link)) for link in links)
    is_short = linked <= MENU_CHARS * len(links)
    return len(links) >= MENU_LINKS and is_short and linked > MENU_SHARE * len(_text(element))


def _caption_to_paragraph(caption: Element) -> None:
    """Move a table's caption before the table: inside, it would become the name of the first column."""
    table = caption.getparent()
    paragraph = etree.Element("p")
    paragraph.text = _text(caption)
    caption.drop_tree()
    if table is not None and table.tag == "table":
        table.addprevious(paragraph)


def _list_to_line(entries: Element) -> None:
    """Turn a list in a table cell, which trafilatura drops, into text of that cell."""
    text = "; ".join(filter(None, map(_text, entries)))
    tail = entries.tail
    entries.clear()
    entries.tag, entries.text, entries.tail = "span", f" {text} ", tail


def _wrap_content(inner: Element, outer: Element) -> None:
    """Move the content of `outer` into `inner`, and put `inner` into `outer`."""
    inner.text, outer.text = outer.text, None
    inner.extend(list(outer))
    outer.append(inner)


def _text(element: Element) -> str:
    """Return an element's text on one line, with single spaces."""
    return " ".join("".join(element.itertext()).split())
