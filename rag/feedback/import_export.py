"""Import and export labels: JSON Lines or a BEIR folder <-> rows of `training_pairs`.

A label carries its passage as text, as the other system had it. Each training looks for it anew in the documents of its
day, so a label that points at nothing now is listed, and counts as soon as its text is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rag.errors import BadLabels
from rag.feedback.beir import Passage, Score, read_beir, write_beir
from rag.feedback.chunk_matching import ChunkMatcher
from rag.feedback.jsonl import read_jsonl, write_jsonl
from rag.feedback.label_files import SHOWN, LabelRecord
from rag.records import Chunk, Document, LabelledPair, chunks_of, content_id, normalise_query
from rag.store.store import Store

IMPORTED = "import:"  # before a query's id, where a rating has its answer's id: each query has rows of its own
JSONL = ".jsonl"


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A line that means no chunk of these documents, and why. One that `waits` is stored, until its text is there."""

    where: str
    query: str
    why: str
    waits: bool

    def __str__(self) -> str:
        return f"{self.where}: {self.query[:SHOWN]!r}: {self.why}"


@dataclass(frozen=True, slots=True)
class ReadLabels:
    """The labels of a file, one for each rater, query and text, and the lines that mean no chunk of these documents."""

    labels: tuple[LabelledPair, ...]
    unmatched: tuple[Unmatched, ...]
    repeated: int = 0

    @property
    def found(self) -> int:
        """Return how many labels are on chunks of these documents."""
        return len(self.labels) - sum(line.waits for line in self.unmatched)


@dataclass(frozen=True, slots=True)
class ExportReport:
    """How many labels, on how many queries, were written; `drawn` passages were left out for their raters are split."""

    labels: int
    queries: int
    drawn: int = 0


def import_labels(path: Path, store: Store, documents: Sequence[Document]) -> ReadLabels:
    """Read a JSONL file or a BEIR folder into `training_pairs`. All lines are checked first: a bad one changes nothing.

    The same file twice leaves the same rows. Raises BadLabels with file, line and what to mend.
    """
    read = read_labels(path, documents)
    store.feedback.put_labels(read.labels)
    return read


def read_labels(path: Path, documents: Sequence[Document]) -> ReadLabels:
    """Return what a JSONL file or a BEIR folder says of the chunks of these documents, without storing it."""
    anchors = ChunkMatcher(_chunks(documents))
    judgements = read_beir(path) if path.is_dir() else list(read_jsonl(path, documents, anchors))
    if not judgements:
        raise BadLabels(
            f"{path}: no labels in it; a file has one JSON object a line, a BEIR folder rows in qrels/*.tsv"
        )
    rows = {judgement.where if judgement.lacks else _row(judgement).id: judgement for judgement in judgements}
    labels, unmatched = [], []
    for judgement in rows.values():
        why = judgement.lacks
        if not why:
            labels.append(label := _row(judgement))
            if anchors.find(label.chunk_id, label.text) is None:
                why = f"waits, for none of these documents holds {label.text[:SHOWN]!r}"
        if why:
            unmatched.append(Unmatched(judgement.where, judgement.query, why, waits=not judgement.lacks))
    return ReadLabels(tuple(labels), tuple(unmatched), repeated=len(judgements) - len(rows))


def export_labels(path: Path, store: Store, documents: Sequence[Document]) -> ExportReport:
    """Write what raters said: one label a line where `path` ends in .jsonl, else a BEIR folder.

    Labels of 0 say nothing and are left out, and so is what nobody said: that a chunk is wrong which a good answer left
    unused is a guess, and would come back as a judgement. Raises BadLabels where there is none, or nothing can be
    written.
    """
    if path.suffix not in ("", JSONL):
        raise BadLabels(
            f"{path}: ends in {path.suffix!r}: name a file that ends in {JSONL}, or a folder with no ending"
        )
    labels = sorted(
        (label for label in store.feedback.labels() if label.label and not _is_guess(label)), key=_what_counts_last
    )
    if not labels:
        raise BadLabels("there are no labels to export: rate answers, or import some")
    chunks = _chunks(documents)
    return (_export_jsonl if path.suffix == JSONL else _export_beir)(path, labels, chunks)


def _is_guess(label: LabelledPair) -> bool:
    return label.origin == "rating" and not label.cited


def _chunks(documents: Sequence[Document]) -> list[Chunk]:
    return [chunk for document in documents for chunk in chunks_of(document)]


def _what_counts_last(label: LabelledPair) -> tuple[bool, datetime, str]:
    """Return the order of export: an import has one row for a rater, query and text, and the last line fills it.

    So what was said of the passage itself comes after what a thumb on an answer implies.
    """
    return (label.origin != "rating", label.at, label.id)


def _row(judgement: LabelRecord) -> LabelledPair:
    """Return the row of a judgement. Its chunk id is the text's own: each training finds today's chunk by it."""
    return LabelledPair(
        rater=judgement.rater,
        answer_id=IMPORTED + content_id(normalise_query(judgement.query)),
        query=judgement.query.strip(),
        chunk_id=content_id(judgement.text),
        text=judgement.text,
        label=judgement.label,
        at=judgement.at,
        origin="import",
    )


def _export_jsonl(path: Path, labels: Sequence[LabelledPair], chunks: Sequence[Chunk]) -> ExportReport:
    anchors, by_id = ChunkMatcher(chunks), {chunk.id: chunk for chunk in chunks}
    write_jsonl(path, ((label, by_id.get(anchors.find(label.chunk_id, label.text) or "")) for label in labels))
    return ExportReport(len(labels), len({normalise_query(label.query) for label in labels}))


def _export_beir(folder: Path, labels: Sequence[LabelledPair], chunks: Sequence[Chunk]) -> ExportReport:
    """Write all chunks and, beside them, texts that only a label still has; one score for each query and passage."""
    anchors = ChunkMatcher(chunks)
    passages = {chunk.id: Passage(chunk.id, chunk.title, chunk.text) for chunk in chunks}
    queries: dict[str, str] = {}
    opinions: dict[tuple[str, str], list[LabelledPair]] = {}
    for label in labels:
        query_id = content_id(normalise_query(label.query))
        passage_id = anchors.find(label.chunk_id, label.text) or content_id(label.text)
        opinions.setdefault((query_id, passage_id), []).append(label)
        queries.setdefault(query_id, label.query)
        passages.setdefault(passage_id, Passage(passage_id, "", label.text))
    sums = {key: _sum(said) for key, said in opinions.items()}
    scores = [Score(*key, int(value > 0)) for key, value in sums.items() if value]
    judged = {score.query_id for score in scores}
    write_beir(folder, passages.values(), {i: text for i, text in queries.items() if i in judged}, scores)
    return ExportReport(len(scores), len(judged), drawn=len(sums) - len(scores))


def _sum(said: Sequence[LabelledPair]) -> float:
    """Return the sum of those who judged the passage itself, else of those who judged an answer that cited it."""
    outright = [label for label in said if label.origin != "rating"]
    return sum(label.label * label.weight for label in outright or said)
