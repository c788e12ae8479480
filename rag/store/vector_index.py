"""Choose the vector index of a table: brute force while small, then IVF or HNSW if measured recall@10 >= 0.99.

A process that searches holds the index in memory, so from half a GB of vectors on one of compressed vectors comes first
(IVF_RQ: a bit for each dimension); the best of what it finds are ranked again by their full vectors, from the table.

An index is built while searches continue, measured against exact search, and only then used, as `nearest.json` in the
table's folder says. Where that file is missing, search is exact, whatever index there is.

Why recall is measured with queries: the table's own vectors lie within their partitions, and promised 0.99 where real
questions had 0.93. Eight words in a row, cut out of a chunk and embedded as a query, had the recall of real questions
to within 0.01 (docs/log.md). Why IVF and HNSW: IVF is fast only while it reads few rows; where it must read many, HNSW
takes longer to build and less to search.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from lancedb.index import HnswSq, IvfFlat, IvfRq
from numpy.typing import NDArray

from rag.store import index_metadata
from rag.store.durability import compact

FACTS = "nearest"
COLUMN = "vector"
NAME = "vector_idx"  # LanceDB's name for the index of this column
EXACT_UP_TO = 10_000  # rows: exact search takes about 9 ms there, an index 3.5; at 100,000 it takes 170 and 6
ENOUGH = 0.99  # recall@10 that an index must have
K = 10
SAMPLE = 200  # queries; with 2,000 expected neighbours, recall near 0.99 is known to within 0.005
QUERY_WORDS = 8
QUERY_CHARS = 40  # as long as eight English words: for text without blanks, as in Chinese, Japanese and Thai
WORD_CHARS = 15  # text with fewer blanks counts as text without: English has one in six characters, German in eight
PROBES = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256)
MOST_ROWS = 70_000  # that IVF may read for a query: 10 ms; an HNSW graph of a million takes over 20 minutes to build
MOST_COMPRESSED = 260_000  # rows of compressed vectors: 256 of 1,000 partitions cost 20 ms, 32 cost 13
EFS = (128, 256, 512)  # candidates of HNSW; they are ranked again by their full vectors
REFINE = 3  # times K candidates of HNSW that are ranked again
# Bytes of full vectors, 325,000 chunks of 384 dimensions: a chat holds both arms' indexes, so that would be 1 GB.
# Not by the memory of this machine: a home may be moved, and both arms must get the same kind.
COMPRESSED_FROM = 500_000_000
REFINES = (8, 16, 32)  # as REFINE, of compressed vectors: real questions needed 8 to 16 (docs/log.md)
FRESH = 2_000  # rows that may be outside the index: they are compared one by one, in 2 ms
GROWN = 2.0  # times as many rows: partitions are rebuilt, or an index that failed gets another chance
TRIES = 10  # to add an index while other processes write

Vectors = NDArray[np.float32]
Kind = Literal["exact", "IVF_FLAT", "IVF_RQ", "HNSW_SQ"]


@dataclass(frozen=True, slots=True)
class VectorIndexInfo:
    """How a table is searched. `recall` was measured with `queries` queries at `rows` rows; `uuid` is the index's.

    Kind "exact" means that no index was good enough: `recall` is the best one's.
    """

    kind: Kind
    uuid: str
    rows: int
    recall: float
    queries: int
    probes: int = 1
    ef: int = 0
    refine: int = 0  # of IVF_RQ: so many times K rows are ranked again by their full vectors

    def __str__(self) -> str:
        """Return it in words."""
        if self.kind == "exact":
            return f"exact search: an index found only {self.recall:.1%} of the nearest passages"
        return f"{self.kind} on {self.rows:,} chunks, recall@{K} {self.recall:.3f} on {self.queries} queries"


def read_info(table: Any) -> VectorIndexInfo | None:  # noqa: ANN401  # lancedb ships no types
    """Return how a table is searched, None where it is exactly."""
    facts = index_metadata.read(table, FACTS)
    try:
        return VectorIndexInfo(**facts) if facts else None
    except TypeError:  # written by another version
        return None


def with_index(search: Any, nearest: VectorIndexInfo | None, *, filtered: bool = False) -> Any:  # noqa: ANN401
    """Return a vector search that uses the index as it was measured, or compares with all rows.

    A filtered search is always exact: of the nearest among 1% of the rows an index found 39 to 82%.
    """
    if nearest is None or nearest.kind == "exact" or filtered:
        return search.bypass_vector_index()
    search = search.nprobes(nearest.probes)
    if nearest.kind == "HNSW_SQ":
        return search.ef(nearest.ef).refine_factor(REFINE)
    return search.refine_factor(nearest.refine) if nearest.kind == "IVF_RQ" else search


def is_due(table: Any) -> bool:  # noqa: ANN401
    """Return whether `build_if_due` would have something to do."""
    rows = table.count_rows()
    nearest = read_info(table)
    if nearest and rows < GROWN * nearest.rows:
        return nearest.kind != "exact" and (nearest.uuid != _uuid(table) or _outside(table) > FRESH)
    return bool(rows > EXACT_UP_TO)


def sample_queries(table: Any) -> list[str]:  # noqa: ANN401
    """Return queries to measure with: a few words in a row, cut out of chunks from all over the table."""
    draw, rows = random.Random(0), table.count_rows()
    chosen = sorted(draw.sample(range(rows), min(rows, SAMPLE)))
    texts = table.take_offsets(chosen).select(["text"]).to_arrow()["text"].to_pylist() if chosen else []
    return [piece for text in texts if (piece := _piece(text, draw))]


def build_if_due(table: Any, queries: Vectors) -> VectorIndexInfo | None:  # noqa: ANN401
    """Build the index that a table's size calls for, or add new rows to the one it has; return the current one.

    Takes seconds to minutes, while others search and write. `queries` are those of `sample_queries`, embedded.
    """
    if not is_due(table):
        return read_info(table)
    before, rows = read_info(table), table.count_rows()
    if before and rows < GROWN * before.rows:
        compact(table)
        found = _first_enough(table, queries, _settings(before.kind, before.rows))
        if found and found.recall >= ENOUGH:
            return _kept(table, replace(found, rows=before.rows))
    return _made(table, queries, rows)


def _made(table: Any, queries: Vectors, rows: int) -> VectorIndexInfo:  # noqa: ANN401
    """Build the first index with enough recall, IVF before HNSW; where none has it, keep none."""
    best: VectorIndexInfo | None = None
    for kind in _kinds(table, rows):
        index_metadata.forget(table, FACTS)  # search is exact until the index is measured
        _create(table, _config(kind, rows))
        found = _first_enough(table, queries, _settings(kind, rows))
        if found and found.recall >= ENOUGH:
            return _kept(table, found)
        best = max(filter(None, (best, found)), key=lambda each: each.recall, default=None)
    table.drop_index(NAME)
    return _kept(table, VectorIndexInfo("exact", "", rows, best.recall if best else 0.0, len(queries)))


def _kinds(table: Any, rows: int) -> tuple[Kind, ...]:  # noqa: ANN401
    """Return the kinds of index to try, the first choice first.

    On object storage each row that is ranked again would be a request: 110 ms a question instead of 18 to 40.
    """
    full = 4 * rows * table.schema.field(COLUMN).type.list_size
    compressed: tuple[Kind, ...] = ("IVF_RQ",) if full > COMPRESSED_FROM and "://" not in table.uri else ()
    return (*compressed, "IVF_FLAT", "HNSW_SQ")


def _partitions(rows: int) -> int:
    return max(1, math.isqrt(rows))


def _config(kind: Kind, rows: int) -> Any:  # noqa: ANN401
    if kind == "HNSW_SQ":
        return HnswSq(distance_type="cosine", num_partitions=1)
    ivf = IvfRq if kind == "IVF_RQ" else IvfFlat
    # k-means on 64 rows per partition in 20 rounds: as good here as on 256 in 50
    return ivf(distance_type="cosine", num_partitions=_partitions(rows), sample_rate=64, max_iterations=20)


def _settings(kind: Kind, rows: int) -> Iterator[VectorIndexInfo]:
    """Yield the search settings of an index of this kind, the cheapest first."""
    if kind == "HNSW_SQ":
        yield from (VectorIndexInfo("HNSW_SQ", "", rows, 0.0, 0, ef=ef) for ef in EFS)
        return
    most, refines = (MOST_COMPRESSED, REFINES) if kind == "IVF_RQ" else (MOST_ROWS, (0,))
    for probes in PROBES:
        if probes < _partitions(rows) and probes * rows <= most * _partitions(rows):
            yield from (VectorIndexInfo(kind, "", rows, 0.0, 0, probes=probes, refine=n) for n in refines)


def _first_enough(table: Any, queries: Vectors, settings: Iterator[VectorIndexInfo]) -> VectorIndexInfo | None:  # noqa: ANN401
    """Return the cheapest measured setting with enough recall, else the last one; None where there is no setting."""
    truth, found = _neighbours(table, queries, None), None
    for setting in settings:
        got = _neighbours(table, queries, setting)
        shares = [len(right & ids) / len(right) for right, ids in zip(truth, got, strict=True) if right]
        recall = float(np.mean(shares)) if shares else 0.0
        found = replace(setting, uuid=_uuid(table), recall=recall, queries=len(shares))
        if recall >= ENOUGH:
            break
    return found


def _neighbours(table: Any, queries: Vectors, nearest: VectorIndexInfo | None) -> list[set[str]]:  # noqa: ANN401
    """Return the ids of each query's K nearest rows. Many at once: 200 exact ones take as long as four of them."""
    found: list[set[str]] = [set() for _ in queries]
    if not len(queries):
        return found
    search = table.search(queries).distance_type("cosine").select(["id", "_distance"]).limit(K)
    for row in with_index(search, nearest).to_list():
        found[row.get("query_index", 0)].add(row["id"])
    return found


def _kept(table: Any, nearest: VectorIndexInfo) -> VectorIndexInfo:  # noqa: ANN401
    index_metadata.write(table, FACTS, asdict(nearest))
    return nearest


def _create(table: Any, config: Any) -> None:  # noqa: ANN401
    for left in reversed(range(TRIES)):
        try:
            table.create_index(COLUMN, config=config, replace=True, name=NAME)
            return
        except RuntimeError as error:
            if "commit conflict" not in str(error) or not left:
                raise


def _index(table: Any) -> Any:  # noqa: ANN401
    return next((index for index in table.list_indices() if index.columns == [COLUMN]), None)


def _uuid(table: Any) -> str:  # noqa: ANN401
    index = _index(table)
    return str(index.index_uuid) if index else ""


def _outside(table: Any) -> int:  # noqa: ANN401
    index = _index(table)
    return int(index.num_unindexed_rows) if index else 0


def _piece(text: str, draw: random.Random) -> str:
    words = text.split()
    if len(text) > WORD_CHARS * len(words):
        start = draw.randrange(max(1, len(text) - QUERY_CHARS + 1))
        return " ".join(text[start : start + QUERY_CHARS].split())
    start = draw.randrange(max(1, len(words) - QUERY_WORDS + 1))
    return " ".join(words[start : start + QUERY_WORDS])
