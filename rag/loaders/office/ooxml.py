"""Open an Office file as its XML parts: relationships between parts, the Strict variant, charts and diagrams.

Strict Open XML, a choice in the programs' Save As, differs in its namespaces, which are renamed to the usual ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from posixpath import dirname, join, normpath
from typing import Any
from zipfile import ZIP_STORED, ZipFile

from lxml import etree

from rag.errors import Unreadable
from rag.loaders.safe_zip import repack
from rag.loaders.web.xhtml import tag_of

Element = Any  # lxml ships no types
STRICT = b"http://purl.oclc.org/ooxml/"
SCHEMAS = b"http://schemas.openxmlformats.org/"
MOVED = {  # namespaces of the Strict variant that do not end in /2006/NAME when renamed
    b"officeDocument/extendedProperties": b"officeDocument/2006/extended-properties",
    b"officeDocument/customProperties": b"officeDocument/2006/custom-properties",
    b"officeDocument/relationships/extendedProperties": b"officeDocument/2006/relationships/extended-properties",
    b"officeDocument/relationships/customProperties": b"officeDocument/2006/relationships/custom-properties",
}
STRICT_NAME = re.compile(rb"http://purl\.oclc\.org/ooxml/([A-Za-z]+)/([A-Za-z/]+)")
COMPATIBILITY = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
SOFT_HYPHEN = re.compile("\N{SOFT HYPHEN}".encode() + rb"|&#(?:173|[xX]0*[aA][dD]);")
MAX_POINTS = 2_000  # of a chart that are written; one with more is data


@dataclass(frozen=True, slots=True)
class Relation:
    """A relationship of a part: the last word of its type, such as "image", and the name of its target."""

    kind: str
    target: str


class Package:
    """The XML parts of an Office file by name, and what they refer to."""

    def __init__(self, data: bytes, max_bytes: int, change: Callable[[bytes], bytes] = bytes) -> None:
        """Unpack a file of at most `max_bytes`; `change` is applied to each part. Raises Unreadable."""
        clean = repack(data, max_bytes, change=lambda xml: change(to_transitional(xml)))
        with ZipFile(clean) as opened:
            self._take({name: opened.read(name) for name in opened.namelist()})

    @classmethod
    def of(cls, parts: Mapping[str, bytes]) -> Package:
        """Return a package of parts that were unpacked before."""
        package = cls.__new__(cls)
        package._take(parts)
        return package

    def _take(self, parts: Mapping[str, bytes]) -> None:
        self.parts = {name.lstrip("/"): content for name, content in parts.items()}
        self._folded = {name.lower(): name for name in self.parts}

    def main_part(self) -> str:
        """Return the name of the part that holds the document. Raises Unreadable."""
        for relation in self.relations("").values():
            if relation.kind == "officeDocument" and relation.target in self.parts:
                return relation.target
        raise Unreadable("it is no Office file, or it is damaged: save it again in its own program")

    def relations(self, part: str) -> Mapping[str, Relation]:
        """Return the relationships of a part by id; names of targets as they are in `parts` where they are there."""
        folder, _, name = part.rpartition("/")
        found = {}
        for element in self.tree(join(folder, "_rels", f"{name}.rels")):
            target = element.get("Target") or ""
            if tag_of(element) == "relationship" and element.get("TargetMode") != "External":
                whole = normpath(join("/", dirname(part), target)).lstrip("/")
                kind = (element.get("Type") or "").rpartition("/")[2]
                found[element.get("Id") or ""] = Relation(kind, self._folded.get(whole.lower(), whole))
        return found

    def related(self, part: str, kind: str) -> Iterator[str]:
        """Yield the names of the parts that a part refers to by relationships of this kind."""
        for relation in self.relations(part).values():
            if relation.kind == kind and relation.target in self.parts:
                yield relation.target

    def tree(self, part: str) -> Element:
        """Return the root of a part's XML; an empty element if it is missing or cannot be parsed."""
        root = parse(self.parts.get(self._folded.get(part.lower(), part), b""))
        return etree.Element("none") if root is None else root

    def pack(self) -> BytesIO:
        """Return the parts as a zip."""
        packed = BytesIO()
        with ZipFile(packed, "w", ZIP_STORED) as opened:
            for name, content in self.parts.items():
                opened.writestr(name, content)
        packed.seek(0)
        return packed


def parse(xml: bytes) -> Element | None:
    """Return the root of XML, recovering from errors; None if there is nothing to recover."""
    if not xml.strip():
        return None
    parser = etree.XMLParser(recover=True, resolve_entities=False, no_network=True, huge_tree=True)
    try:
        return etree.fromstring(xml, parser)
    except etree.XMLSyntaxError:
        return None


def to_transitional(xml: bytes) -> bytes:
    """Return an XML part with the namespaces of Strict Open XML renamed, and without optional hyphens."""
    if STRICT in xml:
        xml = STRICT_NAME.sub(_rename, xml)
    return SOFT_HYPHEN.sub(b"", xml) if b"\xad" in xml or b"&#" in xml else xml


def _rename(found: re.Match[bytes]) -> bytes:
    moved = MOVED.get(found[1] + b"/" + found[2])
    return SCHEMAS + (moved or found[1] + b"/2006/" + found[2])


def local(element: Element) -> str:
    """Return an element's name without its namespace, in its own case; "" for a comment."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def attribute(element: Element | None, name: str) -> str:
    """Return an attribute by its name without a namespace; "" if it is missing."""
    for key, value in element.attrib.items() if element is not None else ():
        if key.rpartition("}")[2] == name:
            return str(value)
    return ""


def child(element: Element | None, *path: str) -> Element:
    """Return the first element at a path of names without namespaces, None if there is none."""
    for name in path:
        element = next((each for each in element if local(each) == name), None) if element is not None else None
    return element


def is_on(element: Element | None) -> bool:
    """Return the value of a yes-or-no property; one without a value is yes, None is no."""
    return element is not None and attribute(element, "val").lower() not in ("0", "false", "off")


def drawing_lines(root: Element) -> list[str]:
    """Return the paragraphs of DrawingML text (a:p) below an element, without empty ones."""
    lines = []
    for paragraph in (each for each in root.iter() if local(each) == "p"):
        parts = [
            each.text or "" if local(each) == "t" else " " for each in paragraph.iter() if local(each) in ("t", "br")
        ]
        if line := " ".join("".join(parts).split()):
            lines.append(line)
    return lines


def diagram_lines(root: Element) -> list[str]:
    """Return the texts of a SmartArt diagram's data part in their order, those of the template left out."""
    lines = list[str]()
    for point in (each for each in root.iter() if local(each) == "pt"):
        if point.get("type") not in ("pres", "parTrans", "sibTrans") and child(point, "t") is not None:
            lines += drawing_lines(child(point, "t"))
    return lines


def drawing_of(diagram: Element) -> str:
    """Return the id of the relationship to the drawing that stands in for a diagram in programs without SmartArt."""
    return next((attribute(each, "relId") for each in diagram.iter() if local(each) == "dataModelExt"), "")


def chart_table(root: Element, with_values: bool = True) -> tuple[str, list[list[str]]]:
    """Return a chart's title and axis titles in one line, and a table: a column per series, a row per category.

    Without values, the table is empty and the names of the series join the line.
    """
    titles = [" ".join(drawing_lines(each)) for each in root.iter() if local(each) == "title"]
    names, columns, labels = list[str](), list[dict[int, str]](), dict[int, str]()
    for series in (each for each in root.iter() if local(each) == "ser"):
        values = _points(child(series, "val") if child(series, "val") is not None else child(series, "yVal"))
        first = child(series, "cat") if child(series, "cat") is not None else child(series, "xVal")
        labels = _points(first) | labels
        names.append(" ".join(_points(child(series, "tx")).values()) or " ".join(drawing_lines(series)))
        columns.append(values)
    line = " – ".join(filter(None, titles))
    if not with_values or sum(map(len, columns)) > MAX_POINTS:
        return " – ".join(filter(None, [line, ", ".join(filter(None, names))])), []
    rows = sorted({*labels, *(index for column in columns for index in column)})
    table = [["Category", *names]] if any(names) else []
    table += [[labels.get(row, ""), *(column.get(row, "") for column in columns)] for row in rows]
    return line, table if rows else ([["", *names]] if any(names) else [])


def _points(data: Element | None) -> dict[int, str]:
    """Return the stored values of a series by index; levels of one category are joined."""
    found = dict[int, str]()
    if data is None:
        return found
    loose = next((each for each in data if local(each) == "v"), None)
    if loose is not None:
        return {0: (loose.text or "").strip()}
    for point in (each for each in data.iter() if local(each) == "pt"):
        value, index = child(point, "v"), attribute(point, "idx")
        if value is not None and value.text and index.isdigit():
            text = _rounded(value.text.strip())
            before = found.get(int(index))
            found[int(index)] = f"{text}, {before}" if before else text
    return found


def _rounded(value: str) -> str:
    """Return a number as people write it: 3 for 3.0, 0.3 for 0.30000000000000004; other text as it is."""
    try:
        return f"{float(value):.10g}" if len(value) > 10 or value.endswith(".0") else value
    except ValueError:
        return value
