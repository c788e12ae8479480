"""A power cut: what was acknowledged is on disk, whatever else of a write is not."""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fakes import NOON, make_answer, make_hits
from power import Disk, watched
from rag.errors import StoreFailed
from rag.feedback.ratings import prefer, rate_answer, repair
from rag.records import Rating
from rag.store.store import open_store

RATERS, VOTES = 3, 4
WRITES = 8  # until the table is compacted
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="a handle's path is read from /proc")


@on_linux
def test_every_acknowledged_rating_is_read_after_a_power_cut_at_any_vote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuts: list[tuple[Disk, set[str]]] = []
    acknowledged: set[str] = set()
    with watched(monkeypatch) as power:
        store = open_store(tmp_path / "home" / "lancedb")
        for number in range(VOTES):
            store.feedback.put_answer(make_answer(make_hits("one", "two"), cited=(1,), id=f"answer-{number}"))

        def vote(rater: str) -> None:
            for number in range(VOTES):
                rating = rate_answer(store, rater=rater, answer_id=f"answer-{number}", value=1, blind=True)
                with power.now:
                    acknowledged.add(rating.id)
                    cuts.append((power.cut(), set(acknowledged)))

        with ThreadPoolExecutor(RATERS) as raters:
            list(raters.map(vote, [f"rater-{number}" for number in range(RATERS)]))
        with power.now:
            cuts.append((power.cut(), {*acknowledged}))
        store.close()
    assert len(acknowledged) == RATERS * VOTES
    for number, (disk, before) in enumerate(cuts[:: len(cuts) // 4]):
        left = tmp_path / f"left-{number}"
        disk.restore(tmp_path.stat().st_ino, left)
        found = open_store(left / "home" / "lancedb")
        ids = [rating.id for rating in found.feedback.ratings()]
        assert len(ids) == len(set(ids))
        assert before <= set(ids)
        repair(found)
        assert {label.answer_id for label in found.feedback.labels()} >= {"answer-0"}
        found.close()


@on_linux
def test_a_compaction_removes_old_files_only_when_the_new_ones_are_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.store.durability.KEEP_OLD_VOTES", timedelta(milliseconds=1))
    monkeypatch.setattr("rag.store.lance.tables.COMPACT_EVERY", WRITES)
    table = Path("lancedb", "ratings.lance")
    cuts: list[tuple[Disk, set[Path]]] = []
    with watched(monkeypatch) as power:
        store = open_store(tmp_path / "lancedb")
        for number in range(WRITES):
            if number == WRITES - 1:  # removed files may be gone from the disk at once
                power.before = lambda: cuts.append((power.cut(), files_of(tmp_path / table)))
            store.feedback.put_ratings([Rating("ann", f"answer-{number}", 1, True, NOON)])
        store.close()
    assert len(list((tmp_path / table / "data").iterdir())) == 1
    for number, (disk, present) in enumerate(cuts):
        left = tmp_path / f"left-{number}"
        disk.restore(tmp_path.stat().st_ino, left)
        for path in files_of(left / table) - present:
            (left / table / path).unlink()
        found = open_store(left / "lancedb")
        assert len(found.feedback.ratings()) >= WRITES - 1
        found.close()


def test_a_read_whose_version_another_process_removes_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.store.durability.KEEP_OLD_VOTES", timedelta(milliseconds=1))
    other, store = open_store(tmp_path), open_store(tmp_path)  # with a cache of its own
    for number in range(WRITES):
        other.feedback.put_ratings([Rating("ann", f"answer-{number}", 1, True, NOON)])
    tries = []

    def read(table: Any) -> int:
        tries.append(table)
        if len(tries) == 1:
            table.checkout(2)  # as if it had been the latest
            other.feedback.delete_rater("nobody")  # which compacts
        return int(table.search().to_arrow().num_rows)

    assert (store.tables.read("ratings", read), len(tries)) == (WRITES, 2)
    store.close()
    other.close()


def test_what_a_compaction_keeps_for_readers_is_removed_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.store.lance.tables.COMPACT_EVERY", WRITES)
    store = open_store(tmp_path)
    for number in range(WRITES):
        store.feedback.put_ratings([Rating("ann", f"answer-{number}", 1, True, NOON)])
    store.tables.sync("ratings")  # waits for the compaction
    data = tmp_path / "ratings.lance" / "data"
    assert len(list(data.iterdir())) == WRITES + 1
    monkeypatch.setattr("rag.store.durability.KEEP_OLD_VOTES", timedelta(milliseconds=1))
    store.tables.remove_old_versions()
    store.close()
    assert len(list(data.iterdir())) == 1


def test_what_was_written_after_a_compaction_goes_later_without_another_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.store.lance.tables.COMPACT_EVERY", WRITES)
    store = open_store(tmp_path)
    for number in range(WRITES + 1):
        store.feedback.put_ratings([Rating("ann", f"answer-{number}", 1, True, NOON)])
    store.tables.sync("ratings")  # waits for the compaction
    began = time.monotonic()
    monkeypatch.setattr("rag.store.lance.tables.time.monotonic", lambda: began + 120)  # for LanceDB it is still young
    store.tables.remove_old_versions()
    store.tables.sync("ratings")
    monkeypatch.setattr("rag.store.durability.KEEP_OLD_VOTES", timedelta(milliseconds=1))
    monkeypatch.setattr("rag.store.lance.tables.time.monotonic", lambda: began + 240)
    store.tables.remove_old_versions()
    store.close()
    assert len(list((tmp_path / "ratings.lance" / "data").iterdir())) == 1


def files_of(table: Path) -> set[Path]:
    return {path.relative_to(table) for path in table.rglob("*") if path.is_file()}


def test_a_write_that_was_cut_off_leaves_the_table_as_it_was_before(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.feedback.put_ratings([Rating("ann", "answer-1", 1, True, NOON)])
    store.feedback.put_ratings([Rating("ann", "answer-2", 1, True, NOON)])
    store.close()
    newest = min((tmp_path / "ratings.lance" / "_versions").glob("*.manifest"))
    newest.write_bytes(b"")
    again = open_store(tmp_path)
    assert [rating.target_id for rating in again.feedback.ratings()] == ["answer-1"]
    again.feedback.put_ratings([Rating("ann", "answer-3", 1, True, NOON)])
    assert {rating.target_id for rating in again.feedback.ratings()} == {"answer-1", "answer-3"}
    again.close()


def test_a_rating_that_does_not_reach_the_disk_is_not_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path)
    store.feedback.put_answer(make_answer(make_hits("one", "two"), cited=(1,), id="answer-1"))

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(StoreFailed, match="the disk is full"):
            rate_answer(store, rater="ann", answer_id="answer-1", value=1, blind=True)
    prefer(store, rater="ann", duel_id="d", choice="base", blind=True)
    assert len(store.feedback.ratings()) == 2
    store.close()


def test_a_file_system_that_cannot_sync_folders_takes_ratings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, refused = os.fsync, []

    def files_only(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            refused.append(handle)
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", files_only)
        store = open_store(tmp_path / "lancedb")
        store.feedback.put_ratings([Rating("ann", "answer-1", 1, True, NOON)])
    assert refused
    assert len(store.feedback.ratings()) == 1
    store.close()
