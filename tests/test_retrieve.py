"""An arm searches only the table of its own model, and follows the registry without losing what serves."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fakes import NOON
from rag.embed import load_embedder
from rag.errors import NotIndexed
from rag.index import load_corpus, update_vectors
from rag.prepare import index
from rag.registry import START_WEIGHTS, Registry, Version
from rag.retrieve import Arms, retrieve
from rag.settings import Settings
from rag.store import open_store


def add_version(settings: Settings, model: Path, *, indexed: bool = True) -> Version:
    registry, corpus = Registry(settings.models), load_corpus(settings)
    name = registry.next_name()
    shutil.copytree(model, settings.models / name)
    embedder = load_embedder(str(settings.models / name), settings)
    if indexed:
        update_vectors(open_store(settings.lancedb), corpus.id, embedder)
    version = Version(name, corpus.folders_id, embedder.fingerprint, "start", "ratings", "promote", "VERDICT", NOON)
    registry.add(version)
    return version


@pytest.fixture
def arms(settings: Settings) -> Arms:
    index(settings)
    return Arms(settings, open_store(settings.lancedb), load_corpus(settings))


def test_the_chunk_with_the_querys_words_comes_first(settings: Settings, arms: Arms) -> None:
    hits = retrieve(
        open_store(settings.lancedb), arms.current("base"), "# Dogs The dog keeps one bone in the garden.", 3
    )
    assert [hit.rank for hit in hits] == [1, 2, 3]
    assert hits[0].chunk.source == "dogs.md"
    assert hits[0].score > hits[1].score


def test_before_any_promotion_both_arms_share_one_loaded_model(arms: Arms) -> None:
    assert arms.current("tuned").model == START_WEIGHTS
    assert arms.current("tuned").embedder is arms.current("base").embedder


def test_documents_that_were_never_indexed_are_said_with_the_next_step(settings: Settings) -> None:
    with pytest.raises(NotIndexed, match="python -m rag index"):
        Arms(settings, open_store(settings.lancedb), load_corpus(settings))


def test_a_promotion_and_a_rollback_are_followed(settings: Settings, arms: Arms, other_tiny_model: Path) -> None:
    version = add_version(settings, other_tiny_model)
    held = arms.current("tuned")
    assert not arms.refresh()  # there is a new version, but it does not serve yet
    registry, folders = Registry(settings.models), load_corpus(settings).folders_id
    registry.promote(folders, version.name)
    assert arms.refresh()
    assert arms.current("tuned").model == version.name
    assert arms.current("tuned").table != held.table
    assert retrieve(open_store(settings.lancedb), held, "cat", 1)  # a question in flight goes on with what it had
    registry.rollback(folders)
    assert arms.refresh()
    assert arms.current("tuned").model == START_WEIGHTS
    assert not arms.refresh()


def test_a_champion_without_a_table_of_its_own_is_never_searched_with_anothers(
    settings: Settings, arms: Arms, other_tiny_model: Path
) -> None:
    version = add_version(settings, other_tiny_model, indexed=False)
    Registry(settings.models).promote(load_corpus(settings).folders_id, version.name)
    assert not arms.refresh()
    assert arms.current("tuned").model == START_WEIGHTS
    assert "no index of these documents" in arms.trouble


def test_a_champion_whose_weights_are_gone_leaves_the_former_one_serving(
    settings: Settings, arms: Arms, other_tiny_model: Path
) -> None:
    version = add_version(settings, other_tiny_model)
    shutil.rmtree(settings.models / version.name)
    Registry(settings.models).promote(load_corpus(settings).folders_id, version.name)
    assert not arms.refresh()
    assert arms.current("tuned").model == START_WEIGHTS
    assert "no such model folder" in arms.trouble


def test_other_documents_do_not_get_this_ones_champion(settings: Settings, arms: Arms, other_tiny_model: Path) -> None:
    version = add_version(settings, other_tiny_model)
    Registry(settings.models).promote("other documents", replace(version).name)
    arms.refresh()
    assert arms.current("tuned").model == START_WEIGHTS
