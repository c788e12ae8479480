"""Import and export labels: JSON Lines, Parquet, a BEIR folder or Argilla's <-> rows of `training_pairs`.

A label holds its passage as text. Each training searches for that text in the current documents, so a label that
matches no passage now is listed, and counts once its text is indexed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from rag.errors import BadLabels
from rag.feedback.chunk_matching import ChunkMatcher
from rag.feedback.files.argilla_dataset import AnnotationTask, is_annotated, read_argilla, write_argilla
from rag.feedback.files.beir import Passage, Score, read_beir, write_beir
from rag.feedback.files.jsonl import read_jsonl, write_jsonl
from rag.feedback.files.label_files import SHOWN, LabelRecord, write_atomically
from rag.feedback.files.pair_files import JSONL, PARQUET, is_pair_file, read_pairs
from rag.feedback.pairs import is_guess
from rag.records import (
    IMPORTED,
    PREFERRED,
    Chunk,
    Document,
    Label,
    LabelledPair,
    chunks_of,
    content_id,
    normalise_query,
)
from rag.store import schema
from rag.store.store import Store

RELIABILITY = {"preference": 0, "rating": 1}  # of origins; all others judge the passage itself, and are above


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A line that matches no current chunk, and why. One that `waits` is stored, for when its text is indexed."""

    where: str
    query: str
    why: str
    waits: bool

    def __str__(self) -> str:
        return f"{self.where}: {self.query[:SHOWN]!r}: {self.why}"


@dataclass(frozen=True, slots=True)
class ReadLabels:
    """The labels of a file, one for each rater, query and text, and the lines that match no chunk.

    `crossing` labels have a text that goes beyond one chunk: they count for the chunk that holds most of it.
    """

    labels: tuple[LabelledPair, ...]
    unmatched: tuple[Unmatched, ...]
    repeated: int = 0
    crossing: int = 0

    @property
    def found(self) -> int:
        """Return how many labels are on chunks of these documents."""
        return len(self.labels) - sum(line.waits for line in self.unmatched)


@dataclass(frozen=True, slots=True)
class ExportReport:
    """How many labels, on how many queries, were written.

    Left out are `ties`, passages with raters evenly split, and `preferences`, labels that a BEIR folder cannot mark as
    weaker than others.
    """

    labels: int
    queries: int
    ties: int = 0
    preferences: int = 0


def import_labels(path: Path, store: Store, documents: Sequence[Document], *, rater: str = "") -> ReadLabels:
    """Read a JSONL or Parquet file or a BEIR folder into `training_pairs`.

    All lines are checked first: a bad one changes nothing. The same file twice leaves the same rows. `rater`, unless
    empty, replaces the raters that the file names. Raises BadLabels with file, line and what to fix.
    """
    read = read_labels(path, documents, rater=rater)
    store.feedback.put_labels(read.labels)
    return read


def read_labels(path: Path, documents: Sequence[Document], *, rater: str = "") -> ReadLabels:
    """Return the labels of a file of labels or pairs or of a BEIR folder, matched, unstored. Raises BadLabels."""
    if path.suffix == PARQUET and not is_pair_file(path):
        return read_parquet(path, documents, rater=rater)
    if is_annotated(path):
        return _read_annotated(path, documents, rater)
    matcher = ChunkMatcher(_chunks(documents))
    if path.is_dir():
        judgements = read_beir(path)
    else:
        judgements = read_pairs(path) if is_pair_file(path) else list(read_jsonl(path, documents, matcher))
    if not judgements:
        raise BadLabels(
            f"{path}: no labels in it; a file has one JSON object a line, a BEIR folder rows in qrels/*.tsv"
        )
    if rater:
        judgements = [replace(judgement, rater=rater) for judgement in judgements]
    rows = {judgement.where if judgement.lacks else _row(judgement).id: judgement for judgement in judgements}
    labels, unmatched = [], []
    for judgement in rows.values():
        why = judgement.lacks
        if not why:
            labels.append(label := _row(judgement))
            if matcher.find(label.chunk_id, label.text) is None:
                why = _why_waiting(label.text, matcher)
        if why:
            unmatched.append(Unmatched(judgement.where, judgement.query, why, waits=not judgement.lacks))
    crossing = sum(matcher.match(label.text).crosses for label in labels if label.chunk_id not in matcher.texts)
    return ReadLabels(tuple(labels), tuple(unmatched), len(judgements) - len(rows), crossing)


def read_parquet(path: Path, documents: Sequence[Document], *, rater: str = "") -> ReadLabels:
    """Return the labels of a Parquet file that `export_labels` has written, each as it was stored. Raises BadLabels."""
    try:
        labels = schema.read_labels(path)
    except (OSError, ValueError) as error:
        raise BadLabels(
            f"{path}: {error}: give a file that `python -m rag export` has written, or one with the columns anchor and "
            "positive"
        ) from error
    return _matched([(f"row {number}", label) for number, label in enumerate(labels, start=1)], documents, rater)


def _read_annotated(path: Path, documents: Sequence[Document], rater: str) -> ReadLabels:
    """Return the labels of a dataset of Argilla: its rows as they were stored, and what people answered there."""
    found = read_argilla(path)
    labels = [
        (where, _row(each) if isinstance(each, LabelRecord) else each)
        for where, each in found
        if not (isinstance(each, LabelRecord) and each.lacks)
    ]
    lacking = [each for _, each in found if isinstance(each, LabelRecord) and each.lacks]
    read = _matched(labels, documents, rater)
    left = [Unmatched(each.where, each.query, each.lacks, waits=False) for each in lacking]
    return replace(read, unmatched=(*read.unmatched, *left))


def _matched(labels: Sequence[tuple[str, LabelledPair]], documents: Sequence[Document], rater: str) -> ReadLabels:
    """Return labels that keep the rows which they had, each with where it stands; `rater`, unless empty, is theirs."""
    matcher = ChunkMatcher(_chunks(documents))
    rows = {
        label.id: (where, label)
        for where, label in ((where, replace(label, rater=rater or label.rater)) for where, label in labels)
    }
    unmatched = [
        Unmatched(where, label.query, _why_waiting(label.text, matcher), waits=True)
        for where, label in rows.values()
        if matcher.find(label.chunk_id, label.text) is None
    ]
    return ReadLabels(tuple(label for _, label in rows.values()), tuple(unmatched), len(labels) - len(rows))


def _why_waiting(text: str, matcher: ChunkMatcher) -> str:
    """Return why a text means no chunk: it is not there, or it is short and stands in several."""
    places, shown = matcher.match(text).places, repr(text[:SHOWN])
    if places:
        return f"waits, for {shown} stands at {places} places: give more of the text to say which is meant"
    return f"waits, for none of these documents holds {shown}"


def export_labels(path: Path, store: Store, documents: Sequence[Document], *, rater: str = "") -> ExportReport:
    """Write all labels, or those of one rater: one a line where `path` ends in .jsonl, else a BEIR folder.

    Left out are labels of 0 and guesses (`is_guess`): that an unused chunk is wrong would come back as a judgement.
    Where `path` ends in .parquet nothing is left out, and an import stores the same rows again.
    Raises BadLabels where there is no label, or nothing can be written.
    """
    if path.suffix not in ("", JSONL, PARQUET):
        raise BadLabels(
            f"{path}: ends in {path.suffix!r}: name a {JSONL} or {PARQUET} file, or a folder with no ending"
        )
    given = [label for label in store.feedback.labels() if label.rater == (rater or label.rater)]
    if path.suffix == PARQUET and given:
        with write_atomically(path) as draft:
            schema.write_labels(draft, sorted(given, key=_export_order))
        return ExportReport(len(given), len({normalise_query(label.query) for label in given}))
    labels = sorted((label for label in given if label.label and not is_guess(label)), key=_export_order)
    if not labels:
        raise BadLabels("there are no labels to export: rate answers, or import some")
    chunks = _chunks(documents)
    return (_export_jsonl if path.suffix == JSONL else _export_beir)(path, labels, chunks)


def export_to_argilla(folder: Path, store: Store) -> ExportReport:
    """Write all labels as a dataset of Argilla, a record for each query and text; nothing is left out.

    Raises BadLabels where there is no label, or nothing can be written.
    """
    labels = sorted(store.feedback.labels(), key=_export_order)
    if not labels:
        raise BadLabels("there are no labels to export: rate answers, or import some")
    tasks: dict[tuple[str, str], list[LabelledPair]] = {}
    for label in labels:
        tasks.setdefault((label.query, label.text), []).append(label)
    write_argilla(folder, (AnnotationTask(*key, given, _verdict(given)) for key, given in tasks.items()))
    return ExportReport(len(labels), len({normalise_query(label.query) for label in labels}))


def _verdict(labels: Sequence[LabelledPair]) -> Label:
    """Return what labels of one passage say together, 0 where they are split or say nothing."""
    value = _sum([label for label in labels if label.label and not is_guess(label)])
    return 1 if value > 0 else -1 if value < 0 else 0


def _chunks(documents: Sequence[Document]) -> list[Chunk]:
    return [chunk for document in documents for chunk in chunks_of(document)]


def _export_order(label: LabelledPair) -> tuple[int, datetime, str]:
    """Return the sort key of export. An import keeps the last line of each rater, query and text.

    So labels of the passage itself come after those of thumbs on answers, and these after those of preferences.
    """
    return (RELIABILITY.get(label.origin, len(RELIABILITY)), label.at, label.id)


def _row(judgement: LabelRecord) -> LabelledPair:
    """Return the row of a judgement. Its chunk id is a hash of the text: training finds the current chunk by text."""
    weak = judgement.preference
    return LabelledPair(
        rater=judgement.rater,
        answer_id=(PREFERRED if weak else "") + IMPORTED + content_id(normalise_query(judgement.query)),
        query=judgement.query.strip(),
        chunk_id=content_id(judgement.text),
        text=judgement.text,
        label=judgement.label,
        at=judgement.at,
        origin="preference" if weak else "import",
        weight=weak or 1.0,
        cited=bool(weak),
    )


def _export_jsonl(path: Path, labels: Sequence[LabelledPair], chunks: Sequence[Chunk]) -> ExportReport:
    matcher, by_id = ChunkMatcher(chunks), {chunk.id: chunk for chunk in chunks}
    write_jsonl(path, ((label, by_id.get(matcher.find(label.chunk_id, label.text) or "")) for label in labels))
    return ExportReport(len(labels), len({normalise_query(label.query) for label in labels}))


def _export_beir(folder: Path, labels: Sequence[LabelledPair], chunks: Sequence[Chunk]) -> ExportReport:
    """Write all chunks, and the texts that only a label still has; one score for each query and passage."""
    given = len(labels)
    labels = [label for label in labels if label.origin != "preference"]
    preferences = given - len(labels)
    matcher = ChunkMatcher(chunks)
    passages = {chunk.id: Passage(chunk.id, chunk.title, chunk.text) for chunk in chunks}
    queries: dict[str, str] = {}
    opinions: dict[tuple[str, str], list[LabelledPair]] = {}
    for label in labels:
        query_id = content_id(normalise_query(label.query))
        passage_id = matcher.find(label.chunk_id, label.text) or content_id(label.text)
        opinions.setdefault((query_id, passage_id), []).append(label)
        queries.setdefault(query_id, label.query)
        passages.setdefault(passage_id, Passage(passage_id, "", label.text))
    sums = {key: _sum(given) for key, given in opinions.items()}
    scores = [Score(*key, int(value > 0)) for key, value in sums.items() if value]
    judged = {score.query_id for score in scores}
    write_beir(folder, passages.values(), {i: text for i, text in queries.items() if i in judged}, scores)
    return ExportReport(len(scores), len(judged), len(sums) - len(scores), preferences)


def _sum(labels: Sequence[LabelledPair]) -> float:
    """Return the weighted sum of the labels of the passage itself, or of thumbs where there is no other."""
    direct = [label for label in labels if label.origin != "rating"]
    return sum(label.label * label.weight for label in direct or labels)
