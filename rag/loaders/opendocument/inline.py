"""The text of a paragraph of an OpenDocument file, and what is anchored in it: notes, comments, text boxes, charts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from rag.loaders.opendocument.objects import comment_text, formula_text
from rag.loaders.opendocument.package import Element, OpenDocument, Styles, child, count_of, get, name_of

BLANKS = re.compile(r"[ \t\r\n]+")
MAX_SPACES = 1_000  # that one <text:s> stands for
SHAPES = re.compile(r"draw:(?:frame|g|custom-shape|rect|ellipse|circle|line|connector|caption|polygon|polyline|path"
                    r"|regular-polygon|measure|page-thumbnail)$")  # fmt: skip
SILENT = re.compile(
    r"text:(?:tracked-changes|[\w-]+-source|[\w-]+-decls|script|note-citation|ruby-text|change\w*)$|svg:|style:|dc:|meta:"
    r"|office:(?:forms|event-listeners|annotation-end|binary-data)$|table:(?:calculation-settings|table-source|shapes)$"
    r"|presentation:(?:event-listener|sound)"
)
COUNTERS = ("text:page-number", "text:page-count", "text:page-continuation")


@dataclass(slots=True)
class Anchored:
    """What stands in a paragraph but is read after it: lines of notes and comments, shapes, charts."""

    lines: list[str] = field(default_factory=list)
    shapes: list[Element] = field(default_factory=list)
    charts: list[Element] = field(default_factory=list)


class Inline:
    """Reads paragraphs with the styles of one part; `hidden` counts the passages that were left out."""

    def __init__(self, document: OpenDocument, styles: Styles, fields: dict[str, str], counters: bool = True) -> None:
        """Take the form fields by id; `counters` says whether page numbers are text."""
        self.hidden = 0
        self._document, self._styles, self._fields, self._counters = document, styles, fields, counters

    def is_hidden(self, paragraph: Element) -> bool:
        """Return whether a paragraph or section is hidden, and count it if it has text."""
        name = name_of(paragraph)
        gone = (
            get(paragraph, "text:display") == "none"
            or (name != "text:section" and self._styles.is_hidden("paragraph", get(paragraph, "text:style-name")))
            or any(get(mark, "text:is-hidden") == "true" for mark in paragraph if _is(mark, "text:hidden-paragraph"))
        )
        self.hidden += gone and bool("".join(paragraph.itertext()).strip())
        return gone

    def line(self, paragraph: Element, anchored: Anchored) -> str:
        """Return a paragraph's text with single blanks; line breaks stay."""
        lines = "".join(self._parts(paragraph, anchored)).split("\n")
        return "\n".join(filter(None, (" ".join(line.split()) for line in lines)))

    def code(self, paragraph: Element, anchored: Anchored) -> str:
        """Return a paragraph's text with all of its blanks, tabs and line breaks."""
        return "".join(self._parts(paragraph, anchored)).rstrip()

    def flat(self, element: Element, anchored: Anchored) -> str:
        """Return all text below an element on one line, with blanks between paragraphs; text boxes in their place."""
        own = Anchored(anchored.lines)
        parts = list[str]()
        for each in element:
            name = name_of(each)
            if name in ("text:p", "text:h"):
                if not self.is_hidden(each):
                    parts.append(self.line(each, own))
            elif name == "office:annotation":
                anchored.lines += filter(None, [comment_text(each)])
            elif name and not SILENT.match(name):
                parts.append(self.flat(each, own))
        anchored.charts += own.charts
        while own.shapes:
            parts.append(self.flat(own.shapes.pop(0), own))
        return " ".join(" ".join(parts).split())

    def _parts(self, element: Element, anchored: Anchored) -> list[str]:
        parts = [BLANKS.sub(" ", element.text or "")]
        for each in element:
            parts += self._part(each, name_of(each), anchored)
            parts.append(BLANKS.sub(" ", each.tail or ""))
        return parts

    def _part(self, element: Element, name: str, anchored: Anchored) -> list[str]:  # one case per element
        if not name or SILENT.match(name) or (name in COUNTERS and not self._counters):
            return []
        if name == "text:s":
            return [" " * min(count_of(element, "text:c"), MAX_SPACES)]
        if name in ("text:tab", "text:line-break"):
            return ["\t" if name == "text:tab" else "\n"]
        if name == "text:note":
            return [self._note(element, anchored)]
        if name == "text:ruby":
            ruby = child(element, "text:ruby-text")
            above = "".join(ruby.itertext()) if ruby is not None else ""
            return [*self._parts(element, anchored), f" ({above})" if above.strip() else ""]
        if name == "office:annotation":
            anchored.lines += filter(None, [comment_text(element)])
            return []
        if name == "draw:control":
            return [f" {self._fields.get(get(element, 'draw:control'), '')} "]
        if SHAPES.match(name):
            return [self._shape(element, anchored)]
        if (
            get(element, "text:display") == "none"
            or get(element, "text:is-hidden") == "true"
            or (name == "text:span" and self._styles.is_hidden("text", get(element, "text:style-name")))
        ):
            self.hidden += bool("".join(element.itertext()).strip())
            return []
        return self._parts(element, anchored)

    def _note(self, note: Element, anchored: Anchored) -> str:
        """Return a note's mark; its text goes after the paragraph."""
        citation, body = child(note, "text:note-citation"), child(note, "text:note-body")
        mark = f"[{' '.join(''.join(citation.itertext()).split())}]" if citation is not None else ""
        text = self.flat(body, anchored) if body is not None else ""
        anchored.lines += [f"{mark} {text}".strip()] if text else []
        return mark

    def _shape(self, shape: Element, anchored: Anchored) -> str:
        """Return a formula's text; any other shape goes after the paragraph."""
        holder = child(shape, "draw:object")
        root = self._document.embedded(holder) if holder is not None else None
        if root is not None and (formula := formula_text(root)):
            return f" {formula} "
        if root is not None:
            anchored.charts.append(root)
        anchored.shapes.append(shape)
        return ""


def _is(element: Element, name: str) -> bool:
    return name_of(element) == name
