"""Answers of a real LLM in a file: how many a thumb can teach from, and how long they take.

    python -m benchmarks.answering.real_llm --model model.gguf --answers answers.jsonl

Questions of docs/questions.jsonl to our own pages, and of XQuAD to twelve of its articles where `../shared/data` has
it, by arm base with the built-in model. For each answer: whether it refuses (and whether a passage holds the answer),
which passages the model cites itself, which are attributed by thumbtune, which citations are flagged as unsupported,
what a thumb up would credit, and seconds. With `--answers` each one is written with its passages, to be read by hand.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rag.answering.duel import Done, Failed
from rag.answering.evidence.attribution import credited_numbers
from rag.answering.service import QueryService, open_service
from rag.indexing.indexer import index
from rag.records import Answer
from rag.settings import ROOT, Settings, load_settings

XQUAD = ROOT.parent / "shared" / "data" / "xquad" / "xquad.en.json"
ARTICLES = 12
OWN, FROM_XQUAD, SEED = 70, 45, 11
ANSWER_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Question:
    """A question and a phrase that answers it."""

    text: str
    phrase: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for a question: an answer or the message of a failure, after `seconds`."""

    question: Question
    answer: Answer | None
    failure: str
    seconds: float

    @property
    def is_votable(self) -> bool:
        """Return whether a person can judge it: an answer that is no refusal."""
        return self.answer is not None and not self.answer.abstained

    @property
    def is_findable(self) -> bool:
        """Return whether a passage of the answer holds the phrase that answers the question."""
        hits = self.answer.hits if self.answer else ()
        return any(_plain(self.question.phrase) in _plain(hit.chunk.text) for hit in hits)

    def record(self) -> dict[str, Any]:
        """Return it as one line of the file that is read by hand."""
        shown: dict[str, Any] = {"question": self.question.text, "phrase": self.question.phrase}
        shown |= {"findable": self.is_findable, "seconds": round(self.seconds, 1), "failure": self.failure}
        if (answer := self.answer) is not None:
            shown |= {"text": answer.text, "abstained": answer.abstained, "cited": answer.cited}
            shown |= {"credited": credited_numbers(answer)}
            shown["evidence"] = [(e.kind, e.rank, answer.text[e.start : e.end]) for e in answer.evidence or ()]
            shown["passages"] = {hit.rank: hit.chunk.text for hit in answer.hits}
        return shown


def _plain(text: str) -> str:
    return " ".join(text.lower().replace("`", "").split())


def write_documents(folder: Path) -> list[Question]:
    """Write our pages and XQuAD's articles into a folder; return questions about both, in a drawn order."""
    draw = random.Random(SEED)
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs")
        if name.parts[0] not in ("log.md", "decisions"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(page.read_bytes())
    lines = (ROOT / "docs" / "questions.jsonl").read_text("utf-8").splitlines()
    known = [known for known in map(json.loads, lines) if "answer" in known and (folder / known["source"]).is_file()]
    asked = draw.sample([Question(each["question"], each["answer"]) for each in known], OWN)
    if XQUAD.exists():
        articles = json.loads(XQUAD.read_text("utf-8"))["data"][:ARTICLES]
        foreign = []
        for number, article in enumerate(articles):
            text = "\n\n".join(paragraph["context"] for paragraph in article["paragraphs"])
            (folder / f"x{number:02}.txt").write_text(text, "utf-8")
            asked_here = [qa for paragraph in article["paragraphs"] for qa in paragraph["qas"]]
            foreign += [Question(qa["question"], qa["answers"][0]["text"]) for qa in asked_here]
        asked += draw.sample(foreign, FROM_XQUAD)
    draw.shuffle(asked)
    return asked


async def ask(service: QueryService, question: Question) -> Reply:
    """Return the reply of arm base to a question."""
    began = time.monotonic()
    answer, failure = None, ""
    async with aclosing(service.ask(question.text, sides={"base": "A"}, duel_id=f"d{began}")) as events:
        async for event in events:
            if isinstance(event, Done):
                answer = event.answer
            elif isinstance(event, Failed):
                failure = event.message
    return Reply(question, answer, failure, time.monotonic() - began)


def replies(settings: Settings, questions: list[Question]) -> Iterator[Reply]:
    """Yield the reply to each question, one after the other."""
    index(settings)
    service = open_service(settings)
    try:
        with asyncio.Runner() as runner:
            for question in questions:
                yield runner.run(ask(service, question))
    finally:
        service.close()


def report(done: list[Reply]) -> list[str]:
    """Return the figures of replies, a line each."""
    votable = [reply.answer for reply in done if reply.answer is not None and reply.is_votable]
    credited = [answer for answer in votable if credited_numbers(answer)]
    cites = [answer for answer in votable if answer.cited]
    flagged = [answer for answer in votable if any(each.kind == "unsupported" for each in answer.evidence or ())]
    refused = [reply for reply in done if reply.answer is not None and reply.answer.abstained]
    statements = sum(each.kind == "attributed" for answer in votable for each in answer.evidence or ())
    return [
        f"{len(done)} questions: {sum(bool(reply.failure) for reply in done)} failed, "
        f"{len(refused)} refused ({sum(reply.is_findable for reply in refused)} although a passage holds the answer), "
        f"{len(votable)} answers that people can judge",
        f"of these {len(credited)} credit a passage ({len(credited) / max(1, len(votable)):.0%}): "
        f"{len(cites)} cite one, {sum(bool(answer.attributed) for answer in votable)} have one attributed "
        f"({statements} statements), {len(flagged)} have an unsupported citation flagged",
        f"seconds per answer: median {median(reply.seconds for reply in done):.1f}, "
        f"most {max(reply.seconds for reply in done):.1f}",
    ]


def main() -> None:
    """Ask all questions and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.answering.real_llm", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a GGUF file")
    parser.add_argument("--answers", type=Path, help="write each answer with its passages here, as JSON Lines")
    parser.add_argument("--most", type=int, default=OWN + FROM_XQUAD, help="so many questions (default: %(default)s)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        docs = Path(folder, "docs")
        docs.mkdir()
        questions = write_documents(docs)[: chosen.most]
        settings = load_settings(
            home=Path(folder, "home"),
            docs=str(docs),
            base_model="builtin",
            start_model="builtin",
            llm=f"gguf:{chosen.model.resolve()}",
            answer_timeout=ANSWER_SECONDS,
        )
        done = []
        for reply in replies(settings, questions):
            done.append(reply)
            print(f"{len(done)}: {reply.seconds:.0f} s: {reply.question.text}", flush=True)
            if chosen.answers:
                with chosen.answers.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(reply.record(), ensure_ascii=False) + "\n")
    print(f"\n{chosen.model.name}", *report(done), sep="\n")


if __name__ == "__main__":
    main()
