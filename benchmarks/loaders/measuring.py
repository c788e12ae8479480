"""Read one file as `index` does, and compare it with second readers. In a module of its own for worker processes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.loaders import second_readers
from benchmarks.loaders.words import Difference, compare, has_true_letters
from rag.ingest.documents import Skipped, ingest
from rag.ingest.workers import Parsing, parse_here
from rag.loaders.pdf.pages import load_pdf
from rag.records import Document


@dataclass(frozen=True, slots=True)
class Result:
    """One file: the difference to the second readers (None without them), seconds of reading, why it was not read."""

    path: Path
    difference: Difference | None
    seconds: float
    reason: str = ""


def measure(path: Path) -> Result:
    """Read one file as `index` does, and compare its words with what second readers find."""
    start = time.process_time()
    texts, reasons = [], []
    for outcome in ingest([path], known={}, count_tokens=_count, chunk_tokens=128, submit=_submit):
        if isinstance(outcome, Document):
            texts.append(outcome.text)
        elif isinstance(outcome, Skipped):
            reasons.append(outcome.reason)
    seconds = time.process_time() - start
    others = second_readers.read(path)
    if path.suffix.lower() == ".pdf" and not all(map(has_true_letters, [*others[:2], *texts])):
        return Result(path, None, seconds, "a font has no true map of its letters: no reader is right")
    difference = compare("\n".join(texts), others, second_readers.third_of(path, others)) if others and texts else None
    return Result(path, difference, seconds, "" if texts else "; ".join(reasons))


def _submit(suffix: str, data: bytes) -> Parsing:
    """Read a file as the loaders do without the extra `ocr`: second readers recognise no text."""
    return Parsing(lambda: load_pdf(data, lambda: None)) if suffix == ".pdf" else parse_here(suffix, data)


def _count(texts: list[str]) -> list[int]:
    """Return a stand-in for tokens: the words of each text; chunks are not what is measured here."""
    return [len(text.split()) + 2 for text in texts]
