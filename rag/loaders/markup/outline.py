"""Find the top-level blocks of Markdown by their lines: cmark tells where they are, markdown-it what a heading says.

Why: cmark takes a tenth of markdown-it's time. It does not state the lines of HTML blocks: markdown-it reads what is
between the other blocks then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

from cmarkgfm.cmark import Options, markdown_to_html_with_extensions
from markdown_it import MarkdownIt
from markdown_it.token import Token

from rag.loaders.blocks import Kind
from rag.loaders.decoding import one_line

KINDS: Mapping[str, Kind] = {  # by markdown-it's token type; every other block is code, or similar
    "paragraph_open": "prose",
    "blockquote_open": "prose",
    "bullet_list_open": "list",
    "ordered_list_open": "list",
    "table_open": "table",
}
CMARK_KINDS: Mapping[str, Kind] = {  # by the name of cmark's element
    "p": "prose", "blockquote": "prose", "ul": "list", "ol": "list", "table": "table",
    **dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), "heading"),
}  # fmt: skip
BLOCK = re.compile(r'<(\w+)[^<>]*? data-sourcepos="(\d+):\d+-(\d+):\d+"')
HTML_BLOCK = "<!-- raw HTML omitted -->"
UNDERLINE = re.compile(r" {0,3}(?:=+|-+)[ \t]*")
ATX = re.compile(r" {0,3}#")
PLAIN_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+([^\\`*_\[\]<>&!#\n\t]*)")  # no markup in it
FENCE = re.compile(r" {0,3}(?:```|~~~)")
DELIMITERS = re.compile(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?")  # the line below a table's header


@dataclass(frozen=True, slots=True)
class OutlineEntry:
    """A top-level Markdown block by its lines [first, end): still valid after an edit within the lines."""

    first: int
    end: int
    kind: Kind
    level: int = 0
    title: str = ""


def outline_of(markdown: str) -> list[OutlineEntry]:
    """Return the top-level blocks in order; every line with text is in one of them.

    A `#` in a code fence is no heading. What a parser drops (link definitions) is kept as prose.
    """
    rendered = markdown_to_html_with_extensions(markdown, Options.CMARK_OPT_SOURCEPOS, ["table"])
    lines = markdown.split("\n")
    found = _by_cmark(rendered, lines)
    if HTML_BLOCK not in rendered:
        return list(_with_gaps(found, 0, len(lines)))
    is_found = set(found)
    return [
        each
        for entry in _with_gaps(found, 0, len(lines))
        for each in ((entry,) if entry in is_found else _with_gaps(_blocks_in(lines, entry), entry.first, entry.end))
    ]


def first_heading(outline: list[OutlineEntry], level: int | None = None) -> str:
    """Return the first heading that is not empty, of this level if one is given; "" if there is none."""
    headings = (entry.title for entry in outline if entry.kind == "heading" and level in (None, entry.level))
    return next(filter(None, headings), "")


def _with_gaps(found: Iterable[OutlineEntry], start: int, end: int) -> Iterator[OutlineEntry]:
    """Yield the blocks of the lines [start, end), and the lines between them as prose."""
    done = start
    for entry in found:
        if entry.first > done:
            yield OutlineEntry(done, entry.first, "prose")
        yield entry
        done = entry.end
    yield OutlineEntry(done, end, "prose")


def _by_cmark(rendered: str, lines: Sequence[str]) -> list[OutlineEntry]:
    """Return the top-level blocks: an element that begins before the end of the last one is part of it."""
    found: list[OutlineEntry] = []
    done = 0
    for name, start, last in BLOCK.findall(rendered):
        first, end = int(start) - 1, int(last)
        if first < done:
            continue
        kind = CMARK_KINDS.get(name, "code")
        if kind == "heading":
            found += _heading(lines, first)
        elif kind == "table":  # cmark counts the lines of a paragraph that it follows as its own
            header = next((n - 1 for n in range(first + 1, end) if DELIMITERS.fullmatch(lines[n].strip())), first)
            if header > first:
                found.append(OutlineEntry(first, header, "prose"))
            found.append(OutlineEntry(header, end, kind))
        elif name == "p" and found and found[-1].kind == "table" and found[-1].end == first:  # a row of one cell
            found[-1] = OutlineEntry(found[-1].first, end, "table")
        else:
            found.append(OutlineEntry(first, _end_of_text(lines, first, end) if kind == "code" else end, kind))
        done = found[-1].end
    return found


def _end_of_text(lines: Sequence[str], first: int, end: int) -> int:
    """Return the end of a code block or rule without the blank lines after it, which a fence keeps."""
    if not FENCE.match(lines[first]):
        while end > first + 1 and not lines[end - 1].strip():
            end -= 1
    return end


def _heading(lines: Sequence[str], first: int) -> Iterator[OutlineEntry]:
    """Yield the heading that begins at a line. cmark gives an underlined one a line too many."""
    end = first + 1
    if plain := PLAIN_HEADING.fullmatch(lines[first]):
        yield OutlineEntry(first, end, "heading", len(plain[1]), one_line(plain[2]))
        return
    if not ATX.match(lines[first]):
        end = next((n + 1 for n in range(end, len(lines)) if UNDERLINE.fullmatch(lines[n])), end)
    yield from _blocks_in(lines, OutlineEntry(first, end, "heading"))


def _blocks_in(lines: Sequence[str], entry: OutlineEntry) -> Iterator[OutlineEntry]:
    """Yield the blocks that the lines of an entry are by markdown-it."""
    for each in _by_markdown_it("\n".join(lines[entry.first : entry.end])):
        yield replace(each, first=each.first + entry.first, end=each.end + entry.first)


def _by_markdown_it(markdown: str) -> Iterator[OutlineEntry]:
    parser = _parser()
    tokens: list[Token] = []
    parser.block.parse(markdown, parser, {}, tokens)
    for token, inline in pairwise([*tokens, Token("end", "", 0)]):
        if token.level or not token.map or token.nesting < 0:
            continue
        first, end = token.map
        if token.type == "heading_open":
            yield OutlineEntry(first, end, "heading", int(token.tag[1:]), _plain(parser, inline.content))
        else:
            yield OutlineEntry(first, end, KINDS.get(token.type, "code"))


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark").enable("table")
    parser.parse("")  # compiles its rules, which is not safe in two threads at once
    return parser


def _plain(parser: MarkdownIt, inline: str) -> str:
    """Return a heading without its markup."""
    children = parser.parseInline(inline)[0].children or []
    return one_line("".join(child.content or " " * (child.type == "softbreak") for child in children))
