"""What travels between the stages: frozen values, and ids that are hashes of what they name."""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args

from rag.heading_path import PATH_SEPARATOR, truncate_headings

Arm = Literal["base", "tuned"]
Side = Literal["A", "B"]
Label = Literal[-1, 0, 1]
ARMS: tuple[Arm, ...] = get_args(Arm)
SIDES: tuple[Side, ...] = get_args(Side)

ID_LENGTH = 16  # hex digits, 64 bits: a million chunks collide with a chance of 3 in 100 million


def content_id(*parts: str) -> str:
    """Return a stable id: the start of the sha256 over the parts, each closed by a NUL so that no two lists collide."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()[:ID_LENGTH]


def normalise_query(query: str) -> str:
    """Return the form in which two spellings of a query are the same: NFKC, lower case, single spaces, no end mark."""
    return " ".join(unicodedata.normalize("NFKC", query).casefold().split()).rstrip("?!. ")


@dataclass(frozen=True, slots=True)
class Span:
    """Where a chunk lies in its document: text[start:end], its page (from 1, PDF only) and heading path."""

    start: int
    end: int
    heading: str = ""
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A file's text and how it was cut. `source` is the path shown to people, `hash` that of the file's bytes.

    `date` is when it was last changed, as 2026-05-31: what it says itself, else what the disk says; "" where unknown.
    """

    id: str
    source: str
    title: str
    hash: str
    text: str
    spans: tuple[Span, ...]
    date: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document: `document.text[start:end] == text`. The id hashes source, text and occurrence."""

    id: str
    document_id: str
    source: str
    title: str
    heading: str
    page: int | None
    text: str
    start: int
    end: int
    date: str = ""

    @property
    def name(self) -> str:
        """Return what people know its document by."""
        return self.title or self.source

    @property
    def section(self) -> str:
        """Return its heading path below the document's title."""
        return self.heading.removeprefix(self.title).removeprefix(PATH_SEPARATOR)

    @property
    def embedded(self) -> str:
        """Return what a model reads of it: its heading path, then its text, which may not say what it is about."""
        path = truncate_headings(self.heading)
        return f"{path}: {self.text}" if path else self.text


def chunks_of(document: Document) -> list[Chunk]:
    """Return the chunks of a document, in order.

    An id depends on source, text and how often that text came before, so an edit elsewhere leaves it alone.
    """
    seen: dict[str, int] = {}
    chunks = []
    for span in document.spans:
        text = document.text[span.start : span.end]
        nth = seen[text] = seen.get(text, -1) + 1
        chunk_id = content_id(document.source, text, str(nth))
        chunks.append(
            Chunk(
                chunk_id,
                document.id,
                document.source,
                document.title,
                span.heading,
                span.page,
                text,
                span.start,
                span.end,
                document.date,
            )
        )
    return chunks


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk found for a query: rank from 1, score as cosine similarity (-1 to 1), origin says what brought it there.

    dense: the embeddings. words: hybrid search raised it by its words, the embeddings alone would not have shown it.
    explore: the same, in a place that is kept for such chunks.
    """

    chunk: Chunk
    rank: int
    score: float
    origin: Literal["dense", "words", "explore"] = "dense"


@dataclass(frozen=True, slots=True)
class Answer:
    """One arm's finished answer. `cited` holds ranks of hits; times are seconds from the query to that moment."""

    id: str
    duel: str
    arm: Arm
    side: Side
    model: str
    answerer: str
    query: str
    hits: tuple[Hit, ...]
    text: str
    cited: tuple[int, ...]
    abstained: bool
    first_token_s: float
    total_s: float
    at: datetime


RatingKind = Literal["answer", "source", "taught", "preference"]
Choice = Literal["", "base", "tuned", "tie", "both bad"]
Reason = Literal["", "wrong source", "incomplete", "not in the documents", "made up"]
REASONS: tuple[Reason, ...] = get_args(Reason)
CHOICES: tuple[Choice, ...] = get_args(Choice)
DECIDING: tuple[RatingKind, ...] = ("answer", "preference")  # they say who won a duel, if they were blind


@dataclass(frozen=True, slots=True)
class Rating:
    """What one rater said of one target: +1, -1, or 0 for withdrawn. Its id hashes rater and target: one row, ever.

    `target_id` is the id of what `kind` says: of an answer (`answer`, and `source` with `chunk_id`), of a duel
    (`preference`, with `choice`, the preferred arm), or of a query (`taught`, with `chunk_id`, `query` and `text`).
    `first` is the blind rating that a later one replaced: "1" or "-1" for an answer, the choice for a duel, else "".
    """

    rater: str
    target_id: str
    value: Label
    blind: bool
    at: datetime
    kind: RatingKind = "answer"
    reason: Reason = ""
    comment: str = ""
    chunk_id: str = ""
    choice: Choice = ""
    query: str = ""
    text: str = ""
    first: str = ""

    @property
    def id(self) -> str:
        """Return the key under which a changed rating replaces the former one."""
        part = (self.chunk_id,) if self.chunk_id else ()
        return content_id(self.rater, self.kind, self.target_id, *part)


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """A row of `training_pairs`: what one rater's rating (or an imported label) says of one chunk for one query.

    label 1 is a positive, -1 a negative, 0 says nothing (any more). `rank` from 1 and `score` as in the hit; None for
    an import. The chunk's text travels along, so that a pair survives a re-index or a deleted file.
    """

    rater: str
    answer_id: str
    query: str
    chunk_id: str
    text: str
    label: Label
    at: datetime
    origin: Literal["rating", "mark", "taught", "import"]
    weight: float = 1.0
    cited: bool = False
    rank: int | None = None
    score: float | None = None
    arm: str = ""
    model: str = ""
    side: str = ""
    blind: bool = False
    reason: str = ""

    @property
    def id(self) -> str:
        """Return the key: a changed vote on the same answer lands on the same row."""
        return content_id(self.rater, self.answer_id, self.chunk_id)


@dataclass(frozen=True, slots=True)
class SyntheticPair:
    """A query made for a chunk that nobody has rated: from its text alone, by an LLM, or from a file of questions."""

    query: str
    chunk_id: str
    text: str
    origin: Literal["heading", "cloze", "definition", "llm", "questions"]

    @property
    def id(self) -> str:
        """Return the key: the same query for the same chunk is one row."""
        return content_id(normalise_query(self.query), self.chunk_id)


@dataclass(frozen=True, slots=True)
class Pair:
    """One training example, conflicts resolved. `negatives` are texts of chunks that do not answer the query.

    `weight` says how often it is seen: 1 is once an epoch, 2 twice, 0.5 in every other one. Whether it `judges` is
    decided by how its chunk came to be seen (train.dataset.credit). Raters are split on the `unsure` chunks: none
    of them is taken for wrong.
    """

    query: str
    positive_id: str
    positive: str
    negatives: tuple[str, ...] = ()
    weight: float = 1.0
    judges: bool = True
    unsure: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Qrels:
    """Judged truth of the held-out queries: query -> ids of the chunks that answer it.

    `judged` has for a query all chunks that somebody looked at, the relevant ones among them; a chunk outside of it is
    not known to be wrong. Where it names no query, only the relevant ones were judged.
    """

    relevant: dict[str, frozenset[str]] = field(default_factory=dict)
    judged: dict[str, frozenset[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.relevant)
