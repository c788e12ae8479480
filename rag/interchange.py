"""Labels from elsewhere -> rows of `training_pairs`: JSONL, one label a line.

    {"query": "...", "text": "...", "label": 1, "rater": "ann", "at": "2026-11-23T10:00:00Z"}

`text` is the passage as the other system had it; it is looked for in the documents. Where it is not found the label is
kept under an id of its own, and counts as soon as the text is in the documents: training looks for it again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rag.errors import BadLabels
from rag.records import Chunk, LabelledPair, content_id, normalise_query
from rag.store import Store

FIELDS = {"query", "text", "label"}
DEFAULT_RATER = "import"
UNDATED = datetime(1970, 1, 1, tzinfo=UTC)  # not now: the same file twice must leave the same rows
IMPORTED = (
    "import:"  # stands before a query's id where a rating has its answer's id, so that each query has rows of its own
)
MIN_PART = 40  # characters of a chunk that must lie within a longer text for the chunk to be meant by it


@dataclass(frozen=True, slots=True)
class ImportReport:
    """How many labels were read, and how many of them found their chunk in the documents."""

    labels: int
    found: int


def import_labels(path: Path, store: Store, chunks: Sequence[Chunk]) -> ImportReport:
    """Read a JSONL file of labels into `training_pairs`. All lines are checked first: a bad file changes nothing.

    The same file twice leaves the same rows. Raises BadLabels with file, line and what to mend.
    """
    places = _Places(chunks)
    rows = [row for number, line in _lines(path) for row in _labels(path, number, line, places)]
    if not rows:
        raise BadLabels(f"{path}: no labels in it; each line is one JSON object with query, text and label")
    store.put_labels([row for row, _ in rows])
    return ImportReport(labels=len(rows), found=sum(found for _, found in rows))


def _lines(path: Path) -> Iterable[tuple[int, str]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise BadLabels(f"{path}: there is no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadLabels(f"{path}: cannot be read as UTF-8 text ({error})") from error
    return ((number, line) for number, line in enumerate(lines, start=1) if line.strip())


def _labels(path: Path, number: int, line: str, places: _Places) -> list[tuple[LabelledPair, bool]]:
    """Return the rows of one line: one for each chunk that its text means, or one under an id of its own."""
    try:
        given = _checked(json.loads(line))
        at = datetime.fromisoformat(given["at"]) if "at" in given else UNDATED
    except (ValueError, TypeError) as error:
        raise BadLabels(f"{path} line {number}: {error}; nothing was imported") from error
    found = places.of(given["text"])
    rater = str(given.get("rater") or DEFAULT_RATER)
    targets = [(chunk.id, chunk.text) for chunk in found] or [(content_id(given["text"]), given["text"])]
    rows = [
        LabelledPair(
            rater=rater,
            answer_id=IMPORTED + content_id(normalise_query(given["query"])),
            query=given["query"].strip(),
            chunk_id=chunk_id,
            text=text,
            label=given["label"],
            at=at if at.tzinfo else at.replace(tzinfo=UTC),
            origin="import",
        )
        for chunk_id, text in targets
    ]
    return [(row, bool(found)) for row in rows]


def _checked(given: Any) -> dict[str, Any]:  # noqa: ANN401  # whatever JSON holds
    if not isinstance(given, dict) or not given.keys() >= FIELDS:
        raise ValueError("needs an object with query, text and label")
    for name in ("query", "text"):
        if not isinstance(given[name], str) or not given[name].strip():
            raise ValueError(f"{name} must be a text, not {given[name]!r}")
    if given["label"] not in (-1, 0, 1) or isinstance(given["label"], bool):
        raise ValueError(f"label must be 1, 0 or -1, not {given['label']!r}")
    return given


class _Places:
    """Finds the chunks that a text from another system means, whatever its blanks and its chunk size."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._flat = [(_flat(chunk.text), chunk) for chunk in chunks]
        self._exact = dict(self._flat)

    def of(self, text: str) -> list[Chunk]:
        flat = _flat(text)
        if flat in self._exact:
            return [self._exact[flat]]
        holding = [chunk for part, chunk in self._flat if flat in part]
        return holding[:1] or [chunk for part, chunk in self._flat if len(part) >= MIN_PART and part in flat]


def _flat(text: str) -> str:
    return " ".join(text.split())
