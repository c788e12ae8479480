"""Read Wiki text as MediaWiki has it, with mwparserfromhell: headings, lists, tables, code, notes; links as their text.

Why templates are kept by what they are given: what they would show is on another page, but an infobox holds the facts
of an article.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rag.errors import Unreadable
from rag.loaders.builder import DocumentBuilder, LoadedText
from rag.loaders.decoding import decode_noting, line_of, normalise
from rag.loaders.markup.wiki_marks import restored, without_unclosed
from rag.loaders.markup.writer import MarkupWriter

Node = Any  # the parser's nodes have no common type
MARK = re.compile("\ue000(\\d+)\ue001")  # stands for a block that was put aside
NOTE = re.compile("\ue002(\\d+)\ue003")  # stands for a note's mark
SIGNS = re.compile("[\ue000-\ue007]")
BREAK = "\0"  # stands for <br>: no text contains a NUL
LIST = re.compile(r"^([*#:;]+)[ \t]*(.*)$")
MAGIC = re.compile(r"__[A-Z]{3,20}__|\{\{(?:DEFAULTSORT|DISPLAYTITLE|SHORTDESC|NUMBEROF\w+|PAGENAME|TOC\w*)[^{}]*\}\}")
FILES = ("file", "image", "media", "datei", "bild", "fichier", "archivo", "imagen")
CATEGORIES = ("category", "kategorie", "catégorie", "categoría")
LANGUAGES = re.compile(r"^[a-z]{2,3}(?:-[a-z]+)?:")
PICTURE_OPTIONS = re.compile(
    r"^(?:thumb|thumbnail|frame|frameless|border|left|right|center|none|upright|\d*x?\d+\s*px|(?:alt|link|upright|class|"
    r"lang|page|start|thumbtime|thumb)\s*=.*|baseline|middle|sub|super|top|bottom|text-top|text-bottom|mini|hochkant)\s*$",
    re.I | re.S,
)
CODE = ("pre", "syntaxhighlight", "source")
INLINE_CODE = ("code", "tt", "kbd", "samp", "var")
GONE = ("references", "noinclude", "templatestyles", "score", "timeline", "graph", "imagemap", "script", "style")
BREAKS = ("br", "p", "div", "center", "blockquote", "section", "hr")
UNSAID = re.compile(
    r"^(?:url|archive-?url|access-?date|archive-?date|url-status|ref|mode|style|class|align|width|bgcolor|image\w*|"
    r"doi-access|hdl|s2cid|bibcode|pmid|pmc|issn|isbn|name-list-style|postscript|df)$",
    re.I,
)
MAX_CHARS = 5_000_000


@dataclass(slots=True)
class _Block:
    """A block that was put aside: a heading, code, a table, or a template on lines of its own."""

    kind: str
    text: str = ""
    level: int = 0
    rows: Sequence[Sequence[str]] = ()
    has_header: bool = False


def load_wiki(data: bytes) -> LoadedText:
    """Read Wiki text. Raises Unreadable for binary data."""
    decoded = decode_noting(data)
    text = SIGNS.sub("", normalise(decoded.text))
    if len(text) > MAX_CHARS:
        raise Unreadable(f"it has more than {MAX_CHARS:,} characters: split it")
    builder = DocumentBuilder()
    reader = _Reader(MarkupWriter(builder))
    try:
        reader.read(text)
    except RecursionError:
        raise Unreadable("its markup is nested too deeply") from None
    count = reader.templates
    note = f"{count} templates are shown by what they are given" if count else ""
    return replace(builder.build(builder.first_heading), note="; ".join(filter(None, (decoded.note, note))))


class _Reader:
    """Turns nodes into lines with marks for the blocks, and the lines into blocks."""

    def __init__(self, writer: MarkupWriter) -> None:
        self.templates = 0
        self._out = writer
        self._blocks, self._categories = list[_Block](), list[str]()
        self._notes = list[str]()
        self._marks = dict[int, str]()  # of the notes that were written
        self._named = dict[str, int]()

    def read(self, text: str) -> None:
        import mwparserfromhell  # few folders hold Wiki text

        code = mwparserfromhell.parse(without_unclosed(MAGIC.sub("", text)))
        self._lines(self._render(code.nodes))
        self._out.flush()
        if self._categories:
            self._out.paragraph(f"Categories: {', '.join(self._categories)}")

    def _render(self, nodes: Iterable[Node]) -> str:
        return "".join(self._node(node) for node in nodes)

    def _node(self, node: Node) -> str:
        kind = type(node).__name__
        if kind == "Text":
            return restored(str(node.value))
        if kind == "Wikilink":
            return self._link(node)
        if kind == "ExternalLink":
            return self._render(node.title.nodes) if node.title else self._render(node.url.nodes)
        if kind == "Heading":
            return self._aside(_Block("heading", line_of(self._render(node.title.nodes)), node.level))
        if kind == "Template":
            return self._template(node)
        if kind == "Tag":
            return self._tag(node)
        if kind == "HTMLEntity":
            return html.unescape(str(node)) if str(node) != "&nbsp;" else " "
        return "" if kind in ("Comment", "Argument") else str(node)

    def _aside(self, block: _Block) -> str:
        self._blocks.append(block)
        return f"\n\ue000{len(self._blocks) - 1}\ue001\n"

    def _link(self, node: Node) -> str:
        target = line_of(self._render(node.title.nodes))
        text = self._render(node.text.nodes) if node.text is not None else ""
        space, _, name = target.partition(":")
        space = space.strip().lower()
        if space in FILES:
            captions = [part for part in text.split("|") if not PICTURE_OPTIONS.match(part.strip())]
            return f"\n\n{captions[-1].strip()}\n\n" if captions and captions[-1].strip() else ""
        if space in CATEGORIES:
            self._categories.append(name.strip())
            return ""
        if LANGUAGES.match(target) and not text:
            return ""
        return text or target.removeprefix(":").partition("#")[0] or target.lstrip("#")

    def _template(self, node: Node) -> str:
        """Return what a template is given: values in their line, or a line of its own with their names."""
        name = line_of(self._render(node.name.nodes))
        if name.startswith("#") or ":" in name[:12]:
            return ""
        values = list[tuple[str, str]]()
        for each in node.params:
            value = line_of(MARK.sub(self._flat, self._render(each.value.nodes)))
            label = line_of(self._render(each.name.nodes)) if each.showkey else ""
            if value and not UNSAID.match(label):
                values.append((label, value))
        self.templates += bool(values)
        labelled = sum(1 for label, _ in values if label)
        if not labelled or name.lower().startswith(("cite", "citation", "literatur", "ouvrage", "lien")):
            return " ".join(value for _, value in values)
        fields = [f"{label}: {value}" if label else value for label, value in values]
        if labelled < 3:
            return " ".join(value for _, value in values)
        return self._aside(_Block("paragraph", " | ".join([name, *fields])))

    def _flat(self, mark: re.Match[str]) -> str:
        """Return a block that stands within a line, as its text."""
        block = self._blocks[int(mark[1])]
        return " ".join([block.text, *(cell for row in block.rows for cell in row)])

    def _tag(self, node: Node) -> str:  # noqa: C901  # one case per tag
        name = str(node.tag).strip().lower()
        if node.wiki_markup and node.self_closing and name in ("li", "dt", "dd"):
            return str(node.wiki_markup)
        if name == "table":
            return self._table(node)
        inner = restored(str(node.contents)) if node.contents is not None else ""
        if name in CODE:
            language = str(node.get("lang").value) if node.has("lang") else ""
            return self._aside(_Block("code", f"{language}\n{html.unescape(inner)}"))
        if name == "nowiki":
            return html.unescape(inner)
        if name == "math":
            return f"${inner.strip()}$"
        if name == "ref":
            return self._reference(node, inner)
        if name in GONE:
            return ""
        if name == "hr":
            return "\n\n"
        if name == "gallery":
            captions = (line.partition("|")[2] for line in inner.splitlines())
            return "\n".join(f"* {caption.strip()}" for caption in captions if caption.strip()).join("\n\n")
        text = self._render(node.contents.nodes) if node.contents is not None else ""
        if name in INLINE_CODE:
            return f"`{line_of(text)}`" if text.strip() else ""
        if name == "br":
            return BREAK
        if name in ("ul", "ol"):
            return re.sub(r"\n\s*\n", "\n", f"\n{text}\n")
        if name in ("li", "dt", "dd"):
            own, *nested = text.strip().split("\n*")
            return "".join([f"\n* {line_of(own)}", *(f"\n**{line}" for line in nested)])
        return f"\n\n{text}\n\n" if name in BREAKS else text

    def _reference(self, node: Node, inner: str) -> str:
        """Return a note's mark; a note that is used again has the same one."""
        name = str(node.get("name").value).strip("\"' ") if node.has("name") else ""
        if not inner.strip():
            return f"\ue002{self._named[name]}\ue003" if name in self._named else ""
        self._notes.append(line_of(MARK.sub(self._flat, self._render(node.contents.nodes))))
        if name:
            self._named[name] = len(self._notes) - 1
        return f"\ue002{len(self._notes) - 1}\ue003"

    def _noted(self, text: str) -> str:
        """Return a block's text with the marks of its notes, which follow the block where they come first."""

        def mark(found: re.Match[str]) -> str:
            number = int(found[1])
            if number not in self._marks:
                self._marks[number] = self._out.note(NOTE.sub("", self._notes[number]))
            return self._marks[number]

        return NOTE.sub(mark, text)

    def _table(self, node: Node) -> str:
        rows, title, marked = list[list[str]](), "", 0
        current = list[str]()
        names = True
        for each in node.contents.nodes if node.contents is not None else ():
            tag = str(each.tag).strip().lower() if type(each).__name__ == "Tag" else ""
            if tag == "caption":
                title = self._render(each.contents.nodes)
            elif tag == "td" and str(each.contents).startswith("+"):
                title = self._render(each.contents.nodes)[1:]
            elif tag in ("td", "th"):
                current += self._cell(each)
                names = names and tag == "th"
            elif tag in ("tr", "tbody", "thead"):
                if current:
                    rows.append(current)
                    current = []
                cells = [cell for cell in each.contents.nodes if type(cell).__name__ == "Tag"] if each.contents else []
                row = [
                    text for cell in cells if str(cell.tag).strip().lower() in ("td", "th") for text in self._cell(cell)
                ]
                are_names = all(str(cell.tag).strip().lower() == "th" for cell in cells)
                marked += bool(row) and are_names and marked == len(rows)
                rows += [row] if row else []
        if current:
            marked += names and not rows
            rows.insert(0, current) if marked and names else rows.append(current)
        heading = self._aside(_Block("paragraph", line_of(title))) if title.strip() else ""
        return heading + self._aside(_Block("table", rows=rows, has_header=marked > 0))

    def _cell(self, cell: Node) -> list[str]:
        text = self._render(cell.contents.nodes) if cell.contents is not None else ""
        wide = str(cell.get("colspan").value).strip("\"' ") if cell.has("colspan") else ""
        flat = line_of(re.sub(r"^[*#:;]+", "", MARK.sub(self._flat, text), flags=re.M))
        return [flat, *[""] * (min(int(wide), 100) - 1 if wide.isdigit() else 0)]

    def _lines(self, text: str) -> None:
        """Write lines as blocks."""
        paragraph = list[str]()
        numbers = dict[str, int]()

        def end() -> None:
            if paragraph:
                self._out.paragraph(self._noted(" ".join(paragraph).replace(BREAK, "\n")))
                paragraph.clear()

        lines = text.split("\n")
        for at, line in enumerate(lines):
            if mark := MARK.fullmatch(line.strip()):
                end()
                self._block(self._blocks[int(mark[1])])
                numbers.clear()
            elif found := LIST.match(line):
                end()
                self._item(found[1], MARK.sub(self._flat, found[2]), numbers)
            elif line.startswith(" ") and line.strip() and not paragraph:
                self._preformatted(lines, at)
            elif not line.strip():
                end()
                numbers.clear()
                self._out.flush()
            elif not line.startswith(" ") or paragraph:
                self._out.flush() if not paragraph else None
                paragraph.append(MARK.sub(self._flat, line))
        end()

    def _preformatted(self, lines: list[str], at: int) -> None:
        """Write the lines that begin with a blank as code, and empty them."""
        code = list[str]()
        while at < len(lines) and lines[at].startswith(" ") and not MARK.fullmatch(lines[at].strip()):
            code.append(MARK.sub(self._flat, lines[at][1:]))
            lines[at] = ""
            at += 1
        self._out.code("\n".join(code))

    def _block(self, block: _Block) -> None:
        if block.kind == "heading":
            self._out.heading(block.level, self._noted(block.text))
        elif block.kind == "code":
            language, _, code = block.text.partition("\n")
            self._out.code(code, language)
        elif block.kind == "table":
            self._out.table([[self._noted(cell) for cell in row] for row in block.rows], block.has_header)
        else:
            self._out.paragraph(self._noted(block.text))

    def _item(self, marks: str, text: str, numbers: dict[str, int]) -> None:
        for deeper in [each for each in numbers if len(each) > len(marks)]:
            del numbers[deeper]
        if marks.endswith("#"):
            numbers[marks] = numbers.get(marks, 0) + 1
        text = self._noted(text.replace(BREAK, " "))
        if set(marks) == {":"} or (text.strip() and marks.endswith((";", ":")) and len(marks) == 1):
            self._out.paragraph(text)
        elif text.strip() and marks.endswith(":"):
            self._out.more(len(marks) - 2, text)
        elif text.strip():
            self._out.item(len(marks) - 1, f"{numbers[marks]}." if marks.endswith("#") else "-", text)
