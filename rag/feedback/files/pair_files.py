"""Read and write training pairs in the columns that sentence-transformers trains on, as JSON Lines or Parquet.

    {"anchor": "what does a cat drink?", "positive": "The cat drinks warm milk.", "negative": "Cats eat fish."}

Each column is an input of the loss and each row needs every column. So a file has either `pairs`, without negatives, or
`triplets`, a row for each positive with each negative.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from rag.errors import BadLabels
from rag.feedback.files.label_files import (
    SHOWN,
    LabelRecord,
    bad_line,
    read_objects,
    write_atomically,
    write_objects,
)
from rag.feedback.pairs import count_queries
from rag.records import Pair, normalise_query
from rag.store import schema

JSONL, PARQUET = ".jsonl", ".parquet"
Shape = Literal["pairs", "triplets"]
SHAPES: tuple[Shape, ...] = get_args(Shape)
ANCHORS, POSITIVES = ("anchor", "query", "question"), ("positive", "answer")  # names in public data sets
NEGATIVE = re.compile(r"negative(_\d+)?")  # as mine_hard_negatives names them


@dataclass(frozen=True, slots=True)
class PairReport:
    """How many rows, on how many queries, were written.

    `without` counts the positives that are left out of triplets, for they have no negative, `negatives` those that
    pairs leave out.
    """

    rows: int
    queries: int
    without: int = 0
    negatives: int = 0


def export_pairs(path: Path, pairs: Sequence[Pair], shape: Shape) -> PairReport:
    """Write pairs to a new file that ends in .jsonl or .parquet. Raises BadLabels where there is none to write."""
    if path.suffix not in (JSONL, PARQUET):
        raise BadLabels(f"{path}: ends in {path.suffix!r}: pairs are written to a {JSONL} or {PARQUET} file")
    used = [pair for pair in pairs if pair.negatives] if shape == "triplets" else list(pairs)
    rows = list(_rows(used, shape))
    if not rows:
        raise BadLabels(
            "there are no pairs to export: rate answers, or import labels"
            if not pairs
            else "no pair has a negative: export them with --as pairs"
        )
    with write_atomically(path) as draft:
        if path.suffix == JSONL:
            write_objects(draft, rows)
        else:
            schema.write_texts(draft, {name: [row[name] for row in rows] for name in rows[0]})
    negatives = sum(len(pair.negatives) for pair in used) if shape == "pairs" else 0
    return PairReport(len(rows), count_queries(used), len(pairs) - len(used), negatives)


def _rows(pairs: Iterable[Pair], shape: Shape) -> Iterator[dict[str, str]]:
    for pair in pairs:
        row = {"anchor": pair.query, "positive": pair.positive}
        if shape == "pairs":
            yield row
        else:
            yield from (row | {"negative": negative} for negative in pair.negatives)


def has_pairs(names: Iterable[str]) -> bool:
    """Return whether a row with these columns is a pair or a triplet, and no label."""
    given = set(names)
    return "label" not in given and not given.isdisjoint(ANCHORS) and not given.isdisjoint(POSITIVES)


def is_pair_file(path: Path) -> bool:
    """Return whether a file's first row has the columns of pairs. Raises BadLabels for a file that is not readable."""
    if not path.is_file():
        return False
    if path.suffix == PARQUET:
        return has_pairs(_parquet(path)[0])
    return path.suffix == JSONL and has_pairs(next(read_objects(path), (0, {}))[1])


def read_pairs(path: Path) -> list[LabelRecord]:
    """Return a label for each query and text of a file: 1 for a positive, -1 for a negative. Raises BadLabels.

    A text that is a positive of a query in one row is no negative of it in another.
    """
    found: dict[tuple[str, str], LabelRecord] = {}
    for where, row in _numbered(path):
        try:
            labels = list(_labels(where, row))
        except ValueError as error:
            raise bad_line(path, where, str(error)) from error
        for each in labels:
            key = (normalise_query(each.query), each.text)
            if key not in found or (each.label == 1 and found[key].label == -1):
                found[key] = each
    return list(found.values())


def _numbered(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if path.suffix == JSONL:
        return ((f"line {number}", row) for number, row in read_objects(path))
    return ((f"row {number}", row) for number, row in enumerate(_parquet(path)[1], start=1))


def _parquet(path: Path) -> tuple[list[str], Iterator[Mapping[str, Any]]]:
    try:
        return schema.read_rows(path)
    except (OSError, ValueError) as error:
        raise BadLabels(f"{path}: cannot be read as Parquet ({error}): write it again") from error


def _labels(where: str, row: Mapping[str, Any]) -> Iterator[LabelRecord]:
    """Yield the labels of a row. Raises ValueError."""
    query, positive = _first(row, ANCHORS), _first(row, POSITIVES)
    yield LabelRecord(where, query, positive, 1)
    for name, text in row.items():
        if NEGATIVE.fullmatch(name) and text is not None:
            yield LabelRecord(where, query, _text(name, text), -1)


def _first(row: Mapping[str, Any], names: Sequence[str]) -> str:
    name = next((name for name in names if name in row), "")
    if not name:
        raise ValueError(f"needs {' or '.join(names)}")
    return _text(name, row[name])


def _text(name: str, given: object) -> str:
    if not isinstance(given, str) or not given.strip():
        raise ValueError(f"{name} must be a text, not {given!r:.{SHOWN}}")
    return given
