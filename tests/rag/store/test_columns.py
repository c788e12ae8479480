"""Answers and ratings read by columns are those of the tables."""

from __future__ import annotations

from contextlib import closing
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from fakes import NOON, make_answer, make_chunk
from rag.columns import AnswerColumns, RatingColumns
from rag.records import Evidence, Hit, Rating
from rag.store import schema
from rag.store.lance import tables as lance_tables
from rag.store.store import Store, open_store

CHUNKS = [make_chunk(f"text {n}", source, heading) for n in range(3) for source in "ab" for heading in ("", "T > x")]
HITS = [
    [Hit(chunk, rank, 0.5) for rank, chunk in enumerate(CHUNKS[start : start + size], 1)]
    for start, size in ((0, 3), (2, 5), (7, 1), (0, 0), (4, 3))
]
ANSWERS = [
    replace(
        make_answer(hits, query=f"why {n}?", id=f"answer-{n}"),
        cited=(n % 3 + 1,),
        abstained=n == 3,
        evidence=None if n == 1 else (Evidence(0, 1, 1, "attributed"), Evidence(1, 2, 2, "unsupported"))[: n % 3],
    )
    for n, hits in enumerate(HITS)
]
RATINGS = [
    Rating("ann", "answer-1", -1, False, NOON, first="1", comment="no"),
    Rating("bob", "duel", 1, True, NOON, kind="preference", choice="both bad"),
    Rating("eve", "q", 0, False, NOON, kind="taught", chunk_id="c", query="Why?"),
]


def assert_same(found: AnswerColumns | RatingColumns, expected: AnswerColumns | RatingColumns) -> None:
    for field in fields(expected):
        if field.name not in ("chunks", "hit_chunks"):
            np.testing.assert_array_equal(getattr(found, field.name), getattr(expected, field.name), field.name)


def shown(columns: AnswerColumns) -> list[tuple[str, str, str]]:
    chunks = [columns.chunks[nth] for nth in columns.hit_chunks]
    return [(chunk.id, chunk.source, chunk.heading) for chunk in chunks]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "lancedb")


def test_the_columns_of_the_tables_are_those_of_their_records(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lance_tables, "BATCH", 2)
    with closing(store):
        for answer in ANSWERS:
            store.feedback.put_answer(answer)
        store.feedback.put_ratings(RATINGS)
        assert_same(store.feedback.rating_columns(), RatingColumns.of(store.feedback.ratings()))
        answers = store.feedback.answers()
        found, expected = store.feedback.answer_columns(), AnswerColumns.of(answers)
    assert_same(found, expected)
    assert shown(found) == shown(expected)
    assert len(found.chunks) == len({*shown(found)})
    assert found.hit_cited.sum() == sum(hit.rank in answer.rests_on for answer in answers for hit in answer.hits)


def test_a_home_without_tables_has_empty_columns(store: Store) -> None:
    with closing(store):
        assert len(store.feedback.answer_columns()) == len(store.feedback.rating_columns()) == 0


def test_columns_that_an_older_table_lacks_are_empty(store: Store) -> None:
    kept = [name for name in schema.SCHEMAS[schema.RATINGS].names if name not in ("choice", "first")]
    older = schema.SCHEMAS[schema.ANSWERS].names
    with closing(store):
        store.tables.upsert(
            schema.RATINGS,
            [{name: value for name, value in schema.rating_row(RATINGS[0]).items() if name in kept}],
            schema.SCHEMAS[schema.RATINGS].empty_table().select(kept).schema,
        )
        answers = schema.SCHEMAS[schema.ANSWERS].empty_table().select([n for n in older if n != "evidence"]).schema
        row = {name: value for name, value in schema.answer_row(ANSWERS[0]).items() if name != "evidence"}
        store.tables.upsert(schema.ANSWERS, [row], answers)
        assert store.feedback.rating_columns().choices.tolist() == [""]
        assert store.feedback.answer_columns().hit_cited.tolist() == [True, False, False]


def test_later_answers_join_those_that_were_read_before(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    original = schema.read_answer_columns
    monkeypatch.setattr(
        schema, "read_answer_columns", lambda batches: read.append(len(found := original(batches))) or found
    )
    later = [replace(each, at=NOON + timedelta(hours=nth)) for nth, each in enumerate(ANSWERS)]
    with closing(store), closing(open_store(store.folder)) as other:
        assert len(store.feedback.answer_columns()) == 0
        for nth, answer in enumerate(later):
            (other if nth % 2 else store).feedback.add_answer(answer)
            found, expected = store.feedback.answer_columns(), AnswerColumns.of(other.feedback.answers())
            by_id = np.argsort(found.ids)
            assert found.ids[by_id].tolist() == sorted(expected.ids.tolist())
            assert sorted(found.texts) == sorted(expected.texts)
            assert sorted(shown(found)) == sorted(shown(expected))
        assert store.feedback.answer_columns() is found
        assert read == [0, 1, 2, 2, 2, 2]  # the latest that was known, and the new one
        store.feedback.add_answer(replace(ANSWERS[0], id="older", at=NOON - timedelta(days=1)))
        assert "older" in store.feedback.answer_columns().ids
        other.feedback.delete_answers(["answer-1"])
        assert "answer-1" not in store.feedback.answer_columns().ids
