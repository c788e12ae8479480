"""Store and read the documents of each corpus: text, spans and chunk ids, in table `documents`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

from lancedb import col, lit

from rag.records import Chunk, Document, chunks_of, content_id
from rag.store import schema
from rag.store.lance.tables import LanceTables

READ_DOCUMENTS = 64  # documents whose texts are in memory at once


class DocumentStore:
    """The documents of every corpus. A document is identified by corpus and source."""

    def __init__(self, tables: LanceTables) -> None:
        self._tables = tables

    def hashes(self, corpus: str) -> dict[str, str]:
        """Return source -> hash of the file's bytes, for the documents of a corpus."""
        rows = self._tables.rows(schema.DOCUMENTS, col("corpus") == lit(corpus), ["source", "hash"])
        return {row["source"]: row["hash"] for row in rows}

    def find(self, corpus: str, document_id: str) -> tuple[str, str] | None:
        """Return source and hash of the document with this id, None if the corpus has none. Reads no text."""
        where = (col("corpus") == lit(corpus)) & (col("document_id") == lit(document_id))
        rows = self._tables.rows(schema.DOCUMENTS, where, ["source", "hash"])
        return next(((row["source"], row["hash"]) for row in rows), None)

    def dates(self, corpus: str) -> dict[str, str]:
        """Return source -> date, as in Document, for the documents of a corpus."""
        rows = self._tables.rows(schema.DOCUMENTS, col("corpus") == lit(corpus), ["source", "date"])
        return {row["source"]: row["date"] or "" for row in rows}

    def read(self, corpus: str, source: str = "") -> list[Document]:
        """Return the documents of a corpus, sorted by source; or only the one of this source, if there is one."""
        one, all_of_them = col("id") == lit(content_id(corpus, source)), col("corpus") == lit(corpus)
        return self._read(one if source else all_of_them)

    def chunks(self, corpus: str) -> list[Chunk]:
        """Return all chunks of a corpus, by source and place. Of the documents' texts only some are held at a time."""
        names = [name for name in schema.SCHEMAS[schema.DOCUMENTS].names if name != "chunks"]

        def read(batches: Iterable[Any]) -> list[tuple[str, list[Chunk]]]:
            rows = (row for batch in batches for row in batch.to_pylist())
            return [(document.source, chunks_of(document)) for document in map(schema.read_document, rows)]

        found = self._tables.read_columns(schema.DOCUMENTS, names, read, col("corpus") == lit(corpus), READ_DOCUMENTS)
        return [chunk for _, chunks in sorted(found, key=itemgetter(0)) for chunk in chunks]

    def read_sources(self, corpus: str, sources: Sequence[str]) -> list[Document]:
        """Return the existing documents of these sources (IN_LIST at most), sorted by source."""
        return self._read(col("id").isin([content_id(corpus, source) for source in sources]))

    def sizes(self, corpus: str) -> list[tuple[str, str, int]]:
        """Return source, title and number of chunks of each document, sorted by source. Reads no text."""
        found = self._tables.arrow(schema.DOCUMENTS, col("corpus") == lit(corpus), ["source", "title", "spans"])
        return [] if found is None else sorted(schema.sizes(found))

    def count_chunks(self, corpus: str) -> int:
        """Return how many chunks the documents of a corpus have."""
        found = self._tables.arrow(schema.DOCUMENTS, col("corpus") == lit(corpus), ["spans"])
        return 0 if found is None else schema.count_items(found["spans"])

    def outline(self, corpus: str) -> list[Chunk]:
        """Return the chunks of a corpus with empty texts: 100,000 take a second, and no text is read."""
        if not self._has_chunk_ids():
            return []
        columns = ["document_id", "source", "title", "spans", "chunks"]
        return schema.outline(self._tables.arrow(schema.DOCUMENTS, col("corpus") == lit(corpus), columns))

    def put(self, corpus: str, documents: Sequence[Document]) -> None:
        """Write documents; an existing one of the same source is replaced."""
        rows = [schema.document_row(corpus, document, content_id(corpus, document.source)) for document in documents]
        self._tables.upsert(schema.DOCUMENTS, rows)

    def delete(self, corpus: str, sources: Iterable[str]) -> None:
        """Delete the documents of these sources from a corpus."""
        self._tables.delete(schema.DOCUMENTS, [content_id(corpus, source) for source in sources])

    def add_chunk_ids(self, corpus: str) -> None:
        """Add chunk ids to documents written by an earlier release. Call it only while holding `changing_documents`."""
        without = self._without_chunk_ids(corpus)
        for start in range(0, len(without), READ_DOCUMENTS):
            self.put(corpus, self.read_sources(corpus, without[start : start + READ_DOCUMENTS]))

    def columns(self, corpus: str, names: Sequence[str]) -> Any:  # noqa: ANN401  # lancedb ships no types
        """Return these columns of a corpus's documents as an Arrow table, chunk ids included for every document.

        Documents of an earlier release have none in the table: their texts are read, and the ids computed.
        """
        without = self._without_chunk_ids(corpus)
        documents = schema.no_documents(names)
        for start in range(0, len(without), READ_DOCUMENTS):
            some = self.read_sources(corpus, without[start : start + READ_DOCUMENTS])
            documents = schema.with_documents(documents, [schema.document_row(corpus, each, "") for each in some])
        if not self._has_chunk_ids():
            return documents
        return schema.with_rows(
            documents, self._tables.arrow(schema.DOCUMENTS, _chunk_ids(corpus, "IS NOT NULL"), list(names))
        )

    def _read(self, where: Any) -> list[Document]:  # noqa: ANN401
        rows = self._tables.rows(schema.DOCUMENTS, where)
        return sorted((schema.read_document(row) for row in rows), key=lambda document: document.source)

    def _has_chunk_ids(self) -> bool:
        if not self._tables.exists(schema.DOCUMENTS):
            return False
        return {"chunks", "date"} <= set(self._tables.open(schema.DOCUMENTS).schema.names)

    def _without_chunk_ids(self, corpus: str) -> list[str]:
        """Return the sources of documents that an earlier release wrote, without the ids of their chunks."""
        where = _chunk_ids(corpus, "IS NULL") if self._has_chunk_ids() else col("corpus") == lit(corpus)
        return sorted(row["source"] for row in self._tables.rows(schema.DOCUMENTS, where, ["source"]))


def _chunk_ids(corpus: str, condition: str) -> str:
    return f"{(col('corpus') == lit(corpus)).to_sql()} AND chunks {condition}"
