"""Extractive answers: quote the sentences of the hits that answer the query best, without an LLM.

The scorer is passed in and belongs to neither arm, so both answers are written the same way.
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
Embed = Callable[[list[str]], Vectors]
CACHED_SENTENCES = 20_000  # 30 MB of vectors
THRESHOLD = 0.404  # cosine of the built-in model; fitted by benchmarks/answering/extractive.py on docs/questions.jsonl
MARGIN = 0.15  # a sentence that scores this much below the best one is not quoted
MAX_HITS = 4  # citing more includes the right section more often, but makes a rating less specific
MAX_PER_HIT = 2
UNITS = re.compile(rf"{SENTENCE.pattern}|(\n)(?=\s*(?:[-*+|]|\d+[.)])\s?)|(\n\s*\n)")
NOT_QUOTABLE = re.compile(  # a heading, code fence, image or table rule
    r"^\s*(?:#{1,6}\s.*|```.*|~~~.*|!\[.*\]\(\S+\)|[|\s:+=-]*)$"
)
BULLET = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+")


@dataclass(frozen=True, slots=True)
class Quote:
    """The `nth` sentence of the hit at `rank`, and its score."""

    rank: int
    nth: int
    text: str
    score: float


def cache_embeddings(embed: Embed, most: int = CACHED_SENTENCES) -> Embed:
    """Return `embed` with an LRU cache of `most` texts: both arms often show the same passages. Thread-safe."""
    known: OrderedDict[str, Vectors] = OrderedDict()
    lock = threading.Lock()

    def cached(texts: list[str]) -> Vectors:
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

    return cached


def quote(query: str, hits: Sequence[Hit], score: Score) -> str:
    """Return the best sentences of the hits, each with its citation [n]; "" if none reaches THRESHOLD.

    The hit with the best sentence comes first; the sentences of one hit stay together in their order.
    """
    quotes = best_quotes(query, hits, score)
    if not quotes or quotes[0].score < THRESHOLD:
        return ""
    order = list(dict.fromkeys(quote.rank for quote in quotes))
    ordered = sorted(quotes, key=lambda quote: (order.index(quote.rank), quote.nth))
    return "\n\n".join(f"{quote.text} [{quote.rank}]" for quote in ordered)


def best_quotes(query: str, hits: Sequence[Hit], score: Score) -> list[Quote]:
    """Return the best sentences, best first: within MARGIN of the best score, deduplicated, few per hit.

    At most MAX_PER_HIT per hit and MAX_HITS hits. A sentence is scored together with its heading: "They expire after a
    year." answers nothing by itself.
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
        is_allowed = len(of_hit) < MAX_PER_HIT if of_hit else len({quote.rank for quote in kept}) < MAX_HITS
        is_new = found.text not in {quote.text for quote in kept}
        if is_allowed and is_new and found.score >= ranked[0].score - MARGIN:
            kept.append(found)
    return kept


def sentences(text: str) -> list[str]:
    """Return the quotable sentences, list items and table rows of a chunk, each on one line.

    Headings are left out, and so are questions, which answer nothing.
    """
    parts = (text[start:end] for start, end in split(text, 0, len(text), UNITS))
    lines = (" ".join(line for line in part.splitlines() if not NOT_QUOTABLE.match(line)) for part in parts)
    units = (" ".join(BULLET.sub("", line).split()) for line in lines)
    return [line for line in units if line and not line.endswith("?")]
