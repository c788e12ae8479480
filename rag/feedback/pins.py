"""Pins: confirmed question-passage pairs as regression tests for documents, settings and models.

A pin holds if the passage's text is still in the documents and at least half of it is in one of the hits that an answer
would be written from. So it breaks where a section is deleted or a table changed, where documents are cut into pieces
that no longer say it, and where the passage is no longer found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rag.errors import BadLabels
from rag.feedback.chunk_matching import ChunkMatcher, normalise_passage
from rag.feedback.files.label_files import read_objects, write_objects
from rag.feedback.pairs import make_pairs
from rag.home_address import put_back, refresh_now
from rag.records import Chunk, Document, LabelledPair, chunks_of, normalise_query

PINS_FILE = "pins.jsonl"  # in the home folder
CONFIRMED = ("taught", "mark", "import")  # origins of labels of the passage itself; a thumb is about an answer
HALF = 0.5  # of the pinned passage; less of it in a hit may lack what answers the question
Found = Callable[[str], Sequence[str]]  # query -> texts of the hits
ReadDocuments = Callable[[Sequence[str] | None], Sequence[Document]]  # sources, None for all -> documents


@dataclass(frozen=True, slots=True)
class Pin:
    """A query and the passage that answers it. `answer`, unless empty, is what must stand in the hit.

    `waived`, unless empty, is why it may break: it is reported and fails nothing.
    """

    query: str
    text: str
    source: str
    answer: str = ""
    waived: str = ""


@dataclass(frozen=True, slots=True)
class Broken:
    """A pin that does not hold, and why."""

    pin: Pin
    why: str

    def __str__(self) -> str:
        waived = f" (waived: {self.pin.waived})" if self.pin.waived else ""
        return f"{'waived' if waived else 'broken'}  {self.pin.query!r}: {self.why}{waived}"


def read_pins(path: Path) -> list[Pin]:
    """Return the pins of a file; none where it does not exist. Raises BadLabels for a line that is no pin."""
    if not refresh_now(path).exists():
        return []
    pins = []
    for number, row in read_objects(path):
        try:
            pins.append(Pin(**row))
            given = asdict(pins[-1])
        except TypeError as error:
            raise BadLabels(f"{path} line {number}: no pin ({error}): it needs query, text and source") from error
        if not all(isinstance(value, str) for value in given.values()) or not (given["query"] and given["text"]):
            raise BadLabels(f"{path} line {number}: query, text, source, answer and waived must be texts")
    return pins


def write_pins(path: Path, pins: Iterable[Pin]) -> None:
    """Write pins to a file, one a line, whole or not at all. Raises BadLabels."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        write_objects(draft, ({key: value for key, value in asdict(pin).items() if value} for pin in pins))
        draft.replace(path)
        put_back(path)
    except OSError as error:
        raise BadLabels(f"{path}: cannot be written ({error.strerror}): name a place that can") from error


def confirmed_pins(labels: Iterable[LabelledPair], chunks: Sequence[Chunk]) -> list[Pin]:
    """Return a pin for each passage that people found right for a query, by labels of the passage itself."""
    sources = {chunk.id: chunk.source for chunk in chunks}
    made = make_pairs([label for label in labels if label.origin in CONFIRMED], chunks, lambda one, other: False)
    return [Pin(pair.query, pair.positive, sources[pair.positive_id]) for pair in made.pairs]


def check_pins(pins: Sequence[Pin], read: ReadDocuments, find: Found) -> list[Broken]:
    """Return the pins that do not hold, in their order; `find` returns the hits that an answer is written from.

    `read` returns the documents of these sources, or all of them.
    """
    standing = _Standing(pins, read)
    broken = []
    for pin in pins:
        why = standing.why_gone(pin) or ("" if holds(pin, find(pin.query)) else "its passage is not among the hits")
        if why:
            broken.append(Broken(pin, why))
    return broken


def holds(pin: Pin, texts: Iterable[str]) -> bool:
    """Return whether one of these hits has half of the passage, and the answer where the pin names one."""
    wanted, answer = normalise_passage(pin.text), normalise_passage(pin.answer)
    return any(
        answer in text and _overlap(wanted, text) >= HALF * len(wanted) for text in map(normalise_passage, texts)
    )


def merge_pins(old: Sequence[Pin], new: Iterable[Pin]) -> list[Pin]:
    """Return the old pins, and those new ones whose query and passage are not pinned yet."""
    known = {(normalise_query(pin.query), normalise_passage(pin.text)) for pin in old}
    return [*old, *(pin for pin in new if (normalise_query(pin.query), normalise_passage(pin.text)) not in known)]


def waive(pins: Sequence[Pin], query: str, reason: str) -> list[Pin]:
    """Return the pins with those of a query waived for a reason. Raises BadLabels where the query has no pin."""
    key = normalise_query(query)
    if not any(normalise_query(pin.query) == key for pin in pins):
        raise BadLabels(f"{query!r} has no pin: give a question as `python -m rag check` prints it")
    return [replace(pin, waived=reason) if normalise_query(pin.query) == key else pin for pin in pins]


class _Standing:
    """Whether the text of a pin still stands in the documents."""

    def __init__(self, pins: Sequence[Pin], read: ReadDocuments) -> None:
        sources = sorted({pin.source for pin in pins})
        self._read = read
        self._documents: Mapping[str, Document] = {document.source: document for document in read(sources)}
        self._normal: dict[str, str] = {}
        self._matcher: ChunkMatcher | None = None

    def why_gone(self, pin: Pin) -> str:
        """Return why the text of a pin does not stand in the documents, "" where it does."""
        wanted = normalise_passage(pin.answer or pin.text)
        document = self._documents.get(pin.source)
        if document and wanted in self._normal.setdefault(pin.source, normalise_passage(document.text)):
            return ""
        match = self._all().match(pin.answer or pin.text)
        if match.chunk_id is not None and not match.crosses:  # the file was renamed, or the section moved
            return ""
        return f"its passage in {pin.source} was changed or deleted" if document else f"{pin.source} is gone"

    def _all(self) -> ChunkMatcher:
        if self._matcher is None:
            self._matcher = ChunkMatcher([chunk for each in self._read(None) for chunk in chunks_of(each)])
        return self._matcher


def _overlap(wanted: str, text: str) -> int:
    """Return how many characters of one text are in the other: all of the shorter one, or an end that they share."""
    if wanted in text or text in wanted:
        return min(len(wanted), len(text))
    for length in range(min(len(wanted), len(text)), int(HALF * len(wanted)), -1):
        if wanted.endswith(text[:length]) or wanted.startswith(text[-length:]):
            return length
    return 0
