"""python -m benchmarks.answering.extractive: fit and judge the built-in answerer on questions with known answers.

For docs/questions.jsonl, and for XQuAD and COVID-QA where `../shared/data` has them: of the questions whose hits hold
an answer phrase, for how many the text on the screen shows it, and how many words that text has. For the shipped
documents also whether the right section is cited and how many unanswerable questions are declined, for the threshold in
force and for the best one. Threshold and weights were chosen on these questions: docs/log.md has the figures.
"""

from __future__ import annotations

import json
import random
import re
import tempfile
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rag.answering.extractive import MAX_HITS, MAX_WORDS, THRESHOLD, Quote, choose_quotes, rank_units
from rag.answering.sentence_vectors import SentenceVectors
from rag.indexing.indexer import index
from rag.ingest.corpus import load_corpus
from rag.models.embedder import load_embedder
from rag.records import Hit
from rag.settings import ROOT, Settings
from rag.store.store import open_store

DOCS = ROOT / "docs"
DATA = ROOT.parent / "shared" / "data"
SQUADS = {"XQuAD, English": "xquad/xquad.en.json", "COVID-QA": "covidqa/200423_covidQA.json"}
MOST = 500  # questions of a SQuAD file, drawn with SEED
SEED = 0
CACHED = 100_000  # vectors: 150 MB


@dataclass(frozen=True, slots=True)
class Question:
    """A question with phrases that answer it, none if the documents do not; `source` and `section` where known."""

    text: str
    phrases: tuple[str, ...]
    source: str = ""
    section: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the answerer did with a question; `best` is the match of its best unit, before the threshold."""

    question: Question
    hits: Sequence[Hit]
    quotes: Sequence[Quote]
    best: float

    @property
    def is_findable(self) -> bool:
        """Return whether a hit contains a phrase that answers the question."""
        return any(_plain(phrase) in _plain(hit.chunk.text) for phrase in self.question.phrases for hit in self.hits)

    @property
    def is_shown(self) -> bool:
        """Return whether the quotes contain such a phrase."""
        shown = _plain(" ".join(quote.unit.shown for quote in self.quotes))
        return any(_plain(phrase) in shown for phrase in self.question.phrases)

    @property
    def words(self) -> int:
        """Return the number of words on the screen."""
        return sum(quote.words for quote in self.quotes)

    @property
    def right_hits(self) -> set[int]:
        """Return the ranks of the hits from the section that answers the question."""
        asked = (self.question.source, self.question.section)
        return {hit.rank for hit in self.hits if (hit.chunk.source, hit.chunk.heading.rpartition(" > ")[2]) == asked}


def main() -> None:
    """Index each set of documents into a temporary home, ask its questions with the built-in model, and print."""
    lines = map(json.loads, (DOCS / "questions.jsonl").read_text().splitlines())
    own = [
        Question(row["question"], (row["answer"],) if row["source"] else (), row["source"] or "", row["section"] or "")
        for row in lines
    ]
    print(f"at most {MAX_WORDS} words from {MAX_HITS} passages, threshold {THRESHOLD}")
    print(f"{'questions':24} in hits   shown   words   declined")
    judged = judge(DOCS, own)
    report("shipped documents", judged)
    for name, file in SQUADS.items():
        if (DATA / file).is_file():
            with tempfile.TemporaryDirectory() as docs:
                report(name, judge(Path(docs), read_squad(DATA / file, Path(docs))))
    report_thresholds(judged)


def judge(docs: Path, questions: Sequence[Question]) -> list[Judged]:
    """Index a folder and answer questions from it by dense search."""
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home), docs=(docs,), base_model="builtin", start_model="builtin")
        index(settings)
        model = load_embedder("builtin", settings)
        store = open_store(settings.lancedb)
        table = store.chunks.table_name(load_corpus(settings).id, model.fingerprint)

        embed = SentenceVectors(model.embed_documents, CACHED)

        def answer(question: Question, vector: np.ndarray) -> Judged:
            hits = store.chunks.search(table, vector, settings.k)
            ranked = rank_units(question.text, hits, lambda _, texts: list(embed(texts) @ vector))
            best = max((quote.match for quote in ranked), default=0.0)
            return Judged(question, hits, choose_quotes(ranked), best)

        vectors = model.embed_queries([question.text for question in questions])
        return [answer(question, vector) for question, vector in zip(questions, vectors, strict=True)]


def read_squad(path: Path, docs: Path) -> list[Question]:
    """Write the articles of a file in SQuAD's format into a folder, and return MOST of its questions."""
    questions = []
    for number, article in enumerate(json.loads(path.read_text())["data"]):
        (docs / f"{number:04}.txt").write_text("\n\n".join(each["context"] for each in article["paragraphs"]))
        questions += [
            Question(asked["question"], tuple(answer["text"] for answer in asked["answers"]))
            for paragraph in article["paragraphs"]
            for asked in paragraph["qas"]
        ]
    return random.Random(SEED).sample(questions, min(MOST, len(questions)))


def report(name: str, judged: Sequence[Judged]) -> None:
    """Print a line: of the questions whose hits hold the answer, for how many it is shown, in how many words."""
    findable = [each for each in judged if each.is_findable]
    answered = [each for each in findable if each.best >= THRESHOLD]
    shown = sum(each.is_shown for each in answered)
    words = np.mean([each.words for each in judged if each.question.phrases and each.best >= THRESHOLD])
    print(
        f"{name:24} {len(findable):7} {shown / len(findable):7.1%} {words:7.1f} {len(findable) - len(answered):10}",
        flush=True,
    )


def report_thresholds(judged: Sequence[Judged]) -> None:
    """Print the share of right sections cited and of unanswerable questions declined, by threshold."""
    scores = np.array([each.best for each in judged])
    retrieved = np.array([bool(each.right_hits) for each in judged])
    cited_right = np.array([bool(each.right_hits & {quote.rank for quote in each.quotes}) for each in judged])
    unanswerable = np.array([not each.question.phrases for each in judged])

    def shares(threshold: float) -> tuple[float, float]:
        return (
            float((cited_right & (scores >= threshold))[retrieved].mean()),
            float((scores < threshold)[unanswerable].mean()),
        )

    best = max(scores, key=lambda threshold: min(shares(threshold)))
    cited = np.mean([len({quote.rank for quote in each.quotes}) for each in judged])
    print(f"\n{retrieved.sum()} right sections retrieved, {unanswerable.sum()} questions unanswerable")
    print(f"passages cited per question: {cited:.2f} on average")
    print("threshold        answered, right section cited   unanswerable declined")
    for name, threshold in (("in force", THRESHOLD), ("best", best)):
        answered, declined = shares(threshold)
        print(f"{name:9} {threshold:.3f}            {answered:5.1%}                   {declined:5.1%}")


def _plain(text: str) -> str:
    """Return the words of a text, to compare what is shown by them."""
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))


if __name__ == "__main__":
    main()
