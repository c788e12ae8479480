"""Rewrite a Word file so that mammoth, which converts it to HTML, loses nothing that Word shows.

Numbers of clauses and list items, ticked boxes, page headers and footers, comments, charts, text boxes, embedded files
(altChunk) and simple fields become plain text in their place; hidden text goes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from copy import deepcopy

from lxml import etree

from rag.loaders.builder import DocumentBuilder
from rag.loaders.office.ooxml import (
    COMPATIBILITY,
    Element,
    Package,
    attribute,
    chart_table,
    child,
    diagram_lines,
    drawing_lines,
    drawing_of,
    is_on,
    local,
)
from rag.loaders.office.word_fields import (
    SPACE,
    W,
    fill_row,
    text_run,
    tick_of,
    write_form_field,
    write_ruby,
    write_symbol,
    write_tick,
)
from rag.loaders.office.word_numbering import Numbering

VML = "{urn:schemas-microsoft-com:vml}"
CODE_STYLE = "ThumbtuneCode"
PLAIN_STYLES = ("", "normal", "standard", "plaintext", "nospacing")
CODE_FONTS = frozenset(
    (
        *("courier", "courier new", "consolas", "menlo", "monaco", "lucida console", "andale mono", "inconsolata"),
        *("cascadia code", "cascadia mono", "source code pro", "fira code", "fira mono", "jetbrains mono", "sf mono"),
        *("dejavu sans mono", "liberation mono", "ubuntu mono", "roboto mono", "ibm plex mono", "noto sans mono"),
    )
)
NUMBER_STYLE, INSERT_STYLE = "ThumbtuneNumber", "ThumbtuneInsert"  # mammoth marks these as .number and .insert
VISIBLE = ("t", "tab", "br", "cr", "sym", "drawing", "pict", "object", "noBreakHyphen", "footnoteReference",
           "endnoteReference", "commentReference", "delText")  # fmt: skip
COUNTERS = ("PAGE", "NUMPAGES", "SECTIONPAGES")  # fields whose value belongs to a page and not to the text
KINDS = {"default": "", "first": " of the first page", "even": " of even pages"}
MAX_DEPTH = 30  # of styles that are based on each other
Insert = Callable[[DocumentBuilder], None]


class Preparation:
    """The work on one file. `inserts` are what the writer puts in place of each marked paragraph, by its number."""

    def __init__(self, package: Package, read_chunk: Callable[[str], Insert]) -> None:
        """Rewrite the parts of `package`; `read_chunk` reads the embedded file of a name. Raises Unreadable."""
        self.inserts = list[Insert]()
        self.hidden = 0  # runs of hidden text that were left out
        self._package, self._read_chunk = package, read_chunk
        self._main = package.main_part()
        self._relations = package.relations(self._main)
        root = package.tree(self._main)
        styles = self._aux("styles")
        self._styles = {attribute(each, "styleId"): each for each in styles if local(each) == "style"}
        self._vanish = dict[str, bool | None]()
        self._numbering = Numbering(self._aux("numbering"), styles)
        self._last = dict[Element, Element]()  # block -> what was inserted after it
        self._rewrite(root)
        for kind in ("footnotes", "endnotes"):
            for part in package.related(self._main, kind):
                notes = package.tree(part)
                self._tidy(notes)
                package.parts[part] = etree.tostring(notes, encoding="UTF-8")
        package.parts[self._main] = etree.tostring(root, encoding="UTF-8")

    def _aux(self, kind: str) -> Element:
        name = next(self._package.related(self._main, kind), "")
        return self._package.tree(name) if name else etree.Element("none")

    def _rewrite(self, root: Element) -> None:
        body = child(root, "body")
        self._tidy(root)
        _mark_code(root)
        for paragraph in root.iter(f"{W}p"):
            self._number(paragraph)
        comments = {attribute(each, "id"): each for each in self._aux("comments") if local(each) == "comment"}
        for element in list(root.iter()):
            name = local(element)
            if name == "altChunk":
                relation = self._relations.get(attribute(element, "id"))
                if relation:
                    self._insert(element, self._read_chunk(relation.target))
            elif name == "chart" and attribute(element, "id"):
                self._insert_part(element, attribute(element, "id"), write_chart)
            elif name == "relIds":
                self._insert_part(element, attribute(element, "dm"), self._write_diagram)
            elif name == "commentReference" and attribute(element, "id") in comments:
                self._put_after(element, _paragraph(_comment(comments[attribute(element, "id")])))
        if body is not None:
            for position, block in enumerate(self._margins(root)):
                body.insert(position, block)

    def _insert_part(self, element: Element, key: str, write: Callable[[DocumentBuilder, Element], None]) -> None:
        relation = self._relations.get(key)
        if relation and relation.target in self._package.parts:
            tree = self._package.tree(relation.target)
            self._insert(element, lambda builder: write(builder, tree))

    def _write_diagram(self, builder: DocumentBuilder, diagram: Element) -> None:
        """Write the texts of a SmartArt diagram by its data, else by the drawing that stands in for it."""
        drawing = self._relations.get(drawing_of(diagram))
        lines = diagram_lines(diagram) or (drawing_lines(self._package.tree(drawing.target)) if drawing else [])
        builder.add("\n".join(f"- {line}" for line in lines), "list")

    def _insert(self, element: Element, insert: Insert) -> None:
        self.inserts.append(insert)
        self._put_after(element, _paragraph(str(len(self.inserts) - 1), INSERT_STYLE))

    def _put_after(self, element: Element, paragraph: Element) -> None:
        """Put a paragraph after the outermost block around an element, behind what was put there before."""
        block: Element = element
        for above in element.iterancestors():
            if local(above) in ("p", "tbl"):
                block = above
        last: Element = self._last.get(block, block)
        last.addnext(paragraph)
        self._last[block] = paragraph

    def _tidy(self, root: Element) -> None:  # noqa: C901  # one case per kind of element
        """Turn what mammoth does not read into what it does read, and remove hidden text."""
        _choose_alternatives(root)
        for element in list(root.iter(f"{W}drawing")):
            _open_text_boxes(element)
        for element in list(root.iter()):
            name, parent = local(element), element.getparent()
            if parent is None:
                continue
            if name in ("fldSimple", "dir", "bdo") or (
                name in ("sdt", "customXml") and local(parent) in ("tbl", "tr") and tick_of(element) is None
            ):
                _unwrap(element, child(element, "sdtContent") if name == "sdt" else element)
            elif name == "sdt" and tick_of(element) is not None:
                write_tick(element)
            elif name in ("bookmarkStart", "bookmarkEnd", "proofErr", "permStart", "permEnd") and local(parent) in (
                "tbl",
                "tr",
            ):
                parent.remove(element)
            elif name == "fldChar":
                write_form_field(element)
            elif name == "ruby":
                write_ruby(element)
            elif name in ("noBreakHyphen", "ptab"):
                element.tag = f"{W}t"
                element.text = "-" if name == "noBreakHyphen" else " "
                element.set(SPACE, "preserve")
            elif name == "sym" or (name == "t" and element.text):
                write_symbol(element)
            elif name == "softHyphen":
                parent.remove(element)
            elif name == "gridBefore":
                fill_row(element)
        self._hide(root)

    def _hide(self, root: Element) -> None:
        for run in root.iter(f"{W}r"):
            if self._is_hidden(run) and (gone := [each for each in run if local(each) in VISIBLE]):
                self.hidden += any(local(each) not in ("tab", "br", "cr", "commentReference") for each in gone)
                for each in gone:
                    run.remove(each)
        for mark in list(root.iter(f"{W}hidden")):
            row = next((above for above in mark.iterancestors(f"{W}tr")), None)
            if local(mark.getparent()) == "trPr" and is_on(mark) and row is not None and row.getparent() is not None:
                row.getparent().remove(row)
                self.hidden += 1

    def _is_hidden(self, run: Element) -> bool:
        """Return whether a run is hidden by itself, by its style, or by that of its paragraph."""
        properties = child(run, "rPr")
        own = child(properties, "vanish")
        if own is not None:
            return is_on(own)
        by_run = self._of_style(attribute(child(properties, "rStyle"), "val"))
        if by_run is not None:
            return by_run
        paragraph = next((above for above in run.iterancestors(f"{W}p")), None)
        return bool(self._of_style(attribute(child(paragraph, "pPr", "pStyle"), "val")))

    def _of_style(self, style: str, depth: int = 0) -> bool | None:
        """Return whether a style, or one that it is based on, hides text; None if none of them says so."""
        if style not in self._vanish:
            element = self._styles.get(style)
            own = child(element, "rPr", "vanish")
            base = attribute(child(element, "basedOn"), "val")
            found = is_on(own) if own is not None else None
            if found is None and base and depth < MAX_DEPTH:
                found = self._of_style(base, depth + 1)
            self._vanish[style] = found
        return self._vanish[style]

    def _number(self, paragraph: Element) -> None:
        """Write a paragraph's number as a run at its begin, unless it has a bullet."""
        properties = child(paragraph, "pPr")
        place = self._numbering.place(properties)
        mark = child(properties, "rPr")
        if place is None or child(mark, "del") is not None:
            return
        has_text = any(each.text or local(each) != "t" for each in paragraph.iter(f"{W}t", f"{W}sym", f"{W}drawing"))
        if child(mark, "vanish") is not None and not has_text:
            return
        number, level = place
        bullet = self._numbering.is_bullet(number, level)
        label = self._numbering.label(number, level)
        if properties is None:
            properties = etree.Element(f"{W}pPr")
            paragraph.insert(0, properties)
        numbering = child(properties, "numPr")
        if numbering is not None:
            properties.remove(numbering)
        numbering = etree.SubElement(properties, f"{W}numPr")
        shows = bullet or label.strip()
        etree.SubElement(numbering, f"{W}ilvl").set(f"{W}val", str(level))
        etree.SubElement(numbering, f"{W}numId").set(f"{W}val", number if shows else "0")
        if label.strip() and not bullet and has_text:
            properties.addnext(text_run(f"{label.strip()} ", NUMBER_STYLE))

    def _margins(self, root: Element) -> Iterator[Element]:
        """Yield the blocks of all page headers, then footers, each text once, marked by its first words."""
        said = set[str]()
        for place in ("header", "footer"):
            for kind, named in KINDS.items():
                for reference in list(root.iter(f"{W}{place}Reference")):
                    relation = self._relations.get(attribute(reference, "id"))
                    if relation is None or (attribute(reference, "type") or "default") != kind:
                        continue
                    story = self._package.tree(relation.target)
                    _drop_counters(story)
                    self._tidy(story)
                    text = " ".join("".join(story.itertext(f"{W}t")).split())
                    if len(re.findall(r"[^\W\d_]", text)) < 2 or text in said:
                        continue
                    said.add(text)
                    yield from _marked(story, f"Page {place}{named}: ")


def _mark_code(root: Element) -> None:
    """Give paragraphs in a font for code the style of code, unless most of the document is in such a font."""
    paragraphs = [each for each in root.iter(f"{W}p") if next(each.iterancestors(f"{W}tc"), None) is None]
    code = [each for each in paragraphs if _is_code(each)]
    sizes = [sum(len(text) for each in some for text in each.itertext(f"{W}t")) for some in (code, paragraphs)]
    for paragraph in code if sizes[0] * 2 < sizes[1] else []:
        properties = child(paragraph, "pPr")
        if properties is None:
            properties = etree.Element(f"{W}pPr")
            paragraph.insert(0, properties)
        style = child(properties, "pStyle")
        if style is None:
            style = etree.Element(f"{W}pStyle")
            properties.insert(0, style)
        style.set(f"{W}val", CODE_STYLE)


def _is_code(paragraph: Element) -> bool:
    """Return whether all text of a plain paragraph is in a font for code."""
    properties = child(paragraph, "pPr")
    if child(properties, "numPr") is not None:
        return False
    if attribute(child(properties, "pStyle"), "val").lower() not in PLAIN_STYLES:
        return False
    runs = [each for each in paragraph.iter(f"{W}r") if any(text.strip() for text in each.itertext(f"{W}t"))]
    fonts = [child(each, "rPr", "rFonts") for each in runs]
    return bool(runs) and all((attribute(font, "ascii") or "").lower() in CODE_FONTS for font in fonts)


def _paragraph(text: str, style: str = "") -> Element:
    paragraph = etree.Element(f"{W}p")
    if style:
        etree.SubElement(etree.SubElement(paragraph, f"{W}pPr"), f"{W}pStyle").set(f"{W}val", style)
    paragraph.append(text_run(text))
    return paragraph


def _comment(comment: Element) -> str:
    """Return a comment as one line with its author."""
    paragraphs = ("".join(each.itertext(f"{W}t")) for each in comment.iter(f"{W}p"))
    author = attribute(comment, "author")
    return f"Comment{f' by {author}' if author else ''}: {' '.join(' '.join(paragraphs).split())}"


def _choose_alternatives(root: Element) -> None:
    """Replace each AlternateContent by its Fallback; by its Choice if only that has text or a chart."""
    for alternatives in list(root.iter(f"{COMPATIBILITY}AlternateContent")):
        if alternatives.getparent() is None:
            continue
        choice, fallback = child(alternatives, "Choice"), child(alternatives, "Fallback")
        better = fallback
        if fallback is None or (choice is not None and not _says(fallback) and _says(choice)):
            better = choice
        _unwrap(alternatives, better)


def _says(element: Element) -> bool:
    return any(local(each) in ("t", "chart", "relIds") for each in element.iter())


def _unwrap(element: Element, content: Element | None) -> None:
    """Replace an element by the children of `content`, which is in it or is itself."""
    parent = element.getparent()
    index = parent.index(element)
    for each in list(content) if content is not None else ():
        if not local(each).endswith("Pr"):
            parent.insert(index, each)
            index += 1
    parent.remove(element)


def _open_text_boxes(drawing: Element) -> None:
    """Give the text boxes of a drawing to mammoth as those of the older VML format, which it reads."""
    boxes = list(drawing.iter(f"{W}txbxContent"))
    parent = drawing.getparent()
    for box in boxes:
        picture = etree.Element(f"{W}pict")
        etree.SubElement(picture, f"{VML}textbox").append(box)
        parent.insert(parent.index(drawing), picture)


def _drop_counters(story: Element) -> None:
    """Remove the values of page-number fields from a page header or footer."""
    for field in list(story.iter(f"{W}fldSimple")):
        if attribute(field, "instr").split()[:1] and attribute(field, "instr").split()[0].upper() in COUNTERS:
            field.getparent().remove(field)
    depth, inside, result = 0, False, False
    for element in list(story.iter(f"{W}fldChar", f"{W}instrText", f"{W}t")):
        kind = attribute(element, "fldCharType")
        depth += {"begin": 1, "end": -1}.get(kind, 0)
        if local(element) == "instrText" and (element.text or "").split()[:1]:
            inside = inside or (element.text or "").split()[0].upper() in COUNTERS
        elif kind == "separate":
            result = inside
        elif kind == "end" and depth <= 0:
            inside = result = False
        elif local(element) == "t" and result:
            element.text = ""


def _marked(story: Element, mark: str) -> Iterator[Element]:
    """Yield copies of the blocks of a page header or footer as plain paragraphs and tables, the first one marked."""
    blocks = [deepcopy(each) for each in story if local(each) in ("p", "tbl", "sdt")]
    blocks = [each for each in blocks if "".join(each.itertext(f"{W}t")).strip()]
    for number, block in enumerate(blocks):
        for element in list(block.iter()):
            if local(element) in ("pPr", "drawing", "imagedata") and element.getparent() is not None:
                element.getparent().remove(element)
            for key in [each for each in element.attrib if each.endswith("relationships}id")]:
                del element.attrib[key]
        if number == 0 and local(block) == "p":
            block.insert(0, text_run(mark))
        elif number == 0:
            yield _paragraph(mark)
        yield block


def write_chart(builder: DocumentBuilder, chart: Element) -> None:
    """Write a chart's title and its values as a table."""
    title, rows = chart_table(chart)
    builder.add(f"Chart: {title}" if title else "Chart:" if rows else "")
    builder.table(rows, has_header=True)
