"""The pyarrow schema of every table, and records <-> rows. No other file knows a column's name.

Each `id` is declared as primary key in its schema: without it two processes that upsert one new key leave two rows.
Times have a time zone. A nested record (hit, chunk, span) is a struct with the record's own field names.
A schema may gain columns, never lose or change one: an older home gets new ones, empty, with its next write.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rag.columns import AnswerColumns, Flags, Numbers, RatingColumns
from rag.records import (
    Answer,
    Chunk,
    Document,
    Evidence,
    Hit,
    LabelledPair,
    Origin,
    Rating,
    Span,
    SyntheticPair,
    chunks_of,
)

DOCUMENTS, ANSWERS, RATINGS = "documents", "answers", "ratings"
TRAINING_PAIRS, SYNTHETIC_PAIRS = "training_pairs", "synthetic_pairs"
CHUNKS = "chunks"
FEEDBACK = (ANSWERS, RATINGS, TRAINING_PAIRS, SYNTHETIC_PAIRS)
VOTES = (RATINGS, TRAINING_PAIRS)  # small tables that each vote writes to
TARGET_COLUMN = "answer_id"  # of table `ratings`: Rating.target_id under its first name, so that older homes open
Row = Mapping[str, Any]

ADDING_TRIES, ADDING_PAUSE = 20, 0.05  # LanceDB adds no column while another process writes, and does not wait

TIME = pa.timestamp("us", "UTC")
ID = pa.field("id", pa.string(), nullable=False, metadata={"lance-schema:unenforced-primary-key": "true"})


def _fields(**types: pa.DataType) -> list[pa.Field]:
    return [pa.field(name, kind) for name, kind in types.items()]


SPAN = pa.struct(_fields(start=pa.int64(), end=pa.int64(), heading=pa.string(), page=pa.int32()))
CHUNK = _fields(
    document_id=pa.string(),
    source=pa.string(),
    title=pa.string(),
    heading=pa.string(),
    page=pa.int32(),
    text=pa.string(),
    start=pa.int64(),
    end=pa.int64(),
)
DATE = pa.field("date", pa.string())  # for filters; not stored with an answer's hits
CHUNK_COLUMNS = ("id", *(field.name for field in CHUNK), "date")
HIT = pa.struct(
    [
        pa.field("chunk", pa.struct([pa.field("id", pa.string()), *CHUNK])),
        *_fields(rank=pa.int32(), score=pa.float32(), origin=pa.string()),
    ]
)
RANK_BITS = 16  # of a rank, in one number with its row
ANSWER_TEXTS = ("id", "duel", "arm", "side", "model", "query", "text", "abstained", "at")  # as in AnswerColumns
ANSWER_COLUMNS = (*ANSWER_TEXTS, "hits", "cited", "evidence")
RATING_COLUMNS = (  # as in RatingColumns
    *("rater", TARGET_COLUMN, "kind", "value", "blind", "at"),
    *("choice", "first", "query", "chunk_id", "reason"),
)
EVIDENCE = pa.struct(_fields(start=pa.int32(), end=pa.int32(), rank=pa.int32(), kind=pa.string()))

SCHEMAS: dict[str, pa.Schema] = {
    DOCUMENTS: pa.schema(
        [
            ID,
            *_fields(corpus=pa.string(), document_id=pa.string(), source=pa.string(), title=pa.string()),
            *_fields(hash=pa.string(), text=pa.string(), spans=pa.list_(SPAN), chunks=pa.list_(pa.string())),
            DATE,
        ]
    ),
    ANSWERS: pa.schema(
        [
            ID,
            *_fields(duel=pa.string(), arm=pa.string(), side=pa.string(), model=pa.string(), answerer=pa.string()),
            *_fields(query=pa.string(), hits=pa.list_(HIT), text=pa.string(), cited=pa.list_(pa.int32())),
            *_fields(abstained=pa.bool_(), first_token_s=pa.float64(), total_s=pa.float64(), at=TIME),
            *_fields(evidence=pa.list_(EVIDENCE)),
        ]
    ),
    RATINGS: pa.schema(
        [
            ID,
            *_fields(rater=pa.string(), kind=pa.string(), answer_id=pa.string(), value=pa.int8(), blind=pa.bool_()),
            *_fields(reason=pa.string(), comment=pa.string(), at=TIME),
            *_fields(chunk_id=pa.string(), choice=pa.string(), query=pa.string(), text=pa.string()),
            *_fields(first=pa.string()),
        ]
    ),
    TRAINING_PAIRS: pa.schema(
        [
            ID,
            *_fields(rater=pa.string(), answer_id=pa.string(), query=pa.string(), chunk_id=pa.string()),
            *_fields(text=pa.string(), label=pa.int8(), weight=pa.float32(), origin=pa.string(), cited=pa.bool_()),
            *_fields(rank=pa.int32(), score=pa.float32(), arm=pa.string(), model=pa.string(), side=pa.string()),
            *_fields(blind=pa.bool_(), reason=pa.string(), at=TIME),
        ]
    ),
    SYNTHETIC_PAIRS: pa.schema(
        [ID, *_fields(query=pa.string(), chunk_id=pa.string(), text=pa.string(), origin=pa.string())]
    ),
}


def chunk_schema(dim: int) -> pa.Schema:
    """Return the schema of a vector table of `dim` dimensions."""
    return pa.schema([ID, *CHUNK, DATE, pa.field("vector", pa.list_(pa.float32(), dim))])


def to_arrow(rows: Iterable[Row], schema: pa.Schema) -> pa.Table:
    """Return rows as an Arrow table of exactly this schema (a list of dicts would make the key nullable)."""
    return pa.Table.from_pylist(list(rows), schema=schema)


def add_missing_columns(table: Any, schema: pa.Schema) -> Any:  # noqa: ANN401  # lancedb ships no types
    """Add the columns that a table of an earlier release lacks, empty in all its rows, and return the table.

    Retries where another process writes to the table, or adds the same columns, at that moment.
    """
    for left in reversed(range(ADDING_TRIES)):
        names = table.schema.names  # each access asks LanceDB
        lacking = [field for field in schema if field.name not in names]
        if not lacking:
            break
        try:
            table.add_columns(pa.schema(lacking))
        except (RuntimeError, ValueError):
            if not left:
                raise
            time.sleep(ADDING_PAUSE)
    return table


def document_row(corpus: str, document: Document, row_id: str) -> Row:
    """Return the row of a document in a corpus."""
    row = {**asdict(document), "id": row_id, "corpus": corpus, "document_id": document.id}
    ids = [chunk.id for chunk in chunks_of(document)]  # so that readers need no texts
    return {**row, "spans": [asdict(span) for span in document.spans], "chunks": ids}


def no_documents(columns: Iterable[str]) -> pa.Table:
    """Return these columns of table `documents`, without a row."""
    return pa.schema([SCHEMAS[DOCUMENTS].field(name) for name in columns]).empty_table()


def no_chunks(columns: Iterable[str]) -> pa.Table:
    """Return these columns of a vector table, without a row."""
    return pa.schema([chunk_schema(1).field(name) for name in columns]).empty_table()


def with_documents(table: pa.Table, rows: list[Row]) -> pa.Table:
    """Return a table of documents with these rows, too."""
    return with_rows(table, pa.Table.from_pylist(rows, schema=table.schema))


def with_rows(table: pa.Table, more: pa.Table) -> pa.Table:
    """Return both tables as one of the first one's schema."""
    return pa.concat_tables([table, more.select(table.column_names).cast(table.schema)])


def count_items(lists: pa.ChunkedArray) -> int:
    """Return how many items the lists of a column have together."""
    return sum(len(chunk.flatten()) for chunk in lists.chunks)


def sizes(documents: pa.Table) -> list[tuple[str, str, int]]:
    """Return source, title and number of chunks of each document."""
    spans = pc.list_value_length(documents["spans"])
    return list(zip(*(column.to_pylist() for column in (documents["source"], documents["title"], spans)), strict=True))


def outline(documents: pa.Table) -> list[Chunk]:
    """Return the chunks of documents without their texts."""
    return [
        Chunk(
            chunk_id,
            row["document_id"],
            row["source"],
            row["title"],
            span["heading"],
            span["page"],
            "",
            span["start"],
            span["end"],
        )
        for row in documents.to_pylist()
        for chunk_id, span in zip(row["chunks"] or (), row["spans"], strict=False)
    ]


def read_document(row: Row) -> Document:
    """Return the document of a row."""
    spans = tuple(Span(**span) for span in row["spans"])
    return Document(
        row["document_id"], row["source"], row["title"], row["hash"], row["text"], spans, row.get("date") or ""
    )


def chunk_row(chunk: Chunk) -> Row:
    """Return the row of a chunk, without its vector."""
    return {name: getattr(chunk, name) for name in CHUNK_COLUMNS}


def read_chunk(row: Row) -> Chunk:
    """Return the chunk of a row of a vector table."""
    return Chunk(*(row[name] for name in CHUNK_COLUMNS))


def answer_row(answer: Answer) -> Row:
    """Return the row of an answer with all its hits."""
    return {**asdict(answer), "hits": [asdict(hit) for hit in answer.hits], "cited": list(answer.cited)}


def read_answers(table: pa.Table) -> list[Answer]:
    """Return the answers of a table, read by columns: a chunk that many of them share is built once.

    10,000 answers take 0.4 to 0.7 s, row by row 0.9 to 1.5 s.
    """
    lists = table["hits"].combine_chunks()
    hits = iter(_read_hits(lists.flatten()))
    shown = [tuple(islice(hits, n)) for n in lists.value_lengths().to_pylist()]
    rows = table.drop_columns("hits").to_pylist()
    return [
        Answer(**{**row, "hits": mine, "cited": tuple(row["cited"]), "evidence": _read_evidence(row.get("evidence"))})
        for row, mine in zip(rows, shown, strict=True)
    ]


def _read_evidence(structs: list[Row] | None) -> tuple[Evidence, ...] | None:
    """Return what was found out about an answer; None where the row is of an earlier release."""
    return None if structs is None else tuple(Evidence(**each) for each in structs)


def _read_hits(structs: pa.StructArray) -> list[Hit]:
    names = ("id", *(field.name for field in CHUNK))
    columns = [structs.field("chunk").field(name).dictionary_encode() for name in names]
    values = [column.dictionary.to_pylist() for column in columns]
    chunks: dict[tuple[int | None, ...], Chunk] = {}
    hits = []
    own = [structs.field(name).to_pylist() for name in ("rank", "score", "origin")]
    for rank, score, origin, *codes in zip(*own, *(column.indices.to_pylist() for column in columns), strict=True):
        key = tuple(codes)
        if key not in chunks:
            chunk: list[Any] = [None if n is None else known[n] for known, n in zip(values, key, strict=True)]
            chunks[key] = Chunk(*chunk)
        hits.append(Hit(chunks[key], rank, score, origin))
    return hits


def read_answer_columns(batches: Iterable[pa.RecordBatch]) -> AnswerColumns:
    """Return the answers of record batches by columns, without the texts of their passages."""
    places: dict[tuple[str, str, str], int] = {}
    parts, rows = list[tuple[Any, ...]](), 0
    for batch in (pa.RecordBatch.from_pylist([], SCHEMAS[ANSWERS]), *batches):
        shown, chunks, cited = _read_shown(batch, places)
        parts.append((*(_values(batch[name]) for name in ANSWER_TEXTS), shown + rows, chunks, cited))
        rows += batch.num_rows
    columns: list[Any] = [np.concatenate(column) for column in zip(*parts, strict=True)]
    columns.append([_outlined(*key) for key in places])
    return AnswerColumns(*columns)


def _read_shown(batch: pa.RecordBatch, places: dict[tuple[str, str, str], int]) -> tuple[Numbers, Numbers, Flags]:
    """Return each hit's row, its chunk's place in `places`, which gets new ones, and whether the answer rests on it."""
    lists = batch["hits"]
    structs = lists.flatten()
    rows = _row_numbers(lists)
    columns = [structs.field("chunk").field(name).dictionary_encode() for name in ("id", "source", "heading")]
    numbers = [column.indices.to_numpy(zero_copy_only=False) for column in columns]
    together = np.zeros(len(structs), np.int64)
    for column, number in zip(columns, numbers, strict=True):
        together = together * len(column.dictionary) + number
    _, first, inverse = np.unique(together, return_index=True, return_inverse=True)
    known = [_values(column.dictionary) for column in columns]
    keys = zip(*(texts[number[first]].tolist() for texts, number in zip(known, numbers, strict=True)), strict=True)
    chunks = np.array([places.setdefault(key, len(places)) for key in keys], np.int64)[inverse]
    ranked = _pairs(rows, structs.field("rank"))
    return rows, chunks, np.isin(ranked, _rests_on(batch))


def _rests_on(batch: pa.RecordBatch) -> Numbers:
    """Return the pairs of row and rank that `Answer.rests_on` has."""
    found = [_pairs(_row_numbers(batch["cited"]), batch["cited"].flatten())]
    if "evidence" in batch.schema.names:
        structs = batch["evidence"].flatten()
        attributed = pc.equal(structs.field("kind"), "attributed").to_numpy(zero_copy_only=False).astype(bool)
        found.append(_pairs(_row_numbers(batch["evidence"]), structs.field("rank"))[attributed])
    return np.concatenate(found)


def _row_numbers(lists: pa.ListArray) -> Numbers:
    """Return the row of each item of lists; null is a list without items."""
    sizes = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    return np.repeat(np.arange(len(lists)), sizes)


def _pairs(rows: Numbers, ranks: pa.Array) -> Numbers:
    """Return one number for each row and rank."""
    return np.asarray((rows << RANK_BITS) + ranks.to_numpy(zero_copy_only=False))


def _outlined(chunk_id: str, source: str, heading: str) -> Chunk:
    """Return a chunk of which nothing else is known."""
    return Chunk(chunk_id, "", source, "", heading, None, "", 0, 0)


def _values(column: pa.Array) -> Any:  # noqa: ANN401
    """Return a column as a numpy array, with empty texts for nulls."""
    return (column.fill_null("") if pa.types.is_string(column.type) else column).to_numpy(zero_copy_only=False)


def read_rating_columns(batches: Iterable[pa.RecordBatch]) -> RatingColumns:
    """Return the ratings of record batches by columns; a column that came later is empty in older rows."""
    parts = [pa.RecordBatch.from_pylist([], SCHEMAS[RATINGS]), *batches]
    return RatingColumns(
        *(
            np.concatenate(
                [
                    _values(part[name]) if name in part.schema.names else np.full(part.num_rows, "", object)
                    for part in parts
                ]
            )
            for name in RATING_COLUMNS
        )
    )


def keyed_row(record: LabelledPair | SyntheticPair) -> Row:
    """Return the row of a record whose key is derived from its content."""
    return {**asdict(record), "id": record.id}


def rating_row(rating: Rating) -> Row:
    """Return the row of a rating; its target's id is in column `answer_id`, as in the first release."""
    row = {**asdict(rating), "id": rating.id}
    return {**row, TARGET_COLUMN: row.pop("target_id")}


def read_rating(row: Row) -> Rating:
    """Return the rating of a row; a column that came later is empty in older rows."""
    known: dict[str, Any] = {name: "" if value is None else value for name, value in _without_id(row).items()}
    return Rating(target_id=known.pop(TARGET_COLUMN), **known)


def read_label(row: Row) -> LabelledPair:
    """Return the labelled pair of a row."""
    return LabelledPair(**_without_id(row))


def write_labels(path: Path, labels: Iterable[LabelledPair]) -> None:
    """Write labelled pairs as a Parquet file, a row each with all that is stored of it. Raises OSError."""
    import pyarrow.parquet as pq  # here, as no command but export and import needs it

    pq.write_table(to_arrow(map(keyed_row, labels), SCHEMAS[TRAINING_PAIRS]), path)


def write_texts(path: Path, columns: Mapping[str, list[str]]) -> None:
    """Write columns of texts as a Parquet file. Raises OSError."""
    import pyarrow.parquet as pq

    pq.write_table(pa.table({name: pa.array(texts, pa.string()) for name, texts in columns.items()}), path)


def read_rows(path: Path) -> tuple[list[str], Iterator[Row]]:
    """Return the columns of a Parquet file from anywhere, and its rows. Raises OSError and ValueError."""
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        return file.schema_arrow.names, (row for batch in file.iter_batches() for row in batch.to_pylist())
    except pa.ArrowException as error:
        raise ValueError(str(error).splitlines()[0]) from error


def read_labels(path: Path) -> list[LabelledPair]:
    """Return the labelled pairs of a Parquet file. Raises ValueError for one that `write_labels` has not written."""
    import pyarrow.parquet as pq

    schema = SCHEMAS[TRAINING_PAIRS]
    try:
        table = pq.read_table(path, partitioning=None)
        if missing := [name for name in schema.names if name not in table.column_names]:
            raise ValueError(f"it has no column {missing[0]!r}")
        table = table.select(schema.names).cast(schema)
    except pa.ArrowException as error:
        raise ValueError(str(error).splitlines()[0]) from error
    return _labels_of(table)


def labels_of(rows: Iterable[Row]) -> list[LabelledPair]:
    """Return the labelled pairs of rows that came from a file. Raises ValueError for one that is none."""
    try:
        return _labels_of(to_arrow(rows, SCHEMAS[TRAINING_PAIRS]))
    except (pa.ArrowException, TypeError, OverflowError) as error:
        raise ValueError(str(error).splitlines()[0]) from error


def _labels_of(table: Any) -> list[LabelledPair]:  # noqa: ANN401  # pyarrow ships no types
    for name in ("rater", "answer_id", "query", "chunk_id", "text", "label", "origin", "weight", "at"):
        if table[name].null_count:
            raise ValueError(f"column {name!r} has an empty value")
    if strange := set(table["label"].to_pylist()) - {-1, 0, 1}:
        raise ValueError(f"a label is {min(strange)}, not 1, 0 or -1")
    if unknown := set(table["origin"].to_pylist()) - set(get_args(Origin)):
        raise ValueError(f"an origin is {min(unknown)!r}, not one of {', '.join(get_args(Origin))}")
    return [read_label(row) for row in table.to_pylist()]


def read_synthetic(row: Row) -> SyntheticPair:
    """Return the synthetic pair of a row."""
    return SyntheticPair(**_without_id(row))


def _without_id(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "id"}
