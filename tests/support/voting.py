"""What a voter in a process of its own runs: spawn imports it by name, so it cannot stand in a test file."""

from __future__ import annotations

from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

from fakes import NOON
from rag.records import Rating
from rag.store.store import open_store


def vote(folder: Path, rater: str) -> None:
    """Rate ten answers as this rater, and as one that both voters are."""
    store = open_store(folder)
    for n in range(10):
        store.feedback.put_ratings(
            [Rating(rater, f"answer-{n}", 1, True, NOON), Rating("both", f"answer-{n}", 1, True, NOON)]
        )
    store.close()


def vote_on_and_on(folder: Path, rater: str, acknowledged: Connection) -> None:
    """Rate one answer after the other until killed, and send each rating's id when it is acknowledged."""
    store = open_store(folder)
    for n in count():
        rating = Rating(rater, f"answer-{n}", 1, True, NOON)
        store.feedback.put_ratings([rating])
        acknowledged.send(rating.id)
