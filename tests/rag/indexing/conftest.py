"""Fixtures: an app with uploads, and files as a browser gives them."""

from __future__ import annotations

from pathlib import Path

import pytest

from counting import Counting
from rag.indexing.indexer import index
from rag.models import embedder
from rag.settings import Settings
from uploads import App, Give


@pytest.fixture
def app(settings: Settings, other_tiny_model: Path) -> App:
    two_models = settings.model_copy(update={"base_model": str(other_tiny_model)})
    index(two_models)
    return App(two_models)


@pytest.fixture
def give(tmp_path: Path) -> Give:
    """Return a function that writes a file as Chainlit does: under a meaningless name."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "0b1c-uuid.bin"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def model(settings: Settings) -> Counting:
    return Counting(embedder.load_embedder(settings.base_model, settings))
