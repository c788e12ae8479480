"""What the tests of `python -m train` share: homes to copy, and a way to use one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from rag.settings import Settings
from train_world import World, shared_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> World:
    """Return the world of this test run: to train it takes half a minute, so that is done once. Copy its homes."""
    folder = tmp_path_factory.getbasetemp()  # of a worker, a folder in the run's
    run = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    return shared_world(run / "train-world", tiny_model)


@pytest.fixture
def use(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that copies a home of the world and makes this process use it."""

    def copy(which: str) -> Settings:
        home = tmp_path / "copy" / "home"  # `settings` has a home of its own
        shutil.copytree(getattr(world, which), home)
        monkeypatch.chdir(tmp_path)
        for name, value in world.environment(home).items():
            monkeypatch.setenv(name, value)
        return world.settings(home)

    return copy
