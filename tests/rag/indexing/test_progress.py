"""An index run's progress is a line every ten seconds where no terminal draws a bar."""

from __future__ import annotations

import pytest

from rag.indexing.progress import Progress, each_with_progress


def test_a_line_is_printed_every_ten_seconds_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    with Progress("reading", "file", 3000, lambda: now) as progress:
        for second in range(26):
            now = float(second)
            progress.advance(100)
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        "reading: 1,100 of 3,000 files (36%), 10 s",
        "reading: 2,100 of 3,000 files (70%), 20 s",
    ]
    assert captured.out == ""  # so that `index --json` prints nothing but JSON


def test_a_short_run_prints_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(each_with_progress("reading", "file", ["a", "b"])) == ["a", "b"]
    assert capsys.readouterr() == ("", "")


def test_a_total_may_come_later_or_never(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("embedding", "chunk", now=lambda: 0.0) as progress:
        progress.advance(2)
        assert progress.line() == "embedding: 2 chunks, 0 s"
        progress.advance(3, 10)
        assert progress.line() == "embedding: 5 of 10 chunks (50%), 0 s"
