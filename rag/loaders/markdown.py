"""Read Markdown: headings by markdown-it, YAML front matter as title and date.

Why: text may also stand between two rules at the top. It counts as front matter only if it is a YAML mapping.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from rag.loaders.blocks import Block, Kind, Section
from rag.loaders.builder import LoadedText, day, decode, normalise, one_line

BETWEEN = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*\n", re.DOTALL | re.MULTILINE)
MOST = 20_000  # characters: far beyond what anybody writes there
LIKE_YAML = re.compile(r"[ \t#-]|[^\s:][^:\n]*:(?:[ \t]|$)")  # how a line of it begins
TITLE = re.compile(r"^title:[ \t]*(['\"]?)(.+?)\1[ \t]*$", re.MULTILINE)
DATES = [
    re.compile(rf"^{key}:[ \t]*['\"]?(\S+)", re.MULTILINE | re.IGNORECASE)
    for key in ("(?:last[-_]?)?mod(?:ified)?(?:[-_]?at)?", "(?:last[-_]?)?updated(?:[-_]?at)?", "date")
]


def take_front_matter(text: str) -> tuple[str, str, str]:
    """Return the title and the day that a file's front matter tells, "" where it tells none, and the text without it.

    The day is that of the last change, if both are told.
    """
    matter = BETWEEN.match(text)
    if not matter or not _is_front_matter(matter[1]):
        return "", "", text
    title = TITLE.search(matter[1])
    found = (pattern.search(matter[1]) for pattern in DATES)
    date = next(filter(None, (day(match[1]) for match in found if match)), "")
    return one_line(title[2]) if title else "", date, text[matter.end() :]


def _is_front_matter(lines: str) -> bool:
    """Return whether lines are names and values. Nothing at all, or comments alone, are no text either.

    Many write a title with a colon in it, which YAML refuses: then each line must look like it.
    """
    if len(lines) > MOST:
        return False
    try:
        return isinstance(yaml.load(lines, Loader=yaml.BaseLoader), dict | None)  # a loader that makes texts only
    except (yaml.YAMLError, RecursionError):
        return all(map(LIKE_YAML.match, filter(str.strip, lines.splitlines())))


KINDS: Mapping[str, Kind] = {
    "paragraph_open": "prose",
    "blockquote_open": "prose",
    "bullet_list_open": "list",
    "ordered_list_open": "list",
    "table_open": "table",
}  # every other block of Markdown is code, or like it


def load_markdown(data: bytes) -> LoadedText:
    """Read Markdown. Front matter is no text; its title counts."""
    title, date, text = take_front_matter(normalise(decode(data)))
    lines = _outline(text)
    return LoadedText(text, _sections(text, lines), title or _first_heading(lines), date=date)


@dataclass(frozen=True, slots=True)
class OutlineEntry:
    """A top-level block of Markdown by its lines, so that it can be found again after an edit inside the lines."""

    first: int
    end: int
    kind: Kind
    level: int = 0
    title: str = ""


def _outline(markdown: str) -> list[OutlineEntry]:
    """Return the top-level blocks in order, each line with text in one of them.

    markdown-it knows that a `#` in a code fence is no heading; what it drops (link definitions) is kept as prose.
    """
    parser = MarkdownIt("commonmark").enable("table")
    tokens: list[Token] = []
    parser.block.parse(markdown, parser, {}, tokens)
    outline, done = [], 0
    for token, inline in pairwise([*tokens, Token("end", "", 0)]):
        if token.level or not token.map or token.nesting < 0:
            continue
        first, end = token.map
        if first > done:
            outline.append(OutlineEntry(done, first, "prose"))
        if token.type == "heading_open":
            outline.append(OutlineEntry(first, end, "heading", int(token.tag[1:]), _plain(parser, inline.content)))
        else:
            outline.append(OutlineEntry(first, end, KINDS.get(token.type, "code")))
        done = end
    return [*outline, OutlineEntry(done, markdown.count("\n") + 1, "prose")]


def _plain(parser: MarkdownIt, inline: str) -> str:
    """Return a heading without its markup."""
    children = parser.parseInline(inline)[0].children or []
    return one_line("".join(child.content or " " * (child.type == "softbreak") for child in children))


def _sections(text: str, outline: list[OutlineEntry]) -> tuple[Section, ...]:
    """Return one section per heading with its path; a heading with nothing under it joins the next section."""
    starts = _line_starts(text)
    sections: list[Section] = []
    blocks: list[Block] = []
    path: list[OutlineEntry] = []
    heading = ""
    for lines in outline:
        if lines.kind == "heading":
            if blocks and blocks[-1].kind != "heading":
                sections.append(Section(tuple(blocks), heading))
                blocks = []
            path = [above for above in path if above.level < lines.level] + [lines]
            heading = " > ".join(above.title for above in path if above.title)
        block = Block(starts[lines.first], starts[lines.end], lines.kind)
        if text[block.start : block.end].strip():
            blocks.append(block)
    return (*sections, Section(tuple(blocks), heading))


def _line_starts(text: str) -> list[int]:
    """Return the offset of every line, and the text's end as that of the line after the last."""
    return [0, *(match.end() for match in re.finditer("\n", text)), len(text)]


def _first_heading(outline: list[OutlineEntry], level: int | None = None) -> str:
    headings = (lines.title for lines in outline if lines.kind == "heading" and level in (None, lines.level))
    return next(filter(None, headings), "")
