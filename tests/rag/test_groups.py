"""Who is in which group, by the lines of groups.txt."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.errors import BadSetting
from rag.groups import GROUPS_FILE, GroupsFile, read_groups


def write(home: Path, text: str) -> None:
    (home / GROUPS_FILE).write_text(text)


def test_a_rater_is_in_the_group_that_names_him_or_his_program_or_his_mail_domain(tmp_path: Path) -> None:
    write(tmp_path, "# who is who\nclinic: anna, github:Ben\n\nlab: openwebui:*, @lab.example.org\nclinic: webui:eve\n")
    groups = read_groups(tmp_path)
    assert groups.names == ["clinic", "lab"]
    asked = ["anna", "ANNA", "github:ben", "github:eve", "openwebui:eve", "openwebui:anonymous", "webui:eve"]
    assert [groups.of(each) for each in asked] == ["clinic", "clinic", "clinic", "", "lab", "lab", "clinic"]
    assert [groups.of(each) for each in ("google:x@lab.example.org", "x@example.org", "rater-0", "")] == [
        "lab",
        "",
        "",
        "",
    ]


def test_a_persons_own_name_counts_before_the_program_and_the_domain(tmp_path: Path) -> None:
    write(tmp_path, "lab: bot:*, @example.org\nclinic: bot:anna, eve@example.org")
    groups = read_groups(tmp_path)
    assert [groups.of(each) for each in ("bot:anna", "bot:ben", "eve@example.org")] == ["clinic", "lab", "clinic"]


def test_without_a_file_nobody_is_in_a_group(tmp_path: Path) -> None:
    assert read_groups(tmp_path).names == []
    assert GroupsFile(tmp_path).of("anna") == ""


@pytest.mark.parametrize("line", ["clinic anna", "clinic:", "clinic: ,", ": anna", "two words: anna"])
def test_a_line_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    write(tmp_path, f"lab: ben\n{line}\n")
    with pytest.raises(BadSetting, match=r"groups\.txt, line 2: .* give NAME: MEMBER, MEMBER"):
        read_groups(tmp_path)


def test_nobody_is_in_two_groups(tmp_path: Path) -> None:
    write(tmp_path, "lab: ben, ben\nclinic: Ben\n")
    with pytest.raises(BadSetting, match="line 2: ben is in lab already: one group each"):
        read_groups(tmp_path)


def test_a_changed_file_counts_at_once_and_one_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, "lab: ben\n")
    groups = GroupsFile(tmp_path)
    assert (groups.of("ben"), groups.trouble) == ("lab", "")
    write(tmp_path, "lab, ben, and others\n")
    assert groups.of("ben") == "lab"
    assert "The groups stay as they were" in groups.trouble
    (tmp_path / GROUPS_FILE).unlink()
    assert (groups.of("ben"), groups.trouble) == ("", "")


def test_a_group_that_is_not_in_the_file_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path, "lab: ben\n")
    with pytest.raises(BadSetting, match=r"clinic: no such group in groups\.txt \(there are: lab\)"):
        read_groups(tmp_path).require("clinic")
