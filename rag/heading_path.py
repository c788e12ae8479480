"""Truncate the heading path that models read before a chunk's text, and write it without marks for people."""

from __future__ import annotations

import re
from functools import lru_cache

PATH_SEPARATOR = " > "  # separates the headings of a path
HEADING_TOKENS = 48  # of a chunk's token limit, approximately; outer headings are left out first
MARKS = re.compile(r"(`+|\*\*)(?=\S)(.+?)(?<=\S)\1|\[([^\[\]]+)\]\([^()\s]*\)")  # inline Markdown in a heading
COMMON_WORD = re.compile(r"[A-Z]?[a-z]{1,7}|[A-Za-z]")  # words of one or two tokens


def plain_headings(path: str) -> str:
    """Return a heading path as people read it: `code`, **bold** and [links](url) without their marks."""
    return MARKS.sub(lambda found: found[2] or found[3], path)


@lru_cache(maxsize=1_000)  # the chunks of a section share their headings
def truncate_headings(path: str) -> str:
    """Return a heading path of at most HEADING_TOKENS: a long path without outer headings, a long heading cut off."""
    budget = HEADING_TOKENS - 1  # one for the colon
    while (tokens := _estimate_tokens(path)) > budget:
        path = path.partition(PATH_SEPARATOR)[2] if PATH_SEPARATOR in path else path[: int(len(path) * budget / tokens)]
    return path


def _estimate_tokens(path: str) -> float:
    """Return a high estimate of the number of tokens, without the tokenizer (decision 22).

    A letter counts as 1/3 token in a short word, 1/2 in a long or foreign word and 2/3 in code. All other characters
    (digits, punctuation, other scripts) count as one, and a Korean syllable, which is up to three letters, as three.
    """
    tokens = 2.0 * sum("가" <= character <= "힣" for character in path)
    for word in path.split():
        bare = word.strip(".,:;?!()\"'")
        if COMMON_WORD.fullmatch(bare):
            tokens += len(word) - len(bare) + max(1, len(bare) / 3)
        else:
            letters = sum(character.isascii() and character.isalpha() for character in word)
            tokens += len(word) - letters + letters * (1 / 2 if bare.isalpha() else 2 / 3)
    return tokens
