"""What is kept and searched: documents, chunks with their vectors, answers, ratings and what follows from them.

How a row gets into LanceDB and out of it is said in `rag.store.lance`, what a row looks like in `rag.store.schema`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from lancedb import col, lit
from numpy.typing import NDArray

from rag.errors import StoreFailed
from rag.records import Answer, Chunk, Document, Hit, LabelledPair, Rating, SyntheticPair, content_id
from rag.store import schema as tables
from rag.store import text_index, vector_index
from rag.store.filters import EVERYWHERE, DocumentFilter
from rag.store.lance import IN_LIST, LanceTables, guard
from rag.store.table_diff import HELD, WANTED, TableDiff, diff_table
from rag.store.text_index import where
from rag.store.vector_index import VectorIndexInfo

READ_DOCUMENTS = 64  # whose texts are held at once
WRITE_ROWS = 2_000  # rows per upsert: bounds memory, and an interrupted indexing keeps what is done

Vectors = NDArray[np.float32]


def open_store(folder: Path) -> Store:
    """Open (or make) the tables under `folder`. Raises StoreFailed where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreFailed(
            f"{folder}: cannot be made ({error.strerror}): set THUMBTUNE_HOME to a folder you may write"
        ) from error
    return Store(folder)


class Store(LanceTables):
    """Every table of one home folder. Methods may be called from any thread."""

    # --- documents -------------------------------------------------------------------------------------------------

    def document_hashes(self, corpus: str) -> dict[str, str]:
        """Return source -> hash of the file's bytes, for what this corpus holds."""
        rows = self._rows(tables.DOCUMENTS, col("corpus") == lit(corpus), ["source", "hash"])
        return {row["source"]: row["hash"] for row in rows}

    def document_dates(self, corpus: str) -> dict[str, str]:
        """Return source -> date, as in Document, for what this corpus holds."""
        rows = self._rows(tables.DOCUMENTS, col("corpus") == lit(corpus), ["source", "date"])
        return {row["source"]: row["date"] or "" for row in rows}

    def documents(self, corpus: str, source: str = "") -> list[Document]:
        """Return the documents of a corpus, by source; or the one of this source, if it is there."""
        one, all_of_them = col("id") == lit(content_id(corpus, source)), col("corpus") == lit(corpus)
        rows = self._rows(tables.DOCUMENTS, one if source else all_of_them)
        return sorted((tables.read_document(row) for row in rows), key=lambda document: document.source)

    def documents_of(self, corpus: str, sources: Sequence[str]) -> list[Document]:
        """Return the documents of these sources (IN_LIST at most) that are there, by source."""
        rows = self._rows(tables.DOCUMENTS, col("id").isin([content_id(corpus, source) for source in sources]))
        return sorted((tables.read_document(row) for row in rows), key=lambda document: document.source)

    def sizes(self, corpus: str) -> list[tuple[str, str, int]]:
        """Return source, title and number of chunks of each document of a corpus, by source; reads no text."""
        found = self._arrow(tables.DOCUMENTS, col("corpus") == lit(corpus), ["source", "title", "spans"])
        return [] if found is None else sorted(tables.sizes(found))

    def outline(self, corpus: str) -> list[Chunk]:
        """Return the chunks of a corpus without their texts: 100,000 of them take a second, and no text is read."""
        columns = ["document_id", "source", "title", "spans", "chunks"]
        found = self._arrow(tables.DOCUMENTS, col("corpus") == lit(corpus), columns) if self._names_chunks() else None
        return [] if found is None else tables.outline(found)

    def name_chunks(self, corpus: str) -> None:
        """Give documents of an earlier release the ids of their chunks; only while nobody else changes documents."""
        nameless = self._nameless(corpus)
        for start in range(0, len(nameless), READ_DOCUMENTS):
            self.put_documents(corpus, self.documents_of(corpus, nameless[start : start + READ_DOCUMENTS]))

    def put_documents(self, corpus: str, documents: Sequence[Document]) -> None:
        """Write documents; one that is there under the same source is replaced."""
        rows = [tables.document_row(corpus, document, content_id(corpus, document.source)) for document in documents]
        self._upsert(tables.DOCUMENTS, rows)

    def delete_documents(self, corpus: str, sources: Iterable[str]) -> None:
        """Delete the documents of these sources from a corpus."""
        self._delete(tables.DOCUMENTS, [content_id(corpus, source) for source in sources])

    # --- chunks and their vectors ----------------------------------------------------------------------------------

    def chunk_table(self, corpus: str, fingerprint: str) -> str:
        """Return the name of the table that holds a corpus as one model sees it."""
        return f"{tables.CHUNKS}__{corpus}__{fingerprint}"

    def chunk_tables(self, corpus: str) -> list[str]:
        """Return the names of all tables that hold a corpus, whether they serve or not."""
        return [name for name in self._names() if name.startswith(self.chunk_table(corpus, ""))]

    def chunk_ids(self, table: str) -> set[str]:
        """Return the ids of the chunks that a table holds; empty where there is no such table."""
        found = self._arrow(table, columns=["id"])
        return set() if found is None else set(found["id"].to_pylist())

    def diff_table(self, corpus: str, table: str) -> TableDiff:
        """Return what a table lacks of its corpus, or has too much; reads no text and no vector."""
        held = self._arrow(table, columns=list(HELD))  # first: a document that comes in now is missing, not too much
        nameless = self._nameless(corpus)
        documents = tables.no_documents(WANTED)
        for start in range(0, len(nameless), READ_DOCUMENTS):
            some = self.documents_of(corpus, nameless[start : start + READ_DOCUMENTS])
            documents = tables.with_documents(documents, [tables.document_row(corpus, each, "") for each in some])
        if self._names_chunks():
            documents = tables.with_rows(documents, self._arrow(tables.DOCUMENTS, _of(corpus, "IS NOT"), list(WANTED)))
        return diff_table(documents, tables.no_chunks(HELD) if held is None else held)

    def versions(self, table: str) -> tuple[int, int]:
        """Return what changes when documents, or this table, are written; takes a millisecond."""
        return guard(self.folder, lambda: (int(self._open(tables.DOCUMENTS).version), int(self._open(table).version)))

    def count_chunks(self, corpus: str) -> int:
        """Return how many chunks the documents of a corpus have."""
        found = self._arrow(tables.DOCUMENTS, col("corpus") == lit(corpus), ["spans"])
        return 0 if found is None else tables.count_items(found["spans"])

    def put_chunks(self, table: str, chunks: Sequence[Chunk], vectors: Vectors) -> None:
        """Write chunks with their vectors, shape (n, dim). Makes the table if need be, also for no chunk at all."""
        schema = tables.chunk_schema(vectors.shape[1])
        self._write(table, lambda: self._open(table, schema))
        for start in range(0, len(chunks), WRITE_ROWS):
            part = slice(start, start + WRITE_ROWS)
            rows = [
                {**tables.chunk_row(chunk), "vector": vector}
                for chunk, vector in zip(chunks[part], vectors[part], strict=True)
            ]
            self._upsert(table, rows, schema)

    def delete_chunks(self, table: str, ids: Iterable[str]) -> None:
        """Delete these chunks from a table."""
        self._delete(table, list(ids))

    def read_chunks(self, table: str) -> tuple[list[Chunk], Vectors]:
        """Return all chunks of a table and their vectors, shape (n, dim), in the same order (by id)."""
        rows = sorted(self._rows(table), key=lambda row: str(row["id"]))
        vectors = np.array([row["vector"] for row in rows], dtype=np.float32)
        return [tables.read_chunk(row) for row in rows], vectors

    def chunks(self, table: str, ids: Iterable[str]) -> list[Chunk]:
        """Return those of these chunks (IN_LIST at most) that a table holds."""
        columns = list(tables.CHUNK_COLUMNS)
        return [tables.read_chunk(row) for row in self._rows(table, col("id").isin(sorted(set(ids))), columns)]

    def vectors(self, table: str, ids: Sequence[str]) -> Vectors:
        """Return the vectors of these chunks (IN_LIST at most), all of which the table holds, in this order."""
        rows = self._rows(table, col("id").isin(sorted(set(ids))), ["id", "vector"])
        known = {row["id"]: row["vector"] for row in rows}
        return np.array([known[chunk_id] for chunk_id in ids], dtype=np.float32)

    def search(self, table: str, vector: Vectors, k: int, only: DocumentFilter = EVERYWHERE) -> list[Hit]:
        """Return the k chunks nearest to a unit vector by cosine, best first, ties by id: as `nearest` says."""
        columns = [*tables.CHUNK_COLUMNS, "_distance"]

        def query() -> list[tables.Row]:
            opened = self._open(table)
            found = opened.search(vector).distance_type("cosine").select(columns).limit(k)
            narrowed = vector_index.with_index(found, vector_index.read_info(opened), filtered=bool(only))
            return list(where(narrowed, only).to_list())

        rows = sorted(guard(self.folder, query), key=lambda row: (row["_distance"], row["id"]))
        return [Hit(tables.read_chunk(row), rank, 1.0 - row["_distance"]) for rank, row in enumerate(rows, start=1)]

    def search_ids(self, table: str, vectors: Vectors, k: int) -> list[list[str]]:
        """Return for each vector, shape (n, dim), the ids of its k nearest, exactly; 200 at once take as long as 4."""

        def query() -> list[tables.Row]:
            found = self._open(table).search(vectors).distance_type("cosine").select(["id", "_distance"]).limit(k)
            return list(vector_index.with_index(found, None).to_list())

        found: list[list[str]] = [[] for _ in vectors]
        rows = guard(self.folder, query) if len(vectors) else []
        for row in sorted(rows, key=lambda row: (row["_distance"], row["id"])):
            found[row.get("query_index", 0)].append(row["id"])
        return found

    def nearest(self, table: str) -> VectorIndexInfo | None:
        """Return by which index `search` finds, None where it compares with all."""
        return guard(self.folder, lambda: vector_index.read_info(self._open(table)))

    def nearest_is_due(self, table: str) -> bool:
        """Return whether a table has become too large for how it is searched; takes a millisecond."""
        return guard(self.folder, lambda: vector_index.is_due(self._open(table)))

    def nearest_sample(self, table: str) -> list[str]:
        """Return queries to measure an index with, from the table's own texts."""
        return guard(self.folder, lambda: vector_index.sample_queries(self._open(table)))

    def index_nearest(self, table: str, queries: Vectors) -> VectorIndexInfo | None:
        """Give a table the index that its size calls for, measured with these queries; return what serves now.

        Runs in the caller's thread, for minutes perhaps: searches and writes go on meanwhile.
        """
        return guard(self.folder, lambda: vector_index.build_if_due(self._open(table), queries))

    def index_words(self, table: str) -> None:
        """Make the index that `search_text` reads, unless nothing was written since it was made."""
        self._write(table, lambda: text_index.build_text_index(self._open(table)))

    def search_text(
        self, table: str, query: str, vector: Vectors, n: int, only: DocumentFilter = EVERYWHERE
    ) -> list[Hit]:
        """Return at most n chunks that share words with the query, best first by BM25; needs `index_words`.

        `vector` is the query's: each hit's score is the cosine, as in `search`.
        """
        columns = [*tables.CHUNK_COLUMNS, "vector"]
        rows = guard(self.folder, lambda: text_index.search_bm25(self._open(table), query, columns, n, only))
        scores = [float(np.asarray(row["vector"], dtype=np.float32) @ vector) for row in rows]
        return [
            Hit(tables.read_chunk(row), rank, score, "explore")
            for rank, (row, score) in enumerate(zip(rows, scores, strict=True), start=1)
        ]

    # --- answers, ratings and what is learnt from them -------------------------------------------------------------

    def put_answer(self, answer: Answer) -> None:
        """Write a finished answer."""
        self._upsert(tables.ANSWERS, [tables.answer_row(answer)])

    def get_answer(self, answer_id: str) -> Answer | None:
        """Return one answer, or None where there is none of this id."""
        return next(iter(self.answers([answer_id])), None)

    def answers(self, ids: Iterable[str] | None = None) -> list[Answer]:
        """Return the answers of these ids, or all."""
        wanted = sorted(set(ids or ()))
        parts = [col("id").isin(wanted[start : start + IN_LIST]) for start in range(0, len(wanted), IN_LIST)]
        found = [self._arrow(tables.ANSWERS, part) for part in ([None] if ids is None else parts)]
        return [answer for table in found if table is not None for answer in tables.read_answers(table)]

    def put_ratings(self, ratings: Sequence[Rating]) -> None:
        """Write ratings in one atomic step; a rater's former rating of the same target is replaced."""
        self._upsert(tables.RATINGS, [tables.keyed_row(rating) for rating in ratings])

    def ratings(self, rater: str = "") -> list[Rating]:
        """Return the ratings of a rater, or all, withdrawn ones (value 0) among them."""
        where = col("rater") == lit(rater) if rater else None
        return [tables.read_rating(row) for row in self._rows(tables.RATINGS, where)]

    def rating(self, rating_id: str) -> Rating | None:
        """Return one rating, or None where there is none of this id."""
        rows = self._rows(tables.RATINGS, col("id") == lit(rating_id))
        return tables.read_rating(rows[0]) if rows else None

    def put_labels(self, labels: Sequence[LabelledPair]) -> None:
        """Write rows of `training_pairs`; a rater's former label of the same chunk of the same answer is replaced."""
        self._upsert(tables.TRAINING_PAIRS, [tables.keyed_row(label) for label in labels])

    def labels(self) -> list[LabelledPair]:
        """Return all rows of `training_pairs`."""
        return [tables.read_label(row) for row in self._rows(tables.TRAINING_PAIRS)]

    def solved_queries(self) -> set[str]:
        """Return the queries for which somebody knows a right chunk: those with a label of 1."""
        rows = self._rows(tables.TRAINING_PAIRS, col("label") == lit(1), ["query"])
        return {row["query"] for row in rows}

    def stamp(self) -> tuple[int, ...]:
        """Return what changes with every write to documents, answers, ratings or labels; takes 2 ms."""
        names = [name for name in tables.SCHEMAS if self.has_table(name)]
        return guard(self.folder, lambda: tuple(int(self._open(name).version) for name in names))

    def delete_rater(self, rater: str) -> tuple[int, int]:
        """Delete a rater's ratings, then the labels that followed from them; return how many of each.

        In this order, since labels are derived anew from ratings: cut off in between, a second call does the rest.
        """
        return self._forget(tables.RATINGS, rater), self._forget(tables.TRAINING_PAIRS, rater)

    def put_synthetic(self, pairs: Sequence[SyntheticPair]) -> None:
        """Write rows of `synthetic_pairs`."""
        self._upsert(tables.SYNTHETIC_PAIRS, [tables.keyed_row(pair) for pair in pairs])

    def synthetic(self) -> list[SyntheticPair]:
        """Return all rows of `synthetic_pairs`."""
        return [tables.read_synthetic(row) for row in self._rows(tables.SYNTHETIC_PAIRS)]

    # --- documents whose chunks have no names yet --------------------------------------------------------------------

    def _names_chunks(self) -> bool:
        return self.has_table(tables.DOCUMENTS) and {"chunks", "date"} <= set(self._open(tables.DOCUMENTS).schema.names)

    def _nameless(self, corpus: str) -> list[str]:
        """Return the sources of documents that an earlier release wrote, without the ids of their chunks."""
        where = _of(corpus, "IS") if self._names_chunks() else col("corpus") == lit(corpus)
        return sorted(row["source"] for row in self._rows(tables.DOCUMENTS, where, ["source"]))


def _of(corpus: str, is_or_not: str) -> str:
    return f"{(col('corpus') == lit(corpus)).to_sql()} AND chunks {is_or_not} NULL"
