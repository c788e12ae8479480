"""A home folder with a training process, for the tests of the panel and of the process."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import Bench
from rag.settings import ROOT
from rag.training_status import read_training


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    bench = Bench(tmp_path / "home")
    yield bench
    left = read_training(bench.home)
    if left and left.is_running:
        os.kill(left.pid, signal.SIGKILL)
