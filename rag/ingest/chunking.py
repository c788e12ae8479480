"""Split a text into chunks: at headings, then paragraphs, sentences, clauses, words, and only then inside a word.

Code is split only where it does not fit: at blank lines, then at its outermost lines, then at any line. Lines of prose
are borders unless it is hard-wrapped.

Why two counts: tokenizer calls are slow, so the pieces of a document are counted in one call and packed by their sums.
All chunks are then counted in a second call, because a joined text may have more tokens than its pieces together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

from rag.ingest.corpus import CHUNKER_VERSION as CHUNKER_VERSION
from rag.loaders.blocks import (
    CELL,
    CLAUSE,
    ITEM,
    LINE,
    PARAGRAPH,
    PROSE,
    WORD,
    Block,
    Kind,
    Section,
    breakable,
    is_wrapped,
    outer_lines,
    split,
    trim,
)

MAX_CHARS_PER_TOKEN = 16  # English has 4 to 5; WordPiece takes a word of 3 MB for one token, so characters limit, too

CountTokens = Callable[[list[str]], list[int]]


@dataclass(frozen=True, slots=True)
class Piece:
    """The unit of packing: a sentence, list item or line, or a part of one that is too long for a chunk."""

    start: int
    end: int
    kind: Kind
    block: int
    section: int
    tokens: int = 0


Cut = Callable[[str, int, int], list[tuple[int, int]]]  # text[start:end] -> the ranges it is split into


def _at(gaps: re.Pattern[str]) -> Cut:
    return lambda text, start, end: split(text, start, end, gaps)


def _at_lines(text: str, start: int, end: int) -> list[tuple[int, int]]:
    return [(start, end)] if is_wrapped(text[start:end]) else split(text, start, end, LINE)


def _at_outer_lines(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Split code at its outermost lines; prose in a code block, as in a long <pre>, at its sentences."""
    return split(text, start, end, PROSE) if is_wrapped(text[start:end]) else outer_lines(text, start, end)


FIRST_CUT: dict[Kind, Cut | None] = {
    "heading": _at(LINE),
    "prose": _at(PROSE),
    "list": _at(ITEM),
    "table": _at(LINE),
    "code": None,  # it stays whole where it fits
}
LAST_CUTS = (_at(CLAUSE), _at(WORD))
FINER_CUTS: dict[Kind, tuple[Cut, ...]] = {
    "heading": (_at(PROSE), _at(LINE), *LAST_CUTS),
    "prose": (_at(PROSE), _at_lines, *LAST_CUTS),
    "list": (_at(PROSE), _at_lines, *LAST_CUTS),
    "table": (_at(LINE), _at(CELL), _at(PROSE), *LAST_CUTS),
    "code": (_at(PARAGRAPH), _at_outer_lines, _at_lines, _at(PROSE), *LAST_CUTS),
}


def chunk_text(
    text: str, sections: Sequence[Section], count_tokens: CountTokens, chunk_tokens: int
) -> list[tuple[int, int, Section]]:
    """Return the chunks as (start, end, section), in order and without overlap; they cover all text but whitespace.

    No chunk has more than `chunk_tokens` tokens by `count_tokens`, special tokens included, except for a single
    character that has more. No chunk crosses the end of its section. A heading stays with the text under it.
    """
    special = count_tokens([""])[0]
    budget = max(1, chunk_tokens - special)

    def count(pieces: list[Piece]) -> list[Piece]:
        return _with_tokens(text, pieces, count_tokens, special, budget * MAX_CHARS_PER_TOKEN)

    pieces = _split_long(text, count(list(_pieces(text, sections))), count, budget)
    chunks = [
        chunk for _, group in groupby(pieces, lambda piece: piece.section) for chunk in _pack(list(group), budget)
    ]
    chunks = _split_oversized(text, chunks, count_tokens, chunk_tokens)
    return [(chunk[0].start, chunk[-1].end, sections[chunk[0].section]) for chunk in chunks]


def _pieces(text: str, sections: Sequence[Section]) -> Iterator[Piece]:
    """Yield the pieces of all blocks, cut as their kind is cut first; their tokens are not counted yet."""
    numbered = ((number, block) for number, section in enumerate(sections) for block in _units(text, section))
    for block_number, (section_number, block) in enumerate(numbered):
        cut = FIRST_CUT[block.kind] or (lambda text, start, end: list(filter(None, [trim(text, start, end)])))
        for start, end in cut(text, block.start, block.end):
            yield Piece(start, end, block.kind, block_number, section_number)


def _units(text: str, section: Section) -> list[Block]:
    """Return the blocks of a section; code that goes on indented after a blank line is one with what is above it."""
    units: list[Block] = []
    for block in section.blocks:
        above = units[-1] if units else None
        indented = text[block.start : block.end].strip("\n")[:1].isspace()
        if above and above.kind == block.kind == "code" and indented and not text[above.end : block.start].strip():
            units[-1] = Block(above.start, block.end, "code")
        else:
            units.append(block)
    return units


def _with_tokens(
    text: str, pieces: list[Piece], count_tokens: CountTokens, special: int, max_chars: int
) -> list[Piece]:
    """Return the pieces with their tokens, counted in one call; above `max_chars` each character counts as one."""
    short = [piece for piece in pieces if piece.end - piece.start <= max_chars]
    counts = iter(count_tokens([text[piece.start : piece.end] for piece in short]) if short else [])
    sized = []
    for piece in pieces:
        chars = piece.end - piece.start
        tokens = chars if chars > max_chars else max(next(counts) - special, chars // MAX_CHARS_PER_TOKEN)
        sized.append(_with(piece, piece.start, piece.end, tokens))
    return sized


def _split_long(
    text: str, pieces: list[Piece], count: Callable[[list[Piece]], list[Piece]], budget: int
) -> list[Piece]:
    """Split pieces that are too long for a chunk until all fit; one tokenizer call per round."""
    while True:
        long = {
            position
            for position, (piece, limit) in enumerate(zip(pieces, _limits(pieces, budget), strict=True))
            if piece.tokens > limit and piece.end - piece.start > 1
        }
        if not long:
            return pieces
        parts = {position: _split_piece(text, pieces[position]) for position in long}
        sized = iter(count([part for group in parts.values() for part in group]))
        sized_parts = {position: list(islice(sized, len(group))) for position, group in parts.items()}
        pieces = [part for position, piece in enumerate(pieces) for part in sized_parts.get(position, [piece])]


def _limits(pieces: list[Piece], budget: int) -> Iterator[int]:
    """Yield the token limit of each piece: the first one under a heading must leave space for the heading."""
    lead, section = 0, -1
    for piece in pieces:
        if piece.section != section:
            lead, section = 0, piece.section
        if piece.kind == "heading":
            lead += piece.tokens
            yield budget
        else:
            yield budget - lead if lead <= budget // 2 else budget
            lead = 0


def _split_piece(text: str, piece: Piece) -> list[Piece]:
    """Return a piece cut by the first of its kind's cuts that splits it, else as its two halves."""
    for cut in FINER_CUTS[piece.kind]:
        parts = cut(text, piece.start, piece.end)
        if len(parts) > 1:
            return [_with(piece, start, end) for start, end in parts]
    middle = breakable(text, (piece.start + piece.end) // 2, piece.end)
    halves = [trim(text, piece.start, middle), trim(text, middle, piece.end)]
    return [_with(piece, *half) for half in halves if half]


def _with(piece: Piece, start: int, end: int, tokens: int = 0) -> Piece:
    return Piece(start, end, piece.kind, piece.block, piece.section, tokens)


def _pack(pieces: list[Piece], budget: int) -> list[list[Piece]]:
    """Pack the pieces of one section into chunks; close one early rather than split a block, if that wastes little."""
    chunks: list[list[Piece]] = [[]]
    used = 0
    for _, group in groupby(pieces, lambda piece: piece.block):
        block = list(group)
        size = sum(piece.tokens for piece in block)
        for piece in block:
            would_split = piece is block[0] and size <= budget < used + size and used >= _min_fill(piece.kind, budget)
            if (would_split or used + piece.tokens > budget) and _can_close(chunks[-1], used, budget):
                chunks.append([])
                used = 0
            chunks[-1].append(piece)
            used += piece.tokens
    return chunks


def _min_fill(kind: Kind, budget: int) -> int:
    """Return the tokens that a chunk must have to be closed early so that a block stays whole in the next chunk."""
    return budget // 2 if kind == "prose" else budget // 4  # splitting code, tables and lists harms more than prose


def _can_close(chunk: list[Piece], used: int, budget: int) -> bool:
    """Return whether a chunk may end here: not if it is empty or ends in a heading, unless that fills half of it."""
    return bool(chunk) and (chunk[-1].kind != "heading" or used > budget // 2)


def _split_oversized(
    text: str, chunks: list[list[Piece]], count_tokens: CountTokens, chunk_tokens: int
) -> list[list[Piece]]:
    """Count the joined chunks and halve those that are too long after all, until none is."""
    fitting: list[list[Piece]] = []
    while chunks:
        counts = count_tokens([text[chunk[0].start : chunk[-1].end] for chunk in chunks])
        halves: list[list[Piece]] = []
        for chunk, count in zip(chunks, counts, strict=True):
            if count <= chunk_tokens or chunk[-1].end - chunk[0].start == 1:
                fitting.append(chunk)
            else:
                halves += _halve(text, chunk)
        chunks = halves
    return sorted(fitting, key=lambda chunk: chunk[0].start)


def _halve(text: str, chunk: list[Piece]) -> list[list[Piece]]:
    """Return a chunk as two halves; leading headings stay with the first one."""
    lead = [piece for piece in chunk if piece.kind == "heading"]
    body = chunk[len(lead) :]
    if not body:
        lead, body = [], lead
    if len(body) == 1:
        body = _split_piece(text, body[0])
    if len(body) == 1:
        return [part for part in (lead, body) if part]
    middle = len(body) // 2
    return [lead + body[:middle], body[middle:]]
