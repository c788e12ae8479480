"""Read and write labels as JSON Lines, one label a line.

    {"query": "...", "text": "...", "label": 1, "rater": "ann", "at": "2026-11-23T10:00:00Z"}
    {"query": "...", "document": "handbook.md", "start": 120, "end": 310, "label": -1}

A place (document, start, end) is replaced by the current text at that place: offsets become wrong as soon as the
document is edited, a text can be found again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rag.feedback.chunk_matching import MIN_ANCHOR, ChunkMatcher
from rag.feedback.files.label_files import (
    DEFAULT_RATER,
    SHOWN,
    UNDATED,
    LabelRecord,
    bad_line,
    read_objects,
    write_atomically,
    write_objects,
)
from rag.feedback.preferences import PREFERENCE_WEIGHT
from rag.records import Chunk, Document, Label, LabelledPair

LABELS: dict[int, Label] = {1: 1, 0: 0, -1: -1}  # 1.0 is the key 1, too


def read_jsonl(path: Path, documents: Sequence[Document], matcher: ChunkMatcher) -> Iterator[LabelRecord]:
    """Yield the label of each line; one whose place is not in these documents has the reason in `lacks`.

    Raises BadLabels.
    """
    by_source = {document.source: document for document in documents}
    for number, given in read_objects(path):
        try:
            yield _judgement(f"line {number}", given, by_source, matcher)
        except (ValueError, OverflowError) as error:
            raise bad_line(path, number, str(error)) from error


def _judgement(
    where: str, given: Mapping[str, Any], documents: Mapping[str, Document], matcher: ChunkMatcher
) -> LabelRecord:
    """Return the label of a line, with the text at its place where it has no text. Raises ValueError."""
    given = {name: value for name, value in given.items() if value is not None}
    if not given.keys() >= {"query", "label"} or not ("text" in given or given.keys() >= {"document", "start", "end"}):
        raise ValueError("needs an object with query, text and label, or with document, start and end in place of text")
    query, label = _text(given, "query"), _label(given["label"])
    rater, at = _rater(given.get("rater", "")), _time(given["at"]) if "at" in given else UNDATED
    if "text" in given:
        return LabelRecord(where, query, _text(given, "text"), label, rater, at, preference=_preference(given))
    source, start, end = _place(given)
    document = documents.get(source)
    lacks = _lacks(document, source, start, end)
    text = _passage(document, start, end, matcher) if document and not lacks else ""
    return LabelRecord(where, query, text, label, rater, at, lacks, _preference(given))


def _preference(given: Mapping[str, Any]) -> float:
    """Return the weight of a label that a preference made, at most PREFERENCE_WEIGHT; 0 for any other label."""
    if given.get("origin") != "preference":
        return 0.0
    weight = given.get("weight", PREFERENCE_WEIGHT)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight <= 1:
        raise ValueError(f"weight of a preference must be a number above 0, at most 1, not {weight!r}")
    return min(float(weight), PREFERENCE_WEIGHT)


def _text(given: Mapping[str, Any], name: str) -> str:
    text = given[name]
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{name} must be a text, not {text!r:.{SHOWN}}")
    return text


def _label(given: Any) -> Label:  # noqa: ANN401  # whatever JSON holds
    if isinstance(given, bool) or not isinstance(given, int | float) or given not in LABELS:
        raise ValueError(f"label must be 1, 0 or -1, not {given!r}")
    return LABELS[int(given)]


def _rater(given: Any) -> str:  # noqa: ANN401
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise ValueError(f"rater must be a name, not {given!r}")
    return str(given) if given != "" else DEFAULT_RATER


def _time(given: Any) -> datetime:  # noqa: ANN401
    """Return a time in UTC; without a zone it is taken as UTC."""
    try:
        at = datetime.fromisoformat(given)
    except (ValueError, TypeError) as error:
        raise ValueError(f"at must be a time such as 2026-11-23T10:00:00Z, not {given!r}") from error
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)


def _place(given: Mapping[str, Any]) -> tuple[str, int, int]:
    start, end = given["start"], given["end"]
    whole = all(isinstance(number, int) and not isinstance(number, bool) for number in (start, end))
    if not whole or not 0 <= start < end:
        raise ValueError(f"start and end must be whole numbers, 0 <= start < end, not {start!r} and {end!r}")
    return _text(given, "document"), start, end


def _lacks(document: Document | None, source: str, start: int, end: int) -> str:
    """Return why there is no passage at a place, "" where there is one."""
    if document is None:
        return f"left out, for no document {source!r} is indexed"
    if end > len(document.text):
        return f"left out, for {source!r} ends at {len(document.text)}, before {end}"
    return "" if document.text[start:end].strip() else f"left out, for {source!r} has only blanks from {start} to {end}"


def _passage(document: Document, start: int, end: int, matcher: ChunkMatcher) -> str:
    """Return the text at a place, or that of the chunk with the largest overlap where the text would not match it.

    It would not where it is too short, spans two chunks, or occurs elsewhere as well.
    """
    text = document.text[start:end]
    holder = max(document.spans, key=lambda span: min(end, span.end) - max(start, span.start))
    chunk = document.text[holder.start : holder.end]
    found = matcher.match(text)
    is_clear = found.chunk_id and not found.crosses and len(text) >= MIN_ANCHOR
    return text if is_clear and matcher.texts[found.chunk_id or ""] == chunk else chunk


def write_jsonl(path: Path, labels: Iterable[tuple[LabelledPair, Chunk | None]]) -> None:
    """Write labels, each with its current chunk or None, as an import reads them. Raises BadLabels.

    An import takes every label as a judgement of weight 1, but those with the `origin` preference: they stay weak.
    """
    with write_atomically(path) as draft:
        write_objects(draft, (_line(label, chunk) for label, chunk in labels))


def _line(label: LabelledPair, chunk: Chunk | None) -> dict[str, object]:
    place = {"document": chunk.source, "start": chunk.start, "end": chunk.end} if chunk else {}
    at = {"at": label.at.isoformat()} if label.at != UNDATED else {}
    who = {"label": label.label, "rater": label.rater, **at, "origin": label.origin, "weight": round(label.weight, 6)}
    return {"query": label.query, "text": label.text, **place, **who}
