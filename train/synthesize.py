"""Queries for documents that nobody has rated yet: from a file of questions, from headings, and by inverse cloze.

The idea a reader would miss: the text to find must not hold the query. A heading is taken out of the chunk it leads to,
and a cloze's sentence out of the chunk it came from, or a model would learn to match words, which it can do already.
Everything is chosen by a hash, so that the same documents always give the same pairs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rag.chunking import SENTENCE, split
from rag.errors import BadLabels
from rag.records import Chunk, SyntheticPair, content_id

QUESTIONS = "questions.jsonl"  # in a documents folder; never indexed
PATH = " > "  # between the headings of a chunk's path
CLOZE_WORDS = range(6, 41)  # a shorter sentence asks nothing, a longer one is a paragraph
REST_WORDS = 15  # what must be left of a chunk for it to be findable
MOST_MADE = 250  # of each kind from the text alone: both together, less what is held out, take a minute on one core


@dataclass(frozen=True, slots=True)
class Question:
    """A line of questions.jsonl. No source: the documents do not answer it. `answer` is a phrase of the section."""

    question: str
    source: str | None = None
    section: str | None = None
    answer: str = ""


def read_questions(folders: Iterable[Path]) -> list[Question]:
    """Read the questions.jsonl of each documents folder that has one. Raises BadLabels with file and line."""
    paths = [folder / QUESTIONS for folder in folders if (folder / QUESTIONS).is_file()]
    try:
        lines = [(path, path.read_text("utf-8", "replace").splitlines()) for path in paths]
    except OSError as error:
        raise BadLabels(f"{error.filename}: cannot be read ({error.strerror}): make it readable, or move it") from error
    numbered = [(f"{path}:{number}", line) for path, text in lines for number, line in enumerate(text, 1)]
    return [_read_line(line, where) for where, line in numbered if line.strip()]


def from_questions(questions: Sequence[Question], chunks: Sequence[Chunk]) -> list[SyntheticPair]:
    """Return a pair for each chunk of the named section that holds the answer; none where the section is gone."""
    documents: dict[str, list[Chunk]] = {}
    for chunk in chunks:
        documents.setdefault(chunk.source, []).append(chunk)
    return [
        SyntheticPair(question.question, chunk.id, chunk.text, "questions")
        for question in questions
        if question.source
        for chunk in _holding(question, documents.get(question.source, []))
    ]


def from_headings(chunks: Sequence[Chunk]) -> list[SyntheticPair]:
    """Return heading path -> the first chunk of its section, without the heading; at most MOST_MADE, by hash."""
    pairs: dict[tuple[str, str], SyntheticPair] = {}
    for chunk in chunks:
        key = (chunk.source, chunk.heading)
        rest = _without_heading(chunk)
        if chunk.heading and key not in pairs and len(rest.split()) >= REST_WORDS:
            pairs[key] = SyntheticPair(chunk.heading.replace(PATH, ": "), chunk.id, rest, "heading")
    return sorted(pairs.values(), key=lambda pair: pair.id)[:MOST_MADE]


def from_clozes(chunks: Sequence[Chunk]) -> list[SyntheticPair]:
    """Return one sentence of a chunk -> the rest of it (inverse cloze: Lee, Chang and Toutanova 2019); as many."""
    pairs: list[SyntheticPair] = []
    for chunk in chunks:
        spans = [span for span in split(chunk.text, 0, len(chunk.text), SENTENCE) if _is_prose(chunk.text, *span)]
        if spans:
            start, end = min(spans, key=lambda span: content_id("cloze", chunk.id, str(span[0])))
            rest = f"{chunk.text[:start]}{chunk.text[end:]}".strip()
            if len(rest.split()) >= REST_WORDS:
                pairs.append(SyntheticPair(chunk.text[start:end].strip(), chunk.id, rest, "cloze"))
    return sorted(pairs, key=lambda pair: pair.id)[:MOST_MADE]


def _read_line(line: str, where: str) -> Question:
    try:
        return Question(**{key: value or "" for key, value in json.loads(line).items()})
    except (ValueError, TypeError, AttributeError) as error:
        wanted = 'a line is {"question": ..., "source": ... or null, "section": ..., "answer": ...}'
        raise BadLabels(f"{where}: {line[:80]!r} is no question ({error}): {wanted}") from None


def _holding(question: Question, document: Sequence[Chunk]) -> list[Chunk]:
    """Return the section's chunks that hold the answer's words, or of several that hold some the one with the most."""
    wanted = _plain(question.section or "")
    section = [chunk for chunk in document if not wanted or wanted in map(_plain, chunk.heading.split(PATH))]
    answer = _plain(question.answer)
    if not answer or len(section) < 2:
        return section
    holding = [chunk for chunk in section if answer in _plain(chunk.text)]
    words = set(answer.split())
    return holding or [max(section, key=lambda chunk: len(words & set(_plain(chunk.text).split())))]


def _without_heading(chunk: Chunk) -> str:
    """Return a chunk's text without the lines that only repeat its headings."""
    headings = {_plain(heading) for heading in chunk.heading.split(PATH)}
    return "\n".join(line for line in chunk.text.splitlines() if _plain(line) not in headings).strip()


def _is_prose(text: str, start: int, end: int) -> bool:
    sentence = text[start:end]
    letters = sum(char.isalpha() or char.isspace() for char in sentence)
    return len(sentence.split()) in CLOZE_WORDS and letters >= 0.8 * len(sentence) and "\n" not in sentence.strip()


def _plain(text: str) -> str:
    """Return the words alone, without case and markup."""
    return " ".join(re.findall(r"\w+", text.casefold()))
