"""Groups with adapters over one index: each finds its own passage, others what the shared model finds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fakes import NOON
from group_adapters import add_adapter, write_groups
from rag.answering.service import QueryService, open_service
from rag.errors import BadSetting
from rag.indexing.indexer import index
from rag.indexing.update import update_vectors
from rag.ingest.corpus import load_corpus
from rag.models.arms import group_version, promoted_models
from rag.models.embedder import load_embedder
from rag.models.registry import START_WEIGHTS, Registry, Version, group_key
from rag.models.weights import ADAPTER, MATRIX
from rag.records import ARMS
from rag.settings import Settings
from thumbtune import Home

QUESTION = "what is in the garden"


@pytest.fixture
def serving(settings: Settings) -> QueryService:
    index(settings)
    return open_service(settings)


def passages(serving: QueryService) -> list[str]:
    """Return the two passages that the groups want, as they are embedded."""
    chunks = serving.store.chunks.read(serving.served("base").table)[0]
    return [chunk.embedded for chunk in chunks[:2]]


def first(serving: QueryService, group: str) -> str:
    return serving.search(QUESTION, "tuned", 1, group=group)[0].chunk.embedded


def test_each_group_finds_its_own_passage_by_one_index(serving: QueryService, settings: Settings) -> None:
    wanted = passages(serving)
    before = first(serving, "")
    made = {name: add_adapter(settings, name, QUESTION, text) for name, text in zip("ab", wanted, strict=True)}
    tables = set(serving.store.tables.names())
    assert serving.refresh() is False  # the shared arms have the models that they had
    assert [first(serving, name) for name in "ab"] == wanted
    assert first(serving, "") == first(serving, "c") == before
    assert [serving.served("tuned", name).model for name in "abc"] == [made["a"].name, made["b"].name, START_WEIGHTS]
    assert {serving.served(arm, name).table for arm in ARMS for name in ("", "a", "b")} == {
        serving.served("base").table
    }
    assert set(serving.store.tables.names()) == tables
    assert [serving.has_one_model(name) for name in ("", "a")] == [True, False]
    assert serving.served("base", "a") is serving.served("base")


def test_a_rollback_gives_a_group_the_shared_model_back(serving: QueryService, settings: Settings) -> None:
    version = add_adapter(settings, "a", QUESTION, passages(serving)[0])
    folders = load_corpus(settings).folders_id
    serving.refresh()
    assert promoted_models(settings, folders, "a")["tuned"][0] == version.name
    assert promoted_models(settings, folders)["tuned"][0] == START_WEIGHTS
    Registry(settings.models).rollback(group_key(folders, "a"))
    serving.refresh()
    assert serving.served("tuned", "a") is serving.served("tuned")
    assert group_version(settings, folders, "a") is None


def test_under_another_champion_a_group_has_the_shared_model_and_is_told(
    serving: QueryService, settings: Settings, other_tiny_model: Path
) -> None:
    registry, folders = Registry(settings.models), load_corpus(settings).folders_id
    shutil.copytree(other_tiny_model, settings.models / "v1")
    shared = load_embedder(str(settings.models / "v1"), settings)
    update_vectors(serving.store, serving.corpus.id, shared)
    registry.add(Version("v1", folders, shared.fingerprint, "start", "ratings", "promote", "VERDICT", NOON))
    registry.promote(folders, "v1")
    own = settings.model_copy(update={"start_model": str(settings.models / "v1")})
    version = add_adapter(own, "a", QUESTION, passages(serving)[1])
    serving.refresh()
    assert first(serving, "a") == passages(serving)[1]
    assert serving.served("tuned", "a").table == serving.served("tuned").table != serving.served("base").table
    registry.rollback(folders)  # v1 serves nobody now, and its table is no longer kept up to date
    serving.refresh()
    assert serving.served("tuned", "a") is serving.served("tuned")
    (why,) = serving.arms.notes_of("a")
    assert why == (
        f"{version.name} of group a was fitted for v1, which does not serve: the shared model serves a until "
        "`python -m train --fast --group a`"
    )
    assert why in serving.notes("a")
    assert why in serving.notes()
    assert why not in serving.notes("")  # of somebody else
    assert group_version(settings, folders, "a") is None
    registry.promote(folders, "v1")
    serving.refresh()
    assert (serving.served("tuned", "a").model, serving.arms.notes_of()) == (version.name, [])


def test_a_version_on_trial_answers_those_who_have_no_adapter(
    serving: QueryService, settings: Settings, other_tiny_model: Path
) -> None:
    registry, folders = Registry(settings.models), load_corpus(settings).folders_id
    shutil.copytree(other_tiny_model, settings.models / "v1")
    tried = load_embedder(str(settings.models / "v1"), settings)
    update_vectors(serving.store, serving.corpus.id, tried)
    registry.add(Version("v1", folders, tried.fingerprint, "start", "ratings", "keep", "VERDICT", NOON))
    registry.try_out(folders, "v1")
    version = add_adapter(settings, "a", QUESTION, passages(serving)[1])
    serving.refresh()
    assert [serving.served("tuned", group).model for group in ("", "a", "b")] == ["v1", version.name, "v1"]
    assert [serving.promoted("tuned", group).model for group in ("", "a")] == [START_WEIGHTS, version.name]
    assert serving.served("tuned", "a").table == serving.served("base").table
    assert first(serving, "a") == passages(serving)[1]
    assert not any("on trial" in note for note in serving.notes("a"))
    registry.promote(folders, "v1")  # the base arm has the weights that the adapter was fitted for
    serving.refresh()
    assert [serving.promoted("tuned", group).model for group in ("", "a")] == ["v1", version.name]


def test_an_adapter_that_cannot_be_read_is_said_too(serving: QueryService, settings: Settings) -> None:
    versions = {name: add_adapter(settings, name, QUESTION, passages(serving)[0]) for name in "abc"}
    shutil.rmtree(settings.models / versions["a"].name)
    (settings.models / versions["b"].name / MATRIX).write_bytes(b"torn")
    (settings.models / versions["c"].name / ADAPTER).write_text("torn")
    serving.refresh()
    for name, said in {"a": "is missing", "b": "no adapter can be read", "c": "no adapter can be read"}.items():
        assert serving.served("tuned", name) is serving.served("tuned")
        assert said in serving.arms.notes_of(name)[0]


def test_python_asks_as_a_group(serving: QueryService, settings: Settings) -> None:
    text = passages(serving)[0]
    add_adapter(settings, "a", QUESTION, text)
    serving.close()
    write_groups(settings, "a: anna")
    given = settings.model_dump(include={"home", "base_model", "start_model", "chunk_tokens", "device"})
    with Home(docs=list(settings.docs), group="a", **given) as home:
        assert home.search(QUESTION, 1)[0].chunk.embedded == text
        assert home.ask(QUESTION).model == "v1"
    with pytest.raises(BadSetting, match="nobody: no such group"):
        Home(docs=list(settings.docs), group="nobody", **given)
