"""The only file that opens LanceDB: upserts, reads, search and compaction.

All writes of a process go through one thread (LanceDB retries conflicting writers unfairly: with 8 of them one waited
18 s). Readers see every other process's writes (read_consistency_interval 0, 11% slower than never looking).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import lancedb
import numpy as np
from lancedb import col, lit
from numpy.typing import NDArray

from rag import tables, words
from rag.errors import StoreFailed
from rag.records import Answer, Chunk, Document, Hit, LabelledPair, Rating, SyntheticPair, content_id

COMPACT_EVERY = 100  # writes; by 1,000 uncompacted single rows an append is three times slower and a read takes 0.8 s
KEEP_OLD_VERSIONS = timedelta(minutes=10)  # never 0 while others read: their manifest would vanish under them
WRITE_ROWS = 2_000  # rows per upsert: bounds memory, and an interrupted indexing keeps what is done
IN_LIST = 1_000  # ids per filter; 5,000 take 65 ms

Vectors = NDArray[np.float32]
T = TypeVar("T")
log = logging.getLogger(__name__)


def open_store(folder: Path) -> Store:
    """Open (or make) the tables under `folder`. Raises StoreFailed where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreFailed(
            f"{folder}: cannot be made ({error.strerror}): set THUMBTUNE_HOME to a folder you may write"
        ) from error
    return Store(folder)


class Store:
    """Every table of one home folder. Methods may be called from any thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._db = _guard(folder, lambda: lancedb.connect(folder, read_consistency_interval=timedelta(0)))
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-writer")
        self._writes: Counter[str] = Counter()

    # --- documents -------------------------------------------------------------------------------------------------

    def document_hashes(self, corpus: str) -> dict[str, str]:
        """Return source -> hash of the file's bytes, for what this corpus holds."""
        rows = self._rows(tables.DOCUMENTS, col("corpus") == lit(corpus), ["source", "hash"])
        return {row["source"]: row["hash"] for row in rows}

    def documents(self, corpus: str, source: str = "") -> list[Document]:
        """Return the documents of a corpus, by source; or the one of this source, if it is there."""
        one, all_of_them = col("id") == lit(content_id(corpus, source)), col("corpus") == lit(corpus)
        rows = self._rows(tables.DOCUMENTS, one if source else all_of_them)
        return sorted((tables.read_document(row) for row in rows), key=lambda document: document.source)

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

    def has_table(self, name: str) -> bool:
        """Return whether a table of this name exists. Raises StoreFailed where its data is there but not its index.

        A folder without either is what a full disk leaves of a table that was being made: it counts as none.
        """
        if name not in self._names():
            return False
        folder = self.folder / f"{name}.lance"
        if any((folder / "_versions").glob("*")):
            return True
        if any((folder / "data").glob("*")):
            raise StoreFailed(f"{folder}: its _versions are gone: put the folder back from a copy before going on")
        return False

    def chunk_ids(self, table: str) -> set[str]:
        """Return the ids of the chunks that a table holds; empty where there is no such table."""
        return {row["id"] for row in self._rows(table, columns=["id"])}

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
        columns = ["id", *(field.name for field in tables.CHUNK)]
        return [tables.read_chunk(row) for row in self._rows(table, col("id").isin(sorted(set(ids))), columns)]

    def search(self, table: str, vector: Vectors, k: int) -> list[Hit]:
        """Return the k chunks nearest to a unit vector by cosine, exactly (no index), best first, ties by id."""
        columns = ["id", *(field.name for field in tables.CHUNK), "_distance"]

        def query() -> list[tables.Row]:
            found = self._open(table).search(vector).distance_type("cosine").select(columns).limit(k)
            return list(found.to_list())

        rows = sorted(_guard(self.folder, query), key=lambda row: (row["_distance"], row["id"]))
        return [Hit(tables.read_chunk(row), rank, 1.0 - row["_distance"]) for rank, row in enumerate(rows, start=1)]

    def search_ids(self, table: str, vectors: Vectors, k: int) -> list[list[str]]:
        """Return for each vector, shape (n, dim), the ids that `search` finds; 200 at once take 1/50 of the time."""

        def query() -> list[tables.Row]:
            found = self._open(table).search(vectors).distance_type("cosine").select(["id", "_distance"]).limit(k)
            return list(found.to_list())

        found: list[list[str]] = [[] for _ in vectors]
        rows = _guard(self.folder, query) if len(vectors) else []
        for row in sorted(rows, key=lambda row: (row["_distance"], row["id"])):
            found[row.get("query_index", 0)].append(row["id"])
        return found

    def index_words(self, table: str) -> None:
        """Make the index that `search_text` reads, unless nothing was written since it was made."""
        self._write(table, lambda: words.index_words(self._open(table)))

    def search_text(self, table: str, query: str, vector: Vectors, n: int) -> list[Hit]:
        """Return at most n chunks that share words with the query, best first by BM25; needs `index_words`.

        `vector` is the query's: each hit's score is the cosine, as in `search`.
        """
        columns = ["id", *(field.name for field in tables.CHUNK), "vector"]
        rows = _guard(self.folder, lambda: words.find_words(self._open(table), query, columns, n))
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

    def ratings(self) -> list[Rating]:
        """Return all ratings, withdrawn ones (value 0) among them."""
        return [tables.read_rating(row) for row in self._rows(tables.RATINGS)]

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
        return _guard(self.folder, lambda: tuple(int(self._open(name).version) for name in names))

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

    def close(self) -> None:
        """Wait for the writes under way."""
        self._writer.shutdown(wait=True)

    # --- how ---------------------------------------------------------------------------------------------------------

    def _names(self) -> list[str]:
        return _guard(self.folder, lambda: list(self._db.list_tables(limit=100_000).tables))

    def _open(self, name: str, schema: Any = None) -> Any:  # noqa: ANN401  # lancedb ships no types
        if schema is None:
            return self._db.open_table(name)
        try:
            return self._db.create_table(name, schema=schema, exist_ok=True)
        except ValueError:  # it is there with another schema: an earlier version made it
            return tables.add_missing_columns(self._db.open_table(name), schema)

    def _rows(self, name: str, where: Any = None, columns: list[str] | None = None) -> list[tables.Row]:  # noqa: ANN401
        found = self._arrow(name, where, columns)
        return [] if found is None else list(found.to_pylist())

    def _arrow(self, name: str, where: Any = None, columns: list[str] | None = None) -> Any:  # noqa: ANN401
        """Return rows as an Arrow table, or None where there is no table of this name."""
        if not self.has_table(name):
            return None

        def read() -> Any:  # noqa: ANN401
            query = self._open(name).search()
            query = query if where is None else query.where(where)
            query = query if columns is None else query.select(columns)
            return query.to_arrow()

        return _guard(self.folder, read)

    def _upsert(self, name: str, rows: Iterable[tables.Row], schema: Any = None) -> None:  # noqa: ANN401
        unique = {
            row["id"]: row for row in rows
        }  # one key twice in a source is an error to LanceDB; the last one counts
        if not unique:
            return
        schema = schema or tables.SCHEMAS[name]
        data = tables.to_arrow(unique.values(), schema)
        self._write(
            name,
            lambda: (
                self._open(name, schema)
                .merge_insert("id")
                .when_matched_update_all()
                .when_not_matched_insert_all()
                .execute(data)
            ),
        )

    def _delete(self, name: str, ids: list[str]) -> None:
        if not self.has_table(name):
            return
        for start in range(0, len(ids), IN_LIST):
            where = col("id").isin(ids[start : start + IN_LIST]).to_sql()
            self._write(name, lambda where=where: self._open(name).delete(where))  # type: ignore[misc]

    def _forget(self, name: str, rater: str) -> int:
        """Delete a rater's rows, and see to it that their bytes go, too, once older versions may be removed."""
        if not self.has_table(name):
            return 0
        ids = [row["id"] for row in self._rows(name, col("rater") == lit(rater), ["id"])]
        self._delete(name, ids)
        if ids:  # a deleted row is only marked: it stays in its file until all other rows have moved to a new one
            self._write(name, lambda: self._open(name).update(values_sql={"rater": "rater"}))
        self._write(name, lambda: self._compact(name))
        return len(ids)

    def _write(self, name: str, action: Callable[[], object]) -> None:
        """Run a write in the one writer thread, and return (or raise StoreFailed) when it is done."""

        def act() -> None:
            _guard(self.folder, action)
            self._writes[name] += 1
            if self._writes[name] % COMPACT_EVERY == 0:
                self._compact(name)

        self._writer.submit(act).result()

    def _compact(self, name: str) -> None:
        try:
            self._open(name).optimize(cleanup_older_than=KEEP_OLD_VERSIONS)
        except (RuntimeError, OSError) as error:
            # Another process compacts at the same time, or the disk is full: the data is written and stays readable.
            log.warning("table %s was not compacted: %s", name, error)


def _guard(folder: Path, action: Callable[[], T]) -> T:
    """Run an action on LanceDB; what it throws becomes one line that names the folder and the next step."""
    try:
        return action()
    except (RuntimeError, OSError, ValueError) as error:
        text = " ".join(str(error).split())
        if "os error 28" in text:
            raise StoreFailed(
                f"{folder}: the disk is full; what was stored is safe: free some space, do it again"
            ) from error
        if "os error 30" in text or "os error 13" in text:
            raise StoreFailed(f"{folder}: cannot be written: make it writable, or move THUMBTUNE_HOME") from error
        raise StoreFailed(f"{folder}: LanceDB failed: {text[:300]}") from error
