"""Accents that a PDF draws as characters of their own, put onto their letters: a caron over the s of Baudis is Baudiš.

Why: TeX's older fonts have no accented letters. PDFium gives the accent before, after or words behind its letter.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

Piece = tuple[str, float, float, float, float]  # character or word, left, bottom, right, top; a tuple for speed
Box = tuple[float, float, float, float]

MARKS = {
    "`": "\u0300", "´": "\u0301", "ˆ": "\u0302", "˜": "\u0303", "¯": "\u0304", "˘": "\u0306", "˙": "\u0307",
    "¨": "\u0308", "˚": "\u030a", "˝": "\u030b", "ˇ": "\u030c", "¸": "\u0327", "˛": "\u0328",
}  # fmt: skip
ACCENT = re.compile("[´ˆ˜¯˘˙¨˚˝ˇ¸˛]")  # the grave accent alone is mostly a backtick
DOTLESS = {"ı": "i", "ȷ": "j"}
NEAR = 8  # pieces before and after an accent among which its letter is
TOUCHING = 0.28  # heights between two letters; between words there are 0.4 or more


def put_accents(pieces: list[Piece], starts: list[int], box_of: Callable[[int], Box | None]) -> list[Piece]:
    """Return a line's pieces with each accent that stands over or under a letter on it.

    `starts`: the index of each piece's first character, for `box_of`. Accents that no letter of Unicode has, as those
    over symbols in formulas, stay characters of their own.
    """
    line = list(pieces)
    gone: list[int] = []
    for number, (written, left, bottom, right, top) in enumerate(pieces):
        mark = MARKS.get(written.rstrip())
        if not mark:
            continue
        middle, height = (left + right) / 2, (bottom + top) / 2
        for n in range(max(0, number - NEAR), min(len(line), number + NEAR + 1)):
            if n != number and line[n][1] <= middle <= line[n][3]:
                text = _with_accent(line[n][0], mark, starts[n], (middle, height), box_of)
                if text:
                    line[n] = (text, *line[n][1:])
                    gone.append(number)
                    break
    for number in reversed(gone):
        _remove(line, number)
    return line


def _with_accent(
    text: str, mark: str, start: int, place: tuple[float, float], box_of: Callable[[int], Box | None]
) -> str:
    """Return a piece with the accent on the letter at its place, "" if there is no such letter."""
    x, y = place
    for n, letter in enumerate(text.rstrip()):
        box = box_of(start + n) if letter.isalpha() else None
        if not box or not box[0] <= x <= box[2]:
            continue
        height = box[3] - box[1]
        is_near = box[1] - height < y < box[1] if mark in "\u0327\u0328" else box[1] + height / 2 < y < box[3] + height
        accented = unicodedata.normalize("NFC", DOTLESS.get(letter, letter) + mark)
        if is_near and len(accented) == 1:
            return text[:n] + accented + text[n + 1 :]
    return ""


def _remove(line: list[Piece], number: int) -> None:
    """Remove an accent from a line, in place, and the blank that PDFium put where the accent stands back."""
    accent = line.pop(number)
    if 0 < number < len(line):
        text, _, bottom, right, top = before = line[number - 1]
        if text.endswith(" ") or accent[0].endswith(" "):
            is_apart = line[number][1] - right > TOUCHING * (top - bottom) or line[number][1] < before[1]
            line[number - 1] = (text.rstrip() + " " * is_apart, *before[1:])
