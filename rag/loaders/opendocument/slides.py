"""Read OpenDocument presentations (.odp): one section per slide, with its tables, charts, comments and notes."""

from __future__ import annotations

from dataclasses import replace

from rag.errors import Unreadable
from rag.loaders.builder import DocumentBuilder, LoadedText
from rag.loaders.decoding import line_of, one_line
from rag.loaders.office.reading_order import Box, in_reading_order
from rag.loaders.opendocument.inline import SHAPES, Anchored
from rag.loaders.opendocument.package import Children, Element, OpenDocument, full, get, length_of, name_of
from rag.loaders.opendocument.text import TextWriter


def load_odp(data: bytes) -> LoadedText:
    """Read an OpenDocument presentation; hidden slides are left out. Raises Unreadable."""
    document = OpenDocument(data, "office:presentation")
    builder, hidden, first = DocumentBuilder(), list[int](), ""
    _write_footers(builder, document)
    writer = _SlideWriter(builder, document, document.styles)
    for number, page in enumerate(document.body.iterfind(full("draw:page")), 1):
        style = get(page, "draw:style-name")
        group, attribute = "style:drawing-page-properties", "presentation:visibility"
        if document.styles.value("drawing-page", style, group, attribute) == "hidden":
            hidden.append(number)
            continue
        try:
            name = writer.slide(number, page)
        except RecursionError:
            raise Unreadable("its markup is nested too deeply") from None
        first = first or name
    note = f"hidden slides are left out: {', '.join(map(str, hidden))}" if hidden else ""
    return replace(builder.build(document.title or one_line(first)), date=document.date, note=note)


def _write_footers(builder: DocumentBuilder, document: OpenDocument) -> None:
    """Write the headers and footers of slides, each text once."""
    seen = set[str]()
    found = [("Page " + name_of(each)[13:19], each) for each in document.body
             if name_of(each) in ("presentation:header-decl", "presentation:footer-decl")]  # fmt: skip
    for page in document.used_pages():
        found += [("Page " + get(each, "presentation:class"), each) for each in page.iter(full("draw:frame"))
                  if get(each, "presentation:class") in ("header", "footer")]  # fmt: skip
    for label, element in found:
        text = " ".join("".join(element.itertext()).split())
        if text and text not in seen and not text.startswith("<"):
            seen.add(text)
            builder.add(f"{label}: {text}")


class _SlideWriter(TextWriter):
    """Writes slides; several paragraphs in a box become a list, however they are styled."""

    def slide(self, number: int, page: Element) -> str:
        """Write a slide and return its title, "" if it has none."""
        shapes = [each for each in page if SHAPES.match(name_of(each)) or name_of(each) == "draw:control"]
        titles = [each for each in shapes if get(each, "presentation:class") == "title"]
        name = line_of(self.inline.flat(titles[0], Anchored())) if titles else ""
        self._builder.heading(1, f"Slide {number}: {name}" if name else f"Slide {number}")
        boxes = [_box(each) for each in shapes]
        for each in in_reading_order(shapes, boxes):
            if each is not (titles[0] if titles else None) and get(each, "presentation:placeholder") != "true":
                self._shape(each)
        for each in page:
            if name_of(each) == "office:annotation":
                self._blocks(Children([each]))
            elif name_of(each) == "presentation:notes":
                texts = (
                    self.inline.flat(frame, Anchored())
                    for frame in each.iterfind(full("draw:frame"))
                    if get(frame, "presentation:class") == "notes" and get(frame, "presentation:placeholder") != "true"
                )
                self._builder.add("\n".join(f"Notes: {text}" for text in texts if text))
        self._flush()
        return name

    def _shape(self, shape: Element) -> None:
        if name_of(shape) == "draw:g":
            inner = [each for each in shape if SHAPES.match(name_of(each))]
            for each in in_reading_order(inner, [_box(one) for one in inner]):
                self._shape(each)
            return
        holder = next((each for each in shape if name_of(each) == "draw:text-box"), shape)
        paragraphs = [each for each in holder.iter(full("text:p")) if "".join(each.itertext()).strip()]
        in_table = shape.find(full("table:table")) is not None
        if len(paragraphs) < 2 or in_table or name_of(shape) == "draw:control":
            self._blocks(Children([shape]))
        else:
            self._as_list(holder)
        self._flush()

    def _as_list(self, box: Element) -> None:
        for each in box:
            if name_of(each) == "text:list":
                self._list(each, 1, "", None)
            elif name_of(each) == "text:p" or name_of(each) == "text:h":
                self._item(each, 1, "-")


def _box(shape: Element) -> Box | None:
    """Return a shape's place; None if it has none of its own, such as a group's."""
    x, y, width, height = (length_of(shape, f"svg:{name}") for name in ("x", "y", "width", "height"))
    if x is None or y is None:
        places = [box for box in (_box(each) for each in shape if SHAPES.match(name_of(each))) if box]
        if not places:
            return None
        left, top = min(box.left for box in places), min(box.top for box in places)
        return Box(left, top, max(box.right for box in places), max(box.bottom for box in places))
    return Box(x, y, x + (width or 0), y + (height or 0))
