"""Find what a web page repeats on every page of its site: menus, banners, buttons, teasers. The rest is its content.

Why rules for what is left out, and none for what is kept: an extractor that picks paragraphs loses text that stands in
none. Whatever holds a sentence outside links stays, whatever its class is called (decision 26).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Element = Any  # lxml ships no types

SILENT = frozenset(
    re.findall(
        r"\S+",
        """script style template noscript svg iframe object canvas audio video map head datalist dialog link meta
        title colgroup param embed applet nav""",
    )
)
SILENT_ROLES = frozenset(
    re.findall(
        r"\S+",
        """navigation search menu menubar toolbar dialog alertdialog tooltip doc-toc doc-pagebreak tablist""",
    )
)
NOT_SHOWN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
PANELS = re.compile(r"tab|pane|panel|collaps|accordion|content|spoiler|answer|detail|toggle|fold|step|slide|page")
WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")  # of a class or an id: siteNav, site-nav, site_nav
SITE_PARTS = frozenset(  # left out unless they hold a sentence
    [
        "nav",
        "navbar",
        "navigation",
        "navi",
        "menu",
        "submenu",
        "topbar",
        "breadcrumb",
        "breadcrumbs",
        "pagination",
        "pager",
        "paging",
        "sidebar",
        "toc",
        "skiplink",
        "skip",
        "share",
        "sharing",
        "sharer",
        "social",
        "login",
        "signin",
        "signup",
        "subscribe",
        "subscription",
        "search",
        "searchbox",
        "footer",
        "header",
        "masthead",
        "banner",
        "toolbar",
        "tags",
        "taglist",
        "categories",
        "prevnext",
        "prev",
        "next",
        "edit",
        "topnav",
        "bottomnav",
        "language",
        "languages",
        "lang",
        "rellinks",
        "navlinks",
        "toolbox",
        "permalink",
        "metadata",
        "buttons",
        "actions",
        "rating",
        "likes",
        "follow",
        "print",
        "related",
        "copyright",
    ]
)
ALWAYS_OUT = frozenset(
    re.findall(
        r"\S+",
        """cookie cookies consent gdpr cookiebar headerlink anchorjs navbox navfooter navheader catlinks
        printfooter editsection linenos lineno linenumber linenumbers gutter sphinxsidebar skipnav advert
        advertisement ad ads advertising adsbygoogle outbrain taboola disqus breadcrumb breadcrumbs pagination
        jumplinks noprint newsletter sharedaddy addthis paywall""",
    )
)
TEASERS = frozenset(
    re.findall(
        r"\S+",
        """related recommended recommendations recirculation teaser teasers trending popular promo more suggested
        upsell latest readnext""",
    )
)
HASH = re.compile(r"(?=(?:\D*\d){4})[\da-fA-F-]{12,}")  # an id such as "64c58eb106608ad0", in which "ad" is no word
COMMENTS = frozenset(("comments", "commentlist", "respond", "disqusthread", "commentslist", "commentsarea"))
HIDDEN_LABELS = re.compile(r"(?:^|\s)(?:sr-only|visually-hidden|visuallyhidden|screen-reader-text|assistive)(?:\s|$)")
MATH_COPIES = re.compile(r"(?:^|\s)(?:katex-html|MathJax_Preview|MathJax_SVG|MathJax_CHTML|MathJax)(?:\s|$)")
LABEL_CHARS = 60  # a text for screen readers that is longer than this is content
NOTE_WORDS = "notes?|warn(?:ing)?s?|tips?|admonition|callout|important|caution|info"
NOTE = re.compile(rf"(?<![a-z])(?:{NOTE_WORDS})(?![a-z])")  # "note_box" and "noteBox" are notes, "footnotes" are not
SENTENCE = re.compile(r"(?:\S+\s+){2,}\S*[.!?…。！？:;]['\"”’)]*(?:\s|$)|[。！？]")
SITE_FOOTER = re.compile(
    r"©|\(c\)|copyright|all rights reserved|powered by|built with|generated (?:by|on)|privacy|imprint|impressum|"
    r"terms of (?:use|service)|last (?:updated|modified)",
    re.IGNORECASE,
)
MENU_LINKS, MENU_SHARE = 4, 0.7  # a list with this many links, which are this share of its text, is a menu
MENU_CHARS = 40  # per link on average: longer links are titles, as in a list of references
MAX_MENU_SHARE = 0.8  # of a page's text: beyond this the page itself is a list of links, and is read
MOST_OF_PAGE = 0.4  # of the text: a part that holds this much is the content, whatever it is called
LINKED = 0.5
NOSCRIPT = 250  # characters: a shorter text for browsers without scripts asks to enable them
TEASER_LINKED = 0.25  # a teaser is a title with a link and a line of text
PRESS_SHARE = 0.3  # likewise, for the article of a newspaper's page
MAIN_SHARE = 0.15  # of the page's text outside links: less than this is not its main text


@dataclass(slots=True)
class Measure:
    """The text within an element: characters, those of links, the number of links, whether unlinked sentences exist."""

    chars: int = 0
    linked: int = 0
    links: int = 0
    sentence: bool = False

    @property
    def share(self) -> float:
        """Return the share of the characters that is linked, 0 for an element without text."""
        return self.linked / self.chars if self.chars else 0.0


def measure(page: Element) -> dict[Element, Measure]:
    """Return the measure of every element, scripts excluded, in one pass from the leaves to the root."""
    measures: dict[Element, Measure] = {}
    elements = list(page.iter("*"))
    measures = {element: Measure() for element in elements}
    for element in reversed(elements):
        own, above = measures[element], element.getparent()
        if element.tag in SILENT and element.tag not in ("nav", "noscript"):
            own.chars = own.linked = own.links = 0
            own.sentence = False
        elif element.text:
            _count(own, element.text)
        if element.tag == "a" and element.get("href") is not None:
            own.linked, own.links, own.sentence = own.chars, 1, False
        if above is not None and above in measures:
            upper = measures[above]
            upper.chars += own.chars
            upper.linked += own.linked
            upper.links += own.links
            upper.sentence |= own.sentence
            if element.tail:
                _count(upper, element.tail)
    return measures


def _count(measured: Measure, text: str) -> None:
    words = text.strip()
    if words:
        measured.chars += len(words) + 1
        measured.sentence = measured.sentence or bool(SENTENCE.search(words))


def content_roots(page: Element, measures: dict[Element, Measure]) -> list[Element]:
    """Return the elements that a page marks as its main text, in order; else its body."""
    body = page.find(".//body")
    whole = body if body is not None else page
    unlinked = max(1, measures[whole].chars - measures[whole].linked)
    mains = page.xpath("//main | //*[@role='main']")
    mains = [each for each in mains if not any(above in mains for above in each.iterancestors())]
    mains = [each for each in mains if measures[each].chars]
    if sum(measures[each].chars - measures[each].linked for each in mains) < MAIN_SHARE * unlinked:
        mains = [whole]
    if is_press(page):
        return _press_article(mains, measures) or mains
    return mains


def is_press(page: Element) -> bool:
    """Return whether a page declares that it is one article of a newspaper or blog; forums and manuals do not."""
    kinds = page.xpath("//meta[@property='og:type']/@content")
    return any(kind.lower() == "article" for kind in kinds)


def _press_article(roots: list[Element], measures: dict[Element, Measure]) -> list[Element]:
    """Return the only article of a newspaper's page, [] if it is not clear: the rest is comments and teasers."""
    unlinked = max(1, sum(measures[root].chars - measures[root].linked for root in roots))
    for path in (".//article[not(ancestor::article)]", ".//*[@itemprop='articleBody']"):
        found = [each for root in roots for each in root.xpath(path) if measures[each].sentence]
        found = [each for each in found if measures[each].chars - measures[each].linked >= PRESS_SHARE * unlinked]
        if len(found) == 1 and (found[0].tag == "article" or not found[0].xpath("ancestor::article")):
            return found
    return []


class Boilerplate:
    """Decides for each element of a page whether it is left out; `comments` counts readers' comments left out."""

    def __init__(self, page: Element, roots: list[Element], measures: dict[Element, Measure]) -> None:
        self._measures = measures
        self._marked = roots[0].tag != "body"
        self._press = is_press(page)
        self._chars = max(1, sum(measures[root].chars for root in roots))
        self._of_others = set(self._other_articles(page, roots))
        self._menus = set(self._menus_of(roots))
        self.comments = sum(1 for each in self._of_others if each.xpath("ancestor::li"))

    def __contains__(self, element: Element) -> bool:
        """Return whether an element is left out."""
        measured = self._measures.get(element)
        if measured is None or element in self._of_others or element in self._menus:
            return True
        tag = element.tag
        if tag in SILENT:
            return tag != "noscript" or measured.chars < max(NOSCRIPT, MOST_OF_PAGE * self._chars)
        if measured.chars > MOST_OF_PAGE * self._chars and not self._is_math_copy(element):
            return False
        return self._is_hidden(element, measured) or self._is_site_part(element, measured)

    def _is_hidden(self, element: Element, measured: Measure) -> bool:
        """Return whether an element is not shown. Panels that a click opens are shown."""
        names = f"{element.get('class') or ''} {element.get('id') or ''}"
        if self._is_math_copy(element) or element.get("role") in SILENT_ROLES:
            return True
        if HIDDEN_LABELS.search(names) and measured.chars <= LABEL_CHARS:
            return True
        if element.get("aria-hidden") == "true" and measured.chars <= LABEL_CHARS:
            return True
        hidden = element.get("hidden") is not None or NOT_SHOWN.search(element.get("style") or "")
        if not hidden or element.get("role") == "tabpanel" or PANELS.search(names.lower()):
            return False
        return not element.xpath(".//math") and "mwe-math" not in names

    @staticmethod
    def _is_math_copy(element: Element) -> bool:
        return bool(MATH_COPIES.search(element.get("class") or ""))

    def _is_site_part(self, element: Element, measured: Measure) -> bool:
        tag = element.tag
        if tag in ("a", "code", "pre", "p", "td", "th", "h1", "h2", "h3", "h4", "h5", "h6", "body", "html", "b", "em"):
            return tag == "a" and _words(element) & {"headerlink", "skip", "skiplink", "permalink"} != frozenset()
        if tag in ("header", "footer", "aside"):
            return self._is_site_element(element, tag, measured)
        if element.get("role") in ("banner", "contentinfo"):
            return not measured.sentence or bool(SITE_FOOTER.search(_text(element)))
        names = _words(element)
        if not names or element.get("itemprop") == "articleBody":
            return False
        if names & ALWAYS_OUT:
            return True
        if self._press and names & COMMENTS:
            self.comments += 1
            return True
        if names & TEASERS and measured.links >= 2 and measured.share >= TEASER_LINKED:
            return True
        is_bare = not measured.sentence and not element.xpath(".//h1 | .//pre")
        if names & {"share", "social", "copyright", "skip"} and is_bare:
            return True
        if names & SITE_PARTS:
            return is_bare and (measured.share > LINKED or not measured.chars or self._has_controls(element))
        return False

    def _is_site_element(self, element: Element, tag: str, measured: Measure) -> bool:
        """Return whether a header, footer or aside belongs to the site and not to the text."""
        if not measured.chars:
            return True
        text = _text(element) if measured.chars < 3_000 else ""
        within = bool(element.xpath("ancestor::article | ancestor::main | ancestor::section"))
        if tag == "header":
            has_title = bool(element.xpath(".//h1")) and not element.xpath(".//nav")
            return not (within or has_title or measured.sentence) or measured.share > MENU_SHARE
        if tag == "footer":
            return not measured.sentence or measured.share > LINKED or bool(SITE_FOOTER.search(text))
        names = _words(element)
        if NOTE.search((element.get("class") or "").lower()):
            return measured.share > MENU_SHARE
        return not measured.sentence or measured.share > LINKED or bool(names & (ALWAYS_OUT | TEASERS))

    @staticmethod
    def _has_controls(element: Element) -> bool:
        return bool(element.xpath(".//button | .//input | .//select"))

    def _menus_of(self, roots: list[Element]) -> Iterator[Element]:
        """Yield the lists of short links, unless they are most of the page.

        In a marked main text only those are menus that stand outside sections, before the first heading.
        """
        for root in roots:
            menus = [each for each in root.iter("ul", "ol") if self._is_menu(each)]
            if self._marked:
                first = next(root.iter("h1", "h2", "h3"), None)
                menus = [each for each in menus if first is not None and _precedes(each, first, root)]
            if sum(self._measures[menu].chars for menu in menus) < MAX_MENU_SHARE * self._measures[root].chars:
                yield from menus

    def _is_menu(self, element: Element) -> bool:
        measured = self._measures[element]
        is_short = measured.linked <= MENU_CHARS * measured.links
        return measured.links >= MENU_LINKS and is_short and measured.share > MENU_SHARE

    def _other_articles(self, page: Element, roots: list[Element]) -> Iterator[Element]:
        """Yield teasers and readers' comments: articles that are links or stand in lists, where a full one exists.

        Next to the only full article, links and tables without header cells are left out, too: a repository's files.
        """
        articles = [each for each in page.iter("article") if not each.xpath("ancestor::article")]
        articles = [each for each in articles if self._measures[each].chars]
        others = [each for each in articles if self._measures[each].share > MENU_SHARE or each.xpath("ancestor::li")]
        full = [each for each in articles if each not in others]
        if full:
            yield from others
        if len(full) == 1 and full[0] not in roots and any(root.tag == "main" for root in roots):
            for other in (each for root in roots for each in root.iter("table", "p")):
                is_link = other.tag == "p" and self._measures[other].share > MENU_SHARE
                is_layout = other.tag == "table" and not other.xpath(".//th | .//caption")
                if (is_link or is_layout) and full[0] not in other.iterancestors():
                    yield other


def _precedes(element: Element, first: Element, root: Element) -> bool:
    for each in root.iter():
        if each is element:
            return True
        if each is first:
            return False
    return False


def _words(element: Element) -> frozenset[str]:
    """Return the words of an element's class and id in lower case, and each whole name without its separators."""
    names = f"{element.get('class') or ''} {element.get('id') or ''}".split()
    names = [name for name in names if not HASH.fullmatch(name)]
    parts = {word.lower() for name in names for word in WORDS.findall(name)}
    return frozenset(parts | {re.sub(r"[-_]", "", name.lower()) for name in names})


def _text(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())
