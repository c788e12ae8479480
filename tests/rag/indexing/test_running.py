"""The status file of a running index update: how many of the new files can be searched."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rag.indexing.indexer import index
from rag.indexing.running import STATUS_FILE, IndexingStatus, publish_indexing, read_indexing
from rag.settings import Settings


@pytest.fixture
def status(tmp_path: Path) -> IndexingStatus:
    ticks = iter(range(1_000))
    return IndexingStatus(tmp_path, lambda: float(next(ticks)))  # a write is due each time


def test_a_file_counts_when_it_is_read_and_embedded(tmp_path: Path, status: IndexingStatus) -> None:
    status.expect(["a.md", "b.zip", "c.md"])
    status.read("a.md")
    status.read("b.zip/one.md")
    status.read("b.zip/two.md")
    status.embedded(0.5)
    found = read_indexing(tmp_path)
    assert found is not None
    assert (found.done, found.files, found.searchable) == (1, 3, False)
    status.embedded(1.0)
    status.read("c.md")
    status.embedded(0.0)
    status.searchable()
    found = read_indexing(tmp_path)
    assert found is not None
    assert (found.done, found.files, found.searchable) == (2, 3, True)


def test_the_status_is_gone_when_the_update_has_ended(tmp_path: Path) -> None:
    with publish_indexing(tmp_path) as status:
        status.expect(["a.md"])
        assert read_indexing(tmp_path) is not None
    assert read_indexing(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_the_status_of_a_killed_update_is_none(tmp_path: Path, status: IndexingStatus) -> None:
    status.expect(["a.md"])
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    path = tmp_path / STATUS_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "pid": gone.pid}))
    assert read_indexing(tmp_path) is None


def test_an_update_can_be_searched_after_its_first_documents(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(9):
        (settings.docs[0] / f"page{n}.md").write_text(f"# Page {n}\n\nThis is page number {n} of nine.\n")
    steps: list[tuple[int, bool]] = []
    embedded = IndexingStatus.embedded

    def watched(self: IndexingStatus, share: float) -> None:
        embedded(self, share)
        if share >= 1:
            steps.append((self.status.done, self.status.searchable))

    monkeypatch.setattr(IndexingStatus, "embedded", watched)
    assert len(index(settings).added) == 11
    assert [done for done, _ in steps if done] == sorted(done for done, _ in steps if done)
    first, last = steps[0], steps[-1]
    assert first[0] < 11 == last[0]
    assert last[1]
    assert read_indexing(settings.home) is None
