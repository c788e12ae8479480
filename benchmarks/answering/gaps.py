"""Whether the list of missing documents names what is missing: sections are deleted, questions asked and rated.

    python -m benchmarks.answering.gaps [SEED ...]

Ten sections of the app's pages, each with three questions or more in docs/questions.jsonl, are deleted. 300 questions
are asked of both arms with the built-in model and the answerer without an LLM: those of the deleted sections, some by a
second person, and others drawn at random. A simulated person says so of every third answer that is wrong or right; of a
wrong one about a deleted section half of them that it is not in the documents. A section counts as found if it is what
most questions of one of the first twelve entries are about. Harder: other questions are asked again as often, and of
wrong answers about sections that are there some are said not to be in the documents.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rag.answering.duel import Done
from rag.answering.service import QueryService, open_service
from rag.columns import AnswerColumns, RatingColumns
from rag.evaluation.gaps import find_gaps
from rag.indexing.indexer import index
from rag.records import ARMS, SIDES, Answer, Rating, Reason, content_id, normalise_query
from rag.settings import ROOT, Settings

DELETED, ASKED, LISTED = 10, 300, 12
LEAST_QUESTIONS = 3  # of a section
AGAIN = 0.5  # of the questions about deleted sections are asked by a second person
RATES = 1 / 3  # of the answers are rated
MISTAKEN = 0.15  # of the wrong answers about sections that are there: people say that nothing is, where it is harder
SAYS_WHY = 0.5  # of the ratings down about a deleted section name the reason
START = datetime(2026, 1, 1, tzinfo=UTC)
Section = tuple[str, str]  # source, heading


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and the section and the phrase that answer it."""

    text: str
    section: Section
    phrase: str


def main() -> None:
    """Print for each seed how many of the deleted sections are among the first entries."""
    if hasattr(os, "nice"):
        os.nice(10)
    with tempfile.TemporaryDirectory() as folder:
        for seed in map(int, sys.argv[1:] or ["0", "1", "2"]):
            print(_run(seed, Path(folder)), flush=True)


def _run(seed: int, folder: Path) -> str:
    """Delete, ask, rate and list for one seed; in the same folder only what changed is indexed again."""
    draw = random.Random(seed)
    questions = _questions()
    deleted = _choose(questions, draw)
    settings = _write_docs(folder, deleted)
    index(settings)
    service = open_service(settings)
    answers = asyncio.run(_ask(service, _asked(questions, deleted, draw)))
    service.close()
    about = {normalise_query(question.text): question.section for question in questions}
    known = {normalise_query(question.text): question for question in questions}
    lines = [_report(f"seed {seed}", answers, _rate(answers, known, deleted, draw, 0.0), about, deleted)]
    harder = [*answers, *(again for answer in answers if (again := _again(answer, about, deleted)))]
    lines.append(_report("  harder", harder, _rate(harder, known, deleted, draw, MISTAKEN), about, deleted))
    return "\n".join(lines)


def _again(answer: Answer, about: dict[str, Section], deleted: Sequence[Section]) -> Answer | None:
    """Return the answer that a second person gets; those to questions about deleted sections were asked already."""
    asked_again = int(content_id("again", answer.query), 16) % 2 == 0
    if about[normalise_query(answer.query)] in deleted or not asked_again:
        return None
    return replace(answer, id=f"{answer.id}-again", duel=f"{answer.duel}-again")


def _report(
    name: str,
    answers: Sequence[Answer],
    ratings: Sequence[Rating],
    about: dict[str, Section],
    deleted: Sequence[Section],
) -> str:
    gaps = find_gaps(AnswerColumns.of(answers), RatingColumns.of(ratings), solved=())
    named = []
    for gap in gaps[:LISTED]:
        counted = Counter(about[normalise_query(query)] for query in gap.questions)
        named.append(counted.most_common(1)[0][0])
    found = set(named) & set(deleted)
    declined = sum(answer.abstained for answer in answers if about[normalise_query(answer.query)] in deleted)
    of_deleted = sum(about[normalise_query(answer.query)] in deleted for answer in answers)
    others = sum(answer.abstained for answer in answers) - declined
    return (
        f"{name}: {len(found)} of {len(deleted)} deleted sections among the first {LISTED} of {len(gaps)}; "
        f"declined: {declined / of_deleted:.0%} of the answers about them, "
        f"{others / (len(answers) - of_deleted):.0%} of the others; {len(ratings)} ratings"
    )


def _questions() -> list[Question]:
    rows = map(json.loads, (ROOT / "docs" / "questions.jsonl").read_text("utf-8").splitlines())
    return [Question(r["question"], (r["source"], r["section"]), r["answer"]) for r in rows if r["source"]]


def _choose(questions: Sequence[Question], draw: random.Random) -> list[Section]:
    counted = Counter(question.section for question in questions)
    return draw.sample(sorted(each for each, n in counted.items() if n >= LEAST_QUESTIONS), DELETED)


def _write_docs(folder: Path, deleted: Sequence[Section]) -> Settings:
    for path in sorted((ROOT / "docs").rglob("*.md")):
        source = path.relative_to(ROOT / "docs").as_posix()
        if source == "log.md":
            continue
        gone = {heading for name, heading in deleted if name == source}
        parts = path.read_text("utf-8").split("\n## ")
        kept = [part for part in parts if part.partition("\n")[0].strip() not in gone]
        assert len(parts) - len(kept) == len(gone), (source, gone)
        (folder / "docs" / source).parent.mkdir(parents=True, exist_ok=True)
        (folder / "docs" / source).write_text("\n## ".join(kept), "utf-8")
    return Settings(home=folder / "home", docs=(folder / "docs",), llm="extractive")


def _asked(questions: Sequence[Question], deleted: Sequence[Section], draw: random.Random) -> list[Question]:
    missing = [question for question in questions if question.section in deleted]
    missing += draw.sample(missing, int(AGAIN * len(missing)))
    others = [question for question in questions if question.section not in deleted]
    asked = missing + draw.sample(others, ASKED - len(missing))
    draw.shuffle(asked)
    return asked


async def _ask(service: QueryService, asked: Sequence[Question]) -> list[Answer]:
    answers = []
    sides = dict(zip(ARMS, SIDES, strict=True))
    for number, question in enumerate(asked):
        async with aclosing(service.ask(question.text, sides=sides, duel_id=f"duel-{number}")) as events:
            answers += [event.answer async for event in events if isinstance(event, Done)]
    return answers


def _rate(
    answers: Sequence[Answer],
    questions: dict[str, Question],
    deleted: Sequence[Section],
    draw: random.Random,
    mistaken: float,
) -> list[Rating]:
    ratings = []
    for number, answer in enumerate(answers):
        question = questions[normalise_query(answer.query)]
        if answer.abstained or draw.random() > RATES:
            continue
        missing = question.section in deleted
        right = not missing and question.phrase in answer.text
        says_missing = not right and draw.random() < (SAYS_WHY if missing else mistaken)
        reason: Reason = "not in the documents" if says_missing else ""
        at = START + timedelta(minutes=number)
        ratings.append(Rating(f"rater-{number % 7}", answer.id, 1 if right else -1, True, at, reason=reason))
    return ratings


if __name__ == "__main__":
    main()
