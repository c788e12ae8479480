"""Ratings and labels that are kept in memory are those of the tables, whoever writes them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from fakes import NOON
from rag.records import LabelledPair, Rating
from rag.store import feedback_store, schema
from rag.store.store import Store, open_store

LABEL = LabelledPair("ann", "answer", "why?", "c", "text", -1, NOON, "rating", rank=None, score=None)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """Return the store of a chat, and that of another process on the same tables."""
    both = open_store(tmp_path / "lancedb"), open_store(tmp_path / "lancedb")
    yield both
    for store in both:
        store.close()


def rating(rater: str, target: str) -> Rating:
    return Rating(rater, target, 1, True, NOON)


def in_tables(store: Store, rater: str) -> list[str]:
    rows = store.tables.rows(schema.RATINGS)
    return sorted(row["answer_id"] for row in rows if row["rater"] == rater)


def in_memory(store: Store, rater: str) -> list[str]:
    return sorted(each.target_id for each in store.feedback.ratings(rater))


def test_what_is_read_is_in_the_tables_whichever_process_wrote_it(stores: tuple[Store, Store]) -> None:
    ours, other = stores
    assert ours.feedback.ratings("ann") == []
    for nth in range(6):
        writer = other if nth in (2, 3) else ours
        writer.feedback.put_ratings([rating("ann", f"answer-{nth}"), rating("bob", f"answer-{nth}")])
        assert in_memory(ours, "ann") == in_tables(ours, "ann")
        assert in_memory(other, "bob") == in_tables(other, "bob")
    changed = replace(rating("ann", "answer-1"), value=-1)
    ours.feedback.put_ratings([changed])
    assert ours.feedback.rating(changed.id) == other.feedback.rating(changed.id) == changed
    assert ours.feedback.rating("x") is None
    assert ours.feedback.delete_rater("ann") == (6, 0)
    for store in stores:
        assert in_memory(store, "ann") == []
        assert len(store.feedback.ratings()) == 6


def test_two_that_write_at_once_both_read_all_of_it(stores: tuple[Store, Store]) -> None:
    with ThreadPoolExecutor(4) as threads:
        for nth in range(20):
            threads.submit(stores[nth % 2].feedback.put_ratings, [rating("ann", f"answer-{nth}")])
            threads.submit(stores[nth % 2].feedback.ratings, "ann")
    for store in stores:
        assert in_memory(store, "ann") == in_tables(store, "ann")
        assert len(in_memory(store, "ann")) == 20


def test_the_labels_of_a_query_follow_each_change(stores: tuple[Store, Store]) -> None:
    ours, other = stores
    assert ours.feedback.labels("why?") == []
    ours.feedback.put_labels([LABEL, replace(LABEL, query="who?", answer_id="second")])
    assert ours.feedback.labels("why?") == [LABEL]
    moved = replace(LABEL, query="how?")  # the key of a label has no query
    other.feedback.put_labels([moved])
    assert (ours.feedback.labels("why?"), ours.feedback.labels("how?")) == ([], [moved])
    ours.feedback.put_labels([LABEL])
    assert (ours.feedback.labels("why?"), ours.feedback.labels("how?")) == ([LABEL], [])


def test_more_ratings_than_are_kept_are_read_from_their_table(
    stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feedback_store, "HELD_ROWS", 2)
    ours, _ = stores
    for nth in range(4):
        ours.feedback.put_ratings([rating("ann", f"answer-{nth}")])
        assert len(ours.feedback.ratings("ann")) == nth + 1
        assert ours.feedback.rating(rating("ann", f"answer-{nth}").id) is not None
    assert not ours.feedback._ratings._records
