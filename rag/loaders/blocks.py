"""Sections and blocks of a text, and the patterns where paragraphs, lines, list items and sentences end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["heading", "prose", "list", "table", "code"]


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, a list, a code fence, a table or a heading: text[start:end], blank margins allowed."""

    start: int
    end: int
    kind: Kind = "prose"


@dataclass(frozen=True, slots=True)
class Section:
    """What no chunk reaches out of: a heading and the blocks under it, or a page. `heading` is a path: A > B."""

    blocks: tuple[Block, ...]
    heading: str = ""
    page: int | None = None


# Each pattern's group is the gap between two pieces; what surrounds the group stays with its piece.
PARAGRAPH = re.compile(r"(\n(?:[^\S\n]*\n)+)")


LINE = re.compile(r"(\n)")


ITEM = re.compile(r"(\n)(?=[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t])")


WORD = re.compile(r"(\s+)")


SENTENCE = re.compile(
    r"[.!?…]"
    r"(?m:(?<!^\d\.)(?<!^\d\d\.))(?<!\d\.\d\.)(?<!\d\.\d\d\.)"  # no end: the number of a list item or section,
    r"(?<!\b[A-Z]\.)(?<!\b(?:vs|cf|al|No|Dr|Mr|Ms)\.)(?<!\b(?:e\.g|i\.e|Mrs|Fig)\.)"  # an initial, an abbreviation
    r"[\"'”’»)\]*_`]*(\s+)(?![a-z])"
    r"|[。！？][」』”’)]*(\s*)"
)


def split(text: str, start: int, end: int, gaps: re.Pattern[str]) -> list[tuple[int, int]]:
    """Return the non-blank parts of text[start:end] between the gaps, without blank lines before and blanks after."""
    parts, begin = [], start
    for match in gaps.finditer(text, start, end):
        gap = match.lastindex or 0
        parts.append((begin, match.start(gap)))
        begin = match.end(gap)
    parts.append((begin, end))
    return [trimmed for part in parts if (trimmed := _trim(text, *part))]


def _trim(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Return the range without blank lines before (indentation stays) and blanks after; None if nothing is left."""
    part = text[start:end]
    kept = part.rstrip()
    if not kept:
        return None
    first = len(kept) - len(kept.lstrip())
    indent = kept.rfind("\n", 0, first) + 1
    return start + indent, start + len(kept)


def paragraphs(text: str, offset: int, length: int) -> tuple[Block, ...]:
    """Return the paragraphs of a text as blocks, moved by `offset`."""
    return tuple(Block(offset + start, offset + end) for start, end in split(text, 0, length, PARAGRAPH))
