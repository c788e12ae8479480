"""What hybrid search makes of queries: the teacher of `train.tuning.distillation`.

Its keyword scores are BM25 (Robertson and Zaragoza 2009) on stemmed words, over the chunks that are distilled on: the
full-text index of a table ranks all chunks, and not all homes have one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from sklearn.feature_extraction.text import CountVectorizer

from rag.answering.evidence.words import stem_list
from rag.models.embedder import Vectors
from rag.records import Chunk, content_id
from train.synthetic.spans import made_queries

QUERIES = 3_000  # 2,000 to 6,000 taught as much, 1,500 less (docs/log.md)
CHUNKS = 10_000  # that are ranked for each of them; of more a sample, by hash
KEYWORD_HITS = 50  # chunks with a keyword score, as keyword search returns them
K1, B = 1.2, 0.75  # of BM25, the usual ones
BLOCK = 256  # queries scored at once: against 10,000 chunks some 10 MB
DENSE_WEIGHT = 0.5  # share of the cosine: 0.7, which serves, taught less
SHARPNESS = 15.0  # factor on fused scores, 0 to 1, before the softmax: 10 taught half as much, 30 no more

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Teacher:
    """Queries, and the rows of the chunks that are ranked for each; `keywords` is (queries, rows), greatest 1 in a row.

    Without queries there is nothing to teach.
    """

    queries: tuple[str, ...]
    rows: Rows
    keywords: csr_matrix

    def target(self, cosines: Vectors, some: Rows) -> Vectors:
        """Return how probable each chunk is for some of the queries, shape as `cosines` (some, rows), by both searches.

        Both scores are scaled as in hybrid search (`rag.retrieval.fusion.combine`).
        """
        nearest = 1.0 + cosines.max(axis=1, keepdims=True)
        scores = DENSE_WEIGHT * (1.0 + cosines) / np.maximum(nearest, np.finfo(np.float32).tiny)
        scores += (1.0 - DENSE_WEIGHT) * self.keywords[some].toarray()
        raised = np.exp(SHARPNESS * (scores - scores.max(axis=1, keepdims=True)))
        shares: Vectors = (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)
        return shares


def make_teacher(chunks: Sequence[Chunk], seed: int = 0) -> Teacher:
    """Return the teacher of these chunks. Deterministic for the same chunks and seed."""
    rows = sorted(range(len(chunks)), key=lambda row: content_id("taught", chunks[row].id))[:CHUNKS]
    some = [chunks[row] for row in sorted(rows)]
    queries = made_queries(some, QUERIES, seed)
    keywords = _bm25([chunk.text for chunk in some], queries) if queries else csr_matrix((0, len(some)))
    return Teacher(tuple(queries), np.array(sorted(rows), dtype=np.intp), keywords)


def _bm25(texts: Sequence[str], queries: Sequence[str]) -> csr_matrix:
    """Return the scores (queries, texts) of the best KEYWORD_HITS texts of each query, scaled to at most 1."""
    counter = CountVectorizer(analyzer=stem_list, dtype=np.float32)
    try:
        counts = counter.fit_transform(texts)
    except ValueError:  # sklearn's, for texts without any word
        return csr_matrix((len(queries), len(texts)), dtype=np.float32)
    lengths = np.asarray(counts.sum(axis=1)).ravel()
    documents = np.bincount(counts.indices, minlength=counts.shape[1])
    rare = np.log1p((len(texts) - documents + 0.5) / (documents + 0.5))
    weights = counts.tocoo()
    norm = K1 * (1.0 - B + B * lengths[weights.row] / max(float(lengths.mean()), 1.0))
    weights.data = (rare[weights.col] * weights.data * (K1 + 1.0) / (weights.data + norm)).astype(np.float32)
    by_word = weights.tocsr().T.tocsr()
    asked = counter.transform(queries)
    return vstack([_best(asked[start : start + BLOCK] @ by_word) for start in range(0, len(queries), BLOCK)]).tocsr()


def _best(scores: Any) -> csr_matrix:  # noqa: ANN401  # scipy ships no types
    """Return the KEYWORD_HITS greatest scores of each row, divided by the greatest."""
    dense = scores.toarray()
    if dense.shape[1] > KEYWORD_HITS:
        least = np.partition(dense, -KEYWORD_HITS, axis=1)[:, -KEYWORD_HITS]
        dense[dense < least[:, None]] = 0.0
    return csr_matrix(dense / np.maximum(dense.max(axis=1, keepdims=True), np.finfo(np.float32).tiny))
