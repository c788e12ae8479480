"""Signs of symbol fonts (Wingdings, Symbol, Webdings), stored as letters or private characters -> what they look like.

Why: Word's AutoCorrect writes an arrow as U+F0E0 of Wingdings, and its bullets are U+F0B7 of Symbol; without their font
these are empty squares, and no search finds them.
"""

from __future__ import annotations

import re

PRIVATE = re.compile(r"[\uf020-\uf0ff]")
TICKED, EMPTY = "☒", "☐"
WINGDINGS = {
    0x21: "✏", 0x22: "✂", 0x28: "☎", 0x2A: "✉", 0x36: "⌛", 0x46: "☞", 0x4A: "☺", 0x4B: "😐", 0x4C: "☹", 0x6C: "●",
    0x6E: "■", 0x6F: EMPTY, 0x71: EMPTY, 0x72: EMPTY, 0x74: "◆", 0x75: "◆", 0x76: "❖", 0x77: "◆", 0x78: TICKED,
    0x9E: "•", 0x9F: "•", 0xA1: "○", 0xA7: "▪", 0xA8: EMPTY, 0xAB: "★", 0xD8: "➢", 0xDF: "←", 0xE0: "→", 0xE1: "↑",
    0xE2: "↓", 0xE8: "→", 0xEF: "⇐", 0xF0: "⇒", 0xF3: "⇔", 0xFB: "✗", 0xFC: "✓", 0xFD: TICKED, 0xFE: "☑",
    **{0x81 + number: chr(0x2460 + number) for number in range(10)},
    **{0x8C + number: chr(0x2776 + number) for number in range(10)},
}  # fmt: skip
WINGDINGS_2 = {0x51: TICKED, 0x53: TICKED, 0x54: TICKED, 0x52: "☑", 0x50: "✓", 0x4F: "✗", 0x2A: EMPTY, 0xA3: EMPTY,
               0x30: EMPTY}  # fmt: skip
WINGDINGS_3 = {0x7D: "▶", 0x75: "▶", 0x70: "▲", 0x71: "▼", 0x74: "◀", 0x67: "→", 0x66: "←", 0x22: "→"}
WEBDINGS = {0x61: "✓", 0x63: EMPTY, 0x72: "✗", 0x34: "▶", 0x33: "◀", 0x35: "▲", 0x36: "▼", 0x3D: "■"}
GREEK = dict(
    zip(
        [*range(0x41, 0x5B), *range(0x61, 0x7B)],
        "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖαβχδεφγηιϕκλμνοπθρστυϖωξψζ",
        strict=True,
    )
)
SYMBOL = {
    **{code: chr(code) for code in range(0x20, 0x40)},
    **GREEK,
    0x22: "∀", 0x24: "∃", 0x27: "∋", 0x2D: "−", 0x40: "≅", 0x5B: "[", 0x5C: "∴", 0x5D: "]", 0x5E: "⊥", 0x5F: "_",
    0x7B: "{", 0x7C: "|", 0x7D: "}", 0x7E: "∼", 0xA0: "€", 0xA2: "′", 0xA3: "≤", 0xA4: "⁄", 0xA5: "∞", 0xA7: "♣",
    0xA8: "♦", 0xA9: "♥", 0xAA: "♠", 0xAB: "↔", 0xAC: "←", 0xAD: "↑", 0xAE: "→", 0xAF: "↓", 0xB0: "°", 0xB1: "±",
    0xB2: "″", 0xB3: "≥", 0xB4: "×", 0xB5: "∝", 0xB6: "∂", 0xB7: "•", 0xB8: "÷", 0xB9: "≠", 0xBA: "≡", 0xBB: "≈",
    0xBC: "…", 0xC5: "⊕", 0xC6: "∅", 0xC7: "∩", 0xC8: "∪", 0xC9: "⊃", 0xCA: "⊇", 0xCC: "⊂", 0xCD: "⊆", 0xCE: "∈",
    0xCF: "∉", 0xD0: "∠", 0xD1: "∇", 0xD2: "®", 0xD3: "©", 0xD4: "™", 0xD5: "∏", 0xD6: "√", 0xD7: "⋅", 0xD8: "¬",
    0xD9: "∧", 0xDA: "∨", 0xDB: "⇔", 0xDC: "⇐", 0xDD: "⇑", 0xDE: "⇒", 0xDF: "⇓", 0xE5: "∑", 0xF2: "∫",
}  # fmt: skip
FONTS: dict[str, dict[int, str]] = {
    "wingdings": WINGDINGS,
    "wingdings 2": WINGDINGS_2,
    "wingdings 3": WINGDINGS_3,
    "webdings": WEBDINGS,
    "symbol": SYMBOL,
}
UNNAMED = {**WINGDINGS, 0xB7: "•"}  # where the file does not say the font: bullets and arrows are the commonest


def sign_of(font: str, code: int) -> str:
    """Return the sign of a symbol font at a code such as 0xE0 or 0xF0E0, "" if the font has none that is known."""
    return FONTS.get(font.strip().lower(), {}).get(code & 0xFF if code < 0x100 or code >= 0xF000 else -1, "")


def plain_signs(text: str) -> str:
    """Return a text in which private characters of symbol fonts are signs; those that are not known are left out."""
    return PRIVATE.sub(lambda found: UNNAMED.get(ord(found[0]) & 0xFF, ""), text)
