"""Mine one hard negative per pair: a wrong chunk that the serving model scores high.

Why there is a margin: high-scoring unlabelled chunks are often false negatives. A chunk that scores almost as well as
the positive, or is a near duplicate of it, is skipped (relative margin of NV-Retriever, Moreira et al. 2024), and so is
one on which raters disagree.

Why held-out positives may be negatives here: sparing them would push down every chunk but those, and favour the
challenger on the test queries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from rag.models.embedder import Vectors
from rag.records import Chunk, Pair, normalise_query
from train.chunk_vectors import nearest

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

    best, scores = nearest(queries, vectors, MINING_DEPTH)

    def easiest(n: int) -> Iterator[int]:
        """Yield the rows of the chunks least similar to a query, then all others."""
        yield from nearest(-queries[n : n + 1], vectors, MINING_DEPTH)[0][0]
        yield from range(len(chunks))

    def mine(pair: Pair, n: int) -> str | None:
        """Return the text of the best-ranked wrong chunk below the margin, or of the least similar one."""
        limit = MARGIN * float(vectors[rows[pair.positive_id]] @ queries[n])
        hard = best[n][scores[n] < limit]
        candidates = (chunks[row] for row in chain(hard, easiest(n)))
        answers = right[normalise_query(pair.query)] | set(pair.unsure)
        return next((c.text for c in candidates if c.id not in answers and not alike(c.text, pair.positive)), None)

    chosen = [next(iter(pair.negatives), None) or mine(pair, n) for n, pair in enumerate(pairs)]
    return [replace(pair, negatives=(text,)) for pair, text in zip(pairs, chosen, strict=True) if text]
