"""Read and write labels as a BEIR folder: corpus.jsonl, queries.jsonl, qrels/*.tsv.

Of a corpus only the judged passages are kept in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rag.errors import BadLabels
from rag.feedback.files.label_files import (
    LabelRecord,
    bad_line,
    numbered_lines,
    read_objects,
    write_atomically,
    write_lines,
    write_objects,
)

CORPUS, QUERIES, QRELS = "corpus.jsonl", "queries.jsonl", "qrels"
HEADER = "query-id\tcorpus-id\tscore"
SPLIT = "test.tsv"  # what BEIR's loader reads by default; train.dataset.split decides which queries train


@dataclass(frozen=True, slots=True)
class Passage:
    """A row of corpus.jsonl."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Score:
    """A row of qrels: above 0 the passage answers the query, else it was judged not to."""

    query_id: str
    passage_id: str
    score: int
    where: str = ""


def read_beir(folder: Path) -> list[LabelRecord]:
    """Return the labels of all splits. One without its query or passage has the reason in `lacks`. Raises BadLabels."""
    files = sorted((folder / QRELS).glob("*.tsv"))
    if not files:
        raise BadLabels(
            f"{folder}: no {QRELS}/*.tsv in it: a BEIR folder has {CORPUS}, {QUERIES} and {QRELS}/test.tsv; labels in "
            "one file are JSON Lines"
        )
    scores = [score for path in files for score in _read_scores(path)]
    queries = _read_texts(folder / QUERIES, {score.query_id for score in scores})
    passages = _read_texts(folder / CORPUS, {score.passage_id for score in scores})
    return [_judgement(score, queries, passages) for score in scores]


def write_beir(folder: Path, passages: Iterable[Passage], queries: Mapping[str, str], scores: Iterable[Score]) -> None:
    """Write a folder that BEIR's loaders read; `queries` maps id to text. Raises BadLabels where that fails."""
    with write_atomically(folder) as draft:
        (draft / QRELS).mkdir(parents=True)
        write_objects(draft / CORPUS, ({"_id": p.id, "title": p.title, "text": p.text} for p in passages))
        write_objects(draft / QUERIES, ({"_id": query_id, "text": text} for query_id, text in queries.items()))
        rows = (f"{score.query_id}\t{score.passage_id}\t{score.score}" for score in scores)
        write_lines(draft / QRELS / SPLIT, [HEADER, *rows])


def _read_scores(path: Path) -> Iterator[Score]:
    """Yield the rows of a qrels file. Its first line is a header, unless it ends in an integer as a row does."""
    for position, (number, line) in enumerate(numbered_lines(path)):
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) != 3:
            raise bad_line(path, number, f"{line.strip()!r} is not query-id, corpus-id and score, with tabs between")
        try:
            score = int(cells[2])
        except ValueError as error:
            if position == 0:
                continue
            raise bad_line(path, number, f"the score must be a whole number, not {cells[2]!r}") from error
        yield Score(cells[0], cells[1], score, f"{QRELS}/{path.name} line {number}")


def _read_texts(path: Path, wanted: set[str]) -> dict[str, str]:
    """Return id -> text of the wanted rows of a corpus or of queries."""
    texts: dict[str, str] = {}
    for number, given in read_objects(path):
        if "_id" not in given:
            raise bad_line(path, number, "it has no _id")
        row_id, text = str(given["_id"]), given.get("text") or ""
        if not isinstance(text, str):
            raise bad_line(path, number, f"text must be a text, not {text!r}")
        if row_id in wanted:
            texts[row_id] = text.strip()
    return texts


def _judgement(score: Score, queries: Mapping[str, str], passages: Mapping[str, str]) -> LabelRecord:
    query, text = queries.get(score.query_id), passages.get(score.passage_id)
    lacks = _lacks("query", score.query_id, query, QUERIES) or _lacks("passage", score.passage_id, text, CORPUS)
    return LabelRecord(score.where, query or score.query_id, text or "", 1 if score.score > 0 else -1, lacks=lacks)


def _lacks(kind: str, row_id: str, text: str | None, file: str) -> str:
    if text is None:
        return f"{kind} {row_id!r} is not in {file}"
    return "" if text else f"{kind} {row_id!r} has no text in {file}"
