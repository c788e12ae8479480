"""Sections and blocks of a text, and the patterns that split it: paragraphs, lines, list items, sentences, words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["heading", "prose", "list", "table", "code"]

# The group of each pattern is the gap between two pieces; what is matched outside the group stays in its piece.
PARAGRAPH = re.compile(r"(\n(?:[^\S\n]*\n)+)")
LINE = re.compile(r"(\n)")
ITEM = re.compile(r"(\n)(?=[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t])")
WORD = re.compile(r"(\s+)")
SENTENCE = re.compile(
    r"[.!?…]"
    r"(?m:(?<!^\d\.)(?<!^\d\d\.))(?<!\d\.\d\.)(?<!\d\.\d\d\.)"  # not after the number of a list item or section,
    r"(?<!\b[A-Z]\.)(?<!\b(?:vs|cf|al|No|Dr|Mr|Ms)\.)(?<!\b(?:e\.g|i\.e|Mrs|Fig)\.)"  # an initial, an abbreviation
    r"[\"'”’»)\]*_`]*(\s+)(?![a-z])"
    r"|[。！？][」』”’)]*(\s*)"
)


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, list, code fence, table or heading: `text[start:end]`, which may begin or end with blank lines."""

    start: int
    end: int
    kind: Kind = "prose"


@dataclass(frozen=True, slots=True)
class Section:
    """The unit that no chunk crosses: a heading with the blocks under it, or a page.

    `heading` is a path such as "A > B", empty if there is none. `page` counts from 1, None for formats without pages.
    """

    blocks: tuple[Block, ...]
    heading: str = ""
    page: int | None = None


def split(text: str, start: int, end: int, gaps: re.Pattern[str]) -> list[tuple[int, int]]:
    """Return the (start, end) ranges of `text[start:end]` between the gaps, trimmed; blank parts are dropped."""
    parts, begin = [], start
    for match in gaps.finditer(text, start, end):
        gap = match.lastindex or 0
        parts.append((begin, match.start(gap)))
        begin = match.end(gap)
    parts.append((begin, end))
    return [trimmed for part in parts if (trimmed := trim(text, *part))]


def trim(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Return the range without leading blank lines and trailing whitespace; indentation stays. None if it is blank."""
    part = text[start:end]
    kept = part.rstrip()
    if not kept:
        return None
    first = len(kept) - len(kept.lstrip())
    indent = kept.rfind("\n", 0, first) + 1
    return start + indent, start + len(kept)


def paragraphs(text: str, offset: int, length: int) -> tuple[Block, ...]:
    """Return the paragraphs of a text of `length` characters as blocks, shifted by `offset`."""
    return tuple(Block(offset + start, offset + end) for start, end in split(text, 0, length, PARAGRAPH))
