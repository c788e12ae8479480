"""Starters are whole questions that a person would ask and that the documents answer; none is better than a bad one."""

from __future__ import annotations

import pytest

from rag.answering.service import QueryService, open_service
from rag.feedback.starters import as_question, candidates, starters
from rag.indexing.indexer import index
from rag.records import SyntheticPair
from rag.settings import Settings


@pytest.mark.parametrize(
    ("query", "origin", "question"),
    [
        ("which address do I open in the browser", "questions", "Which address do I open in the browser?"),
        ("How do I stop it?", "questions", ""),  # what "it" is stands elsewhere
        ("no make on my machine, how to start", "questions", ""),
        ("what is a view function", "definition", "What is a view function?"),
        ("what does Mounting mean", "definition", "What does Mounting mean?"),
        ("what is a chunk's text", "definition", ""),
        ("what is Installing", "definition", ""),
        ("what is the GitHub repo", "definition", ""),  # whose?
        ("what is adapter.npy", "definition", ""),
        ("top_k", "definition", ""),
        ("Docker: What is a Container Image", "heading", "What is a Container Image?"),
        ("Quickstart: How to generate good secret keys", "heading", "How do I generate good secret keys?"),
        ("FAQ: Wie melde ich einen Schaden?", "heading", "Wie melde ich einen Schaden?"),
        ("FAQ: In a hurry?", "heading", ""),
        ("Security: What it does", "heading", ""),
        ("The context: How the context works", "heading", ""),
        ("When to use Quart instead", "heading", ""),
        ("Release notes: Is 0.128 supported?", "heading", ""),
        ("Benefits: Can I carry over my vacation", "heading", "Can I carry over my vacation?"),
        ("How long does a training take with very many documents of very many pages in very many folders", "llm", ""),
    ],
)
def test_a_starter_is_a_whole_question(query: str, origin: str, question: str) -> None:
    assert as_question(query, origin) == question


def test_candidates_are_distinct_and_the_best_kinds_come_first() -> None:
    made = [
        SyntheticPair("what is a cat", "1", "text", "definition"),
        SyntheticPair("Cats: What is a cat?", "1", "text", "heading"),
        SyntheticPair("Cats sleep all day.", "1", "text", "cloze"),
        SyntheticPair("Who feeds the cat?", "2", "text", "heading"),
        SyntheticPair("what does the cat eat", "2", "text", "questions"),
    ]
    found = [question for question, _ in candidates(made)]
    assert found[0] == "What does the cat eat?"
    assert sorted(found[1:]) == ["What is a cat?", "Who feeds the cat?"]


@pytest.fixture
def serving(settings: Settings) -> QueryService:
    (settings.docs[0] / "quinces.md").write_text("# Quinces\n\nQuinces cost four euros a kilogram in October.\n")
    index(settings)
    return open_service(settings)


def put(serving: QueryService, query: str, text: str) -> None:
    table = serving.served("base").table
    (chunk_id,) = [chunk.id for chunk in serving.store.chunks.read(table)[0] if text in chunk.text]
    serving.store.feedback.put_synthetic([SyntheticPair(query, chunk_id, text, "questions")])


def test_a_starter_is_answered_from_its_passage(serving: QueryService) -> None:
    put(serving, "what do quinces cost in October", "Quinces cost")
    put(serving, "what does the mayor of Bonn earn in a year", "Quinces cost")
    assert starters(serving, 4) == ["What do quinces cost in October?"]


def test_no_starter_is_better_than_a_bad_one(serving: QueryService) -> None:
    assert starters(serving, 4) == []
    put(serving, "what does the mayor of Bonn earn in a year", "Quinces cost")
    assert starters(serving, 4) == []  # asked again, since there are new candidates
