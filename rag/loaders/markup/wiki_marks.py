"""Take out the marks of Wiki text that are opened and never closed, if there are very many.

Why: for each of them the parser reads to the end of the file and back; 100,000 took minutes.
"""

from __future__ import annotations

import re

MANY = 100  # marks; fewer cost nothing
TOKEN = re.compile(
    r"<!--.*?-->|<(?P<end>/?)(?P<tag>[A-Za-z]{1,20})(?=[\s/>])[^<>]{0,300}?(?P<single>/?)>|(?P<open><!--|<|-\{|\{\{|\{\||\[\[?)"
    r"|(?P<close>\}\}|\}-|\|\}|\]\]?)",
    re.DOTALL,
)
WITHOUT_COMMENTS = re.compile(TOKEN.pattern.partition("|")[2])
PAIRS = {"}}": "{{", "}-": "-{", "|}": "{|", "]]": "[[", "]": "["}
SINGLE = frozenset(("br", "hr", "wbr", "img", "li", "dt", "dd", "td", "th", "tr", "p"))
STAND_INS = {"<": "\ue004", "[": "\ue005", "{": "\ue006", "-": "\ue007"}
BACK = str.maketrans({stand_in: sign for sign, stand_in in STAND_INS.items()})


def without_unclosed(text: str) -> str:
    """Return a text in which the first sign of each unclosed mark is a stand-in, if there are more than MANY.

    `restored` brings the signs back after parsing.
    """
    opened = dict[str, list[int]]()
    last_comment, place = text.rfind("-->"), 0
    while token := (TOKEN if place <= last_comment else WITHOUT_COMMENTS).search(text, place):
        place = token.end()
        if tag := (token["tag"] or "").lower():
            if token["end"]:
                opened.get(tag, [0])[-1:] = []
            elif not token["single"] and tag not in SINGLE:
                opened.setdefault(tag, []).append(token.start())
        elif token["open"]:
            opened.setdefault(token["open"], []).append(token.start())
        elif token["close"]:
            opened.get(PAIRS[token["close"]], [0])[-1:] = []
    unclosed = [at for places in opened.values() for at in places]
    if len(unclosed) <= MANY:
        return text
    letters = list(text)
    for at in unclosed:
        letters[at] = STAND_INS[letters[at]]
    return "".join(letters)


def restored(text: str) -> str:
    """Return a text with the signs that `without_unclosed` replaced."""
    return text.translate(BACK)
