"""The text of elements of a web page where no block may begin: headings, table cells, lines with code and formulas."""

from __future__ import annotations

import re
from typing import Any

from lxml import etree

from rag.loaders.tables import END_OF_PARAGRAPH
from rag.loaders.web.boilerplate import Boilerplate
from rag.loaders.web.mathml import math_to_text

Element = Any  # lxml ships no types

BLOCKS = frozenset(
    re.findall(
        r"\S+",
        """address article aside blockquote body caption center dd details dialog div dl dt fieldset figcaption
        figure footer form header hgroup hr html legend li main noscript ol optgroup p section summary table
        tbody td tfoot th thead tr ul menu dir h1 h2 h3 h4 h5 h6 pre xmp listing search""",
    )
)
PARAGRAPHS = frozenset(re.findall(r"\S+", "p li ul ol menu dir dl dt dd table tr pre blockquote h1 h2 h3 h4 h5 h6"))
NUMBER = re.compile(r"[-−+]?\d+|\[\d+\]")
INVISIBLE = str.maketrans("", "", "\u00ad\u200b\u2060\ufeff")
PERMALINKS = frozenset(("", "¶", "#", "§", "🔗", "\uf0c1", "link", "[edit]"))
BREAK = "\0"  # stands for <br>: no text contains a NUL
BUTTON_WORDS = 4  # a button with fewer words outside headings is a control
TYPED = frozenset(("", "text", "email", "tel", "url", "number", "date", "time", "month", "week", "datetime-local"))


def text_of(element: Element, boilerplate: Boilerplate | None = None) -> str:
    """Return an element's text on one line: lists as "a; b", formulas and form values as text."""
    return tidy_line(_gather(element, boilerplate).replace(BREAK, " ").replace(END_OF_PARAGRAPH, " "))


def cell_text(cell: Element, boilerplate: Boilerplate | None = None) -> str:
    """Return a table cell's text: <br> as a line break, an end of paragraph after each paragraph and list item.

    A table in the cell has a line per row, with commas between its cells.
    """
    paragraphs = _gather(cell, boilerplate).split(END_OF_PARAGRAPH)
    lines = ("\n".join(filter(None, map(tidy_line, each.split(BREAK)))) for each in paragraphs)
    return END_OF_PARAGRAPH.join(filter(None, lines))


def tidy_line(text: str) -> str:
    """Return collected text on one line with single spaces."""
    return " ".join(text.translate(INVISIBLE).split()).replace(" ;", ";").replace(" ,", ",")


def _gather(element: Element, boilerplate: Boilerplate | None) -> str:
    """Return the raw text of an element: BREAK for <br>, an end of paragraph after each."""
    if not len(element):  # as most cells of a table
        return element.text or ""
    parts: list[str] = [element.text or ""]
    walk = etree.iterwalk(element, events=("start", "end", "comment", "pi"))
    for event, each in walk:
        if each is element:
            continue
        if event == "start":
            inline = inline_value(each)
            if inline is not None:
                parts.append(inline)
                walk.skip_subtree()
            elif boilerplate is not None and each in boilerplate:
                walk.skip_subtree()
            elif each.tag == "br":
                parts.append(BREAK)
            else:
                start = END_OF_PARAGRAPH if each.tag in PARAGRAPHS else " " if each.tag in BLOCKS else opening(each)
                parts += [start, each.text or ""]
        else:
            if event == "end":
                parts.append(_end(each))
            parts.append(each.tail or "")
    return "".join(parts)


def _end(element: Element) -> str:
    if element.tag in ("li", "td", "th") and element.getnext() is not None:
        return f";{END_OF_PARAGRAPH}" if element.tag == "li" else ", "
    return END_OF_PARAGRAPH if element.tag in PARAGRAPHS else " " if element.tag in BLOCKS else closing(element)


def inline_value(element: Element) -> str | None:
    """Return what an element shows where it is not its text: a form value, a formula. None for any other element."""
    tag = element.tag
    if tag == "input":
        return _input_value(element)
    if tag == "textarea":
        return f" {element.text or ''} "
    if tag == "select":
        options = list(element.iter("option"))
        chosen = [each for each in options if each.get("selected") is not None] or options[:1]
        return f" {', '.join(' '.join(''.join(each.itertext()).split()) for each in chosen)} "
    if tag == "math":
        return f" {math_to_text(element)} "
    if tag == "button":
        words = " ".join("".join(element.itertext()).split())
        in_text = next(element.iterancestors("p", "h1", "h2", "h3", "h4", "h5", "h6", "summary"), None) is not None
        return f" {words} " if in_text or len(words.split()) >= BUTTON_WORDS else " "
    if tag == "a" and _is_permalink(element):
        return ""
    if tag == "script":  # MathJax keeps the source of a formula in one
        return f" {element.text or ''} " if (element.get("type") or "").startswith("math/tex") else None
    if tag == "img" and "math" in (element.get("class") or "").lower() and element.get("alt"):
        return f" {element.get('alt')} "
    return None


def _input_value(field: Element) -> str:
    kind = (field.get("type") or "").lower()
    if kind in ("checkbox", "radio"):
        return " ☒ " if field.get("checked") is not None else " ☐ "
    return f" {field.get('value') or ''} " if kind in TYPED else " "


def _is_permalink(link: Element) -> bool:
    target = link.get("href")
    if target is None or len(link) > 3:
        return False
    text = "".join(link.itertext()).strip()
    return text in PERMALINKS and not next(link.iter("img", "math", "input"), None) is not None


def opening(element: Element) -> str:
    """Return the sign that begins an element: "^" of a raised number, "`" of code."""
    if element.tag == "sup" and NUMBER.fullmatch("".join(element.itertext()).strip()):
        return "^"
    if element.tag in ("code", "kbd", "samp", "tt") and "`" not in "".join(element.itertext()):
        return "`"
    return ""


def closing(element: Element) -> str:
    """Return the sign that ends an element."""
    return "" if element.tag == "sup" else opening(element)


def tidy(text: str) -> str:
    """Return collected text with line breaks only for <br>, single spaces elsewhere and no empty code marks."""
    text = text.translate(INVISIBLE)
    return "\n".join(line for part in text.split(BREAK) if (line := " ".join(part.split()).replace("``", "")))
