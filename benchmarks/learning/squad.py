"""A SQuAD-format file -> a folder of documents, an indexed home, and questions with the chunks that answer them.

The questions are split by document, by a hash of its text: 60% teach, 15% are for whoever wants to choose something,
25% judge. The corpus is all documents, so a judged question is looked for among chunks that were trained on, too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rag.indexing.indexer import index
from rag.indexing.update import corpus_chunks
from rag.ingest.corpus import load_corpus
from rag.records import Chunk, Qrels, content_id, normalise_query
from rag.settings import Settings
from rag.store.store import open_store

Part = Literal["train", "validation", "test"]
SHARES: tuple[tuple[Part, float], ...] = (("train", 0.60), ("validation", 0.75), ("test", 1.0))  # upper ends
VERBS: dict[Part, str] = {"train": "learn from", "validation": "choose by", "test": "judge by"}
HALF = 0.5  # of an answer's span; a chunk that holds less of it does not answer, unless none holds more


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of the file, where its answer stands, and the chunks that hold it."""

    query: str
    part: Part
    gold: frozenset[str]


@dataclass(frozen=True, slots=True)
class Few:
    """As much of a file as a small run takes: so many documents, and more of them until there are enough questions."""

    documents: int
    questions: int = 0


@dataclass(frozen=True, slots=True)
class World:
    """Everything a cell starts from: settings whose home is indexed by the built-in model, and the questions."""

    settings: Settings
    chunks: Sequence[Chunk]
    asked: Sequence[Asked]

    def of(self, part: Part) -> list[Asked]:
        """Return the questions of one part, in an order that no file and no seed decides."""
        return sorted((a for a in self.asked if a.part == part), key=lambda a: content_id("asked", a.query))

    def summary(self) -> str:
        """Return how many documents, chunks and questions there are, in one line."""
        parts = ", ".join(f"{len(self.of(part))} questions to {verb}" for part, verb in VERBS.items())
        return f"{len({c.document_id for c in self.chunks})} documents, {len(self.chunks)} chunks; {parts}"

    def qrels(self, part: Part) -> Qrels:
        """Return the judged truth of one part."""
        return Qrels({asked.query: asked.gold for asked in self.of(part)})


def build_world(data: Path, folder: Path, few: Few | None = None) -> World:
    """Write the documents, index them once, and find each question's chunks; what is there already is used again.

    Ends the program with one line where the file is of another format, or has too little to learn from and judge by.
    """
    docs, home = folder / "docs", folder / "home"
    named = write_papers(data, docs, few)
    settings = Settings(
        home=home,
        docs=(docs,),
        base_model="builtin",
        start_model="builtin",
        llm="extractive",
        train_threads=os.cpu_count() or 1,
    )
    index(settings)
    with closing(open_store(settings.lancedb)) as store:
        chunks = corpus_chunks(store, load_corpus(settings).id)
        texts = {document.source: document.text for document in store.documents.read(load_corpus(settings).id)}
    of_document: dict[str, list[Chunk]] = {}
    for chunk in chunks:
        of_document.setdefault(chunk.source, []).append(chunk)
    asked: dict[str, Asked] = {}  # a question asked of two papers is answered by either
    for name, paper in named.items():
        for question in paper["qas"]:
            found = _asked(question, paper["context"], texts[name], of_document[name], _part(name))
            if found is None:
                continue
            before = asked.get(normalise_query(found.query))
            if before is None or before.part == found.part:
                gold = found.gold | (before.gold if before else frozenset())
                asked[normalise_query(found.query)] = Asked(found.query, found.part, gold)
    world = World(settings, chunks, list(asked.values()))
    if not world.of("train") or not world.of("test"):
        raise SystemExit(f"{data}: {len(named)} documents give {world.summary()}: need questions on more documents")
    return world


def write_papers(data: Path, docs: Path, few: Few | None = None) -> dict[str, dict]:
    """Write the documents into a folder, each as a text file, and return them by the file's name."""
    papers = read_papers(data)
    if few:
        enough = (n for n in range(few.documents, len(papers)) if count_questions(papers[:n]) >= few.questions)
        papers = papers[: next(enough, len(papers))]
    docs.mkdir(parents=True, exist_ok=True)
    named = {f"{content_id(paper['context'])}.txt": paper for paper in papers}
    for name, paper in named.items():
        (docs / name).write_text(paper["context"], "utf-8")
    return named


def read_papers(data: Path) -> list[dict]:
    """Return the documents of a SQuAD-format file with their questions, in an order that hashes decide."""
    try:
        papers = [paper for entry in json.loads(data.read_text("utf-8"))["data"] for paper in entry["paragraphs"]]
        if not count_questions(papers):
            raise ValueError("no question in it has an answer")
        return sorted(papers, key=lambda paper: content_id("paper", paper["context"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SystemExit(
            f"{data}: no SQuAD-format file ({type(error).__name__}: {error}): it has "
            '{"data": [{"paragraphs": [{"context", "qas": [{"question", "answers": [{"text", "answer_start"}]}]}]}]}'
        ) from error


def count_questions(papers: Sequence[dict]) -> int:
    """Return how many questions of these documents have an answer, each with its place."""
    return sum(1 for paper in papers for question in paper["qas"] if question["question"] and _answer(question))


def _answer(question: dict) -> dict | None:
    """Return the first answer of a question and where it stands; None where it has none: SQuAD 2 asks such, too."""
    answers = question.get("answers") or []
    return answers[0] if answers and answers[0]["text"] and answers[0]["answer_start"] >= 0 else None


def _part(name: str) -> Part:
    share = int(content_id("order", name), 16) / 16**16
    return next(part for part, end in SHARES if share < end)


def _asked(question: dict, context: str, text: str, chunks: Sequence[Chunk], part: Part) -> Asked | None:
    """Return a question with its gold chunks; None where it has no answer, or the loader left the answer out."""
    answer = _answer(question)
    if answer is None:
        return None
    start = answer["answer_start"]
    if text != context:  # the loader normalises: look for the answer nearest to where it stood
        places = [i for i in range(len(text)) if text.startswith(answer["text"], i)]
        if not places:
            return None
        start = min(places, key=lambda place: abs(place - start))
    end = start + len(answer["text"])
    held = {chunk.id: min(end, chunk.end) - max(start, chunk.start) for chunk in chunks}
    best = max(held.values())
    if best <= 0:
        return None
    gold = frozenset(i for i, n in held.items() if n == best or n >= HALF * (end - start))
    return Asked(question["question"].strip(), part, gold)
