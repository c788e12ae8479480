"""Read Org files: headings, paragraphs, lists, tables, footnotes; code exact to the letter, drawers and comments out.

Why no library: orgparse gives the tree of headings and leaves the text below each of them as it is written.
Method: orgmode.org/worg/org-syntax.html.
"""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rag.loaders.builder import DocumentBuilder, LoadedText
from rag.loaders.decoding import decode_noting, normalise, one_line
from rag.loaders.markup.writer import MarkupWriter
from rag.loaders.metadata import day

HEADING = re.compile(r"^(\*+)[ \t]+(.*?)[ \t]*$")
TAGS = re.compile(r"[ \t]+:([\w@#%:]+):$")
PRIORITY = re.compile(r"\[#[A-Z0-9]\][ \t]*")
KEYWORD = re.compile(r"^[ \t]*#\+(\w[\w-]*)(?:\[[^\]]*\])?:[ \t]*(.*)$")
BEGIN = re.compile(r"^[ \t]*#\+begin_(\S+)(?:[ \t]+(.*))?$", re.I)
COMMENT = re.compile(r"^[ \t]*#(?:[ \t].*)?$")
DRAWER = re.compile(r"^[ \t]*:([\w-]+):[ \t]*$")
FIXED = re.compile(r"^[ \t]*:(?:[ \t](.*))?$")
ITEM = re.compile(r"^([ \t]*)([-+]|\d{1,6}[.)]|[a-zA-Z][.)])(?:[ \t]+(.*))?$|^([ \t]+)(\*)[ \t]+(.*)$")
CHECK = re.compile(r"^\[([ xX-])\][ \t]+")
COUNTER = re.compile(r"^\[@\w+\][ \t]*")
TERM = re.compile(r"^(.*?)[ \t]+::(?:[ \t]+|$)(.*)$", re.S)
TABLE = re.compile(r"^[ \t]*\|")
RULE = re.compile(r"^[ \t]*\|-")
NOTE = re.compile(r"^\[fn:([\w-]+)\][ \t]*(.*)$")
VERBATIM = ("src", "example", "comment", "export", "verbatim", "latex", "html", "ascii")
# What is repeated has a limit: without one, 100,000 opening marks and no closing one took minutes.
LINK = re.compile(r"\[\[([^\[\]]+)\](?:\[((?:[^\[\]]|\[[^\[\]]{0,300}\]){1,1000})\])?\]")
REFERENCE = re.compile(r"\[fn:([\w-]*)(?::((?:[^\[\]]|\[[^\[\]]{0,300}\]){0,3000}))?\]")
CODE = re.compile(r"(?<![\w=~\\])([=~])(?![\s=~])(.{0,1000}?)(?<!\s)\1(?![\w=~])", re.S)
FORMULA = re.compile(
    r"\$\$.{1,2000}?\$\$|\\\(.{1,2000}?\\\)|\\\[.{1,2000}?\\\]|(?<![\w$])\$(?![\s$])[^$\n]{1,1000}?(?<!\s)\$(?!\w)",
    re.S,
)
EMPHASIS = re.compile(r"(?<![^\s\-({'\"])([*/_+])(?!\s)(.{1,1000}?)(?<!\s)\1(?=[\s\-.,:;!?'\")}\]\[]|$)", re.S)
ENTITY = re.compile(r"\\([A-Za-z]+)(?:\{\}|(?![A-Za-z{\[]))")
SNIPPET = re.compile(r"@@\w+:.{0,1000}?@@", re.S)
TARGET = re.compile(r"<<<?([^<>\n]+)>>>?")
MACRO = re.compile(r"\{\{\{\w[\w-]*(?:\((.{0,1000}?)\))?\}\}\}", re.S)
INLINE_SOURCE = re.compile(r"\bsrc_\w+(?:\[[^\]]*\])?\{([^{}]*)\}")
SCRIPT = re.compile(r"(?<=\S)([\^_])\{([^{}]*)\}")
KEPT = re.compile("\ue000(\\d+)\ue001")
NAMED = ("\\nbsp", "\\-")
MAX_DEPTH = 20
MAX_DRAWER = 500  # lines


def load_org(data: bytes) -> LoadedText:
    """Read an Org file. Files that it includes are not part of it; the note names them. Raises Unreadable."""
    decoded = decode_noting(data)
    builder = DocumentBuilder()
    reader = _Reader(MarkupWriter(builder))
    reader.read(normalise(decoded.text).split("\n"))
    files = sorted(set(reader.files))
    note = f"files that it names are not part of it: {', '.join(files)}" if files else ""
    loaded = builder.build(reader.title or builder.first_heading)
    return replace(loaded, date=reader.date, note="; ".join(filter(None, (decoded.note, note))))


@dataclass(frozen=True, slots=True)
class _Item:
    """An open list item: the column of its mark."""

    column: int


class _Reader:
    def __init__(self, writer: MarkupWriter) -> None:
        self.title = self.date = ""
        self.files = list[str]()
        self._out = writer
        self._notes = dict[str, str]()
        self._marks = dict[str, str]()
        self._items = list[_Item]()

    def read(self, lines: Sequence[str]) -> None:
        """Write a whole file; what footnotes say is collected first, since it often stands at the end."""
        kept = self._without_notes(lines)
        self._top(kept)
        skipped = 0  # the level of a heading that is a comment
        at = 0
        while at < len(kept):
            found = HEADING.match(kept[at])
            if found and (not skipped or len(found[1]) <= skipped):
                skipped = len(found[1]) if re.match(r"(?:[A-Z]+ )?COMMENT\b", found[2]) else 0
                if not skipped:
                    self._heading(len(found[1]), found[2])
                at += 1
            elif skipped:
                at += 1
            else:
                at = self._block(kept, at, 0)
        self._end_list()
        for name, text in self._notes.items():
            if name not in self._marks:
                self._out.paragraph(f"[{name}] {self._plain(text)}")

    def _without_notes(self, lines: Sequence[str]) -> list[str]:
        kept, name, blank, inside = list[str](), "", 0, False
        for line in lines:
            inside = inside if not re.match(r"^[ \t]*#\+(begin|end)_", line, re.I) else "begin_" in line.lower()
            if not inside and (found := NOTE.match(line)):
                name, blank = found[1], 0
                self._notes[name] = found[2]
            elif name and line.strip() and not HEADING.match(line) and not blank:
                self._notes[name] += f" {line.strip()}"
            else:
                blank = blank + 1 if not line.strip() else 0
                name = "" if blank or line.strip() else name
                kept.append(line)
        return kept

    def _top(self, lines: Sequence[str]) -> None:
        """Take title, authors and date from the file's keywords."""
        found = dict[str, str]()
        for line in lines:
            if keyword := KEYWORD.match(line):
                name = keyword[1].lower()
                found[name] = f"{found.get(name, '')} {keyword[2]}".strip()
        self.title = one_line(self._plain(found.get("title", "")))
        self.date = day(re.sub(r"^[<\[]", "", found.get("date", "")))
        if self.title:
            self._out.heading(1, self.title)
        for name in ("subtitle", "author"):
            self._out.paragraph(self._plain(found.get(name, "")))

    def _heading(self, stars: int, title: str) -> None:
        self._end_list()
        tags = TAGS.search(title)
        title = PRIORITY.sub("", title[: tags.start()] if tags else title)
        self._out.heading(stars + bool(self.title), self._plain(title))
        if tags:
            self._out.paragraph(f"Tags: {', '.join(tags[1].split(':'))}")

    def _block(self, lines: Sequence[str], at: int, depth: int) -> int:  # noqa: C901  # one case per kind of block
        """Read one block; return the number of the line after it."""
        line = lines[at]
        indent = len(line) - len(line.lstrip())
        if not line.strip():
            if at + 1 < len(lines) and not lines[at + 1].strip():
                self._end_list()
            return at + 1
        if found := ITEM.match(line):
            return self._item(lines, at, found)
        if self._items and indent <= self._items[0].column:
            self._end_list()
        if found := BEGIN.match(line):
            return self._delimited(lines, at, found[1].lower(), found[2] or "", depth)
        if keyword := KEYWORD.match(line):
            self._keyword(keyword[1].lower(), keyword[2])
            return at + 1
        if COMMENT.match(line) or re.fullmatch(r"[ \t]*-{5,}[ \t]*", line):
            return at + 1
        if DRAWER.match(line):
            last = min(len(lines), at + MAX_DRAWER)
            end = next((n for n in range(at + 1, last) if lines[n].strip().upper() == ":END:"), -1)
            if end > 0 and not any(HEADING.match(each) for each in lines[at:end]):
                return end + 1
        if FIXED.match(line):
            end = at
            while end < len(lines) and FIXED.match(lines[end]):
                end += 1
            self._out.code("\n".join((FIXED.match(each) or [""])[1] or "" for each in lines[at:end]))
            return end
        if TABLE.match(line):
            end = at
            while end < len(lines) and TABLE.match(lines[end]):
                end += 1
            self._table(lines[at:end])
            return end
        if found := re.match(r"^[ \t]*\\begin\{([^}]+)\}", line):
            closing = f"\\end{{{found[1]}}}"
            end = next((n for n in range(at, len(lines)) if closing in lines[n]), at)
            self._out.code("\n".join(lines[at : end + 1]))
            return end + 1
        return self._paragraph(lines, at)

    def _keyword(self, name: str, value: str) -> None:
        if name == "include":
            self.files.append(next(iter(value.split()), "").strip('"'))
        elif name == "caption":
            self._out.paragraph(self._plain(value))

    def _delimited(self, lines: Sequence[str], at: int, kind: str, options: str, depth: int) -> int:
        closing = f"#+end_{kind}"
        end = next((n for n in range(at + 1, len(lines)) if lines[n].strip().lower() == closing), len(lines))
        inner = lines[at + 1 : end]
        if kind in ("src", "example", "verbatim"):
            code = textwrap.dedent("\n".join(re.sub(r"^([ \t]*),(?=,*(?:\*|#\+))", r"\1", each) for each in inner))
            language = next(iter(options.split()), "") if kind == "src" and not options.startswith((":", "-")) else ""
            self._out.code(code, language)
        elif kind == "verse":
            self._out.paragraph(self._plain("\n".join(inner)))
        elif kind not in VERBATIM and depth < MAX_DEPTH:
            inner_at = 0
            while inner_at < len(inner):
                inner_at = self._block(inner, inner_at, depth + 1)
        return end + 1

    def _starts_block(self, line: str) -> bool:
        return bool(
            not line.strip()
            or HEADING.match(line)
            or ITEM.match(line)
            or BEGIN.match(line)
            or KEYWORD.match(line)
            or TABLE.match(line)
            or COMMENT.match(line)
            or DRAWER.match(line)
            or FIXED.match(line)
        )

    def _paragraph(self, lines: Sequence[str], at: int) -> int:
        end = at + 1
        while end < len(lines) and not self._starts_block(lines[end]):
            end += 1
        text = self._plain(_joined(lines[at:end]))
        if self._items:
            self._out.more(len(self._items) - 1, text)
        else:
            self._out.paragraph(text)
        return end

    def _item(self, lines: Sequence[str], at: int, found: re.Match[str]) -> int:
        """Read an item with the lines that go on in it."""
        column = len((found[1] if found[1] is not None else found[4]).expandtabs(8))
        mark = found[2] or found[5]
        end = at + 1
        while end < len(lines) and not self._starts_block(lines[end]):
            if len(lines[end]) - len(lines[end].lstrip()) <= column:
                break
            end += 1
        while self._items and self._items[-1].column >= column:
            self._items.pop()
        self._items.append(_Item(column))
        text = COUNTER.sub("", _joined([found[3] or found[6] or "", *lines[at + 1 : end]]))
        if check := CHECK.match(text):
            sign = {" ": "☐", "-": "☐"}.get(check[1], "☒")
            text = f"{sign} {text[check.end() :]}"
        if mark in "-+*" and (term := TERM.match(text)):
            text = f"{term[1]}: {term[2]}".rstrip(": ") if not term[2] else f"{term[1]}: {term[2]}"
        shown = "-" if mark in "-+*" else mark.replace(")", ".")
        self._out.item(len(self._items) - 1, shown, self._plain(text))
        return end

    def _end_list(self) -> None:
        self._items = []
        self._out.flush()

    def _table(self, lines: Sequence[str]) -> None:
        rows, rules = list[list[str]](), list[int]()
        for line in lines:
            if RULE.match(line):
                rules.append(len(rows))
                continue
            cells = [self._plain(cell.strip()) for cell in line.strip().strip("|").split("|")]
            if not all(re.fullmatch(r"<[lrc]?\d*>|", cell.strip()) for cell in line.strip().strip("|").split("|")):
                rows.append(cells)
        self._out.table(rows, has_header=1 in rules and len(rows) > 1)

    def _plain(self, text: str) -> str:
        """Return a text without marks; code stands in backticks, formulas as they are written."""
        kept = list[str]()

        def keep(content: str) -> str:
            kept.append(content)
            return f"\ue000{len(kept) - 1}\ue001"

        text = re.sub("[\ue000\ue001]", "", text)
        text = INLINE_SOURCE.sub(lambda found: keep(f"`{found[1]}`"), text)
        text = FORMULA.sub(lambda found: keep(found[0]), text)
        text = LINK.sub(lambda found: found[2] or keep(_target(found[1])), text)
        text = CODE.sub(lambda found: keep(f"`{found[2]}`"), text)
        text = REFERENCE.sub(self._reference, text)
        text = TARGET.sub(r"\1", SNIPPET.sub("", text))
        text = MACRO.sub(lambda found: found[1] or "", text)
        for _ in range(3):
            text = EMPHASIS.sub(r"\2", text)
        text = SCRIPT.sub(r"\2", text)
        text = ENTITY.sub(_entity, text)
        for _ in range(2):  # code within kept text
            text = KEPT.sub(lambda found: kept[int(found[1])], text)
        return text

    def _reference(self, found: re.Match[str]) -> str:
        """Return a note's mark; the note follows the block where it is named first."""
        name, text = found[1], found[2]
        if name in self._marks:
            return self._marks[name]
        text = text if text is not None else self._notes.get(name)
        if text is None:
            return f"[{name}]"
        self._marks[name or f"\0{len(self._marks)}"] = "[]"  # one that names itself ends here
        mark = self._out.note(self._plain(text))
        if name:
            self._marks[name] = mark
        return mark


def _joined(lines: Sequence[str]) -> str:
    """Return lines as one, but for breaks that the file asks for."""
    return re.sub(r"[ \t]*\\\\[ \t]*(?:\x00|$)", "\n", "\0".join(line.strip() for line in lines)).replace("\0", " ")


def _target(target: str) -> str:
    """Return what a link without a text shows; nothing for a picture."""
    if re.search(r"\.(?:png|jpe?g|gif|svg|webp)$", target, re.I):
        return ""
    return re.sub(r"^(?:file:|id:|\*|#)", "", target)


def _entity(found: re.Match[str]) -> str:
    name = f"&{found[1]};"
    shown = html.unescape(name)
    return shown if shown != name else found[0]
