"""The records that stages exchange: frozen values, with content hashes as ids."""

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

PAGE_TURN = "\f"  # in the text of a chunk that goes on over the end of its page, after a blank
ID_LENGTH = 16  # hex digits, 64 bits: a million chunks collide with a chance of 3 in 100 million


def content_id(*parts: str) -> str:
    """Return a stable id: the first digits of the sha256 of the parts, each ended by NUL so that no lists collide."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()[:ID_LENGTH]


def normalise_query(query: str) -> str:
    """Return a query in normal form, equal for its spellings: NFKC, lower case, single spaces, no end mark."""
    compatible = query if query.isascii() else unicodedata.normalize("NFKC", query)
    return " ".join(compatible.casefold().split()).rstrip("?!. ")


@dataclass(frozen=True, slots=True)
class Span:
    """The place of a chunk in its document: text[start:end], page (from 1, PDF only) and heading path."""

    start: int
    end: int
    heading: str = ""
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A file's text and its chunks' spans. `source` is the displayed path, `hash` that of the file's bytes.

    `date` is the last change, as 2026-05-31: from the file's metadata, else from the disk; "" where unknown.
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
        """Return the display name of its document: the title, else the source."""
        return self.title or self.source

    @property
    def pages(self) -> str:
        """Return the page it is on, such as "3", or "3–4" where it goes on over the end of a page; "" without pages."""
        last = (self.page or 0) + self.text.count(PAGE_TURN)
        return "" if self.page is None else str(self.page) if last == self.page else f"{self.page}–{last}"

    @property
    def shown(self) -> str:
        """Return its text as people and language models read it."""
        return self.text.replace(PAGE_TURN, "")

    @property
    def section(self) -> str:
        """Return its heading path below the document's title."""
        return self.heading.removeprefix(self.title).removeprefix(PATH_SEPARATOR)

    @property
    def embedded(self) -> str:
        """Return the text that models embed: heading path and text, since the text alone may not name its subject."""
        path = truncate_headings(self.heading)
        return f"{path}: {self.text}" if path else self.text


def chunks_of(document: Document) -> list[Chunk]:
    """Return the chunks of a document, in order.

    An id depends on source, text and the number of earlier chunks with the same text: edits elsewhere do not change it.
    """
    occurrences: dict[str, int] = {}
    chunks = []
    for span in document.spans:
        text = document.text[span.start : span.end]
        nth = occurrences[text] = occurrences.get(text, -1) + 1
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
    """A chunk found for a query: rank from 1, score as cosine similarity (-1 to 1), and the retriever as origin.

    dense: the embeddings. words: keyword search, fused in hybrid search; the embeddings alone would not have shown it.
    explore: keyword search, in a slot reserved for such chunks.
    """

    chunk: Chunk
    rank: int
    score: float
    origin: Literal["dense", "words", "explore"] = "dense"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found out about the statement `text[start:end]` of an answer and the hit at `rank`.

    attributed: it has no valid citation and was drawn from that passage. unsupported: it cites that passage, which does
    not support it.
    """

    start: int
    end: int
    rank: int
    kind: Literal["attributed", "unsupported"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One arm's finished answer. `cited` holds ranks of hits; times are seconds from the query to that moment.

    `evidence` is in reading order; None for an answer of an earlier release, which looked for none.
    """

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
    evidence: tuple[Evidence, ...] | None = None

    @property
    def attributed(self) -> tuple[int, ...]:
        """Return the ranks of the hits from which statements without a valid citation were drawn, first one first."""
        return tuple(dict.fromkeys(each.rank for each in self.evidence or () if each.kind == "attributed"))

    @property
    def rests_on(self) -> tuple[int, ...]:
        """Return the ranks of the hits that this answer draws on: a rating of the answer teaches about these."""
        return tuple(dict.fromkeys((*self.cited, *self.attributed)))


RatingKind = Literal["answer", "source", "taught", "preference"]
Choice = Literal["", "base", "tuned", "tie", "both bad"]
Reason = Literal["", "wrong source", "incomplete", "not in the documents", "made up"]
REASONS: tuple[Reason, ...] = get_args(Reason)
CHOICES: tuple[Choice, ...] = get_args(Choice)
MARKED = "mark:"  # prefixes of the id of what a label follows from, as its answer id: no answer has such an id
PREFERRED = "preferred:"
IMPORTED = "import:"
COMPLETION = "chatcmpl-"  # before a duel's id: the id that another program knows its one answer by (serve)
BLIND_TURN, OPEN_TURN = "blind-", "open-"  # begin the id of a duel of one answer: its arm was drawn, or was asked for
DECIDING: tuple[RatingKind, ...] = ("answer", "preference")  # kinds that decide a duel, if they were blind


@dataclass(frozen=True, slots=True)
class Rating:
    """One rater's rating of one target: +1, -1, or 0 for withdrawn. Its id hashes rater and target: one row, ever.

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
        """Return the key: a changed rating replaces the previous one."""
        part = (self.chunk_id,) if self.chunk_id else ()
        return content_id(self.rater, self.kind, self.target_id, *part)


Origin = Literal["rating", "mark", "taught", "import", "preference"]


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """A row of `training_pairs`: one rater's label, from a rating or an import, of one chunk for one query.

    label 1 is a positive, -1 a negative, 0 neither, or withdrawn. `rank` from 1 and `score` as in the hit; None for an
    import. The chunk's text is stored with it, so that a label survives a re-index or a deleted file.
    """

    rater: str
    answer_id: str
    query: str
    chunk_id: str
    text: str
    label: Label
    at: datetime
    origin: Origin
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
    """A synthetic query for a chunk: made from its text, written by an LLM, or from a file of questions."""

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

    `weight` is how often it is used: 1 is once an epoch, 2 twice, 0.5 in every other one. `judges` says whether it may
    be in the test set (rag.feedback.credit.may_judge). Raters are split on the `unsure` chunks: none is a negative.
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
    """Relevance judgements of the held-out queries: query -> ids of the chunks that answer it.

    `judged` maps a query to all judged chunks, the relevant ones included; any other chunk is not known to be wrong. A
    query that it lacks has only relevant chunks judged.
    """

    relevant: dict[str, frozenset[str]] = field(default_factory=dict)
    judged: dict[str, frozenset[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.relevant)
