"""A disk that is full: nothing that was acknowledged is lost, the message says what to do, and doing it helps."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes import make_answer, make_hits
from rag.errors import StoreFailed
from rag.feedback.ratings import rate_answer, repair
from rag.store.store import open_store

DISK_BYTES = 6_000_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 6 MB, which needs root, as CI is."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as writer, contextlib.suppress(OSError):
        while True:
            writer.write(b"x" * 4096)


def test_what_was_acknowledged_is_there_and_voting_goes_on_once_there_is_room(small_disk: Path) -> None:
    store = open_store(small_disk / "lancedb")
    for number in range(3):
        store.feedback.put_answer(make_answer(make_hits("one", "two"), cited=(1,), id=f"answer-{number}"))
    filler = small_disk / "filler"
    fill(filler)
    acknowledged, refused = set(), []
    for number in range(3):
        try:
            rate_answer(store, rater="ann", answer_id=f"answer-{number}", value=1, blind=True)
            acknowledged.add(f"answer-{number}")
        except StoreFailed as error:
            refused.append(str(error))
    assert refused
    assert all("the disk is full; what was stored is safe" in line and "\n" not in line for line in refused)
    assert acknowledged <= {rating.target_id for rating in store.feedback.ratings()}
    filler.unlink()
    for number in range(3):
        rate_answer(store, rater="ann", answer_id=f"answer-{number}", value=1, blind=True)
    repair(store)
    assert len(store.feedback.ratings()) == 3
    assert sum(label.label == 1 for label in store.feedback.labels()) == 3
    store.close()


@pytest.mark.parametrize(
    "error", [RuntimeError("can't start new thread"), OSError("Cannot allocate memory (os error 12)")]
)
def test_running_out_of_memory_is_said_as_that_and_not_as_damage(tmp_path: Path, error: Exception) -> None:
    def fails() -> None:
        raise error

    store = open_store(tmp_path / "lancedb")
    with pytest.raises(StoreFailed, match="the memory ran out; what was stored is safe: close other programs"):
        store.tables.run(fails)
    store.close()
