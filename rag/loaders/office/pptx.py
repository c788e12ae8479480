"""Read PowerPoint slides: one section per slide, with its tables and speaker notes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from rag.errors import Unreadable
from rag.loaders.builder import DocumentBuilder, LoadedText
from rag.loaders.decoding import line_of, one_line
from rag.loaders.metadata import day, good_title
from rag.loaders.office.office_math import slide_math_to_text
from rag.loaders.office.ooxml import (
    attribute,
    chart_table,
    diagram_lines,
    drawing_lines,
    drawing_of,
    local,
    parse,
    to_transitional,
)
from rag.loaders.office.reading_order import Box, in_reading_order
from rag.loaders.safe_zip import office_date, repack
from rag.loaders.symbols import sign_of
from rag.loaders.tables import END_OF_PARAGRAPH

MAX_BYTES = 100_000_000  # of XML; a slide has 10,000
SIGN = re.compile(
    rb'(<a:sym typeface="(Wingdings(?: [23])?|Webdings|Symbol)"[^<>]*>(?:<[^<>]*>){0,9}?</a:rPr><a:t>)'
    rb"([^<]{1,9})(?=</a:t>)"
)
PLACEHOLDERS = {"body": 2, "number": 13, "header": 14, "footer": 15, "date": 16}  # of PP_PLACEHOLDER
SLIDE_NUMBER = re.compile(r"[\d\s/‹#›<>]+")
SHOW_OR_TEMPLATE = re.compile(
    rb"(presentationml|ms-powerpoint)\.(?:slideshow|template)\.(?=(?:macroEnabled\.)?main\+xml)"
)
Shape = Any  # python-pptx has no type per kind of shape, only properties to ask


def load_pptx(data: bytes) -> LoadedText:
    """Read a PowerPoint file. Raises Unreadable."""
    from pptx import Presentation  # slow to import, and many folders hold no slides

    clean = repack(data, MAX_BYTES, change=_readable)
    builder, lost, hidden, running = DocumentBuilder(), list[str](), list[int](), set[str]()
    try:
        presentation = Presentation(clean)
        for number, slide in enumerate(presentation.slides, 1):
            if slide._element.get("show") in ("0", "false"):  # python-pptx does not say it
                hidden.append(number)
                continue
            _write_slide(builder, number, slide, lost, running)
        title = good_title(presentation.core_properties.title) or _first_title(presentation)
    except Exception as error:  # a damaged file may fail anywhere in python-pptx
        raise Unreadable(
            f"it is not a PowerPoint file, or it is damaged ({type(error).__name__}): save it again as .pptx"
        ) from error
    note = f"hidden slides are left out: {', '.join(map(str, hidden))}" if hidden else ""
    return replace(builder.build(title), date=day(office_date(clean)), lost="; ".join(lost), note=note)


def _readable(xml: bytes) -> bytes:
    """Return a part as python-pptx reads it, which refuses slide shows and templates by their content type."""
    return slide_math_to_text(_write_signs(to_transitional(SHOW_OR_TEMPLATE.sub(rb"\1.presentation.", xml))))


def _write_signs(xml: bytes) -> bytes:
    """Return the XML with the signs of symbol fonts as characters: PowerPoint stores the arrow of "-->" as "à"."""

    def write(run: re.Match[bytes]) -> bytes:
        letter = run[3].decode("utf-8", "replace").strip()
        sign = sign_of(run[2].decode(), ord(letter)) if len(letter) == 1 else ""
        return run[1] + (run[3].decode("utf-8", "replace").replace(letter, sign).encode() if sign else run[3])

    return SIGN.sub(write, xml) if b"<a:sym " in xml else xml


def _write_slide(
    builder: DocumentBuilder,
    number: int,
    slide: Any,  # noqa: ANN401
    lost: list[str],
    running: set[str],
) -> None:
    """Write a slide with its notes and comments; `running` are the headers and footers that were written before."""
    title, name = slide.shapes.title, _title(slide)
    builder.heading(1, f"Slide {number}: {name}" if name else f"Slide {number}")
    for shape in _ordered(slide.shapes, lost, number):
        if not (title is not None and shape.shape_id == title.shape_id) and not _is_repeated(shape, running):
            _write_shape(builder, shape)
    if slide.has_notes_slide:
        body = slide.notes_slide.notes_text_frame
        notes = body.text.strip() if body is not None else ""
        builder.add(f"Notes: {notes}" if notes else "")
        for shape in _ordered(slide.notes_slide.shapes, lost, number):
            is_body = shape.is_placeholder and shape.placeholder_format.type == PLACEHOLDERS["body"]
            if not is_body and not _is_repeated(shape, running):
                _write_shape(builder, shape)
    for line in _comments(slide):
        builder.add(line)


def _write_shape(builder: DocumentBuilder, shape: Shape) -> None:
    """Write a chart, a table, a diagram or a text."""
    if getattr(shape, "has_chart", False) and shape.has_chart:
        name, rows = chart_table(parse(shape.chart.part.blob))
        builder.add(f"Chart: {name}" if name else "Chart:" if rows else "")
        builder.table(rows, has_header=True)
    elif getattr(shape, "has_table", False) and shape.has_table:
        builder.table([[_cell_text(cell) for cell in row.cells] for row in shape.table.rows])
    elif lines := _diagram_lines(shape):
        builder.add("\n".join(f"- {line}" for line in lines), "list")
    elif shape.has_text_frame:
        _write_text(builder, shape.text_frame.paragraphs)


def _is_repeated(shape: Shape, running: set[str]) -> bool:
    """Return whether a shape is a slide number, or a header, footer or date that was written before; notes it else."""
    if not shape.is_placeholder or not shape.has_text_frame:
        return False
    kind = shape.placeholder_format.type
    if kind not in map(PLACEHOLDERS.get, ("number", "header", "footer", "date")):
        return False
    text = " ".join(shape.text_frame.text.split())
    if kind == PLACEHOLDERS["number"]:
        text = SLIDE_NUMBER.sub("", text)
    is_repeated = not text or text in running
    running.add(text)
    return is_repeated


def _diagram_lines(shape: Shape) -> list[str]:
    """Return the texts of a SmartArt diagram by its data, else by the drawing that stands in for it."""
    ids = next((each for each in shape._element.iter() if local(each) == "relIds"), None)
    data = _part_root(shape, attribute(ids, "dm"))
    if data is None:
        return []
    drawing = _part_root(shape, drawing_of(data))
    return diagram_lines(data) or (drawing_lines(drawing) if drawing is not None else [])


def _part_root(shape: Shape, relation: str) -> Any:  # noqa: ANN401
    related = shape.part.rels.get(relation) if relation else None
    return None if related is None or related.is_external else parse(related.target_part.blob)


def _cell_text(cell: Any) -> str:  # noqa: ANN401
    return END_OF_PARAGRAPH.join(paragraph.text.replace("\v", "\n") for paragraph in cell.text_frame.paragraphs)


def _comments(slide: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield the comments on a slide with their authors."""
    names = dict[str, str]()
    for part in _targets(slide.part.package.presentation_part):
        if part.partname.lower().endswith("authors.xml"):
            root = parse(part.blob)
            names |= {attribute(each, "id"): attribute(each, "name") for each in (root if root is not None else ())}
    for part in _targets(slide.part):
        root = parse(part.blob) if "/comments/" in part.partname.lower() else None
        for each in root.iter() if root is not None else ():
            if local(each) in ("cm", "reply"):
                author = names.get(attribute(each, "authorId"), "")
                text = " ".join(" ".join(_own_text(each)).split())
                if text:
                    yield f"Comment{f' by {author}' if author else ''}: {text}"


def _targets(part: Any) -> list[Any]:  # noqa: ANN401
    return [each.target_part for each in part.rels.values() if not each.is_external]


def _own_text(comment: Any) -> list[str]:  # noqa: ANN401
    """Return the text of a comment, in the older format or in the newer one, without its replies."""
    return [
        line
        for each in comment
        if local(each) in ("text", "txBody")
        for line in ([each.text or ""] if local(each) == "text" else drawing_lines(each))
    ]


def _title(slide: Any) -> str:  # noqa: ANN401
    title = slide.shapes.title
    return line_of(title.text_frame.text) if title is not None and title.has_text_frame else ""


def _first_title(presentation: Any) -> str:  # noqa: ANN401
    """Return the first slide title that is not empty."""
    return one_line(next(filter(None, map(_title, presentation.slides)), ""))


def _shapes(shapes: Any, lost: list[str], number: int) -> Iterator[tuple[Shape, list[Shape]]]:  # noqa: ANN401
    """Yield each shape with itself, or with what is in the group; one that cannot be built is noted in `lost`."""
    for element in shapes._iter_member_elms():  # iterating stops at the first broken shape
        try:
            shape = shapes._shape_factory(element)
            parts = _ordered(shape.shapes, lost, number) if hasattr(shape, "shapes") else [shape]
            for part in parts:
                _ = part.shape_id, part.has_text_frame
        except Exception as error:  # noqa: BLE001  # a damaged shape may fail anywhere in python-pptx
            lost.append(f"a shape on slide {number} cannot be read ({type(error).__name__})")
            continue
        yield shape, parts


def _ordered(shapes: Any, lost: list[str], number: int) -> list[Shape]:  # noqa: ANN401
    """Return the shapes of a slide or group in reading order, groups flattened in place."""
    found = list(_shapes(shapes, lost, number))
    return [each for some in in_reading_order(found, [_box(some[0]) for some in found]) for each in some[1]]


def _box(shape: Shape) -> Box | None:
    """Return a shape's place; None for a placeholder that has only its layout's, or for one without."""
    try:
        left, top, width, height = shape.left, shape.top, shape.width, shape.height
    except Exception:  # noqa: BLE001  # a damaged layout may fail anywhere in python-pptx
        return None
    if None in (left, top, width, height):
        return None
    return Box(left, top, left + width, top + height)


def _write_text(builder: DocumentBuilder, paragraphs: Any) -> None:  # noqa: ANN401
    """Write a text box: several paragraphs on a slide become a list, however they are styled."""
    lines = [(paragraph.level, " ".join(paragraph.text.split())) for paragraph in paragraphs]
    lines = [(level, text) for level, text in lines if text]
    if len(lines) == 1:
        builder.add(lines[0][1])
    else:
        builder.add("\n".join(f"{'  ' * level}- {text}" for level, text in lines), "list")
