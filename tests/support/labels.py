"""A small document whose chunks labels can mean, and labels of it."""

from __future__ import annotations

from dataclasses import replace

from fakes import NOON
from rag.records import Document, LabelledPair, Span, chunks_of, content_id

TEXTS = (
    "The cat drinks warm milk\nat night, in the garden.",
    "The dog keeps one bone in the old garden house.",
    "Short.",
)


def make_document(*texts: str, source: str = "a.md") -> Document:
    """Return a document of these chunks, with a blank line between two."""
    spans, start = [], 0
    for text in texts:
        spans.append(Span(start, start + len(text)))
        start += len(text) + 2
    return Document(content_id(source), source, source, "hash", "\n\n".join(texts), tuple(spans))


DOCUMENT = make_document(*TEXTS)
CHUNKS = chunks_of(DOCUMENT)
DOCUMENTS = [DOCUMENT]


def make_label(text: str = TEXTS[0], label: int = 1, **other: object) -> LabelledPair:
    row = LabelledPair("ann", "answer", "why?", content_id("a.md", text, "0"), text, label, NOON, "mark")  # type: ignore[arg-type]
    return replace(row, **other)  # type: ignore[arg-type]
