"""Read AsciiDoc: headings, paragraphs, lists, admonitions, tables, footnotes; code exact to the letter.

Why no library: the ones on PyPI that parse AsciiDoc are under the GPL or call Ruby. Method: the language as
docs.asciidoctor.org describes it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rag.loaders.builder import DocumentBuilder, LoadedText
from rag.loaders.decoding import decode_noting, normalise
from rag.loaders.markup.asciidoc_inline import Inline
from rag.loaders.markup.asciidoc_table import cells_of, count_of
from rag.loaders.markup.writer import MarkupWriter
from rag.loaders.metadata import day

HEADING = re.compile(r"^(={1,6}|#{1,6})[ \t]+(\S.*?)(?:[ \t]+\1)?[ \t]*$")
UNDERLINES = {"=": 1, "-": 2, "~": 3, "^": 4, "+": 5}
ATTRIBUTE = re.compile(r"^:(!?[\w][\w-]*!?):(?:[ \t]+(.*?))?[ \t]*$")
BLOCK_ATTRIBUTES = re.compile(r"^\[(?!\[)[^\n]*\]$|^\[\[[^\]\n]+\]\]$")
BLOCK_TITLE = re.compile(r"^\.(?![\s.])(.+)$")
DELIMITER = re.compile(r"^(-{4,}|\.{4,}|={4,}|\*{4,}|_{4,}|\+{4,}|/{4,}|--|`{3,}.*|[|,:!]={3,})[ \t]*$")
VERBATIM = ("-", ".", "`")
MACRO = re.compile(r"^(include|image|video|audio|toc|ifdef|ifndef|ifeval|endif|stem|btn)::(\S*?)\[(.*)\][ \t]*$")
ITEM = re.compile(r"^[ \t]*(\*{1,6}|-|\u2022|\.{1,6}|\d{1,4}\.|[a-zA-Z]\.|[ivxIVX]{1,6}\)|<(?:\d+|\.)>)[ \t]+(\S.*)$")
TERM = re.compile(r"^[ \t]*(\S.*?)(:{2,4}|;;)(?:[ \t]+(.*))?$")
CHECK = re.compile(r"^\[([ xX*])\][ \t]+")
SETEXT = re.compile(r"^(={2,}|-{2,}|~{2,}|\^{2,}|\+{2,})$")
REVISION = re.compile(r"^v?[\d.]+\w*,\s*(.*)$|^(\d{4}-\d\d-\d\d)$")
ADMONITIONS = ("NOTE", "TIP", "IMPORTANT", "WARNING", "CAUTION")
COMMENT = re.compile(r"^//(?!/).*$")
MAX_DEPTH = 30


@dataclass(slots=True)
class _Pending:
    """What the lines above a block say about it."""

    style: str = ""
    language: str = ""
    options: str = ""
    credit: str = ""


@dataclass(slots=True)
class _Lists:
    """The open lists: the marks of their levels, and the last number of each."""

    marks: list[str] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)


def load_adoc(data: bytes) -> LoadedText:
    """Read AsciiDoc. Files that it includes are not part of it; the note names them. Raises Unreadable for binary."""
    decoded = decode_noting(data)
    builder = DocumentBuilder()
    reader = _Reader(MarkupWriter(builder))
    reader.read(normalise(decoded.text).split("\n"))
    files = sorted(set(reader.files))
    note = f"files that it names are not part of it: {', '.join(files)}" if files else ""
    loaded = builder.build(reader.title or builder.first_heading)
    return replace(loaded, date=reader.date, note="; ".join(filter(None, (decoded.note, note))))


class _Reader:
    """Reads lines from the first to the last; blocks within blocks are read by a call of their own."""

    def __init__(self, writer: MarkupWriter) -> None:
        self.title = self.date = ""
        self.files = list[str]()
        self._out = writer
        self._inline = Inline(writer)
        self._lists = _Lists()
        self._pending = _Pending()

    def read(self, lines: Sequence[str]) -> None:
        self._inline.learn(lines)
        self._blocks(lines, self._header(lines), 0)
        self._end_lists()

    def _header(self, lines: Sequence[str]) -> int:
        """Read the document's title, authors and attributes; return the number of the line after them."""
        at = 0
        while at < len(lines) and (not lines[at].strip() or COMMENT.match(lines[at]) or self._attribute(lines[at])):
            at += 1
        found = HEADING.match(lines[at]) if at < len(lines) else None
        if not found or len(found[1]) > 1:
            return 0
        self.title = self._inline.plain(found[2])
        self._out.heading(1, self.title)
        at += 1
        while at < len(lines) and lines[at].strip():
            line = lines[at]
            revision = REVISION.match(line)
            if revision:
                self.date = day(revision[1] or revision[2] or "")
            if not self._attribute(line) and not COMMENT.match(line):
                if BLOCK_ATTRIBUTES.match(line) or MACRO.match(line) or ITEM.match(line):
                    break
                self._out.paragraph(self._inline.plain(line))
            at += 1
        return at

    def _attribute(self, line: str) -> bool:
        found = ATTRIBUTE.match(line)
        if found:
            self._inline.attributes[found[1].strip("!").lower()] = found[2] or ""
            if found[1].lower() == "revdate":
                self.date = day(found[2] or "")
        return bool(found)

    def _blocks(self, lines: Sequence[str], at: int, depth: int) -> None:
        while at < len(lines):
            at = self._block(lines, at, depth)

    def _block(self, lines: Sequence[str], at: int, depth: int) -> int:  # noqa: C901  # one case per kind of block
        """Read one block, or a line that belongs to the next one; return the number of the line after it."""
        line = lines[at].rstrip()
        if not line:
            return at + 1
        if line == "+":
            return at + 1
        if DELIMITER.match(line):
            return self._delimited(lines, at, depth)
        if COMMENT.match(line) or self._attribute(line) or re.fullmatch(r"'{3,}|<{3,}|-{3}|\*{3}", line):
            return at + 1
        if BLOCK_ATTRIBUTES.match(line):
            self._remember(line)
            return at + 1
        if found := MACRO.match(line):
            self._macro(found)
            return at + 1
        if found := HEADING.match(line):
            self._heading(len(found[1]), found[2])
            return at + 1
        if self._is_setext(lines, at):
            self._heading(UNDERLINES[lines[at + 1][0]], line)
            return at + 2
        if found := BLOCK_TITLE.match(line):
            self._end_lists_unless_attached(lines, at)
            self._out.paragraph(self._inline.plain(found[1]))
            return at + 1
        if found := ITEM.match(lines[at]):
            return self._item(lines, at, found[1], found[2])
        if (found := TERM.match(lines[at])) and not line.startswith("image:"):
            return self._term(lines, at, found)
        if lines[at].startswith((" ", "\t")) or self._pending.style in ("source", "listing", "literal"):
            return self._literal(lines, at)
        return self._paragraph(lines, at)

    def _remember(self, line: str) -> None:
        inside = line.strip("[]")
        first, *others = [part.strip().strip("\"'") for part in inside.split(",")] or [""]
        style = re.split(r"[#.%]", first)[0].lower()
        if style in ("source", "listing", "literal", "verse", "quote", "abstract", "stem", "latexmath", "asciimath"):
            self._pending.style = style
        elif first.startswith(","):
            self._pending.style = "source"
        if style == "source" or inside.startswith(","):
            self._pending.language = re.sub(r"[^\w+#-].*", "", others[0]) if others else ""
        elif first.upper() in ADMONITIONS or re.split(r"[#.%]", first)[0].upper() in ADMONITIONS:
            self._pending.style = re.split(r"[#.%]", first)[0].upper()
        elif style in ("quote", "verse"):
            self._pending.credit = ", ".join(filter(None, others))
        self._pending.options += f",{inside}"

    def _take(self) -> _Pending:
        pending, self._pending = self._pending, _Pending()
        return pending

    def _macro(self, found: re.Match[str]) -> None:
        kind, target, inside = found.groups()
        if kind == "include":
            self.files.append(target)
        elif kind == "image":
            self._pending = _Pending()
            alt = inside.split(",")[0].strip("\"' ")
            self._out.paragraph(self._inline.plain(alt) if alt and "=" not in alt else "")
        elif kind in ("ifdef", "ifndef") and inside:
            self._out.paragraph(self._inline.plain(inside))
        elif kind == "stem":
            self._out.code(inside)

    def _heading(self, level: int, title: str) -> None:
        self._end_lists()
        self._pending = _Pending()
        self._out.heading(level, self._inline.plain(title))

    def _is_setext(self, lines: Sequence[str], at: int) -> bool:
        below = lines[at + 1].rstrip() if at + 1 < len(lines) else ""
        return bool(
            SETEXT.match(below)
            and re.match(r"\w", lines[at])
            and abs(len(lines[at].rstrip()) - len(below)) < 2
            and (at == 0 or not lines[at - 1].strip() or BLOCK_ATTRIBUTES.match(lines[at - 1]))
        )

    def _delimited(self, lines: Sequence[str], at: int, depth: int) -> int:
        mark = lines[at].rstrip()
        closing = "```" if mark.startswith("`") else mark
        end = next((n for n in range(at + 1, len(lines)) if lines[n].rstrip() == closing), len(lines))
        inner, pending = lines[at + 1 : end], self._take()
        self._end_lists_unless_attached(lines, at)
        if mark[0] == "/":
            pass
        elif mark[0] in "|,:!" and mark[1] == "=":
            self._table(inner, pending, mark[0])
        elif pending.style in ("stem", "latexmath", "asciimath"):
            self._out.code("\n".join(inner))
        elif (mark[0] in VERBATIM and mark != "--") or pending.style in ("source", "listing", "literal"):
            language = pending.language or (mark.strip("`").strip() if mark.startswith("`") else "")
            self._out.code("\n".join(inner), language)
        elif mark[0] == "+":
            self._out.paragraph(re.sub(r"<[^<>]*>", " ", "\n".join(inner)))
        elif pending.style == "verse":
            self._out.paragraph(self._inline.plain("\n".join(inner)))
        elif depth < MAX_DEPTH:
            if pending.style in ADMONITIONS:
                self._out.paragraph(pending.style.capitalize())
            outer, self._lists = self._lists, _Lists()
            self._blocks(inner, 0, depth + 1)
            self._end_lists()
            self._lists = outer
        if pending.credit:
            self._out.paragraph(f"— {self._inline.plain(pending.credit)}")
        return end + 1

    def _paragraph(self, lines: Sequence[str], at: int) -> int:
        self._end_lists_unless_attached(lines, at)
        pending = self._take()
        end = at
        while end < len(lines) and lines[end].strip() and not (end > at and self._interrupts(lines[end])):
            end += 1
        text = "\n".join(line for line in lines[at:end] if not COMMENT.match(line))
        text = text if pending.style == "verse" else re.sub(r"(?<! \+)\n", " ", text).replace(" +\n", "\n")
        label = f"{pending.style.capitalize()}: " if pending.style in ADMONITIONS else ""
        if text.split(":")[0] in ADMONITIONS:
            text = text.capitalize()[: text.index(":")] + text[text.index(":") :]
        self._out.paragraph(label + self._inline.plain(text))
        if pending.credit:
            self._out.paragraph(f"— {self._inline.plain(pending.credit)}")
        return max(end, at + 1)

    def _interrupts(self, line: str) -> bool:
        line = line.rstrip()
        return line == "+" or bool(DELIMITER.match(line) and line != "--") or bool(BLOCK_ATTRIBUTES.match(line))

    def _literal(self, lines: Sequence[str], at: int) -> int:
        """Read indented lines, or a paragraph that is marked as code."""
        pending = self._take()
        end = at
        while end < len(lines) and lines[end].strip() and not (end > at and lines[end].rstrip() == "+"):
            end += 1
        code = lines[at:end]
        shift = min(len(line) - len(line.lstrip()) for line in code)
        self._end_lists_unless_attached(lines, at)
        self._out.code("\n".join(line[shift:] for line in code), pending.language)
        return end

    def _item(self, lines: Sequence[str], at: int, mark: str, text: str) -> int:
        """Read an item with the lines that go on in it."""
        self._pending = _Pending()
        level = "1." if mark[0].isdigit() else "a." if re.fullmatch(r"[a-zA-Z]\.", mark) else mark
        level = "<1>" if mark[0] == "<" else level
        if level in self._lists.marks:
            del self._lists.marks[self._lists.marks.index(level) + 1 :]
        else:
            self._lists.marks.append(level)
            self._lists.numbers[level] = 0
        text, end = self._joined(lines, at, text)
        self._lists.numbers[level] += 1
        number = self._lists.numbers[level]
        shown = "-"
        if level[0] == ".":
            shown = f"{number}."
        elif mark[0].isalnum():
            shown = mark
        elif mark[0] == "<":
            shown = f"({number if '.' in mark else mark.strip('<>')})"
        if check := CHECK.match(text):
            text = f"{'☐' if check[1] == ' ' else '☒'} {text[check.end() :]}"
        self._out.item(len(self._lists.marks) - 1, shown, self._inline.plain(text))
        return end

    def _joined(self, lines: Sequence[str], at: int, text: str) -> tuple[str, int]:
        """Return an item's text with its wrapped lines, and the number of the line after them."""
        end = at + 1
        while end < len(lines) and lines[end].strip():
            line = lines[end]
            if ITEM.match(line) or self._interrupts(line) or TERM.match(line) or line.rstrip() == "--":
                break
            if not COMMENT.match(line):
                text += f" {line.strip()}"
            end += 1
        return text.replace(" + ", " "), end

    def _term(self, lines: Sequence[str], at: int, found: re.Match[str]) -> int:
        """Read a term and, where it follows at once, what it means."""
        self._end_lists_unless_attached(lines, at)
        self._pending = _Pending()
        text, end = self._joined(lines, at, found[3] or "")
        while not text.strip() and end < len(lines) and not lines[end].strip() and end < at + 3:
            end += 1
        if not text.strip() and end < len(lines) and not self._begins_block(lines[end]):
            text, end = self._joined(lines, end, lines[end].strip())
        term = self._inline.plain(found[1])
        self._out.paragraph(f"{term}: {self._inline.plain(text.strip())}" if text.strip() else term)
        return end

    def _begins_block(self, line: str) -> bool:
        patterns = (ITEM, TERM, HEADING, MACRO, BLOCK_TITLE)
        plain = line.rstrip()
        return plain in ("", "--") or self._interrupts(line) or any(each.match(line) for each in patterns)

    def _end_lists(self) -> None:
        self._lists = _Lists()
        self._out.flush()

    def _end_lists_unless_attached(self, lines: Sequence[str], at: int) -> None:
        """End the lists, unless the block is attached to an item by a line "+" above it."""
        above = at - 1
        while above >= 0 and (BLOCK_ATTRIBUTES.match(lines[above]) or BLOCK_TITLE.match(lines[above])):
            above -= 1
        if above < 0 or lines[above].rstrip() != "+":
            self._end_lists()

    def _table(self, lines: Sequence[str], pending: _Pending, mark: str) -> None:
        options = pending.options
        separated = mark in ",:" or re.search(r"format\s*=\s*\"?(?:csv|dsv|tsv)", options)
        cols = re.search(r"cols\s*=\s*(?:\"([^\"]*)\"|([^,\s\]]+))", options)
        if separated:
            sign = "," if mark == "," or "csv" in options else "\t" if "tsv" in options else ":"
            rows = [list(map(self._inline.plain, row)) for row in csv.reader(lines, delimiter=sign) if row]
        else:
            rows = cells_of(
                lines, count_of(cols[1] or cols[2]) if cols else 0, "!" if mark == "!" else "|", self._inline.plain
            )
        first = next((at for at, line in enumerate(lines) if line.strip()), 0)
        gap = first + 1 < len(lines) and not lines[first + 1].strip() and first == 0
        marked = bool(re.search(r"%[\w%]*header|options\s*=\s*\"?[^\"\]]*header|opts\s*=\s*\"?[^\"\]]*header", options))
        implied = gap and len(rows) > 1 and "noheader" not in options and not separated
        self._out.table(rows, has_header=marked or bool(implied))
