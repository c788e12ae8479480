"""One pointer for each documents folder moves forward and back, and nothing else changes with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fakes import NOON
from rag.errors import StoreFailed, UnknownVersion
from rag.evaluation.evidence import NO_EVIDENCE, Evidence
from rag.models.registry import START_WEIGHTS, Registry, Version, group_key

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


def test_the_start_weights_can_be_promoted_like_a_version_and_rolled_back(registry: Registry) -> None:
    registry.promote("docs", START_WEIGHTS)
    assert registry.moves("docs") == []  # they serve already
    registry.promote("docs", "v1")
    registry.promote("docs", START_WEIGHTS, "hand", "by hand")
    assert registry.champion("docs") is None
    assert registry.rollback("docs") == V1
    registry.promote("docs", START_WEIGHTS)
    registry.promote("docs", "v2")
    assert registry.rollback("docs") is None
    assert [(move.name, move.reason) for move in registry.moves("docs")] == [
        ("v1", ""),
        (START_WEIGHTS, "by hand"),
        ("v1", f"back from {START_WEIGHTS}"),
        (START_WEIGHTS, ""),
        ("v2", ""),
        (START_WEIGHTS, "back from v2"),
    ]


def test_what_served_before_is_named_latest_first_down_to_the_start_weights(registry: Registry) -> None:
    assert registry.former("docs") == [START_WEIGHTS]
    for name in ("v1", "v2", "v1"):
        registry.promote("docs", name)
    assert registry.former("docs") == ["v2", START_WEIGHTS]  # v1 serves


def test_each_documents_folder_has_a_champion_of_its_own(registry: Registry) -> None:
    registry.promote("docs", "v1")
    assert registry.champion("papers") is None


def test_a_threshold_belongs_to_a_ranking_and_to_how_its_documents_are_cut(registry: Registry) -> None:
    before = registry.stamp()
    registry.set_abstain_below("corpus", {"f1": 0.4, "f2": None})
    assert registry.abstain_below("corpus", "f1") == 0.4
    assert registry.abstain_below("corpus", "f2") is None
    assert registry.abstain_below("other", "f1") is None
    assert registry.stamp() != before


def test_a_later_measurement_replaces_a_threshold_and_leaves_the_others(registry: Registry) -> None:
    registry.set_abstain_below("corpus", {"f1": 0.4, "f2": 0.3})
    registry.set_abstain_below("corpus", {"f1": None, "f3": 0.5})
    registry.promote("docs", "v1")
    assert [registry.abstain_below("corpus", name) for name in ("f1", "f2", "f3")] == [None, 0.3, 0.5]


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


def test_a_version_is_on_trial_until_anything_is_promoted(registry: Registry) -> None:
    assert registry.on_trial("docs") is None
    registry.try_out("docs", "v1")
    assert (registry.on_trial("docs"), registry.champion("docs"), registry.moves("docs")) == (V1, None, [])
    assert registry.on_trial("other docs") is None
    registry.try_out("docs", "v2")
    assert registry.on_trial("docs") == V2
    registry.promote("docs", "v1")
    assert registry.on_trial("docs") is None
    registry.rollback("docs")
    assert registry.on_trial("docs") is None  # the promotion ended it
    with pytest.raises(UnknownVersion):
        registry.try_out("docs", "v9")


def test_promoting_the_start_weights_by_hand_ends_a_trial(registry: Registry) -> None:
    registry.try_out("docs", "v1")
    registry.promote("docs", START_WEIGHTS)
    assert registry.on_trial("docs") is None


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


def test_every_move_of_the_pointer_is_logged_with_who_and_why(registry: Registry) -> None:
    registry.promote("docs", "v1", "gate", "VERDICT: promote v1")
    registry.promote("docs", "v2", "hand", "I know better")
    registry.rollback("docs")
    registry.rollback("docs")
    moves = registry.moves("docs")
    assert [(move.name, move.by, move.reason) for move in moves] == [
        ("v1", "gate", "VERDICT: promote v1"),
        ("v2", "hand", "I know better"),
        ("v1", "rollback", "back from v2"),
        (START_WEIGHTS, "rollback", "back from v1"),
    ]
    assert [move.at for move in moves] == sorted(move.at for move in moves)


def test_what_serves_has_served_since_the_last_move_of_its_own_folders(registry: Registry) -> None:
    assert registry.promoted_at("docs") is None
    registry.promote("docs", "v1")
    registry.promote("papers", "v2")
    assert registry.promoted_at("docs") == registry.moves("docs")[0].at
    assert registry.promoted_at("docs") != registry.promoted_at("papers")


def test_promoting_the_champion_again_is_no_move(registry: Registry) -> None:
    registry.promote("docs", "v1")
    before = registry.moves("docs")
    registry.promote("docs", "v1")
    assert registry.moves("docs") == before


def test_a_registry_from_before_there_was_a_log_is_read_and_logs_from_now_on(registry: Registry) -> None:
    registry.promote("docs", "v1")
    file = registry.folder / "registry.json"
    state = json.loads(file.read_text())
    del state["log"]
    file.write_text(json.dumps(state))
    assert registry.champion("docs") == V1
    assert registry.promoted_at("docs") is None
    registry.promote("docs", "v2")
    assert [move.name for move in registry.moves("docs")] == ["v2"]


def test_a_precision_counts_beside_the_base_model_that_it_was_measured_with(registry: Registry) -> None:
    registry.promote("docs", "v1", precision="int8", base="builtin")
    assert registry.precision("docs", V1, "builtin") == "int8"
    assert registry.precision("docs", V1, "another") is None
    assert registry.precision("docs", V2, "builtin") is None
    path = registry.folder / "registry.json"
    state = json.loads(path.read_text())
    state["precision"]["docs"]["v1"] = "int8"  # as an earlier release wrote it, which knew no base model
    path.write_text(json.dumps(state))
    assert registry.precision("docs", V1, "builtin") is None


def test_evidence_is_kept_for_each_account_and_folder(registry: Registry) -> None:
    found = Evidence(1.5, 0.5, 2, frozenset({"a", "b"}), 25)
    registry.set_evidence("docs", "f1 fine-tuned", found)
    assert Registry(registry.folder).evidence("docs", "f1 fine-tuned") == found
    assert registry.evidence("docs", "f1 adapter") == NO_EVIDENCE
    assert registry.evidence("other", "f1 fine-tuned") == NO_EVIDENCE


def test_a_group_has_champions_and_evidence_of_its_own(tmp_path: Path) -> None:
    registry, key = Registry(tmp_path), group_key("docs", "clinic")
    own = replace(V2, folders=key)
    registry.add(V1)
    registry.add(own)
    registry.promote("docs", "v1")
    registry.promote(key, "v2")
    assert (V1.group, own.group, group_key("docs", "")) == ("", "clinic", "docs")
    assert (registry.champion("docs"), registry.champion(key)) == (V1, own)
    assert registry.group_champions("docs") == {"clinic": own}
    assert registry.group_champions("papers") == {}
    assert [move.name for move in registry.moves("docs")] == ["v1"]
    registry.rollback(key)
    assert registry.group_champions("docs") == {}
    assert registry.champion("docs") == V1
