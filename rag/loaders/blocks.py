"""Sections and blocks of a text, and the patterns that split it: paragraphs, lines, list items, sentences, words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Kind = Literal["heading", "prose", "list", "table", "code"]

# Small letters of the scripts that have them: Latin, Greek, Cyrillic, Armenian.
SMALL = "".join(letter for letter in map(chr, (*range(0x61, 0x590), *range(0x1E00, 0x2000))) if letter.islower())
CLOSERS = "\"'”’“‘»«›‹)\\]}*_`"  # what may stand between the end mark of a sentence and the next blank
WIDE_CLOSERS = "」』”’)）】》〉"
MONTHS = "Januar|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember|Jahrhundert"
ABBREVIATIONS = {  # by length, since a lookbehind has a fixed one; a single letter, as in "z. B." or "J. Smith", is any
    2: "vs cf al No Dr Mr Ms St Mt Lt Jr Sr Nr pp ca Bd Hr Ud Av",
    3: "e.g i.e Mrs Fig Abs Art Str bzw vgl Vgl ggf Sra Dra Ing Tel Hrn geb Mio Mrd Std Kap pág núm",
    4: "Prof evtl inkl zzgl Hrsg Aufl Dipl",
}
REFERENCES = {  # that end no sentence where a number or a code follows: "accession no. AY274119", "see ref. 12"
    2: "no eq Eq ch Ch",
    3: "nos fig eqs Eqs ref Ref sec Sec vol Vol tab Tab Abb abb art",
    4: "figs Figs refs Refs",
}


def _not_after(words_by_size: Mapping[int, str]) -> str:
    """Return a pattern that holds after a full stop unless it is one of these words, by their length, that has it."""
    return "".join(
        rf"(?<!\b(?:{'|'.join(re.escape(word) for word in words.split() if len(word) == size)})\.)"
        for size, words in words_by_size.items()
    )


NO_ABBREVIATION = rf"{_not_after(ABBREVIATIONS)}(?:{_not_after(REFERENCES)}|(?!\s+[(\[]?[A-Z]*\d))"

# The group of each pattern is the gap between two pieces; what is matched outside the group stays in its piece.
PARAGRAPH = re.compile(r"(\n(?:[^\S\n]*\n)+)")
LINE = re.compile(r"(\n)")
ITEM = re.compile(r"(\n)(?=[ \t]*(?:[-*+•]|\d{1,9}[.)])[ \t])")
CELL = re.compile(r"([ \t])(?=\|)")
WORD = re.compile(r"(\s+)")
SENTENCE = re.compile(
    r"[.!?…]"
    r"(?m:(?<!^\d\.)(?<!^\d\d\.))(?<!\d\.\d\.)(?<!\d\.\d\d\.)"  # not after the number of a list item or section,
    rf"(?<!\b[^\W\d_]\.){NO_ABBREVIATION}"  # an initial, an abbreviation,
    rf"(?:(?<!\d\.)|(?!\s+(?:{MONTHS})))"  # the day of a German date: 3. Oktober
    rf"[{CLOSERS}]*(\s+)(?![{SMALL}])"
    rf"|[。！？｡]+(?![{WIDE_CLOSERS}]+と)[{WIDE_CLOSERS}]*(\s*)"  # Chinese, Japanese; と goes on after a quote
    rf"|(?<=[\u3040-\u30ff\u4e00-\u9fff])[!?]+[{WIDE_CLOSERS}]*(\s*)"
    rf"|[؟۔।॥։။។።፧]+[!?.]*[{CLOSERS}]*(\s*)"  # Arabic, Urdu, Hindi, Armenian, Burmese, Khmer, Amharic
)
PROSE = re.compile(f"{SENTENCE.pattern}|{PARAGRAPH.pattern}|{ITEM.pattern}")
CLAUSE = re.compile(  # for a sentence that is too long for a chunk, and for text in small letters only
    rf"[,;:.!?…،؛][{CLOSERS}]*(\s+)|[，、；：][{WIDE_CLOSERS}]*(\s*)|(\s+)(?=[–—-]\s)"
)
SYMBOLS = re.compile(r"[{}=<>;_()\[\]#/\\|]")  # frequent in code and rare in prose
IDEOGRAPHS = re.compile("[\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uff60]")  # and their marks
WRAPPED_WIDTHS = range(30, 200)  # characters of the longest line of hard-wrapped prose
MAX_CLUSTER = 16  # characters that belong together at most, such as a letter and its marks, or a family of emoji
JOINED_TO_LEFT = ("Mn", "Mc", "Me", "Pe", "Pf", "Po")
JOINERS = "\u200d\ufe0f"
THAI_LEADING = "เแโใไເແໂໃໄ"  # vowels of Thai and Lao that are written before their consonant


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


def is_wrapped(text: str) -> bool:
    """Return whether the lines of a text are hard-wrapped prose: full lines of words, many going on in lower case.

    Of Chinese and Japanese, which have neither: full lines, of which few end with a sentence.
    """
    lines = [line for line in map(str.strip, text.split("\n")) if line.strip("`~")]
    if len(IDEOGRAPHS.findall(text)) * 2 > len(text):
        widths = [len(line) + len(IDEOGRAPHS.findall(line)) for line in lines]  # in columns: each takes two
        full = sum(width >= 0.8 * max(widths) for width in widths[:-1])
        ended = sum(line.endswith(("。", "！", "？", "｡")) for line in lines[:-1])
        is_full = len(lines) > 1 and max(widths) in WRAPPED_WIDTHS and full >= 0.8 * (len(lines) - 1)
        return is_full and ended * 2 < len(lines)
    width = max(map(len, lines), default=0)
    if len(lines) < 2 or width not in WRAPPED_WIDTHS or len(SYMBOLS.findall(text)) * 50 > len(text):
        return False
    full = sum(len(line) >= 0.6 * width for line in lines[:-1])
    going_on = sum(line[0].islower() for line in lines[1:])
    words = sum(len(line.split()) for line in lines)
    return full >= 0.8 * (len(lines) - 1) and going_on >= 0.4 * (len(lines) - 1) and words >= 5 * len(lines)


def outer_lines(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Return code as the ranges that begin at a line of the least indentation below its first line.

    A line that only closes what is above it, such as "}" or a code fence, begins no range; nor is an opening fence
    left alone, nor a line after one that ends in a backslash, which goes on.
    """
    lines = split(text, start, end, LINE)
    first_is_fence = text[lines[0][0] : lines[0][1]].lstrip().startswith(("```", "~~~"))
    starts = [(begin, _indentation(text[begin:stop])) for begin, stop in lines[1 + first_is_fence :]]
    starts = [
        (begin, depth)
        for begin, depth in starts
        if text[begin + depth] not in ")]}`~" and text[begin - 2 : begin] != "\\\n"
    ]
    least = min((depth for _, depth in starts), default=0)
    borders = [lines[0][0], *(begin for begin, depth in starts if depth == least), end]
    pairs = pairwise(borders)
    return [trimmed for pair in pairs if (trimmed := trim(text, *pair))]


def breakable(text: str, position: int, most: int) -> int:
    """Return the first position from `position`, at most `most`, where a letter is not torn from its marks.

    Why: half of a Thai, Hindi or emoji cluster is another text; and no line begins with a Chinese comma.
    """
    for place in range(position, min(most, position + MAX_CLUSTER)):
        before, after = text[place - 1], text[place]
        joined = unicodedata.category(after) in JOINED_TO_LEFT or after in JOINERS or before in JOINERS
        if not joined and before not in THAI_LEADING:
            return place
    return position


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


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
