"""python -m benchmarks.answering.extractive: fit and judge the built-in answerer's threshold on docs/questions.jsonl.

Prints, for the threshold in force and for the best one, the share of answerable questions whose right section was
retrieved and is cited, and the share of unanswerable questions that are declined. The threshold is the only number
fitted, on the questions it is judged by: 640 questions leave little room to overfit one number.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np

from rag.answering.extractive import MARGIN, MAX_HITS, THRESHOLD, best_quotes
from rag.indexing.indexer import index
from rag.ingest.corpus import load_corpus
from rag.models.embedder import load_embedder
from rag.records import Hit
from rag.settings import ROOT, Settings
from rag.store.store import open_store

QUESTIONS = ROOT / "docs" / "questions.jsonl"


def main() -> None:
    """Index the shipped docs into a temporary home, ask every question with the built-in model, and print the table."""
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home), docs=(ROOT / "docs",), base_model="builtin", start_model="builtin")
        index(settings)
        model = load_embedder("builtin", settings)
        store = open_store(settings.lancedb)
        table = store.chunks.table_name(load_corpus(settings).id, model.fingerprint)
        questions = [json.loads(line) for line in QUESTIONS.read_text().splitlines()]
        vectors = model.embed_queries([question["question"] for question in questions])

        def judge(question: dict[str, str], vector: np.ndarray) -> tuple[float, bool, bool, int]:
            hits = store.chunks.search(table, vector, settings.k)
            quotes = best_quotes(
                question["question"], hits, lambda _, texts: list(model.embed_documents(texts) @ vector)
            )
            cited = {quote.rank for quote in quotes}
            right = [hit for hit in hits if is_right(hit, question)]
            return quotes[0].score, bool(right), any(hit.rank in cited for hit in right), len(cited)

        judged = [judge(question, vector) for question, vector in zip(questions, vectors, strict=True)]
    scores = np.array([score for score, *_ in judged])
    retrieved = np.array([found for _, found, _, _ in judged])
    cited_right = np.array([cited for _, _, cited, _ in judged])
    unanswerable = np.array([question["source"] is None for question in questions])

    def shares(threshold: float) -> tuple[float, float]:
        return (
            float((cited_right & (scores >= threshold))[retrieved].mean()),
            float((scores < threshold)[unanswerable].mean()),
        )

    best = max(scores, key=lambda threshold: min(shares(threshold)))
    print(f"{(~unanswerable).sum()} answerable questions, right section retrieved for {retrieved.sum()}")
    print(f"{unanswerable.sum()} unanswerable; margin {MARGIN}, at most {MAX_HITS} passages cited")
    print(f"passages cited per question: {np.mean([n for *_, n in judged]):.2f} on average")
    print("threshold        answered, right section cited   unanswerable declined")
    for name, threshold in (("in force", THRESHOLD), ("best", best)):
        answered, declined = shares(threshold)
        print(f"{name:9} {threshold:.3f}            {answered:5.1%}                   {declined:5.1%}")


def is_right(hit: Hit, question: dict[str, str]) -> bool:
    """Return whether a hit lies in the section that answers the question."""
    return hit.chunk.source == question["source"] and hit.chunk.heading.rpartition(" > ")[2] == question["section"]


if __name__ == "__main__":
    main()
