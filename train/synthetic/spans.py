"""Make queries without a known answer from documents: sentences, and pieces of a few words.

Why both: sentences and pieces taught about as much, and together more (docs/log.md). They need no positive, since a
teacher says how near each chunk is (`train.tuning.hybrid_teacher`). Deterministic for the same documents and seed.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest

from rag.answering.evidence.words import CHARACTER, WORD
from rag.records import Chunk, content_id, normalise_query
from train.synthetic.from_documents import from_clozes

LENGTHS = range(4, 11)  # words of a piece, as many as a question has
CHARACTERS_A_WORD = 2  # of Chinese and Japanese, where the words are not told apart
MOST_PER_CHUNK = 20
IS_CHARACTER = re.compile(f"[{CHARACTER}]")


def made_queries(chunks: Sequence[Chunk], most: int, seed: int = 0) -> list[str]:
    """Return at most `most` different queries, sentences and pieces in turn, of each chunk some before others more."""
    draw = random.Random(seed)
    ordered = sorted(chunks, key=lambda chunk: content_id("span", chunk.id))
    sentences = (pair.query for pair in from_clozes(ordered, most))
    found: dict[str, str] = {}
    for query in chain.from_iterable(zip_longest(sentences, _spans(ordered, draw, most))):
        if query is not None:
            found.setdefault(normalise_query(query), query)
        if len(found) >= most:
            break
    return list(found.values())


def _spans(chunks: Sequence[Chunk], draw: random.Random, most: int) -> Iterator[str]:
    """Yield a piece of each chunk, then another one of each, and so on, `most` in all."""
    places = [[match.span() for match in WORD.finditer(chunk.text)] for chunk in chunks]
    for nth in range(min(most, MOST_PER_CHUNK * len(chunks))):
        text, words = chunks[nth % len(chunks)].text, places[nth % len(chunks)]
        if len(words) < LENGTHS.start:
            continue
        begin = draw.randrange(max(1, len(words) - LENGTHS.start))
        length = draw.choice(LENGTHS) * (CHARACTERS_A_WORD if IS_CHARACTER.match(text, words[begin][0]) else 1)
        piece = words[begin : begin + length]
        yield " ".join(text[piece[0][0] : piece[-1][1]].split())
