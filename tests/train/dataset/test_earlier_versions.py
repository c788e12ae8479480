"""What earlier versions were trained on counts for those that it concerns: everybody, or one group."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from fakes import NOON
from rag.models.registry import Registry, Version, group_key
from rag.records import Pair
from train.dataset.earlier_versions import PAIRS, known_sides
from train.dataset.held_out import key_of


def test_a_groups_versions_count_for_the_group_alone_and_everybodys_for_all(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    for number, group in enumerate(("", "a", "b")):
        folder = tmp_path / f"v{number}"
        folder.mkdir()
        (folder / PAIRS).write_text(json.dumps(asdict(Pair(f"query of {group}", "c1", "text"))))
        registry.add(Version(folder.name, group_key("docs", group), "f", "start", "ratings", "keep", "VERDICT", NOON))
    expected = {(): [""], ("a",): ["", "a"], ("a", "b"): ["", "a", "b"]}
    for groups, names in expected.items():
        assert known_sides(registry, "docs", groups).trained.keys() == {key_of(f"query of {name}") for name in names}
