"""A group's adapter by the real commands: trained on its raters' labels alone, served to it alone, and taken back."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

from rag.__main__ import main as rag_main
from rag.groups import GROUPS_FILE
from rag.ingest.corpus import load_corpus
from rag.models.arms import Arms
from rag.models.registry import START_WEIGHTS, Registry, group_key
from rag.settings import Settings
from rag.store.store import open_store
from train.__main__ import main
from train.dataset.earlier_versions import trained_pairs
from train_world import World, champion


def add_labels_of_groups(settings: Settings, world: World, tmp_path: Path) -> dict[str, set[str]]:
    """Have ann of group a and ben of group b want different passages for the same queries; return theirs by group."""
    rows = [json.loads(line) for line in world.labels.read_text().splitlines()]
    wanted = {"a": [row for row in rows if row["label"] == 1], "b": [row for row in rows if row["label"] == -1]}
    names = {"a": "ann", "b": "ben"}
    given = [{**row, "label": 1, "rater": names[group]} for group, some in wanted.items() for row in some]
    (tmp_path / "groups.jsonl").write_text("\n".join(map(json.dumps, given)))
    assert rag_main(["import", str(tmp_path / "groups.jsonl")]) == 0
    (settings.home / GROUPS_FILE).write_text("a: ann\nb: ben\nc: eve\n")
    return {group: {row["text"] for row in some} for group, some in wanted.items()}


def test_a_group_is_trained_on_its_own_labels_and_served_alone(use: Any, world: World, tmp_path: Path, capsys) -> None:
    settings = use("labelled")
    texts = add_labels_of_groups(settings, world, tmp_path)
    for group in "ab":
        assert main(["--fast", "--group", group, "--promote"]) == 0
    out = capsys.readouterr().out
    assert "labels of group a: 80 pairs on 80 queries" in out
    registry, folders = Registry(settings.models), load_corpus(settings).folders_id
    assert {group: version.name for group, version in registry.group_champions(folders).items()} == {
        "a": "v1",
        "b": "v2",
    }
    for name, group in {"v1": "a", "v2": "b"}.items():
        assert {pair.positive for pair in trained_pairs(settings.models / name)} <= texts[group]
        assert f"group of raters: {group}" in (settings.models / name / "README.md").read_text()
        assert f"for group {group} alone" in (settings.runs / name / "report.html").read_text()
    assert champion(settings) is None
    accounts = json.loads((settings.models / "registry.json").read_text())["evidence"]
    assert accounts.keys() == {group_key(folders, "a"), group_key(folders, "b")}  # none of everybody's
    with closing(open_store(settings.lancedb)) as store:
        arms = Arms(settings, store, load_corpus(settings))
        assert [arms.current("tuned", group).model for group in ("", "a", "b", "c")] == [
            START_WEIGHTS,
            "v1",
            "v2",
            START_WEIGHTS,
        ]
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(f" ratings of group {group}: " in line for group, line in zip("ab", lines[1:], strict=True))
    assert [line[0] for line in lines] == ["*", "*", "*"]
    assert main(["show", "v2"]) == 0
    assert capsys.readouterr().out.startswith("v2, which serves group b\n")
    assert main(["rollback", "--group", "a"]) == 0
    assert capsys.readouterr().out == "the shared model serves group a now; a running chat follows within seconds\n"
    assert main(["rollback", "--group", "a"]) == 2
    assert "nothing to roll back: this group is served by the shared model" in capsys.readouterr().err
    assert main(["promote", "v1"]) == 0
    assert capsys.readouterr().out == "v1 serves group a now; a running chat follows within seconds\n"


def test_a_group_needs_fast_and_a_line_in_the_file(use: Any, capsys) -> None:
    settings = use("labelled")
    assert main(["--group", "a"]) == 2
    assert "--group a: a group gets a query adapter over the one index: add --fast" in capsys.readouterr().err
    assert main(["--fast", "--group", "a"]) == 2
    assert "a: no such group in groups.txt (there are: none)" in capsys.readouterr().err
    (settings.home / GROUPS_FILE).write_text("a: nobody-yet\n")
    assert main(["--fast", "--group", "a"]) == 2
    assert "0 rated queries with a positive by group a, need 50" in capsys.readouterr().err
