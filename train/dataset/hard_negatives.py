"""A hard negative for every pair: a chunk that looks right to the model of today and is not.

The idea a reader would miss: what looks right often is right, only nobody said so. A chunk that scores as well as the
positive, or repeats it, is therefore passed over (the relative margin of NV-Retriever, Moreira et al. 2024), and one on
which raters are split, too.

Held-out positives are not spared here. Sparing them would push down every chunk but those, and flatter the challenger.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from rag.models.embedder import Vectors
from rag.records import Chunk, Pair, normalise_query

MARGIN = 0.95  # of the positive's score: from there on a chunk may be an answer that nobody marked
LOOK_AT = 100  # best-ranked chunks; past them a negative is not hard


def add_negatives(
    pairs: Sequence[Pair],
    queries: Vectors,
    chunks: Sequence[Chunk],
    vectors: Vectors,
    alike: Callable[[str, str], bool],
) -> list[Pair]:
    """Return the pairs with exactly one negative each: what a rater found wrong, else the hardest of the corpus.

    `queries` holds a unit vector per pair, `vectors` one per chunk, both of the model that serves. Where the corpus has
    no other chunk the pair is left out: there is nothing to tell it from.
    """
    rows = {chunk.id: row for row, chunk in enumerate(chunks)}
    right: dict[str, set[str]] = {}
    for pair in pairs:
        right.setdefault(normalise_query(pair.query), set()).add(pair.positive_id)

    def mine(pair: Pair, scores: Vectors) -> str | None:
        """Return the text of the best-ranked wrong chunk below the margin, or of the least similar one."""
        order = [int(row) for row in np.argsort(-scores, kind="stable")]
        hard = [row for row in order[:LOOK_AT] if scores[row] < MARGIN * scores[rows[pair.positive_id]]]
        candidates = (chunks[row] for row in (*hard, *reversed(order)))
        answers = right[normalise_query(pair.query)] | set(pair.unsure)
        return next((c.text for c in candidates if c.id not in answers and not alike(c.text, pair.positive)), None)

    chosen = [
        next(iter(pair.negatives), None) or mine(pair, vectors @ query)
        for pair, query in zip(pairs, queries, strict=True)
    ]
    return [replace(pair, negatives=(text,)) for pair, text in zip(pairs, chosen, strict=True) if text]
