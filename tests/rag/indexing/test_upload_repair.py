"""Uploads and removals that are interrupted, meet another process or a promotion leave a complete index."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rag.errors import StoreFailed
from rag.indexing.indexer import index
from rag.indexing.update import (
    changing_documents,
    update_vectors,
)
from rag.indexing.uploads import MARK, UploadResult
from rag.models.embedder import load_embedder
from rag.models.registry import Registry, Version
from rag.store.store import open_store
from uploads import BIRDS, App, Give


class Interrupted(Exception):
    """Stands for the end of the process."""


def test_the_repair_of_an_interrupted_upload_deletes_nothing_of_an_emptied_folder(app: App, give: Give) -> None:
    before = app.sources()
    app.uploads.add("birds.md", give(BIRDS))
    (app.uploads.folder / MARK).touch()
    for file in app.settings.docs[0].iterdir():
        file.unlink()
    app.uploads.add("birds.md", give(BIRDS))
    assert sorted(app.sources()) == sorted([*before, "uploads/birds.md"])
    assert app.is_up_to_date()


def test_an_upload_stopped_while_embedding_leaves_nothing(app: App, give: Give) -> None:
    def cut(done: int, total: int) -> None:
        raise Interrupted

    before = app.sources()
    with pytest.raises(Interrupted):
        app.uploads.add("birds.md", give(BIRDS), progress=cut)
    assert (app.sources(), app.files()) == (before, [])


@pytest.mark.parametrize("method", ["documents.put", "chunks.put", "chunks.delete"])
def test_an_interrupted_upload_is_completed_by_the_next_one(
    app: App, give: Give, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(app, monkeypatch, method, lambda: app.uploads.add("birds.md", give(BIRDS)))
    assert MARK in app.files()
    App(app.settings).uploads.add("fish.md", give("The fish eats seed."))
    assert app.files() == ["birds.md", "fish.md"]
    assert {"uploads/birds.md", "uploads/fish.md"} <= set(app.sources())
    assert app.is_up_to_date()


@pytest.mark.parametrize("method", ["documents.delete", "chunks.delete"])
def test_an_interrupted_removal_is_completed_by_the_next_index_run(
    app: App, give: Give, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.uploads.add("birds.md", give(BIRDS))
    interrupt(app, monkeypatch, method, lambda: app.uploads.remove("uploads/birds.md"))
    index(app.settings)
    assert app.sources() == ["cats.md", "dogs.md"]
    assert app.is_up_to_date()


def interrupt(app: App, monkeypatch: pytest.MonkeyPatch, method: str, act: Callable[[], object]) -> None:
    """Let a write fail as if the process ended there."""

    def end(*args: object) -> None:
        raise Interrupted

    with monkeypatch.context() as patch:
        part, name = method.split(".")
        patch.setattr(getattr(app.store, part), name, end)
        with pytest.raises(Interrupted):
            act()


def test_an_upload_waits_for_another_process_that_indexes_and_then_fails(
    app: App, give: Give, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.indexing.uploads.MAX_WAIT", 0.01)
    with changing_documents(open_store(app.settings.lancedb)), pytest.raises(StoreFailed, match="another process"):
        app.uploads.add("birds.md", give(BIRDS))
    assert "uploads/birds.md" not in app.sources()
    assert isinstance(app.uploads.add("birds.md", give(BIRDS)), UploadResult)


def test_an_upload_is_embedded_for_a_model_promoted_meanwhile(app: App, give: Give, tiny_model: Path) -> None:
    registry = Registry(app.settings.models)
    promoted = app.settings.models / "v1"

    def promote(done: int, total: int) -> None:
        if promoted.exists():
            return
        load_tiny(app, promoted)
        version = Version("v1", app.corpus.folders_id, "f", "start", "ratings", "promote", "VERDICT", datetime.now(UTC))
        registry.add(version)
        registry.promote(app.corpus.folders_id, "v1")

    app.uploads.add("birds.md", give(BIRDS), progress=promote)
    assert app.arms.current("tuned").model == "v1"
    assert app.is_up_to_date()


def load_tiny(app: App, folder: Path) -> None:
    """Create a version with new weights, and its table of the current documents."""
    from tiny import build_tiny_model

    folder.mkdir(parents=True)
    build_tiny_model(folder, seed=7)
    update_vectors(app.store, app.corpus.id, load_embedder(str(folder), app.settings))
