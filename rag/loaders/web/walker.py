"""Write a web page's elements into a `DocumentBuilder`, in order: whatever is not left out by rule becomes a block.

Why a walk over events: saved pages nest thousands of unclosed <font> tags, which recursion cannot follow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lxml import etree

from rag.loaders.builder import DocumentBuilder
from rag.loaders.web.boilerplate import Boilerplate
from rag.loaders.web.page_table import grid_of, sets_page
from rag.loaders.web.page_text import BLOCKS, BREAK, NUMBER, closing, inline_value, opening, text_of, tidy

Element = Any  # lxml ships no types

HEADINGS = {f"h{level}": level for level in range(1, 7)}
LISTS = frozenset(("ul", "ol", "menu", "dir"))
CODE = frozenset(("pre", "xmp", "listing"))
LANGUAGE = re.compile(r"(?:^|\s)(?:language|lang|highlight-source|highlight|brush:)-?\s*([A-Za-z0-9+#]{1,15})(?=\s|$)")
NOT_LANGUAGES = frozenset(("default", "none", "plain", "text", "plaintext", "notranslate", "source", "nohighlight"))
GUTTER = re.compile(  # class of a line number or a copy button
    r"(?:^|[\s_-])(?:linenos?|line-?numbers?|gutter|ln|blob-num|copy-?btn|copy-?button)(?:[\s_-]|$)"
)


class PageWriter:
    """Writes the content of elements; inline text is collected until a block begins or ends."""

    def __init__(self, builder: DocumentBuilder, boilerplate: Boilerplate) -> None:
        self._builder, self._boilerplate = builder, boilerplate
        self._line: list[str] = []

    def write(self, root: Element) -> None:
        """Write all blocks within an element."""
        walk = etree.iterwalk(root, events=("start", "end", "comment", "pi"))
        for event, element in walk:
            if event == "start":
                if element is not root and element in self._boilerplate and inline_value(element) is None:
                    walk.skip_subtree()
                    element.set("data-out", "")
                elif element is not root and self._take(element):
                    walk.skip_subtree()
                    element.set("data-taken", "")
                else:
                    self._begin(element)
                continue
            if event == "end" and element.get("data-out") is None and element.get("data-taken") is None:
                self._end(element)
            if event == "end" and element.get("data-out") is not None and element.tag in BLOCKS:
                self._flush()
            if element is not root and element.tail:
                self._line.append(element.tail)
        self._flush()

    def _begin(self, element: Element) -> None:
        tag = element.tag
        if tag in BLOCKS:
            self._flush()
        if tag == "sup" and NUMBER.fullmatch(text_of(element)):
            self._line.append("^")
        elif tag in ("code", "kbd", "samp", "tt"):
            self._line.append("`" if "`" not in "".join(element.itertext()) else "")
        elif tag == "q":
            self._line.append("“")
        if element.text:
            self._line.append(element.text)

    def _end(self, element: Element) -> None:
        tag = element.tag
        if tag in BLOCKS:
            self._flush()
        elif tag in ("code", "kbd", "samp", "tt"):
            self._line.append("`" if "`" not in "".join(element.itertext()) else "")
        elif tag == "q":
            self._line.append("”")

    def _take(self, element: Element) -> bool:
        """Write an element that is more than a run of text; return False for one that is walked."""
        tag = element.tag
        if tag in HEADINGS:
            self._flush()
            self._builder.heading(HEADINGS[tag], self._text(element))
        elif tag in CODE:
            self._flush()
            self._add_code(element)
        elif tag in LISTS and next(_items_of(element), None) is not None:
            self._flush()
            self._write_list(element)
        elif tag == "table":
            self._flush()
            return self._write_table(element)
        elif tag == "br":
            self._line.append(BREAK)
        elif tag == "dt":
            self._flush()
            self._line += [self._text(element), BREAK]
        elif tag == "dd" and not any(each.tag in BLOCKS for each in element.iterdescendants(etree.Element)):
            self._line += [self._text(element), BREAK]
        else:
            return self._take_inline(element)
        return True

    def _take_inline(self, element: Element) -> bool:
        inline = inline_value(element)
        if inline is None:
            return False
        self._line.append(inline)
        return True

    def _text(self, element: Element) -> str:
        return text_of(element, self._boilerplate)

    def _flush(self) -> None:
        text = tidy("".join(self._line))
        self._line = []
        self._builder.add(text)

    def _add_code(self, element: Element) -> None:
        """Add a code block in a fence, exact to the letter: line numbers and copy buttons are not part of it."""
        self._builder.code(verbatim(element).strip("\n"), _language(element))

    def _write_list(self, entries: Element) -> None:
        """Write a list as lines; a code block or table in an item is a block between them."""
        lines: list[str] = []
        for line in self._list_lines(entries, 0):
            if isinstance(line, str):
                lines.append(line)
                continue
            self._builder.add("\n".join(lines), "list")
            lines = []
            if line.tag in CODE:
                self._add_code(line)
            else:
                self._builder.table(*grid_of(line, self._boilerplate))
        self._builder.add("\n".join(lines), "list")

    def _list_lines(self, entries: Element, depth: int) -> Iterator[str | Element]:
        number = int(entries.get("start") or 1) if (entries.get("start") or "1").isdigit() else 1
        for item in _items_of(entries):
            if item in self._boilerplate:
                continue
            mark = f"{number}." if entries.tag == "ol" else "-"
            number += 1
            first = True
            for part in self._item_parts(item):
                if isinstance(part, str):
                    yield f"{'  ' * depth}{mark} {part}" if first else f"{'  ' * (depth + 1)}{part}"
                    first = False
                elif part.tag in LISTS:
                    yield from self._list_lines(part, depth + 1)
                else:
                    yield part
                    first = False

    def _item_parts(self, item: Element) -> Iterator[str | Element]:
        """Yield the lines of a list item, and the lists, code blocks and tables within it, in order."""
        line: list[str] = [item.text or ""]
        walk = etree.iterwalk(item, events=("start", "end", "comment", "pi"))
        for event, element in walk:
            if element is item:
                continue
            if event == "start":
                takes = element.tag in LISTS or element.tag in CODE or element.tag == "table"
                inline = None if takes else inline_value(element)
                if element in self._boilerplate and inline is None:
                    walk.skip_subtree()
                elif takes:
                    yield from _lines("".join(line))
                    line = []
                    yield element
                    walk.skip_subtree()
                elif inline is not None or element.tag == "br":
                    line.append(inline if inline is not None else BREAK)
                    walk.skip_subtree()
                else:
                    line += [BREAK if element.tag in BLOCKS else opening(element), element.text or ""]
            else:
                if event == "end":
                    line.append(BREAK if element.tag in BLOCKS else closing(element))
                line.append(element.tail or "")
        yield from _lines("".join(line))

    def _write_table(self, table: Element) -> bool:
        """Write a table of values; return False for one that only lays out the page, whose cells are walked."""
        if sets_page(table):
            return False
        caption = next((each for each in table if each.tag == "caption"), None)
        if caption is not None:
            self._builder.add(self._text(caption))
        self._builder.table(*grid_of(table, self._boilerplate))
        return True


def verbatim(element: Element) -> str:
    """Return the text of a code block with all its spaces and line breaks; rows of a <div> each are lines."""
    parts: list[str] = [element.text or ""]
    walk = etree.iterwalk(element, events=("start", "end", "comment", "pi"))
    for event, each in walk:
        if each is element:
            continue
        if event == "start":
            if _is_gutter(each) or (each.get("data-line-number") and not (each.text or "").strip()):
                walk.skip_subtree()
            elif each.tag == "br":
                parts.append("\n")
            else:
                if each.tag in ("div", "p", "li", "tr") and parts and "".join(parts[-3:])[-1:] not in ("\n", ""):
                    parts.append("\n")
                parts.append(each.text or "")
        else:
            if event == "end" and each.tag in ("div", "p", "li", "tr") and "".join(parts[-3:])[-1:] != "\n":
                parts.append("\n")
            parts.append(each.tail or "")
    return "".join(parts).replace("\u00a0", " ")


def _is_gutter(element: Element) -> bool:
    """Return whether an element of a code block is a control or a line number."""
    names = f"{element.get('class') or ''} {element.get('id') or ''}".lower()
    return element.tag in ("button", "script", "style", "svg") or bool(
        GUTTER.search(names) and re.fullmatch(r"[\s\d]*|copy\s*", "".join(element.itertext()).lower())
    )


def _language(element: Element) -> str:
    """Return the language that a code block's class names, "" if none."""
    near = [element, *element.iter("code"), *list(element.iterancestors())[:2]]
    for each in near:
        found = LANGUAGE.search(each.get("class") or "")
        if found and found[1].lower() not in NOT_LANGUAGES:
            return found[1].lower()
    return ""


def _items_of(entries: Element) -> Iterator[Element]:
    """Yield the items of a list; a list directly in a list counts as an item."""
    return (each for each in entries if isinstance(each.tag, str) and each.tag not in ("script", "template", "style"))


def _lines(text: str) -> Iterator[str]:
    return iter(tidy(text).splitlines())
