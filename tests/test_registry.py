"""One pointer for each documents folder moves forward and back, and nothing else changes with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fakes import NOON
from rag.errors import StoreFailed, UnknownVersion
from rag.registry import Registry, Version

V1 = Version("v1", "docs", "f1", "builtin", "bootstrap", "promote", "VERDICT: promote v1", NOON)
V2 = replace(V1, name="v2", fingerprint="f2", kind="ratings")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    registry = Registry(tmp_path / "models")
    registry.add(V1)
    registry.add(V2)
    return registry


def test_an_empty_registry_has_no_champion(tmp_path: Path) -> None:
    assert Registry(tmp_path).champion("docs") is None
    assert Registry(tmp_path).next_name() == "v1"


def test_promotion_moves_the_pointer_and_rollback_moves_it_back(registry: Registry) -> None:
    registry.promote("docs", "v1")
    registry.promote("docs", "v2")
    assert registry.champion("docs") == V2
    assert registry.rollback("docs") == V1
    assert registry.champion("docs") == V1
    assert registry.rollback("docs") is None
    assert registry.champion("docs") is None
    with pytest.raises(UnknownVersion, match="nothing to roll back"):
        registry.rollback("docs")


def test_promoting_the_champion_again_leaves_one_step_to_roll_back(registry: Registry) -> None:
    registry.promote("docs", "v1")
    registry.promote("docs", "v1")
    assert registry.rollback("docs") is None


def test_each_documents_folder_has_a_champion_of_its_own(registry: Registry) -> None:
    registry.promote("docs", "v1")
    assert registry.champion("papers") is None


def test_another_process_sees_a_promotion_and_its_stamp(registry: Registry) -> None:
    other = Registry(registry.folder)
    before = other.stamp()
    registry.promote("docs", "v2")
    assert other.champion("docs") == V2
    assert other.stamp() != before


def test_a_number_is_never_used_twice_not_even_by_a_folder_left_over(registry: Registry) -> None:
    (registry.folder / "v7").mkdir()
    assert registry.next_name() == "v8"


def test_a_bootstrap_is_remembered_whether_it_won_or_not(registry: Registry) -> None:
    assert registry.bootstrapped("docs") == V1
    assert registry.bootstrapped("papers") is None


def test_an_unknown_version_names_those_there_are(registry: Registry) -> None:
    with pytest.raises(UnknownVersion, match=r"v9: no such version \(there are: v1, v2\)"):
        registry.promote("docs", "v9")
    assert registry.champion("docs") is None


def test_a_broken_registry_is_not_overwritten(registry: Registry) -> None:
    file = registry.folder / "registry.json"
    file.write_text("{")
    with pytest.raises(StoreFailed, match="cannot be read"):
        registry.add(V1)
    assert file.read_text() == "{"
