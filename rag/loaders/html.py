"""A web page made ready for trafilatura, which looks for the main text that a site's pages have amid their menus.

The idea a reader would miss: a page that marks no main text is mostly a document which some program exported, and all
of its body is meant to be read. Of such pages trafilatura gathered paragraphs only: of 25 pages of manuals 20 lost
every heading, and all together 93% of the list items. Inside an <article> these are kept (decision 21).
"""

from __future__ import annotations

import logging
import re
from typing import Any

from lxml import etree

from rag.errors import Unreadable
from rag.loaders.builder import LoadedText, day, decode, normalise, one_line
from rag.loaders.markdown import OutlineEntry, _first_heading, _outline, _sections

WHOLE = "//main | //*[@role='main']"
MAIN = f"//article | {WHOLE}"
OUTER = ".//article[not(ancestor::article)]"
APART = "ancestor::article or ancestor::nav or ancestor::aside or ancestor::footer or ancestor::form"
LISTS_BESIDE = f".//*[self::ul or self::ol][not({APART})]"
NOTE_WORDS = "notes?|warn(?:ing)?s?|tips?|admonition|callout|important|caution|info"  # in the class of an aside
NOTE = re.compile(rf"(?<![a-z])(?:{NOTE_WORDS})(?![a-z])")  # "note_box" and "noteBox" are notes, "footnotes" are none
SHORT = 250  # characters: of a page that small trafilatura may take all words as they come, without headings
INNER = "ancestor::li | ancestor::dd | ancestor::td"
MENU_LINKS, MENU_SHARE = 4, 0.7  # that many links, which are so much of a list: they lead elsewhere, and say nothing
MENU_CHARS = 40  # of a link, on average: longer ones are titles, as in a list of references
POWER = re.compile(r"[-−+]?\d+")
LEFT_OUT = 0.8  # of a page's text: beyond that it is a page of links, which somebody wrote to be read
PLACE = "place"  # what an <a name> becomes, to be taken out with all others at once: one by one takes minutes
MARKS = ("", "¶", "#", "§")  # links to the heading that they stand behind

Element = Any  # lxml ships no types


def prepare_page(page: Element) -> None:
    """Change a parsed page so that what people wrote in it survives the search for its main text."""
    _level(page)
    for link in list(page.iter("a")):
        _clear(link)
    etree.strip_tags(page, PLACE)
    for code in page.xpath("//pre"):
        etree.strip_tags(code, "code")
        if not code.xpath(INNER):  # there, trafilatura would open its fence in the middle of a line
            _put_into(etree.Element("code"), code)  # else its lines are text, and a comment among them a heading
    for caption in list(page.iter("caption")):
        _to_paragraph(caption)
    body = page.find(".//body")
    if body is not None and not page.xpath(MAIN):
        _take_whole(body)
    for main in page.xpath(WHOLE)[:1]:
        _take_main(main)
    for entries in page.xpath("//td//ul | //td//ol | //th//ul | //th//ol"):
        _to_line(entries)


def _level(page: Element) -> None:
    """Put small letters, high and low, into their line: people look for H2O, and for 10^6."""
    for raised in page.iter("sup"):
        if POWER.fullmatch(_text(raised)):
            raised.text = f"^{raised.text or ''}"  # else 10<sup>6</sup> would become 106
    etree.strip_tags(page, "sub", "sup")


def _take_whole(body: Element) -> None:
    """Mark all of a body but its menus as the main text."""
    menus = [each for each in body.iter("ul", "ol") if _is_menu(each)]
    if sum(len(_text(menu)) for menu in menus) < LEFT_OUT * len(_text(body)):  # else the menu is the page
        for menu in menus:
            menu.drop_tree()
    _put_into(etree.Element("article"), body)


def _take_main(main: Element) -> None:
    """Mark all of a main text as such where it is several articles: else the first one would stand for it.

    Beside a single one stands what others wrote, or what belongs to the site; and what is no element would be lost.
    """
    if len(_text(main)) < SHORT:
        return
    articles = [article for article in main.xpath(OUTER) if _text(article)]
    others = [each for each in articles if _leads_elsewhere(each) or each.xpath("ancestor::li")]  # teasers, comments
    full = [each for each in articles if each not in others]
    if len(full) > 1 and not any(map(_has_bare_text, (main, *full))):
        menus = [each for each in main.xpath(LISTS_BESIDE) if _is_menu(each)]
        for element in (*menus, *others):
            element.drop_tree()
        for article in list(main.iter("article")):
            article.attrib.clear()  # as a div it would be left out for a class of this name or that
            article.tag = "div"
        _put_into(etree.Element("article", itemprop="articleBody"), main)  # which is looked for first
    for note in list(main.iter("aside")):
        if NOTE.search(note.get("class", "")) and not _leads_elsewhere(note):
            note.tag = "div"


def _has_bare_text(element: Element) -> bool:
    return any(map(str.strip, filter(None, (element.text, *(child.tail for child in element)))))


def _leads_elsewhere(element: Element) -> bool:
    """Return whether most of an element's text is links, as in a teaser of another page."""
    return sum(len(_text(link)) for link in element.iter("a")) > MENU_SHARE * len(_text(element))


def _clear(link: Element) -> None:
    """Remove a mark to link to: beside an empty one a heading counts as a menu, and is left out."""
    if link.get("href") is None:
        link.tag = PLACE
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
    is_short = linked <= MENU_CHARS * len(links)
    return len(links) >= MENU_LINKS and is_short and linked > MENU_SHARE * len(_text(element))


def _put_into(inner: Element, outer: Element) -> None:
    """Put all that an element holds into another one, and that into the element."""
    inner.text, outer.text = outer.text, None
    inner.extend(list(outer))
    outer.append(inner)


def _text(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())


META_DATES = ("article:modified_time", "dateModified", "dcterms.modified", "article:published_time", "date")


ESCAPED = re.compile(r"(`+[^`]*`+)|\\([\\`*_{}\[\]()#+\-.!<>~])")


def load_html(data: bytes) -> LoadedText:
    """Read the main text of a page as Markdown, so that headings, lists, code and tables survive."""
    markdown, title, date = _main_text(normalise(decode(data)))
    lines = _outline(markdown)
    text = _unescape(markdown, lines)
    title = _first_heading(lines, level=1) or title or _first_heading(lines)
    return LoadedText(text, _sections(text, lines), title, date=date)


def _main_text(html: str) -> tuple[str, str, str]:
    """Return a page's main text as Markdown, its <title> and its date."""
    if "<html" not in html[:5000].lower():
        html = f"<html><body>{html}</body></html>"  # trafilatura refuses fragments
    try:
        markdown, title, date = _extract_markdown(html)
    except Exception as error:  # a hostile page may break lxml or trafilatura in any way
        raise Unreadable(f"its HTML cannot be read ({type(error).__name__}): save the page anew") from error
    if not markdown:
        raise Unreadable("no main text was found in this page: it is empty, or a script makes its text")
    return normalise(markdown), one_line(title), date


def _extract_markdown(html: str) -> tuple[str, str, str]:
    import trafilatura  # takes a moment, and many folders hold no page

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # what it says on refusing a page, Unreadable says
    page = trafilatura.load_html(html, len(html) + 1)
    if page is None:
        return "", "", ""
    title = page.findtext(".//title") or ""
    prepare_page(page)
    told = {
        meta.get("property") or meta.get("name") or meta.get("itemprop"): meta.get("content")
        for meta in page.iter("meta")
    }
    date = next(
        filter(None, (day(told.get(name) or "") for name in META_DATES)), ""
    )  # the last change before the first
    return trafilatura.extract(page, output_format="markdown", include_comments=False) or "", title, date


def _unescape(markdown: str, outline: list[OutlineEntry]) -> str:
    """Undo trafilatura's escapes (snake\\_case) outside code, line by line, so that the outline still holds."""
    rows = markdown.split("\n")
    for lines in outline:
        if lines.kind != "code":
            rows[lines.first : lines.end] = [
                ESCAPED.sub(lambda match: match[1] or match[2], row) for row in rows[lines.first : lines.end]
            ]
    return "\n".join(rows)
