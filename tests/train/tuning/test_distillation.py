"""Queries learn from hybrid search what keyword search knows; without anything to learn they stay as they are."""

from __future__ import annotations

import numpy as np
import pytest

from fakes import make_chunk
from rag.records import normalise_query
from train.synthetic.spans import LENGTHS, made_queries
from train.tuning import distillation, hybrid_teacher
from train.tuning.distillation import distil
from train.tuning.hybrid_teacher import Teacher, make_teacher

DIM = 16
RNG = np.random.default_rng(0)
WORDS = [f"{one}{two}" for one in ("ba", "ko", "mi", "zu", "re") for two in ("dal", "fen", "gor", "hup", "lix", "nat")]
TEXTS = [" ".join(RNG.choice(WORDS, 12)) for _ in range(60)]
CHUNKS = [make_chunk(text, f"{number}.md") for number, text in enumerate(TEXTS)]


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_made_queries_differ_are_the_same_again_and_come_from_every_chunk() -> None:
    queries = made_queries(CHUNKS, 100)
    assert queries == made_queries(list(reversed(CHUNKS)), 100)
    assert len({normalise_query(query) for query in queries}) == len(queries) == 100
    assert all(any(query in text for text in TEXTS) for query in queries)
    assert all(sum(query in text for query in queries) for text in TEXTS)
    assert {len(query.split()) for query in queries} <= set(LENGTHS)


def test_made_queries_of_chinese_are_short_pieces_and_a_few_words_make_none() -> None:
    text = "蜜蜂在晚春分群因为蜂群没有地方了老蜂王在中午带着一半的工蜂离开去寻找新的家园"
    queries = made_queries([make_chunk(text)], 5)
    assert len(queries) == 5
    assert all(query in text and len(query) <= 20 for query in queries)
    assert made_queries([make_chunk("too short")], 5) == []
    assert made_queries([], 5) == []


def test_a_rare_word_counts_more_and_the_best_chunk_scores_one() -> None:
    """BM25 of equally long texts of two words: log(1 + 2.5 / 1.5) for a word of one of three, log(1 + 1.5 / 2.5)."""
    chunks = [make_chunk("milk bowl", "a"), make_chunk("milk house", "b"), make_chunk("river night", "c")]
    texts = [chunk.text for chunk in chunks]
    (scores,) = hybrid_teacher._bm25(texts, ["bowl of milk"]).toarray()
    rare, common = np.log(1 + 2.5 / 1.5), np.log(1 + 1.5 / 2.5)
    np.testing.assert_allclose(scores, [1.0, common / (rare + common), 0.0], rtol=1e-5)
    assert not hybrid_teacher._bm25(["...", "!"], ["bowl"]).toarray().any()


def test_of_many_chunks_only_the_best_have_a_keyword_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hybrid_teacher, "KEYWORD_HITS", 2)
    scores = hybrid_teacher._bm25(["milk milk", "milk house", "milk milk milk"], ["milk"]).toarray()
    assert (scores > 0).tolist() == [[True, False, True]]


def test_the_teacher_weighs_both_searches() -> None:
    teacher = make_teacher(CHUNKS[:3])
    cosines = np.array([[1.0, 0.0, -1.0]], dtype=np.float32)
    keywords = teacher.keywords[[0]].toarray()[0]
    scores = 15 * (0.5 * np.array([1.0, 0.5, 0.0]) + 0.5 * keywords)
    expected = np.exp(scores) / np.exp(scores).sum()
    np.testing.assert_allclose(teacher.target(cosines, np.array([0]))[0], expected, rtol=1e-5)


def test_of_more_chunks_than_are_ranked_a_sample_teaches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hybrid_teacher, "CHUNKS", 10)
    teacher = make_teacher(CHUNKS)
    assert len(teacher.rows) == 10
    assert teacher.keywords.shape == (len(teacher.queries), 10)
    some = [CHUNKS[row].text for row in teacher.rows]
    assert all(any(query in text for text in some) for query in teacher.queries)


def test_queries_learn_the_words_that_their_vectors_hide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks lie where their words are. A query's vector has the wrong sign in a quarter of its numbers."""
    monkeypatch.setattr(distillation, "RATE", 0.03)  # a few hundred queries make few steps
    places = {word: RNG.normal(size=DIM) for word in WORDS}

    def embedded(texts: list[str]) -> np.ndarray:
        return unit(np.stack([sum(places[word] for word in text.split()) for text in texts]))

    vectors, wrong = embedded(TEXTS), np.array([1.0] * (DIM - 4) + [-1.0] * 4)
    teacher = make_teacher(CHUNKS)
    matrix = distil(unit(embedded(list(teacher.queries)) * wrong), teacher, vectors, (DIM, 8))
    new = [" ".join(text.split()[:5]) for text in TEXTS]
    asked = unit(embedded(new) * wrong)
    first = [
        float(((unit(each) @ vectors.T).argmax(axis=1) == np.arange(60)).mean()) for each in (asked, asked @ matrix)
    ]
    assert first[1] > first[0] + 0.1


def test_without_queries_nothing_is_turned() -> None:
    vectors = unit(RNG.normal(size=(1, DIM)))
    teacher = make_teacher([make_chunk("short")])
    assert isinstance(teacher, Teacher)
    np.testing.assert_array_equal(distil(np.zeros((0, DIM), np.float32), teacher, vectors, (DIM,)), np.eye(DIM))


def test_the_same_seed_gives_the_same_matrix() -> None:
    teacher, vectors = make_teacher(CHUNKS), unit(RNG.normal(size=(60, DIM)))
    queries = unit(RNG.normal(size=(len(teacher.queries), DIM)))
    one, other = (distil(queries, teacher, vectors, (DIM,), seed=1) for _ in range(2))
    np.testing.assert_array_equal(one, other)
