"""Open an OpenDocument file as its XML parts, with the styles that hide text, number lists and lay out pages.

Why not through `repack`: OpenOffice 2 wrote a document type into its manifest, and `repack` refuses every one. Here a
type is allowed, entities are refused, and the parser expands none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from posixpath import normpath
from typing import Any

from rag.errors import Unreadable
from rag.loaders.metadata import day, good_title
from rag.loaders.office.ooxml import SOFT_HYPHEN, parse
from rag.loaders.safe_zip import open_zip, read_part

Element = Any  # lxml ships no types
OASIS = "urn:oasis:names:tc:opendocument:xmlns:"
URIS = {
    **{name: f"{OASIS}{name}:1.0" for name in ("office", "text", "table", "style", "presentation", "chart", "form")},
    "draw": f"{OASIS}drawing:1.0",
    "fo": f"{OASIS}xsl-fo-compatible:1.0",
    "svg": f"{OASIS}svg-compatible:1.0",
    "meta": f"{OASIS}meta:1.0",
    "manifest": f"{OASIS}manifest:1.0",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xlink": "http://www.w3.org/1999/xlink",
    "math": "http://www.w3.org/1998/Math/MathML",
    "xml": "http://www.w3.org/XML/1998/namespace",
    "loext": "urn:org:documentfoundation:names:experimental:office:xmlns:loext:1.0",
}
PREFIXES = {uri: prefix for prefix, uri in URIS.items()}
MAX_UNPACKED = 500_000_000  # bytes, including pictures, which are not unpacked
MAX_XML = 100_000_000  # bytes of the parts that are read; a page of text has 5,000
MAX_PARENTS = 20  # of a style
ENTITIES = tuple("<!ENTITY".encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be"))
COUNT = re.compile(r"\d{1,12}")
LENGTH = re.compile(r"(-?\d+(?:\.\d+)?)(cm|mm|in|pt|pc|px)?")
CENTIMETRES = {"cm": 1.0, "mm": 0.1, "in": 2.54, "pt": 0.0353, "pc": 0.423, "px": 0.0265}


@lru_cache(maxsize=2000)
def full(name: str) -> str:
    """Return a name such as "text:p" as lxml writes it."""
    prefix, _, local = name.partition(":")
    return f"{{{URIS[prefix]}}}{local}"


@lru_cache(maxsize=2000)
def _short(tag: str) -> str:
    uri, _, local = tag[1:].partition("}") if tag.startswith("{") else ("", "", tag)
    return f"{PREFIXES.get(uri, '')}:{local}"


def name_of(element: Element) -> str:
    """Return an element's name, such as "text:p"; "" for a comment; an unknown namespace has no prefix."""
    return _short(element.tag) if isinstance(element.tag, str) else ""


def get(element: Element | None, name: str) -> str:
    """Return an attribute such as "text:style-name"; "" if it is missing."""
    return str(element.get(full(name)) or "") if element is not None else ""


def count_of(element: Element, name: str, default: int = 1) -> int:
    """Return an attribute that counts something; the default if it is missing or no number."""
    value = get(element, name)
    return int(value) if COUNT.fullmatch(value) else default


def length_of(element: Element, name: str) -> float | None:
    """Return an attribute such as svg:x="2.5cm" in centimetres; None if it is missing."""
    found = LENGTH.fullmatch(get(element, name))
    return float(found[1]) * CENTIMETRES[found[2] or "px"] if found else None


def child(element: Element | None, *names: str) -> Element:
    """Return the first element at a path of names, None if there is none."""
    for name in names:
        element = element.find(full(name)) if element is not None else None
    return element


class Children(list[Element]):
    """Elements that are read as if they were the children of an element without text of its own."""

    text = tail = ""


class Styles:
    """The styles that one part can use: those of the whole file, and its own automatic ones."""

    def __init__(self, *groups: Element | None) -> None:
        """Take groups of styles; a later one wins where two have a style of the same name."""
        self._styles = dict[tuple[str, str], Element]()
        self.lists = dict[str, Element]()
        self.outline: Element | None = None
        for group in groups:
            for style in group if group is not None else ():
                name = name_of(style)
                if name == "style:style":
                    self._styles[get(style, "style:family"), get(style, "style:name")] = style
                elif name == "text:list-style":
                    self.lists[get(style, "style:name")] = style
                elif name == "text:outline-style":
                    self.outline = style

    def chain(self, family: str, name: str) -> Iterator[Element]:
        """Yield a style and those that it is based on."""
        for _ in range(MAX_PARENTS):
            style = self._styles.get((family, name))
            if style is None:
                return
            yield style
            name = get(style, "style:parent-style-name")

    def names(self, name: str) -> set[str]:
        """Return the names of a paragraph style and of those that it is based on, as the program shows them."""
        found = {name, *(get(style, "style:display-name") or get(style, "style:name")
                         for style in self.chain("paragraph", name)),
                 *(get(style, "style:parent-style-name") for style in self.chain("paragraph", name))}  # fmt: skip
        return {each.replace("_20_", " ") for each in found}

    def value(self, family: str, name: str, group: str, attribute: str) -> str:
        """Return an attribute of a style's properties, of its own or inherited; "" if none has it."""
        for style in self.chain(family, name):
            if value := get(child(style, group), attribute):
                return value
        return ""

    def list_name(self, paragraph: str) -> str:
        """Return the name of the list style that a paragraph style brings."""
        found = (get(style, "style:list-style-name") for style in self.chain("paragraph", paragraph))
        return next(filter(None, found), "")

    def is_hidden(self, family: str, name: str) -> bool:
        """Return whether a style hides its text."""
        return bool(name) and self.value(family, name, "style:text-properties", "text:display") == "none"

    def used_pages(self) -> set[str]:
        """Return the names of the page layouts that styles begin."""
        return {page for style in self._styles.values() if (page := get(style, "style:master-page-name"))}


class OpenDocument:
    """The parts of one file. `body` is what it holds, such as <office:text>; a flat file (.fodt) is a single part."""

    def __init__(self, data: bytes, kind: str) -> None:
        """Open a file whose body is `kind`, such as "office:text". Raises Unreadable."""
        self._objects = dict[str, bytes]()
        if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            content = styles = meta = _parse(data)
        else:
            content, styles, meta = self._unpack(data)
        self.body = child(content, "office:body", kind)
        if self.body is None:
            raise Unreadable("it is not of the format that its name says, or it is damaged: save it again")
        common = child(styles, "office:styles")
        self.styles = Styles(common, child(content, "office:automatic-styles"))
        self.page_styles = Styles(common, child(styles, "office:automatic-styles"))
        masters = child(styles, "office:master-styles")
        self.pages = {
            get(page, "style:name"): page
            for page in (masters if masters is not None else ())
            if name_of(page) == "style:master-page"
        }
        fields = child(meta, "office:meta")
        self.title = good_title(_text(child(fields, "dc:title")))
        self.date = day(_text(child(fields, "dc:date"))) or day(_text(child(fields, "meta:creation-date")))

    def _unpack(self, data: bytes) -> tuple[Element, Element, Element]:
        with open_zip(data, MAX_UNPACKED) as opened:
            manifest = "META-INF/manifest.xml"
            listed = read_part(opened, manifest) if manifest in opened.NameToInfo else b""
            if b"encryption-data" in listed:
                raise Unreadable("it is protected by a password: save a copy without one")
            names = [name for name in opened.NameToInfo if name.endswith("content.xml")]
            names += [name for name in ("styles.xml", "meta.xml") if name in opened.NameToInfo]
            size = sum(opened.getinfo(name).file_size for name in names)
            if size > MAX_XML:
                raise Unreadable(f"it is too large: {size / 1e6:,.0f} MB of XML, the limit is {MAX_XML / 1e6:,.0f}")
            if "content.xml" not in names:
                raise Unreadable("it is no OpenDocument file, or it is damaged: save it again in its own program")
            self._objects = {name: read_part(opened, name) for name in names}
        parts = (self._objects.pop(name, b"") for name in ("content.xml", "styles.xml", "meta.xml"))
        content, styles, meta = (_parse(part) if part else None for part in parts)
        return content, styles, meta

    def embedded(self, holder: Element) -> Element | None:
        """Return the root of an object that a frame holds: a formula, or a document with a chart; None if none."""
        for inside in holder:
            if isinstance(inside.tag, str):
                return inside
        name = normpath(get(holder, "xlink:href").removeprefix("./") or ".") + "/content.xml"
        return _parse(self._objects[name]) if name in self._objects else None

    def used_pages(self) -> list[Element]:
        """Return the page layouts in use, in the order of the file: the first one, those of styles, their followers."""
        wanted = self.styles.used_pages() | {get(page, "draw:master-page-name") for page in self.body}
        wanted |= set(list(self.pages)[:1]) if "Standard" not in self.pages else {"Standard"}
        queue = list(wanted)
        while queue:
            following = get(self.pages.get(queue.pop()), "style:next-style-name")
            if following and following not in wanted:
                wanted.add(following)
                queue.append(following)
        return [page for name, page in self.pages.items() if name in wanted]


def _parse(xml: bytes) -> Element:
    """Return the root of a part. Raises Unreadable."""
    if any(word in xml for word in ENTITIES):
        raise Unreadable("it declares XML entities, which no office program does")
    root = parse(SOFT_HYPHEN.sub(b"", xml))
    if root is None:
        raise Unreadable("it is damaged: its XML cannot be read; save it again in its own program")
    return root


def _text(element: Element | None) -> str:
    return "".join(element.itertext()) if element is not None else ""
