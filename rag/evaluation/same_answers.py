"""Detect identical and near-identical answers: between these a rater cannot prefer one for what it says.

Why a share of 0.95: 19 of 20 words. One word may still decide, so a difference in a digit or a negation, or in code, is
never near-identical.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Literal, NamedTuple, Protocol

Sameness = Literal["", "same", "near", "abstained"]

NEAR = 0.95  # of the words of both answers are common ones (Dice coefficient, each word as often as it occurs)
CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]+`)", re.DOTALL)
CITATION = re.compile(r"\[\^?\d+(?:\s*[,;–-]\s*\d+)*\](?!\()|【\d+】")
WORD = re.compile(r"(?<!\S)[-−]\d\w*|\w+")  # a leading minus belongs to its number
CODE_TOKEN = re.compile(r"\w+|[^\w\s]")  # in code a sign decides
NEGATIONS = frozenset(
    # English ("don't" is two words here), German, Spanish, French, Italian, Dutch
    [
        *("no", "not", "non", "none", "never", "without", "cannot", "t"),
        *("nicht", "kein", "keine", "nie", "ohne", "weder", "sin", "nunca", "ni"),
        *("pas", "jamais", "sans", "aucun", "mai", "senza", "niet", "geen", "nooit"),
    ]
)


class Said(Protocol):
    """An answer, as far as it is compared here."""

    @property
    def text(self) -> str: ...
    @property
    def abstained(self) -> bool: ...


class Text(NamedTuple):
    """An answer of which nothing else is at hand."""

    text: str
    abstained: bool


def sameness(one: Said, other: Said) -> Sameness:
    """Return whether two answers say the same: both abstained, same text, or nearly the same; "" if they differ.

    White space, case, punctuation, markup and the numbers of citations do not count. Nearly the same are answers that
    have NEAR of their words in common, in any order, and differ in no digit, no negation and no code.
    """
    if one.abstained and other.abstained:
        return "abstained"
    if one.abstained or other.abstained:
        return ""
    words, others = _words(one.text), _words(other.text)
    if words == others:
        return "same"
    return "near" if _code(one.text) == _code(other.text) and _are_near(words, others) else ""


def _are_near(words: list[str], others: list[str]) -> bool:
    if 2 * min(len(words), len(others)) < NEAR * (len(words) + len(others)):
        return False
    mine, theirs = Counter(words), Counter(others)
    common = (mine & theirs).total()
    if 2 * common < NEAR * (len(words) + len(others)):
        return False
    different = (mine - theirs) + (theirs - mine)
    return not any(word in NEGATIONS or any(sign.isdigit() for sign in word) for word in different)


def _words(text: str) -> list[str]:
    """Return the words of prose, casefolded, and the tokens of code, in reading order; without citations."""
    found: list[str] = []
    for part in CODE.split(text):
        is_code = part.startswith("`")
        found += CODE_TOKEN.findall(part.strip("`")) if is_code else WORD.findall(CITATION.sub(" ", part).casefold())
    return found


def _code(text: str) -> list[list[str]]:
    return [CODE_TOKEN.findall(part.strip("`")) for part in CODE.split(text) if part.startswith("`")]
