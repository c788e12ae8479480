"""Labels as a dataset of Argilla and back: the folder that `argilla.Dataset.to_disk` writes and `from_disk` reads.

    records.json             question and passage, what the labels say as a suggestion, and what people answered
    .argilla/settings.json   the fields and the one question of the dataset
    .argilla/dataset.json    its name

A record's metadata hold all rows of `training_pairs` on it, so that an import stores the same rows again; each answer
that somebody gave in Argilla is one more label, of that person.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rag.feedback.files.label_files import LabelRecord, bad_line, read_list, write_atomically
from rag.feedback.outside import NOBODY, read_thumb
from rag.records import Label, LabelledPair, content_id
from rag.store import schema

RECORDS, SETTINGS, DATASET = "records.json", "settings.json", "dataset.json"
FOLDER = ".argilla"
QUESTION, PASSAGE, ANSWER = "question", "passage", "relevant"  # names of the two fields and of what is asked
ROWS = "thumbtune_labels"  # in a record's metadata: the labels on it, as JSON
CLIENT = "argilla"  # before the names of its people
SUGGESTED: Mapping[Label, str] = {1: "yes", -1: "no"}
TITLE = "Does the passage answer the question?"


@dataclass(frozen=True, slots=True)
class AnnotationTask:
    """A record to write: a question, a passage, all labels on both, and what they say together; 0 suggests nothing."""

    query: str
    text: str
    labels: Sequence[LabelledPair]
    verdict: Label


def records_in(path: Path) -> Path:
    """Return the file of records in a folder of Argilla's, else the path itself."""
    return path / RECORDS if (path / RECORDS).is_file() else path


def is_annotated(path: Path) -> bool:
    """Return whether a file or folder has records with a passage each, and not with answers. Raises BadLabels."""
    path = records_in(path)
    return path.suffix == ".json" and path.is_file() and any(_is_passage(each) for _, each in read_list(path))


def _is_passage(record: Mapping[str, Any]) -> bool:
    fields = record.get("fields")
    return isinstance(fields, dict) and fields.keys() >= {QUESTION, PASSAGE}


def write_argilla(folder: Path, tasks: Iterable[AnnotationTask]) -> None:
    """Write a folder that `argilla.Dataset.from_disk` reads. Raises BadLabels where that fails."""
    with write_atomically(folder) as draft:
        (draft / FOLDER).mkdir(parents=True)
        files: dict[str, object] = {
            RECORDS: [_record(task) for task in tasks],
            f"{FOLDER}/{SETTINGS}": _settings(),
            f"{FOLDER}/{DATASET}": {"name": "thumbtune"},
        }
        for name, content in files.items():
            (draft / name).write_text(json.dumps(content, ensure_ascii=False), "utf-8")


def read_argilla(path: Path) -> list[tuple[str, LabelledPair | LabelRecord]]:
    """Return the rows and the new answers of a folder or of its records.json, each with where it stands.

    An answer that is no thumb has the reason in `lacks`. Raises BadLabels, before anything is stored.
    """
    path = records_in(path)
    found: list[tuple[str, LabelledPair | LabelRecord]] = []
    for where, record in read_list(path):
        try:
            if not _is_passage(record):
                raise ValueError(f"its fields are not {QUESTION} and {PASSAGE}")
            query, text = (_text(record["fields"], name) for name in (QUESTION, PASSAGE))
            metadata = record.get("metadata")
            rows = _rows(metadata.get(ROWS) if isinstance(metadata, dict) else None, query, text)
        except ValueError as error:
            raise bad_line(path, where, str(error)) from error
        found += ((where, row) for row in rows)
        found += ((where, answer) for answer in _answers(where, record.get("responses"), query, text))
    return found


def _answers(where: str, responses: object, query: str, text: str) -> Iterator[LabelRecord]:
    """Yield the label of each person's answer to the dataset's question."""
    given = responses.get(ANSWER) if isinstance(responses, dict) else None
    for each in given if isinstance(given, list) else []:
        if isinstance(each, dict):
            value, rater = each.get("value"), f"{CLIENT}:{each.get('user_id') or NOBODY}"
            label = read_thumb(value) if isinstance(value, str) else None
            lacks = "" if label else f"left out, for {value!r:.60} is neither yes nor no"
            yield LabelRecord(f"{where}, {rater}", query, text, label or 0, rater, lacks=lacks)


def _record(task: AnnotationTask) -> dict[str, object]:
    value = SUGGESTED.get(task.verdict)
    suggestion = {ANSWER: {"value": value, "score": None, "agent": "thumbtune"}} if value else {}
    return {
        "id": content_id(task.query, task.text),
        "fields": {QUESTION: task.query, PASSAGE: task.text},
        "metadata": {ROWS: json.dumps([_row(label) for label in task.labels], ensure_ascii=False)},
        "suggestions": suggestion,
        "responses": {},
        "vectors": {},
    }


def _row(label: LabelledPair) -> dict[str, object]:
    """Return a label's row without what the record's fields have."""
    row = {name: value for name, value in schema.keyed_row(label).items() if name not in ("query", "text")}
    return {**row, "at": label.at.isoformat()}


def _rows(given: object, query: str, text: str) -> list[LabelledPair]:
    """Return the labels in a record's metadata, none where it has none. Raises ValueError."""
    if given is None:
        return []
    rows = json.loads(given) if isinstance(given, str) else given
    if not isinstance(rows, list) or not all(isinstance(row, dict) and isinstance(row.get("at"), str) for row in rows):
        raise ValueError(f"{ROWS} in its metadata is no list of labels")
    dated = [{**row, "at": datetime.fromisoformat(row["at"]), "query": query, "text": text} for row in rows]
    return schema.labels_of(dated)


def _text(fields: Mapping[str, Any], name: str) -> str:
    if not isinstance(fields[name], str) or not fields[name].strip():
        raise ValueError(f"field {name} must be a text, not {fields[name]!r:.60}")
    return str(fields[name])


def _settings() -> dict[str, object]:
    """Return the dataset's settings as Argilla 2.8 writes them, without ids, which its server gives."""
    options = [{"value": value, "text": value.capitalize()} for value in SUGGESTED.values()]
    question = {
        "name": ANSWER,
        "title": TITLE,
        "description": None,
        "required": True,
        "type": "label_selection",
        "settings": {"type": "label_selection", "options": options, "visible_options": None},
    }
    fields = [
        {
            "name": name,
            "title": name.capitalize(),
            "required": True,
            "description": None,
            "type": "text",
            "settings": {"type": "text", "use_markdown": False},
        }
        for name in (QUESTION, PASSAGE)
    ]
    return {
        "guidelines": TITLE,
        "questions": [question],
        "fields": fields,
        "vectors": [],
        "metadata": [],
        "allow_extra_metadata": True,
        "distribution": {"strategy": "overlap", "min_submitted": 1},
        "mapping": None,
    }
