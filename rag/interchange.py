"""Labels from elsewhere -> rows of `training_pairs`: JSONL, one label a line.

    {"query": "...", "text": "...", "label": 1, "rater": "ann", "at": "2026-11-23T10:00:00Z"}

`text` is the passage as the other system had it. Each training looks for it anew in the documents of its day, so a
label that points at nothing now counts as soon as its text is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rag.anchors import Anchors
from rag.errors import BadLabels
from rag.records import Chunk, LabelledPair, content_id, normalise_query
from rag.store import Store

FIELDS = {"query", "text", "label"}
DEFAULT_RATER = "import"
UNDATED = datetime(1970, 1, 1, tzinfo=UTC)  # not now: the same file twice must leave the same rows
IMPORTED = "import:"  # before a query's id, where a rating has its answer's id: each query has rows of its own


@dataclass(frozen=True, slots=True)
class ImportReport:
    """How many labels were read, and how many of them found their chunk in the documents."""

    labels: int
    found: int


def import_labels(path: Path, store: Store, chunks: Sequence[Chunk]) -> ImportReport:
    """Read a JSONL file of labels into `training_pairs`. All lines are checked first: a bad file changes nothing.

    The same file twice leaves the same rows. Raises BadLabels with file, line and what to mend.
    """
    labels = [_label(path, number, line) for number, line in _lines(path)]
    if not labels:
        raise BadLabels(f"{path}: no labels in it; each line is one JSON object with query, text and label")
    store.put_labels(labels)
    anchors = Anchors(chunks)
    return ImportReport(len(labels), sum(bool(anchors.find(label.chunk_id, label.text)) for label in labels))


def _lines(path: Path) -> Iterable[tuple[int, str]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise BadLabels(f"{path}: there is no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadLabels(f"{path}: cannot be read as UTF-8 text ({error})") from error
    return ((number, line) for number, line in enumerate(lines, start=1) if line.strip())


def _label(path: Path, number: int, line: str) -> LabelledPair:
    """Return the row of one line. Its chunk id is the text's own: which chunk of today that is, training finds out."""
    try:
        given = _checked(json.loads(line))
        at = datetime.fromisoformat(given["at"]) if "at" in given else UNDATED
    except (ValueError, TypeError) as error:
        raise BadLabels(f"{path} line {number}: {error}; nothing was imported") from error
    return LabelledPair(
        rater=str(given.get("rater") or DEFAULT_RATER),
        answer_id=IMPORTED + content_id(normalise_query(given["query"])),
        query=given["query"].strip(),
        chunk_id=content_id(given["text"]),
        text=given["text"],
        label=given["label"],
        at=at if at.tzinfo else at.replace(tzinfo=UTC),
        origin="import",
    )


def _checked(given: Any) -> dict[str, Any]:  # noqa: ANN401  # whatever JSON holds
    if not isinstance(given, dict) or not given.keys() >= FIELDS:
        raise ValueError("needs an object with query, text and label")
    for name in ("query", "text"):
        if not isinstance(given[name], str) or not given[name].strip():
            raise ValueError(f"{name} must be a text, not {given[name]!r}")
    if given["label"] not in (-1, 0, 1) or isinstance(given["label"], bool):
        raise ValueError(f"label must be 1, 0 or -1, not {given['label']!r}")
    return given
