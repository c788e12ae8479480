"""How much of a chunk's headings a model reads before its text: so much that enough room is left for the text."""

from __future__ import annotations

import re
from functools import lru_cache

PATH = " > "  # between the headings of a chunk's path
HEADING_TOKENS = 48  # about so many at most, of what a model reads of a chunk; then outer headings are left out
EASY = re.compile(r"[A-Z]?[a-z]{1,7}|[A-Za-z]")  # words that tokenizers have whole or in two parts


@lru_cache(maxsize=1_000)  # the chunks of a section share their headings
def headings_read(path: str) -> str:
    """Return what is read of a heading path: of a long one the inner headings, of a long heading its beginning."""
    room = HEADING_TOKENS - 1  # the colon is one
    while (tokens := _tokens(path)) > room:
        path = path.partition(PATH)[2] if PATH in path else path[: int(len(path) * room / tokens)]
    return path


def _tokens(path: str) -> float:
    """Return about how many tokens headings take, rather too many: the tokenizer is not at hand (decision 22).

    A letter of a short word is a third of a token, of a long or a foreign word half of one, of code two thirds. All
    else is a whole one: digits, marks, other scripts. A sign of Korean is up to three letters, and as many tokens.
    """
    tokens = 2.0 * sum("가" <= sign <= "힣" for sign in path)
    for word in path.split():
        bare = word.strip(".,:;?!()\"'")
        if EASY.fullmatch(bare):
            tokens += len(word) - len(bare) + max(1, len(bare) / 3)
        else:
            letters = sum(sign.isascii() and sign.isalpha() for sign in word)
            tokens += len(word) - letters + letters * (1 / 2 if bare.isalpha() else 2 / 3)
    return tokens
