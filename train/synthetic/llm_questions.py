"""Lets an LLM write the questions that users would ask of documents which nobody has rated yet.

The idea a reader would miss: every call costs, so what became of a chunk is written to a journal before the next one is
asked about, and the journal is the only truth. A run that breaks off, by Ctrl-C or an endpoint that has had enough, is
taken up where it stopped, and what was paid for is never paid for twice: not for questions that were dropped, either.
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

MOST_CHUNKS = 250  # as many chunks as the text alone makes pairs of each kind from
PER_CHUNK = 3  # questions; more of 90 words only say the same in other words
CALLS = 3  # for each chunk: to write, to judge by the chunk, to judge by another one
REFUSED_IN_A_ROW = 3  # one prompt may meet a content filter; three mean that something else is wrong
QUESTION_TOKENS, VERDICT_TOKENS = 24, 6  # of a JSON line with a question, and of "3. yes"
Found = Callable[[str], Collection[str]]  # query -> ids of the chunks that some retriever has among its ROUND_TRIP_K


@dataclass(frozen=True, slots=True)
class AskedChunk:
    """What became of one chunk: a line of the journal. `unusable` lines of the reply were no question."""

    chunk_id: str
    kept: tuple[str, ...]
    rejected: tuple[tuple[str, Reason], ...]
    unusable: int


class QuestionJournal:
    """The questions written for one corpus by one model, as JSON lines. A line that a crash tore is passed over."""

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
        """Write what became of a chunk, and see it to the disk. Raises StoreFailed."""
        data = b"\n" + json.dumps(asdict(asked), ensure_ascii=False).encode("utf-8", "replace")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:  # a line begins with its break: a torn one before it stays alone
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoreFailed(
                f"{self.path}: cannot be written ({error.strerror}): free some space, do it again"
            ) from error
        self.lines[asked.chunk_id] = asked

    def pairs(self, chunks: Sequence[Chunk]) -> list[SyntheticPair]:
        """Return the kept questions of those chunks that are still there, as pairs."""
        return [
            SyntheticPair(question, chunk.id, chunk.text, "llm")
            for chunk in chunks
            if chunk.id in self.lines
            for question in self.lines[chunk.id].kept
        ]

    def told(self) -> str:
        """Return in one line what became of all questions so far."""
        reasons: Counter[str] = Counter(reason for line in self.lines.values() for _, reason in line.rejected)
        reasons["unusable lines"] = sum(line.unusable for line in self.lines.values())
        kept = sum(len(line.kept) for line in self.lines.values())
        dropped = ", ".join(f"{reason} {n}" for reason, n in reasons.most_common() if n)
        return f"questions by the LLM: {kept} kept of {len(self.lines)} chunks; dropped: {dropped or 'none'}"


@dataclass(frozen=True, slots=True)
class QuestionPlan:
    """Which chunks are to be asked about, of how many, and at most how many calls and tokens that takes."""

    todo: tuple[Chunk, ...]
    done: int
    per_chunk: int
    tokens_in: int
    tokens_out: int

    def told(self) -> str:
        """Return the cost in one line, to be shown before it is spent."""
        return (
            f"questions by the LLM: {len(self.todo)} chunks to ask about ({self.done} are done), up to "
            f"{self.per_chunk} questions each: at most {CALLS * len(self.todo):,} calls, about {self.tokens_in:,} "
            f"tokens in and {self.tokens_out:,} out (and what a model thinks that thinks before it replies)"
        )


def plan_questions(
    chunks: Sequence[Chunk],
    journal: QuestionJournal,
    count_tokens: Callable[[str], int],
    most: int = MOST_CHUNKS,
    per_chunk: int = PER_CHUNK,
) -> QuestionPlan:
    """Choose at most `most` chunks by hash, one of each section before any second, and reckon what is left of them."""
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
    """Ask about each chunk of the plan and write what became of it to the journal, at once.

    `chunks` is the whole corpus: a question must not be answered by any other chunk of it, tried on one by hash. Raises
    AnswerFailed where the endpoint gives up; the journal has all that was finished, and a new plan goes on behind it.
    """
    known = [pair.query for pair in journal.pairs(chunks)]
    refused = 0
    for chunk in progress(plan.todo):
        try:
            asked = _ask_about(chunk, _other(chunk, chunks), known, ask, found, plan.per_chunk)
        except PromptRefused as error:  # tried again in the next run: the journal has only what is known
            refused += 1
            if refused == REFUSED_IN_A_ROW:
                raise _given_up(error, journal) from None
            continue
        except AnswerFailed as error:
            raise _given_up(error, journal) from None
        refused = 0
        journal.add(asked)
        known += asked.kept


def _ask_about(
    chunk: Chunk, other: Chunk | None, known: Sequence[str], ask: Ask, found: Found, per_chunk: int
) -> AskedChunk:
    """Let the LLM write questions for a chunk, and drop what would teach nothing; the checks that cost come last."""

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
    """Return the check that asks the LLM whether a chunk answers the questions; all of them in one call."""

    def judge(questions: list[str]) -> list[Reason | None]:
        verdicts = parse_verdicts(ask(judge_prompt(chunk, questions, secrets.token_hex(4))), len(questions))
        return ["no verdict" if verdict is None else None if verdict is wanted else otherwise for verdict in verdicts]

    return judge


def _other(chunk: Chunk, chunks: Sequence[Chunk]) -> Chunk | None:
    """Return a chunk of another section, drawn by hash; None where there is none. Neighbours may answer the same."""
    others = [other for other in chunks if (other.source, other.heading) != (chunk.source, chunk.heading)]
    return others[int(content_id("other", chunk.id), 16) % len(others)] if others else None


def _given_up(error: AnswerFailed, journal: QuestionJournal) -> AnswerFailed:
    return AnswerFailed(f"{error}; {len(journal.lines)} chunks are done and kept: the same command goes on behind them")


def _read_asked(line: str) -> AskedChunk | None:
    try:
        row = json.loads(line)
        return AskedChunk(row["chunk_id"], tuple(row["kept"]), tuple(map(tuple, row["rejected"])), row["unusable"])
    except (ValueError, TypeError, KeyError):
        return None
