"""What several tests share: settings that no machine's environment leaks into, and a real, tiny embedding model."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

# before any library reads them: no test may reach a hub or a tracer, or see a key
os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", LANGCHAIN_TRACING_V2="false")
LEAKS = ("OPENAI_", "THUMBTUNE_", "LANGSMITH_", "LANGCHAIN_", "CHAINLIT_")
for name in [name for name in os.environ if name.startswith(LEAKS)]:
    del os.environ[name]
chainlit_folder = tempfile.TemporaryDirectory(prefix="chainlit-")
os.environ["CHAINLIT_APP_ROOT"] = chainlit_folder.name  # read at its import: it writes its folders there, not here

from rag.settings import Settings  # noqa: E402  # after the environment is clean
from tiny import build_tiny_model  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the browser tests last: Playwright keeps an event loop running in this thread until the session ends."""
    items.sort(key=lambda item: "e2e" in item.path.parts)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Settings:
    """Return settings with a home of their own, our tiny model in both arms, and two small documents."""
    monkeypatch.chdir(tmp_path)  # no .env of the checkout
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "cats.md").write_text("# Cats\n\nThe cat drinks warm milk at night.\n\n## Food\n\nCats eat fish.\n")
    (docs / "dogs.md").write_text("# Dogs\n\nThe dog keeps one bone in the garden.\n")
    return Settings(
        home=tmp_path / "home",
        docs=(docs,),
        base_model=str(tiny_model),
        start_model=str(tiny_model),
        chunk_tokens=32,
        device="cpu",
        train_threads=1,
    )


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a real sentence-transformers model: BERT, two layers, 32 dimensions, random weights."""
    folder = tmp_path_factory.mktemp("tiny-model")
    build_tiny_model(folder, seed=0)
    return folder


@pytest.fixture(scope="session")
def other_tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model of the same shape with other weights."""
    folder = tmp_path_factory.mktemp("other-tiny-model")
    build_tiny_model(folder, seed=1)
    return folder


@pytest.fixture(autouse=True)
def _no_settings_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test an environment without keys or settings, whatever a former test set."""
    for name in [name for name in os.environ if name.startswith(LEAKS)]:
        monkeypatch.delenv(name)
