"""In which direction the lines of a PDF page run: pages and text that are turned by quarters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from rag.loaders.pdf.accents import Piece
from rag.loaders.pdf.characters import RTL

SAMPLED = 20  # characters that tell in which direction a line runs
WIDEST_BLANK = 1.6  # heights between two words of a line that stands on its head
HIGH = 1.5  # times its width, above which a word runs up or down
OVERLAP = 0.1  # heights that neighbouring letters may overlap


def turns_of(lines: Sequence[list[Piece]]) -> list[int]:
    """Return for each line of characters how it is turned, in quarters: 1 runs up, 2 stands on its head, 3 runs down.

    A line of one word does not tell; it is turned as all others of the page are. If they differ it is not turned, or up
    where it is higher than wide.
    """
    turns = [_turn(line) for line in lines]
    known = {turn for turn in turns if turn is not None}
    of_page = known.pop() if len(known) == 1 else None
    return [
        turn if turn is not None else of_page if of_page is not None else int(_is_high(line))
        for line, turn in zip(lines, turns, strict=True)
    ]


def turned(char: Piece, turn: int) -> Piece:
    """Return a character with its box turned, so that its line runs to the right."""
    text, left, bottom, right, top = char
    if turn == 2:
        return text, -right, -top, -left, -bottom
    return (text, bottom, -right, top, -left) if turn == 1 else (text, -top, left, -bottom, right)


def _turn(line: Sequence[Piece]) -> int | None:
    """Return how a line is turned, None if it has one piece only."""
    if len(line) < 2:
        return None
    chars = line[:SAMPLED]
    if abs(chars[-1][2] - chars[0][2]) < chars[-1][1] - chars[0][1]:  # most lines: the end is right of the begin
        return 0
    x = y = right = up = 0.0
    for last, char in pairwise(chars):
        dx, dy = char[1] - last[1], char[2] - last[2]
        x, y, right, up = x + abs(dx), y + abs(dy), right + dx, up + dy
    if y > 2 * x:
        return 1 if up > 0 else 3
    return 2 if right < 0 and all(_stands_before(last, char) for last, char in pairwise(chars)) else 0


def _is_high(line: Sequence[Piece]) -> bool:
    """Return whether a line is one word of three letters or more that is higher than wide, so it runs up or down."""
    if len(line) != 1:
        return False
    text, left, bottom, right, top = line[0]
    return len(text.rstrip()) > 2 and top - bottom > HIGH * (right - left)


def _stands_before(last: Piece, char: Piece) -> bool:
    """Return whether a character stands to the left of the one before it, as on a page that is turned by half."""
    height = max(last[4] - last[2], char[4] - char[2])
    return -WIDEST_BLANK * height < char[3] - last[1] <= OVERLAP * height and not RTL.match(char[0])
