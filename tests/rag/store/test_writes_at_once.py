"""Writes that wait at the same time: one commit for each table, and each of them is answered by itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes import NOON, make_answer, make_hits
from rag.errors import StoreFailed
from rag.records import Rating
from rag.store.lance.tables import LanceTables
from rag.store.schema import ANSWERS, RATINGS, SCHEMAS, rating_row
from rag.store.store import Store, open_store

AT_ONCE = 6


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "lancedb")
    opened.feedback.put_ratings([rating("first")])
    opened.feedback.put_answer(make_answer(make_hits("one"), id="first"))
    yield opened
    opened.close()


def rating(target: str, value: int = 1) -> Rating:
    return Rating("ann", target, 1 if value == 1 else -1, True, NOON)


@contextmanager
def held_up(store: Store) -> Iterator[ThreadPoolExecutor]:
    """Keep the writer busy while writes are begun in the context, so that all of them wait."""
    go, threads = threading.Event(), ThreadPoolExecutor(AT_ONCE + 1)
    busy = threads.submit(store.tables.write, RATINGS, go.wait)
    try:
        yield threads
        while len(store.tables._waiting) < AT_ONCE:
            threading.Event().wait(0.01)
    finally:
        go.set()
    busy.result()
    threads.shutdown()


def test_writes_that_wait_make_one_version_of_each_table_and_none_is_lost(store: Store) -> None:
    before = store.tables.version(RATINGS), store.tables.version(ANSWERS)
    with held_up(store) as threads:
        for nth in range(AT_ONCE // 2):
            threads.submit(store.feedback.put_ratings, [rating(f"answer-{nth}")])
            threads.submit(store.feedback.add_answer, make_answer(make_hits("one"), id=f"answer-{nth}"))
    assert (store.tables.version(RATINGS), store.tables.version(ANSWERS)) == (before[0] + 1, before[1] + 1)
    named = {"first", *(f"answer-{nth}" for nth in range(AT_ONCE // 2))}
    assert {each.target_id for each in store.feedback.ratings()} == named
    assert sorted(each.id for each in store.feedback.answers()) == sorted(named)


def test_of_two_that_wait_for_one_row_the_later_one_counts(store: Store) -> None:
    with held_up(store) as threads:
        for nth in range(AT_ONCE):
            threads.submit(store.feedback.put_ratings, [rating("first", 1 if nth % 2 == 0 else -1)])
            while len(store.tables._waiting) <= nth:
                threading.Event().wait(0.01)
    (only,) = store.feedback.ratings()
    assert only.value == -1


def test_a_write_that_is_refused_refuses_no_other(store: Store) -> None:
    bad: list[Future[None]] = []
    with held_up(store) as threads:
        bad.append(threads.submit(store.tables.upsert, "no/such table", [rating_row(rating("x"))], SCHEMAS[RATINGS]))
        good = [threads.submit(store.feedback.put_ratings, [rating(f"answer-{nth}")]) for nth in range(AT_ONCE - 1)]
    with pytest.raises(StoreFailed):
        bad[0].result()
    assert [each.result() for each in good] == [None] * (AT_ONCE - 1)
    assert len(store.feedback.ratings()) == AT_ONCE


def test_what_is_remembered_of_versions_has_a_limit(tmp_path: Path) -> None:
    tables = LanceTables(tmp_path / "lancedb", metadata_bytes=200_000)
    for nth in range(40):  # without the limit 3.5 MB
        tables.upsert(RATINGS, [rating_row(rating(f"answer-{nth}"))])
        assert len(tables.rows(RATINGS)) == nth + 1
    assert tables.cached_bytes < 400_000
    tables.close()
