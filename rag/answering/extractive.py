"""The built-in answerer's judgement: which sentences of the hits answer the query, if any. Pure but for the scorer.

The scorer is handed in and belongs to neither arm, so both answers are written by the same hand.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.loaders.blocks import SENTENCE, split
from rag.records import Hit

Score = Callable[[str, list[str]], list[float]]
Vectors = NDArray[np.float32]
REMEMBERED = 20_000  # sentences: 30 MB of vectors
THRESHOLD = 0.404  # cosine of the built-in model; fitted by benchmarks/answering/extractive.py on docs/questions.jsonl
MARGIN = 0.15  # a sentence that scores this much below the best one is beside the point
MAX_HITS = 4  # citing more finds the right section more often, and says less about which passage it was
MAX_PER_HIT = 2
UNITS = re.compile(rf"{SENTENCE.pattern}|(\n)(?=\s*(?:[-*+|]|\d+[.)])\s?)|(\n\s*\n)")
NOT_SAID = re.compile(
    r"^\s*(?:#{1,6}\s.*|```.*|~~~.*|!\[.*\]\(\S+\)|[|\s:+=-]*)$"
)  # a heading, a fence, an image, a table's rule: nothing to quote
BULLET = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+")


@dataclass(frozen=True, slots=True)
class Quote:
    """A sentence of the hit at `rank`, the `nth` in it, and how well it answers."""

    rank: int
    nth: int
    text: str
    score: float


def cache_embeddings(embed: Callable[[list[str]], Vectors], most: int = REMEMBERED) -> Callable[[list[str]], Vectors]:
    """Return `embed` with a memory of the texts it was given last: both arms mostly show the same passages."""
    known: OrderedDict[str, Vectors] = OrderedDict()
    lock = threading.Lock()

    def recall(texts: list[str]) -> Vectors:
        with lock:
            found = {text: known[text] for text in texts if text in known}
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        if missing:
            found.update(zip(missing, embed(missing), strict=True))
        with lock:
            for text in texts:
                known[text] = found[text]
                known.move_to_end(text)
            while len(known) > most:
                known.popitem(last=False)
        return np.stack([found[text] for text in texts])

    return recall


def quote(query: str, hits: Sequence[Hit], score: Score) -> str:
    """Return the best sentences of the hits, each with its [n]; empty where none answers.

    The hit with the best sentence comes first; the sentences of one hit stand together, as they do in it.
    """
    quotes = best_quotes(query, hits, score)
    if not quotes or quotes[0].score < THRESHOLD:
        return ""
    order = list(dict.fromkeys(quote.rank for quote in quotes))
    said = sorted(quotes, key=lambda quote: (order.index(quote.rank), quote.nth))
    return "\n\n".join(f"{quote.text} [{quote.rank}]" for quote in said)


def best_quotes(query: str, hits: Sequence[Hit], score: Score) -> list[Quote]:
    """Return the sentences that answer best, best first: none MARGIN below the best, none twice, few of each hit.

    A sentence is scored behind the heading it stands under: "They expire after a year." answers nothing by itself.
    """
    candidates = [(hit, nth, text) for hit in hits for nth, text in enumerate(sentences(hit.chunk.text))]
    texts = [f"{hit.chunk.heading.rpartition(' > ')[2]}: {text}" for hit, _, text in candidates]
    scores = score(query, texts) if texts else []
    ranked = sorted(
        (Quote(hit.rank, nth, text, value) for (hit, nth, text), value in zip(candidates, scores, strict=True)),
        key=lambda quote: -quote.score,
    )
    kept: list[Quote] = []
    for found in ranked:
        of_hit = [quote for quote in kept if quote.rank == found.rank]
        has_room = len(of_hit) < MAX_PER_HIT if of_hit else len({quote.rank for quote in kept}) < MAX_HITS
        is_new = found.text not in {quote.text for quote in kept}
        if has_room and is_new and found.score >= ranked[0].score - MARGIN:
            kept.append(found)
    return kept


def sentences(text: str) -> list[str]:
    """Return what can be quoted from a chunk: sentences, list items and table rows, on one line each.

    Headings say nothing, and a question answers none.
    """
    parts = (text[start:end] for start, end in split(text, 0, len(text), UNITS))
    lines = (" ".join(line for line in part.splitlines() if not NOT_SAID.match(line)) for part in parts)
    said = (" ".join(BULLET.sub("", line).split()) for line in lines)
    return [line for line in said if line and not line.endswith("?")]
