"""AsciiDoc within a line: marks of formatting go, links and references are their text, footnotes follow the block."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from rag.loaders.markup.writer import MarkupWriter

# What is repeated has a limit: without one, 100,000 opening marks and no closing one took minutes.
PASSTHROUGH = re.compile(
    r"\+\+\+(.{1,1000}?)\+\+\+|\+\+(.{1,1000}?)\+\+|\bpass:[a-z,]*\[(.{0,1000}?)\]"
    r"|(?<![\w`+])\+(?! )([^+\n]{1,1000}?)(?<! )\+(?![\w`+])",
    re.S,
)
CODE = re.compile(r"``(.{1,1000}?)``|(?<![\w`\\;:}\"'])`(?! )([^`]{1,1000}?)(?<! )`(?![\w`\"'])", re.S)
STEM = re.compile(r"\b(?:stem|latexmath|asciimath):\[(.{0,1000}?)(?<!\\)\]", re.S)
FOOTNOTE = re.compile(r"footnote(?:ref)?:([\w-]*)\[((?:[^\[\]]|\[[^\[\]]{0,300}\]){0,3000})\]", re.S)
REFERENCE = re.compile(r"<<([^<>,\n]+?)(?:,\s*([^<>]+?))?>>|\bxref:([^\s\[]+)\[([^\]]{0,1000})\]", re.S)
LINK = re.compile(
    r"(?:\blink:|\bmailto:)([^\s\[]+)\[([^\]]{0,1000})\]|\b((?:https?|ftp|irc|file)://[^\s\[\]<>]+)\[([^\]]{0,1000})\]",
    re.S,
)
INLINE_MACRO = re.compile(r"\b(kbd|btn|menu|image|icon|anchor|indexterm2?|term|xref2):([^\s\[:]*)\[([^\]]{0,1000})\]")
ANCHOR = re.compile(r"\[\[[\w:.-]+(?:,[^\]]{0,300})?\]\]|\[#[\w:.-]+\](?=[^#])")
BIBLIOGRAPHY = re.compile(r"\[\[\[([^\],]{1,300})(?:,\s*([^\]]{1,300}))?\]\]\]")
INDEX = re.compile(r"\(\(\(.{0,500}?\)\)\)", re.S)
TERM = re.compile(r"\(\(([^()]{1,500}?)\)\)")
ROLE = re.compile(r"\[[\w .#%-]{0,100}\](?=[#*_`])")
QUOTES = re.compile(r"\"`(.{1,1000}?)`\"|'`(.{1,1000}?)`'", re.S)
STRONG = [
    pattern
    for sign in map(re.escape, "*_#")
    for pattern in (
        re.compile(rf"{sign}{sign}(\S.{{0,1000}}?)(?<!\s){sign}{sign}", re.S),
        re.compile(rf"(?<![\w{sign}\\;:}}]){sign}(\S|\S.{{0,1000}}?\S){sign}(?!\w)", re.S),
    )
]
SMALL = re.compile(r"([\^~])(\S+?)\1")
NAMED = re.compile(r"(?<!\\)\{([\w][\w-]*)\}")
ESCAPED = re.compile(r"\\(?=[*_`#^~{<\[+]|https?:|link:|\w+:\[)")
BUILT_IN = {"nbsp": " ", "amp": "&", "lt": "<", "gt": ">", "plus": "+", "empty": "", "sp": " ", "vbar": "|",
            "startsb": "[", "endsb": "]", "caret": "^", "asterisk": "*", "tilde": "~", "backtick": "`", "apos": "'",
            "quot": '"', "lsquo": "‘", "rsquo": "’", "ldquo": "“", "rdquo": "”", "deg": "°", "cpp": "C++",
            "two-colons": "::", "two-semicolons": ";;", "zwsp": "", "wj": "", "blank": "", "backslash": "\\",
            "brvbar": "¦"}  # fmt: skip
KEPT = re.compile("\ue000(\\d+)\ue001")
MAX_NESTED = 4  # attributes that name attributes


class Inline:
    """The text of a line; `attributes` are those that the document sets, by name."""

    def __init__(self, writer: MarkupWriter) -> None:
        self.attributes = dict[str, str]()
        self._out = writer
        self._titles = dict[str, str]()
        self._footnotes = dict[str, str]()

    def learn(self, lines: Sequence[str]) -> None:
        """Remember the titles of sections by their ids, for references that show no text."""
        own = ""
        for line in lines:
            if found := re.fullmatch(r"\[\[([\w:.-]+)(?:,.*)?\]\]|\[#([\w:.-]+).*\]", line.strip()):
                own = found[1] or found[2]
            elif found := re.match(r"={2,6}\s+(.+?)\s*$", line):
                title = found[1]
                made = "_" + re.sub(r"[^\w]+", "_", re.sub(r"[`*']", "", title.lower())).strip("_")
                for name in filter(None, (own, made)):
                    self._titles.setdefault(name, title)
                own = ""
            elif line.strip():
                own = ""

    def plain(self, text: str) -> str:
        """Return a text without marks; code stands in backticks, formulas between dollar signs."""
        kept = list[str]()

        def keep(content: str) -> str:
            kept.append(content)
            return f"\ue000{len(kept) - 1}\ue001"

        text = re.sub("[\ue000\ue001]", "", text)
        text = STEM.sub(lambda found: keep(f"${found[1]}$"), text)
        text = PASSTHROUGH.sub(lambda found: keep(next(filter(None, found.groups()), "")), text)
        text = self._with_attributes(text)
        text = CODE.sub(lambda found: keep(f"`{self._code(found[1] or found[2], kept)}`"), text)
        text = FOOTNOTE.sub(self._footnote, text)
        text = BIBLIOGRAPHY.sub(lambda found: f"[{found[2] or found[1]}]", text)
        text = ANCHOR.sub("", text)
        text = INDEX.sub("", text)
        text = TERM.sub(r"\1", text)
        text = REFERENCE.sub(self._reference, text)
        text = LINK.sub(_link, text)
        text = INLINE_MACRO.sub(_macro, text)
        text = QUOTES.sub(lambda found: f"“{found[1]}”" if found[1] else f"‘{found[2]}’", text)
        text = ROLE.sub("", text)
        for pattern in STRONG:
            text = pattern.sub(r"\1", text)
        text = SMALL.sub(r"\2", text)
        text = html.unescape(ESCAPED.sub("", text))
        for _ in range(3):  # code within kept text
            text = KEPT.sub(lambda found: kept[int(found[1])], text)
        return text

    def _with_attributes(self, text: str) -> str:
        for _ in range(MAX_NESTED):
            new = NAMED.sub(lambda found: self._attribute(found[1], found[0]), text)
            if new == text or len(new) > 20_000 + 2 * len(text):
                break
            text = new
        return text

    def _attribute(self, name: str, written: str) -> str:
        return self.attributes.get(name.lower(), BUILT_IN.get(name.lower(), written))

    def _code(self, code: str, kept: list[str]) -> str:
        return KEPT.sub(lambda found: kept[int(found[1])], code)

    def _footnote(self, found: re.Match[str]) -> str:
        """Return a note's mark; one without text refers to an earlier note of its name."""
        name, text = found[1], found[2]
        if not text:
            return self._footnotes.get(name, "")
        mark = self._out.note(self.plain(text))
        if name:
            self._footnotes[name] = mark
        return mark

    def _reference(self, found: re.Match[str]) -> str:
        target, text = found[1] or found[3], found[2] or found[4]
        if text:
            return text.rstrip("^")
        name = target.rpartition("#")[2] or target
        title = self._titles.get(name) or self._titles.get(target)
        return title or (name.strip("_").replace("_", " ") if name.startswith("_") else name)


def _link(found: re.Match[str]) -> str:
    target, text = (found[1] or found[3]), (found[2] if found[1] else found[4]) or ""
    text = re.sub(r",?\s*(?:window|role|opts|title|rel|id)\s*=.*$", "", text, flags=re.S)
    text = re.sub(r"^\"(.*)\"$", r"\1", text.strip(), flags=re.S).rstrip("^")
    return text.strip() or target


def _macro(found: re.Match[str]) -> str:
    kind, target, inside = found.groups()
    if kind == "menu":
        return " > ".join(filter(None, (target, *(part.strip() for part in re.split(r"[>,]", inside)))))
    if kind in ("icon", "anchor", "indexterm"):
        return ""
    if kind == "image":
        alt = inside.split(",")[0].strip("\"' ")
        return "" if "=" in alt else alt
    return inside
