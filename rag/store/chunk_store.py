"""Store and search chunks with their vectors: one table per corpus and embedding model.

Dense search is by cosine, exact or through a measured vector index (`vector_index`); keyword search is BM25
(`text_index`). Small tables are kept in memory: LanceDB takes 15 ms of processor time to search 1,400 chunks, numpy
less than one. A table is compared with the documents by the ids of the chunks, which the documents table has: so a
million chunks are compared by 16 bytes each and their place, in 5 seconds and at most 0.8 GB, and no text is read.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lancedb import col
from numpy.typing import NDArray

from rag.records import Chunk, Hit, content_id
from rag.store import schema, text_index, vector_index
from rag.store.document_store import DocumentStore
from rag.store.filters import EVERYWHERE, DocumentFilter
from rag.store.lance.tables import LanceTables
from rag.store.text_index import where
from rag.store.vector_index import VectorIndexInfo

WRITE_ROWS = 2_000  # rows per upsert: bounds memory, and an interrupted indexing keeps the finished ones
HELD_TABLES = 3  # in memory, at most 30 MB each: those of both arms, and one that a promotion replaces
REMEMBERED = 512  # keyword searches: both arms, the credit of ratings and the lesson ask for the same ones
LEAST_WORDS = 20  # keyword hits that are asked for: as many as the credit of ratings reads
DIGITS = 6  # of a cosine that order: equal vectors may differ in the last bit

Vectors = NDArray[np.float32]
KeywordScores = dict[str, float]  # chunk id -> BM25 score, best first
FindKeywords = Callable[[str, int], KeywordScores]
PLACE = ("start", "end", "heading", "page")
OF_DOCUMENT = ("title", "date")
READ = ("heading",)  # embedded with the text: where it changes, the vector is stale
WANTED = ("source", *OF_DOCUMENT, "spans", "chunks")  # columns of a document
HELD = ("id", *OF_DOCUMENT, *PLACE)  # columns of a chunk


@dataclass(frozen=True, slots=True)
class TableDiff:
    """The ids of chunks that a table lacks, that moved within their document, and that no document has any more.

    `sources` maps the documents of the first two to the length of their text without trailing blanks; `total` is the
    number of chunks in the corpus.
    """

    missing: frozenset[str]
    moved: frozenset[str]
    surplus: frozenset[str]
    sources: Mapping[str, int]
    total: int

    def __bool__(self) -> bool:
        """Return whether the table differs."""
        return bool(self.missing or self.moved or self.surplus)

    @property
    def summary(self) -> str:
        """Return how the table differs, as a clause; "" where it does not."""
        parts = {
            f"lacks {len(self.missing):,} of {self.total:,} passages": self.missing,
            f"has {len(self.surplus):,} that are in no document any more": self.surplus,
            f"has {len(self.moved):,} at a former place": self.moved,
        }
        return " and ".join(words for words, ids in parts.items() if ids)


class HeldTable:
    """A table in memory, as it was at a version: its chunks, sorted by id, and their vectors, shape (n, dim)."""

    def __init__(
        self, version: int, chunks: list[Chunk], vectors: Vectors, find_keywords: FindKeywords | None = None
    ) -> None:
        self.version, self.chunks, self.vectors = version, chunks, vectors
        self.find_keywords = find_keywords  # for a table of a shared home: without a request
        self.row = {chunk.id: row for row, chunk in enumerate(chunks)}
        digest = blake2b(digest_size=16)
        for chunk in chunks:
            digest.update(chunk.id.encode())
        self.content = digest.hexdigest()  # the same for both arms' tables of a corpus

    def nearest(self, vector: Vectors, k: int) -> list[Hit]:
        """Return the k chunks nearest to a unit vector by cosine, best first, ties by id."""
        # einsum, as BLAS starts threads that wait for work: 8 ms of processor time instead of 0.4
        cosines = np.round(np.einsum("ij,j->i", self.vectors, vector), DIGITS)
        best = np.argsort(-cosines, kind="stable")[:k]  # the rows are sorted by id
        return [Hit(self.chunks[row], rank, float(cosines[row])) for rank, row in enumerate(best, start=1)]


class ChunkStore:
    """The chunk tables of every corpus and model, by table name (`table_name`). Vectors are unit vectors, float32."""

    def __init__(self, tables: LanceTables, documents: DocumentStore) -> None:
        self._tables, self._documents = tables, documents
        self._held: OrderedDict[str, HeldTable] = OrderedDict()
        self._asked: dict[str, int] = {}  # the version at which a table was last asked for
        self._found: OrderedDict[tuple[str, str, int], KeywordScores] = OrderedDict()  # by id of the query's text
        self._lock = threading.Lock()

    def table_name(self, corpus: str, fingerprint: str) -> str:
        """Return the name of the table of a corpus embedded by the model of this fingerprint."""
        return f"{schema.CHUNKS}__{corpus}__{fingerprint}"

    def table_names(self, corpus: str) -> list[str]:
        """Return the names of all chunk tables of a corpus, whether they serve or not."""
        return [name for name in self._tables.names() if name.startswith(self.table_name(corpus, ""))]

    def exists(self, table: str) -> bool:
        """Return whether there is a table of this name. Raises StoreFailed where it is damaged."""
        return self._tables.exists(table)

    def ids(self, table: str) -> set[str]:
        """Return the ids of a table's chunks; empty where there is no such table."""
        found = self._tables.arrow(table, columns=["id"])
        return set() if found is None else set(found["id"].to_pylist())

    def count(self, table: str) -> int:
        """Return how many chunks a table has; 0 where there is no such table."""
        return self._tables.count(table)

    def diff(self, corpus: str, table: str) -> TableDiff:
        """Return how a table differs from the documents of its corpus. Reads no text and no vector."""
        held = self._tables.arrow(table, columns=list(HELD))  # first: a document added now is missing, not surplus
        documents = self._documents.columns(corpus, WANTED)
        return diff_table(documents, schema.no_chunks(HELD) if held is None else held)

    def versions(self, table: str) -> tuple[int, int]:
        """Return the versions of the documents table and of this one: each write changes it. Takes a millisecond."""
        return self._tables.version(schema.DOCUMENTS), self._tables.version(table)

    def put(self, table: str, chunks: Sequence[Chunk], vectors: Vectors) -> None:
        """Write chunks with their vectors, shape (n, dim). Creates the table if need be, also for no chunk at all."""
        chunk_schema = schema.chunk_schema(vectors.shape[1])
        self._tables.write(table, lambda: self._tables.open(table, chunk_schema))
        for start in range(0, len(chunks), WRITE_ROWS):
            part = slice(start, start + WRITE_ROWS)
            rows = [
                {**schema.chunk_row(chunk), "vector": vector}
                for chunk, vector in zip(chunks[part], vectors[part], strict=True)
            ]
            self._tables.upsert(table, rows, chunk_schema)

    def delete(self, table: str, ids: Iterable[str]) -> None:
        """Delete these chunks from a table."""
        self._tables.delete(table, list(ids))

    def read(self, table: str) -> tuple[list[Chunk], Vectors]:
        """Return all chunks of a table, sorted by id, and their vectors, shape (n, dim)."""
        found = self._tables.arrow(table)
        if found is None:
            return [], np.empty((0, 0), dtype=np.float32)
        found = found.sort_by("id").combine_chunks()
        return [schema.read_chunk(row) for row in found.drop_columns("vector").to_pylist()], _as_array(found["vector"])

    def read_vectors(self, table: str, take: Callable[[list[str], Vectors], None]) -> None:
        """Call `take` with the ids of a table's chunks and their vectors, shape (n, dim), some at a time, in no order.

        All of them may be read again from the first one, where the table was rewritten meanwhile.
        """

        def read(batches: Iterable[Any]) -> None:
            for batch in batches:
                part = pa.Table.from_batches([batch])
                take(part["id"].to_pylist(), _as_array(part["vector"]))

        self._tables.read_columns(table, ["id", "vector"], read)

    def get(self, table: str, ids: Iterable[str]) -> list[Chunk]:
        """Return the chunks of these ids (IN_LIST at most) that a table has, in no order."""
        columns = list(schema.CHUNK_COLUMNS)
        return [schema.read_chunk(row) for row in self._tables.rows(table, col("id").isin(sorted(set(ids))), columns)]

    def vectors(self, table: str, ids: Sequence[str]) -> Vectors:
        """Return the vectors of these chunks (IN_LIST at most), in this order. Raises KeyError for an unknown id."""
        held = self._in_memory(table) if self._tables.exists(table) else None
        if held:
            return held.vectors[[held.row[chunk_id] for chunk_id in ids]]
        rows = self._tables.rows(table, col("id").isin(sorted(set(ids))), ["id", "vector"])
        known = {row["id"]: row["vector"] for row in rows}
        return np.array([known[chunk_id] for chunk_id in ids], dtype=np.float32)

    def search(self, table: str, vector: Vectors, k: int, only: DocumentFilter = EVERYWHERE) -> list[Hit]:
        """Return the k chunks nearest to a unit vector by cosine, best first, ties by id."""
        if not only and (held := self._in_memory(table)):
            return held.nearest(vector, k)
        columns = [*schema.CHUNK_COLUMNS, "_distance"]

        def query() -> list[schema.Row]:
            opened = self._tables.open(table)
            found = opened.search(vector).distance_type("cosine").select(columns).limit(k)
            narrowed = vector_index.with_index(found, vector_index.read_info(opened), filtered=bool(only))
            return list(where(narrowed, only).to_list())

        rows = sorted(self._tables.run(query), key=lambda row: (row["_distance"], row["id"]))
        return [Hit(schema.read_chunk(row), rank, 1.0 - row["_distance"]) for rank, row in enumerate(rows, start=1)]

    def search_ids(self, table: str, vectors: Vectors, k: int) -> list[list[str]]:
        """Return for each vector, shape (n, dim), the ids of its k nearest, exactly; 200 at once take as long as 4."""

        def query() -> list[schema.Row]:
            found = self._tables.open(table).search(vectors)
            found = found.distance_type("cosine").select(["id", "_distance"]).limit(k)
            return list(vector_index.with_index(found, None).to_list())

        found: list[list[str]] = [[] for _ in vectors]
        rows = self._tables.run(query) if len(vectors) else []
        for row in sorted(rows, key=lambda row: (row["_distance"], row["id"])):
            found[row.get("query_index", 0)].append(row["id"])
        return found

    def search_text(
        self, table: str, query: str, vector: Vectors, n: int, only: DocumentFilter = EVERYWHERE
    ) -> list[Hit]:
        """Return at most n chunks that share a word with the query, best first by BM25. Needs `build_text_index`.

        `vector` is the query's: each hit's score is the cosine, as in `search`.
        """
        return [hit for hit, _ in self.search_keywords(table, query, vector, n, only)]

    def search_keywords(
        self, table: str, query: str, vector: Vectors, n: int, only: DocumentFilter = EVERYWHERE
    ) -> list[tuple[Hit, float]]:
        """Return what `search_text` does, each hit with its BM25 score."""
        if not only and (held := self._in_memory(table)):
            found = self._remembered_scores(table, held, query, n).items()
            known = [(held.row[chunk_id], score) for chunk_id, score in found if chunk_id in held.row]
            return [
                (Hit(held.chunks[row], rank, float(held.vectors[row] @ vector), "explore"), score)
                for rank, (row, score) in enumerate(known, start=1)
            ]
        columns = [*schema.CHUNK_COLUMNS, "vector"]
        rows = self._tables.run(lambda: text_index.search_bm25(self._tables.open(table), query, columns, n, only))
        cosines = [float(np.asarray(row["vector"], dtype=np.float32) @ vector) for row in rows]
        return [
            (Hit(schema.read_chunk(row), rank, cosine, "explore"), float(row[text_index.SCORE]))
            for rank, (row, cosine) in enumerate(zip(rows, cosines, strict=True), start=1)
        ]

    def keyword_scores(self, table: str, query: str, n: int) -> KeywordScores:
        """Return chunk id -> BM25 score of at most n chunks that share a word with the query, as `search_text` does."""
        held = self._in_memory(table)
        return self._remembered_scores(table, held, query, n) if held else self._find_keywords(table, query, n)

    def _find_keywords(self, table: str, query: str, n: int) -> KeywordScores:
        rows = self._tables.run(lambda: text_index.search_bm25(self._tables.open(table), query, ["id"], n))
        return {row["id"]: float(row[text_index.SCORE]) for row in rows}

    def _remembered_scores(self, table: str, held: HeldTable, query: str, n: int) -> KeywordScores:
        """Return what `keyword_scores` does, remembered: tables of the same chunks have the same BM25 ranking."""
        depth = max(n, LEAST_WORDS)
        key = held.content, content_id(query), depth
        with self._lock:
            found = self._found.get(key)
        if found is None:
            find = held.find_keywords or partial(self._find_keywords, table)
            found = self._tables.run(lambda: find(query, depth))
            with self._lock:
                self._found[key] = found
                while len(self._found) > REMEMBERED:
                    self._found.popitem(last=False)
        return dict(islice(found.items(), n))

    def _in_memory(self, table: str) -> HeldTable | None:
        """Return a table as it is now, if it has no index; None the first time that a version of it is asked for.

        So a table that is being written, of which no version is asked for twice, is not read each time.
        """
        version = self._tables.version(table)
        with self._lock:
            held = self._held.get(table)
            if held and held.version == version:
                self._held.move_to_end(table)
                return held
            is_new = self._asked.get(table) != version
            self._asked[table] = version
            if is_new:
                return None
        if self._tables.run(lambda: self._tables.open(table).count_rows(), table) > vector_index.EXACT_UP_TO:
            return None
        held = self._hold(table, version)
        if self._tables.version(table) != version:
            return None
        with self._lock:
            self._held[table] = held
            while len(self._held) > HELD_TABLES:
                self._held.popitem(last=False)
        return held

    def _hold(self, table: str, version: int) -> HeldTable:
        """Read a table into memory. Of a shared home at exactly this version, with its text index, by row ids."""
        pinned = self._tables.run(lambda: self._tables.pinned(table, version), table)
        if pinned is None or not self._tables.run(lambda: text_index.prewarm(pinned), table):
            return HeldTable(version, *self.read(table))
        found = self._tables.run(lambda: pinned.search().with_row_id(True).to_arrow(), table)
        found = found.sort_by("id").combine_chunks()
        ids = dict(zip(found["_rowid"].to_pylist(), found["id"].to_pylist(), strict=True))
        chunks = [schema.read_chunk(row) for row in found.drop_columns(["vector", "_rowid"]).to_pylist()]

        def find(query: str, n: int) -> KeywordScores:
            return text_index.search_row_ids(pinned, query, n, ids)

        return HeldTable(version, chunks, _as_array(found["vector"]), find)

    def build_text_index(self, table: str) -> None:
        """Build the BM25 index that `search_text` reads, unless no row was written since it was built."""
        self._tables.write(table, lambda: text_index.build_text_index(self._tables.open(table)))

    def vector_index(self, table: str) -> VectorIndexInfo | None:
        """Return the vector index that `search` uses, None where it searches exactly."""
        return self._tables.run(lambda: vector_index.read_info(self._tables.open(table)))

    def vector_index_is_due(self, table: str) -> bool:
        """Return whether a table has become too large for how it is searched. Takes a millisecond."""
        return self._tables.run(lambda: vector_index.is_due(self._tables.open(table)))

    def sample_queries(self, table: str) -> list[str]:
        """Return queries to measure a vector index with, taken from the table's own texts."""
        return self._tables.run(lambda: vector_index.sample_queries(self._tables.open(table)))

    def build_vector_index(self, table: str, queries: Vectors) -> VectorIndexInfo | None:
        """Build the vector index that a table's size calls for, measured with these queries; return the current one.

        Runs in the caller's thread, possibly for minutes: searches and writes continue meanwhile.
        """
        made = self._tables.run(lambda: vector_index.build_if_due(self._tables.open(table), queries))
        self._tables.sync(table)
        return made


def _as_array(column: pa.ChunkedArray) -> Vectors:
    """Return a column of vectors as an array, shape (n, dim); no number becomes an object of Python."""
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(flat, dtype=np.float32).reshape(len(column), column.type.list_size)


def diff_table(documents: pa.Table, chunks: pa.Table) -> TableDiff:
    """Return how a table of chunks (columns HELD) differs from what the documents (columns WANTED) are cut into.

    Why without threads: where memory is too short to start one, Arrow waits for it for ever; it is as fast.
    """
    wanted, held = _wanted(documents), chunks.select(HELD)
    how = {"join_type": "full outer", "right_suffix": " held", "coalesce_keys": False, "use_threads": False}
    both = wanted.join(held, keys="id", **how)
    is_absent, is_extra = pc.is_null(both["id held"]), pc.is_null(both["id"])
    lacks = pc.and_not(pc.or_(is_absent, _differs(both, READ)), is_extra)
    moved = pc.and_not(_differs(both, (*OF_DOCUMENT, *PLACE)), pc.or_(lacks, is_extra))
    return TableDiff(
        _ids(both["id"].filter(lacks)),
        _ids(both["id"].filter(moved)),
        _ids(both["id held"].filter(is_extra)),
        _lengths(wanted, both.filter(pc.or_(lacks, moved))["source"].unique()),
        wanted.num_rows,
    )


def _wanted(documents: pa.Table) -> pa.Table:
    """Return one row for each chunk: its id, source, place, and the columns of its document."""
    documents = documents.combine_chunks()
    spans, parent = pc.list_flatten(documents["spans"]), pc.list_parent_indices(documents["spans"])
    columns = {name: pc.struct_field(spans, name) for name in PLACE}
    of_document = {name: documents[name].take(parent) for name in ("source", *OF_DOCUMENT)}
    return pa.table({"id": pc.list_flatten(documents["chunks"]), **of_document, **columns})


def _differs(both: pa.Table, names: Sequence[str]) -> pa.ChunkedArray:
    """Return for each row whether it differs in one of these columns; two that are both empty are the same."""
    differs = pa.chunked_array([pa.array([False] * both.num_rows, pa.bool_())])
    for name in names:
        one, other = both[name], both[f"{name} held"]
        unlike = pc.coalesce(pc.not_equal(one, other), pc.xor(pc.is_null(one), pc.is_null(other)))
        differs = pc.or_(differs, unlike)
    return differs


def _lengths(wanted: pa.Table, sources: pa.ChunkedArray) -> Mapping[str, int]:
    """Return the text's length of each of these sources, by source."""
    these = wanted.filter(pc.is_in(wanted["source"], sources))
    ends = these.group_by("source", use_threads=False).aggregate([("end", "max")]).sort_by("source")
    return dict(zip(ends["source"].to_pylist(), ends["end_max"].to_pylist(), strict=True))


def _ids(column: pa.ChunkedArray) -> frozenset[str]:
    return frozenset(column.to_pylist())
