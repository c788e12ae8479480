"""Mine one hard negative per pair: a wrong chunk that the serving model scores high.

Why there is a margin: high-scoring unlabelled chunks are often false negatives. A chunk that scores almost as well as
the positive, or is a near duplicate of it, is skipped (relative margin of NV-Retriever, Moreira et al. 2024), and so is
one on which raters disagree.

Why held-out positives may be negatives here: sparing them would push down every chunk but those, and favour the
challenger on the test queries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from rag.models.embedder import Vectors
from rag.records import Chunk, Pair, normalise_query

MARGIN = 0.95  # of the positive's score: a chunk above it may be a false negative
MINING_DEPTH = 100  # best-ranked chunks; past them a negative is not hard


def add_negatives(
    pairs: Sequence[Pair],
    queries: Vectors,
    chunks: Sequence[Chunk],
    vectors: Vectors,
    alike: Callable[[str, str], bool],
) -> list[Pair]:
    """Return the pairs with exactly one negative each: a chunk that a rater marked wrong, else the hardest mined one.

    `queries` (pairs, dim) and `vectors` (chunks, dim) are unit vectors of the serving model. A pair is left out where
    the corpus has no other chunk.
    """
    rows = {chunk.id: row for row, chunk in enumerate(chunks)}
    right: dict[str, set[str]] = {}
    for pair in pairs:
        right.setdefault(normalise_query(pair.query), set()).add(pair.positive_id)

    def mine(pair: Pair, scores: Vectors) -> str | None:
        """Return the text of the best-ranked wrong chunk below the margin, or of the least similar one."""
        ranked = [int(row) for row in np.argsort(-scores, kind="stable")]
        hard = [row for row in ranked[:MINING_DEPTH] if scores[row] < MARGIN * scores[rows[pair.positive_id]]]
        candidates = (chunks[row] for row in (*hard, *reversed(ranked)))
        answers = right[normalise_query(pair.query)] | set(pair.unsure)
        return next((c.text for c in candidates if c.id not in answers and not alike(c.text, pair.positive)), None)

    chosen = [
        next(iter(pair.negatives), None) or mine(pair, vectors @ query)
        for pair, query in zip(pairs, queries, strict=True)
    ]
    return [replace(pair, negatives=(text,)) for pair, text in zip(pairs, chosen, strict=True) if text]
