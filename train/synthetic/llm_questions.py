"""Let an LLM write questions that users would ask about the documents, before anybody has rated.

Why there is a journal: every call costs money. The result of a chunk is written to the journal before the next chunk is
sent, rejected questions included. A run that was interrupted resumes there, and no call is paid for twice.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rag.answering.llm import Ask
from rag.errors import AnswerFailed, PromptRefused, StoreFailed
from rag.records import Chunk, SyntheticPair, content_id
from train.synthetic.from_documents import REST_WORDS, in_rounds
from train.synthetic.question_filter import (
    Check,
    Reason,
    ask_prompt,
    filter_questions,
    judge_prompt,
    parse_questions,
    parse_verdicts,
    refers_to_context,
    repeats,
)

MOST_CHUNKS = 250  # three calls each, and about as many questions as a bootstrap has time for
PER_CHUNK = 3  # questions; more of 90 words only repeat each other
CALLS = 3  # per chunk: write questions, check them against the chunk, check them against another chunk
REFUSED_IN_A_ROW = 3  # one prompt may trigger a content filter; three mean that something else is wrong
QUESTION_TOKENS, VERDICT_TOKENS = 24, 6  # tokens of a JSON line with a question, and of "3. yes"
Found = Callable[[str], Collection[str]]  # query -> ids of the chunks that some retriever ranks in its top ROUND_TRIP_K


@dataclass(frozen=True, slots=True)
class AskedChunk:
    """The result of one chunk: a line of the journal. `unusable` is the number of reply lines without a question."""

    chunk_id: str
    kept: tuple[str, ...]
    rejected: tuple[tuple[str, Reason], ...]
    unusable: int


class QuestionJournal:
    """The questions for one corpus by one LLM, as JSON lines. A line that a crash left incomplete is skipped."""

    def __init__(self, home: Path, corpus_id: str, model: str) -> None:
        self.path = home / "questions" / f"{corpus_id}-{re.sub(r'[^a-zA-Z0-9.]+', '-', model)}.jsonl"
        self.lines: dict[str, AskedChunk] = {}
        try:
            text = self.path.read_text("utf-8", "replace") if self.path.is_file() else ""
        except OSError as error:
            raise StoreFailed(f"{self.path}: cannot be read ({error.strerror}): make it readable") from error
        for line in filter(None, map(_read_asked, text.splitlines())):
            self.lines[line.chunk_id] = line

    def add(self, asked: AskedChunk) -> None:
        """Append the result of a chunk and fsync. Raises StoreFailed."""
        data = b"\n" + json.dumps(asdict(asked), ensure_ascii=False).encode("utf-8", "replace")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open(
                "ab"
            ) as file:  # the newline comes first, so an incomplete line before it stays separate
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoreFailed(
                f"{self.path}: cannot be written ({error.strerror}): free some space, then repeat"
            ) from error
        self.lines[asked.chunk_id] = asked

    def pairs(self, chunks: Sequence[Chunk]) -> list[SyntheticPair]:
        """Return the kept questions of the chunks that still exist, as pairs."""
        return [
            SyntheticPair(question, chunk.id, chunk.text, "llm")
            for chunk in chunks
            if chunk.id in self.lines
            for question in self.lines[chunk.id].kept
        ]

    def summary(self) -> str:
        """Return one line with the number of kept and rejected questions."""
        reasons: Counter[str] = Counter(reason for line in self.lines.values() for _, reason in line.rejected)
        reasons["unusable lines"] = sum(line.unusable for line in self.lines.values())
        kept = sum(len(line.kept) for line in self.lines.values())
        dropped = ", ".join(f"{reason} {n}" for reason, n in reasons.most_common() if n)
        return f"LLM questions: {kept} kept of {len(self.lines)} chunks; dropped: {dropped or 'none'}"


@dataclass(frozen=True, slots=True)
class QuestionPlan:
    """The chunks to ask about, how many are done, and an upper bound of calls and tokens."""

    todo: tuple[Chunk, ...]
    done: int
    per_chunk: int
    tokens_in: int
    tokens_out: int

    def summary(self) -> str:
        """Return the cost in one line."""
        return (
            f"LLM questions: {len(self.todo)} chunks to ask about ({self.done} are done), up to "
            f"{self.per_chunk} questions each: at most {CALLS * len(self.todo):,} calls, about {self.tokens_in:,} "
            f"tokens in and {self.tokens_out:,} out, plus the reasoning tokens of a reasoning model"
        )


def plan_questions(
    chunks: Sequence[Chunk],
    journal: QuestionJournal,
    count_tokens: Callable[[str], int],
    most: int = MOST_CHUNKS,
    per_chunk: int = PER_CHUNK,
) -> QuestionPlan:
    """Choose at most `most` chunks by hash, one per section before a second, and estimate the cost of new ones."""
    sections: dict[tuple[str, str], list[Chunk]] = {}
    texts = {chunk.text: chunk for chunk in chunks if len(chunk.text.split()) >= REST_WORDS}
    for chunk in texts.values():
        sections.setdefault((chunk.source, chunk.heading), []).append(chunk)
    chosen = in_rounds(list(sections.values()), lambda chunk: content_id("ask", chunk.id), most)
    todo = tuple(chunk for chunk in chosen if chunk.id not in journal.lines)
    asked = sum(count_tokens(ask_prompt(chunk, per_chunk, "0" * 8)) for chunk in todo)
    judged = sum(count_tokens(judge_prompt(chunk, (), "0" * 8)) + per_chunk * QUESTION_TOKENS for chunk in todo)
    out = len(todo) * per_chunk * (QUESTION_TOKENS + 2 * VERDICT_TOKENS)
    return QuestionPlan(todo, len(chosen) - len(todo), per_chunk, asked + (CALLS - 1) * judged, out)


def write_questions(
    plan: QuestionPlan,
    chunks: Sequence[Chunk],
    journal: QuestionJournal,
    ask: Ask,
    found: Found,
    progress: Callable[[Sequence[Chunk]], Iterable[Chunk]] = iter,
) -> None:
    """Ask the LLM about each chunk of the plan, and write each result to the journal at once.

    `chunks` is the whole corpus, from which one other chunk is drawn by hash: a question that it answers too is
    rejected. Raises AnswerFailed where the endpoint fails; the journal keeps all finished chunks for the next plan.
    """
    known = [pair.query for pair in journal.pairs(chunks)]
    refused = 0
    for chunk in progress(plan.todo):
        try:
            asked = _ask_about(chunk, _other(chunk, chunks), known, ask, found, plan.per_chunk)
        except PromptRefused as error:  # not in the journal, so the next run tries again
            refused += 1
            if refused == REFUSED_IN_A_ROW:
                raise _with_progress(error, journal) from None
            continue
        except AnswerFailed as error:
            raise _with_progress(error, journal) from None
        refused = 0
        journal.add(asked)
        known += asked.kept


def _ask_about(
    chunk: Chunk, other: Chunk | None, known: Sequence[str], ask: Ask, found: Found, per_chunk: int
) -> AskedChunk:
    """Let the LLM write questions for a chunk, and filter them; the checks that need an LLM call come last."""

    def find(questions: list[str]) -> list[Reason | None]:
        return [None if chunk.id in found(question) else "not found" for question in questions]

    checks: list[Check] = [
        lambda questions: ["refers to the text" if refers_to_context(question) else None for question in questions],
        lambda questions: ["asked before" if again else None for again in repeats(questions, known)],
        find,
        _judge(chunk, ask, wanted=True, otherwise="not answered"),
    ]
    if other:
        checks.append(_judge(other, ask, wanted=False, otherwise="answered elsewhere"))
    questions, unusable = parse_questions(ask(ask_prompt(chunk, per_chunk, secrets.token_hex(4))), per_chunk)
    kept, rejected = filter_questions(questions, checks)
    return AskedChunk(chunk.id, tuple(kept), tuple(rejected), unusable)


def _judge(chunk: Chunk, ask: Ask, *, wanted: bool, otherwise: Reason) -> Check:
    """Return a check that asks the LLM, in one call, whether a chunk answers the questions."""

    def judge(questions: list[str]) -> list[Reason | None]:
        verdicts = parse_verdicts(ask(judge_prompt(chunk, questions, secrets.token_hex(4))), len(questions))
        return ["no verdict" if verdict is None else None if verdict is wanted else otherwise for verdict in verdicts]

    return judge


def _other(chunk: Chunk, chunks: Sequence[Chunk]) -> Chunk | None:
    """Return a chunk of another section, by hash; None where there is none. Why: neighbours may answer the same."""
    others = [other for other in chunks if (other.source, other.heading) != (chunk.source, chunk.heading)]
    return others[int(content_id("other", chunk.id), 16) % len(others)] if others else None


def _with_progress(error: AnswerFailed, journal: QuestionJournal) -> AnswerFailed:
    return AnswerFailed(
        f"{error}; {len(journal.lines)} chunks are done and kept: the same command continues after them"
    )


def _read_asked(line: str) -> AskedChunk | None:
    try:
        row = json.loads(line)
        return AskedChunk(row["chunk_id"], tuple(row["kept"]), tuple(map(tuple, row["rejected"])), row["unusable"])
    except (ValueError, TypeError, KeyError):
        return None
