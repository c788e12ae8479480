"""What several tests share: settings that no machine's environment leaks into, and a real, tiny embedding model."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadFileScheduling

# before any library reads them: no test may reach a hub or a tracer, or see a key
os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", LANGCHAIN_TRACING_V2="false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # `make test` runs a test on each processor: none needs two
LEAKS = ("OPENAI_", "THUMBTUNE_", "LANGSMITH_", "LANGCHAIN_", "CHAINLIT_")
for name in [name for name in os.environ if name.startswith(LEAKS)]:
    del os.environ[name]
# a busy machine fails no test; the rest is Hypothesis's own profile, which in CI is another one
hypothesis.settings.register_profile("thumbtune", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("thumbtune")
chainlit_folder = tempfile.TemporaryDirectory(prefix="chainlit-")
os.environ["CHAINLIT_APP_ROOT"] = chainlit_folder.name  # read at its import: it writes its folders there, not here

from postgres import Postgres, running_postgres  # noqa: E402
from rag.models.onnx_embedder import exports  # noqa: E402
from rag.settings import Settings  # noqa: E402  # after the environment is clean
from tiny import build_tiny_model  # noqa: E402

MOST_WORKERS = 4  # each holds torch, more than 1 GB; from here on the longest group alone decides how long all takes
OWN_CHAT = "test_journey.py"  # starts its own chat; all other browser tests share one
SLOWEST = ("e2e", "train_cli", "test_trainer.py")  # in this order; together two thirds of the time


def pytest_xdist_auto_num_workers() -> int:
    """Return how many tests run at once: `-n auto` would count cores, not the processors that a container sees."""
    return min(MOST_WORKERS, os.cpu_count() or 1)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Hand whole files to the workers, in the order in which they are collected."""
    config.option.loadscopereorder = False
    return _ByFile(config, log)


class _ByFile(LoadFileScheduling):
    """A file's tests run in one worker, and so do those of all files that share a running chat: it starts once."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "e2e" if "/e2e/" in file and not file.endswith(OWN_CHAT) else file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what takes longest last, after what may fail in seconds.

    In a worker it comes first: else one would be left alone with it at the end, while the others have nothing to do.
    """
    in_worker = "PYTEST_XDIST_WORKER" in os.environ
    items.sort(key=lambda item: _slowness(item), reverse=in_worker)


def _slowness(item: pytest.Item) -> int:
    """Return 0 for a test that takes no time to speak of, and more for what takes more."""
    return next((len(SLOWEST) - n for n, name in enumerate(SLOWEST) if name in item.path.parts), 0)


@pytest.fixture(scope="session")
def shared_exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of exported encoders for all homes of this worker: tracing a model takes seconds."""
    return tmp_path_factory.mktemp("exports")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path, shared_exports: Path) -> Settings:
    """Return settings with a home of their own, our tiny model in both arms, and two small documents."""
    monkeypatch.chdir(tmp_path)  # no .env of the checkout
    (tmp_path / "home" / "cache").mkdir(parents=True)
    exports(tmp_path / "home" / "cache").symlink_to(shared_exports, target_is_directory=True)
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


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Return a real Postgres for all tests of this worker. Without one they are skipped; in CI they fail."""
    with running_postgres() as server:
        yield server
