"""Where a document is cut: at headings, then paragraphs, sentences, lines, words, and only then inside a word.

Pure. The idea a reader would miss: the tokenizer is asked as seldom as possible. The tokens of all pieces of a document
are counted in one call and chunks are packed by sums; then all chunks are counted in a second call, because a joined
text may have more tokens than its pieces have together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

from rag.loaders.blocks import ITEM, LINE, SENTENCE, WORD, Kind, Section, split, trim

CHUNKER_VERSION = "3"  # change it whenever the same file would give other text, chunks or vectors: it names the corpus
MAX_CHARS_PER_TOKEN = (
    16  # English has 4 to 5; WordPiece calls a word of 3 MB one unknown token, so letters count as well
)

CountTokens = Callable[[list[str]], list[int]]


@dataclass(frozen=True, slots=True)
class Piece:
    """The least that packing moves: a sentence, a list item, a line, or part of one that is too long for a chunk."""

    start: int
    end: int
    kind: Kind
    block: int
    section: int
    tokens: int = 0


FIRST_CUT = {"heading": LINE, "prose": SENTENCE, "list": ITEM, "table": LINE, "code": LINE}
FINER_CUTS = (SENTENCE, LINE, WORD)


def chunk_text(
    text: str, sections: Sequence[Section], count_tokens: CountTokens, chunk_tokens: int
) -> list[tuple[int, int, Section]]:
    """Return the chunks as (start, end, section): in order, apart from each other, all text but blanks in one of them.

    No chunk has more than `chunk_tokens` tokens by `count_tokens`, which counts the special ones too; the one exception
    is a single character that has more. A chunk ends with its section. A heading stays with the text under it.
    """
    special = count_tokens([""])[0]
    room = max(1, chunk_tokens - special)

    def measure(pieces: list[Piece]) -> list[Piece]:
        return _measure(text, pieces, count_tokens, special, room * MAX_CHARS_PER_TOKEN)

    pieces = _shorten(text, measure(list(_pieces(text, sections))), measure, room)
    chunks = [chunk for _, group in groupby(pieces, lambda piece: piece.section) for chunk in _pack(list(group), room)]
    chunks = _verify(text, chunks, count_tokens, chunk_tokens)
    return [(chunk[0].start, chunk[-1].end, sections[chunk[0].section]) for chunk in chunks]


def _pieces(text: str, sections: Sequence[Section]) -> Iterator[Piece]:
    numbered = ((number, section, block) for number, section in enumerate(sections) for block in section.blocks)
    for block_number, (section_number, _, block) in enumerate(numbered):
        for start, end in split(text, block.start, block.end, FIRST_CUT[block.kind]):
            yield Piece(start, end, block.kind, block_number, section_number)


def _measure(text: str, pieces: list[Piece], count_tokens: CountTokens, special: int, max_chars: int) -> list[Piece]:
    """Return the pieces with their tokens, counted in one call. One of very many letters is too long uncounted."""
    short = [piece for piece in pieces if piece.end - piece.start <= max_chars]
    counts = iter(count_tokens([text[piece.start : piece.end] for piece in short]) if short else [])
    sized = []
    for piece in pieces:
        chars = piece.end - piece.start
        tokens = chars if chars > max_chars else max(next(counts) - special, chars // MAX_CHARS_PER_TOKEN)
        sized.append(_with(piece, piece.start, piece.end, tokens))
    return sized


def _shorten(text: str, pieces: list[Piece], measure: Callable[[list[Piece]], list[Piece]], room: int) -> list[Piece]:
    """Cut what is too long for a chunk more finely, until every piece fits; one call of the tokenizer per round."""
    while True:
        long = {
            position
            for position, (piece, limit) in enumerate(zip(pieces, _limits(pieces, room), strict=True))
            if piece.tokens > limit and piece.end - piece.start > 1
        }
        if not long:
            return pieces
        parts = {position: _finer(text, pieces[position]) for position in long}
        sized = iter(measure([part for group in parts.values() for part in group]))
        sized_parts = {position: list(islice(sized, len(group))) for position, group in parts.items()}
        pieces = [part for position, piece in enumerate(pieces) for part in sized_parts.get(position, [piece])]


def _limits(pieces: list[Piece], room: int) -> Iterator[int]:
    """Yield how long each piece may be: the first under a heading must leave room for the heading."""
    lead, section = 0, -1
    for piece in pieces:
        if piece.section != section:
            lead, section = 0, piece.section
        if piece.kind == "heading":
            lead += piece.tokens
            yield room
        else:
            yield room - lead if lead <= room // 2 else room
            lead = 0


def _finer(text: str, piece: Piece) -> list[Piece]:
    """Return the piece in parts: its sentences, else its lines, else its words, else its two halves."""
    for gaps in FINER_CUTS:
        parts = split(text, piece.start, piece.end, gaps)
        if len(parts) > 1:
            return [_with(piece, start, end) for start, end in parts]
    middle = (piece.start + piece.end) // 2
    halves = [trim(text, piece.start, middle), trim(text, middle, piece.end)]
    return [_with(piece, *half) for half in halves if half]


def _with(piece: Piece, start: int, end: int, tokens: int = 0) -> Piece:
    return Piece(start, end, piece.kind, piece.block, piece.section, tokens)


def _pack(pieces: list[Piece], room: int) -> list[list[Piece]]:
    """Fill chunks from the pieces of one section; what would be torn apart starts a new one where that is no waste."""
    chunks: list[list[Piece]] = [[]]
    used = 0
    for _, group in groupby(pieces, lambda piece: piece.block):
        block = list(group)
        size = sum(piece.tokens for piece in block)
        for piece in block:
            torn = piece is block[0] and size <= room < used + size and used >= _worth_closing(piece.kind, room)
            if (torn or used + piece.tokens > room) and _may_close(chunks[-1], used, room):
                chunks.append([])
                used = 0
            chunks[-1].append(piece)
            used += piece.tokens
    return chunks


def _worth_closing(kind: Kind, room: int) -> int:
    """Return how full a chunk must be to be closed before a block that would fit whole into the next one."""
    return room // 2 if kind == "prose" else room // 4  # code, tables and lists suffer more from a cut than prose


def _may_close(chunk: list[Piece], used: int, room: int) -> bool:
    """Tell whether a chunk may end here: not while it is empty or holds headings only, unless these are very long."""
    return bool(chunk) and (chunk[-1].kind != "heading" or used > room // 2)


def _verify(text: str, chunks: list[list[Piece]], count_tokens: CountTokens, chunk_tokens: int) -> list[list[Piece]]:
    """Count the chunks themselves and halve those that are too long after all, until none is."""
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
    """Return a chunk as two; headings stay with the first half of what is under them."""
    lead = [piece for piece in chunk if piece.kind == "heading"]
    body = chunk[len(lead) :]
    if not body:
        lead, body = [], lead
    if len(body) == 1:
        body = _finer(text, body[0])
    if len(body) == 1:
        return [part for part in (lead, body) if part]
    middle = len(body) // 2
    return [lead + body[:middle], body[middle:]]
