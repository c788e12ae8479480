"""Which files of documents folders are found, and under which name."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.errors import NoDocuments
from rag.files import find_files


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("# Cats\n\nCats sleep.\n")
    return path


def sources(*folders: Path) -> list[str]:
    return [source for source, _ in find_files(folders)]


def test_unknown_kinds_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    for name in ("a.md", "questions.jsonl", "b.gif", ".hidden.md", "README", "md"):
        write(tmp_path / name)
    assert sources(tmp_path) == ["a.md"]


def test_hidden_folders_and_those_of_tools_are_not_entered(tmp_path: Path) -> None:
    for folder in (".venv", ".git", "node_modules", "web/node_modules", "__pycache__", "docs"):
        write(tmp_path / folder / "a.md")
    write(tmp_path / "my env" / "lib" / "a.md")
    write(tmp_path / "my env" / "pyvenv.cfg")
    assert sources(tmp_path) == ["docs/a.md"]


def test_the_state_folder_is_left_out_below_a_folder_but_not_when_named_itself(tmp_path: Path) -> None:
    write(tmp_path / "data" / "runs" / "v1" / "report.md")
    write(tmp_path / "a.md")
    home = tmp_path / "data"
    assert find_files([tmp_path], without=[home]) == [("a.md", tmp_path / "a.md")]
    assert find_files([home / "runs"], without=[home]) == [("v1/report.md", home / "runs" / "v1" / "report.md")]


def test_a_hidden_folder_that_is_named_itself_is_read(tmp_path: Path) -> None:
    assert sources(write(tmp_path / ".notes" / "a.md").parent) == ["a.md"]


def test_a_folder_that_is_called_like_a_file_is_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "old.md" / "a.md")
    assert sources(tmp_path) == ["old.md/a.md"]


def test_loops_of_links_end_and_a_file_reached_twice_counts_once(tmp_path: Path) -> None:
    write(tmp_path / "sub" / "a.md")
    for name in ("up", "up too"):  # two of them: followed blindly, they would take for ever
        (tmp_path / "sub" / name).symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "sub" / "b.md").symlink_to(tmp_path / "sub" / "a.md")
    assert sources(tmp_path) == ["sub/a.md"]
    assert sources(tmp_path / "sub", tmp_path) == ["sub/a.md"]


def test_linked_folders_and_files_elsewhere_are_found(tmp_path: Path) -> None:
    write(tmp_path / "far" / "a.md")
    write(tmp_path / "far.md")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "far").symlink_to(tmp_path / "far", target_is_directory=True)
    (tmp_path / "docs" / "b.md").symlink_to(tmp_path / "far.md")
    assert sources(tmp_path / "docs") == ["b.md", "far/a.md"]


def test_a_single_file_is_named_by_its_name(tmp_path: Path) -> None:
    assert sources(write(tmp_path / "a.md")) == ["a.md"]


def test_several_folders_are_told_apart_by_as_much_of_their_path_as_it_takes(tmp_path: Path) -> None:
    for folder in ("one/docs", "two/docs", "notes"):
        write(tmp_path / folder / "a.md")
    assert sources(tmp_path / "one/docs", tmp_path / "notes") == ["docs/a.md", "notes/a.md"]
    assert sources(tmp_path / "one/docs", tmp_path / "two/docs") == ["one/docs/a.md", "two/docs/a.md"]


def test_an_empty_folder_says_what_to_put_there(tmp_path: Path) -> None:
    with pytest.raises(NoDocuments, match=r"\.md \.markdown \.txt \.text \.html \.htm \.pdf"):
        find_files([tmp_path])


def test_one_missing_folder_of_several_is_an_error_and_not_a_deletion(tmp_path: Path) -> None:
    write(tmp_path / "here" / "a.md")
    with pytest.raises(NoDocuments, match="gone"):
        find_files([tmp_path / "here", tmp_path / "gone"])


def test_a_single_file_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoDocuments, match=r"a\.gif' is neither a folder nor a document"):
        find_files([write(tmp_path / "a.gif")])
