"""One home for all tests of a file: two documents, indexed, served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from rag.answering.service import open_service
from rag.indexing.indexer import index
from served import Served, open_home


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, shared_exports: Path) -> Iterator[Served]:
    settings = open_home(tmp_path_factory.mktemp("served"), tiny_model, shared_exports)
    index(settings)
    serving = open_service(settings)
    yield Served(settings, serving)
    serving.close()


@pytest.fixture(scope="module")
def client(served: Served) -> TestClient:
    return served.client()
