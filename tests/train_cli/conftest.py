"""What the tests of `python -m train` share: homes to copy, and a way to use one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rag.settings import Settings
from train_world import World, make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> World:
    return make_world(tmp_path_factory.mktemp("world"), tiny_model)


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
