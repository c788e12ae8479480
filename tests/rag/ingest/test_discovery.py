"""Discovery: which files of the documents folders are found, and their source names."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rag.errors import NoDocuments
from rag.ingest.discovery import LeftOut, check_exists, find_files, locate
from rag.ingest.ignore import IGNORE_FILE


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("# Cats\n\nCats sleep.\n")
    return path


def sources(*folders: Path) -> list[str]:
    return [source for source, _ in find_files(folders)]


def test_unknown_suffixes_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    for name in ("a.md", "questions.jsonl", "b.gif", ".hidden.md", "program", "md"):
        write(tmp_path / name)
    assert sources(tmp_path) == ["a.md"]


def test_hidden_folders_and_folders_of_tools_are_not_searched(tmp_path: Path) -> None:
    for folder in (".venv", ".git", "node_modules", "web/node_modules", "__pycache__", "docs"):
        write(tmp_path / folder / "a.md")
    write(tmp_path / "my env" / "lib" / "a.md")
    write(tmp_path / "my env" / "pyvenv.cfg")
    assert sources(tmp_path) == ["docs/a.md"]


def test_the_home_folder_is_left_out_below_a_folder_but_not_if_named_itself(tmp_path: Path) -> None:
    write(tmp_path / "data" / "runs" / "v1" / "report.md")
    write(tmp_path / "a.md")
    home = tmp_path / "data"
    assert find_files([tmp_path], without=[home]) == [("a.md", tmp_path / "a.md")]
    assert find_files([home / "runs"], without=[home]) == [("v1/report.md", home / "runs" / "v1" / "report.md")]


def test_a_hidden_folder_that_is_named_itself_is_read(tmp_path: Path) -> None:
    assert sources(write(tmp_path / ".notes" / "a.md").parent) == ["a.md"]


def test_a_folder_with_a_file_suffix_is_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "old.md" / "a.md")
    assert sources(tmp_path) == ["old.md/a.md"]


def test_loops_of_links_end_and_a_file_reached_twice_counts_once(tmp_path: Path) -> None:
    write(tmp_path / "sub" / "a.md")
    for name in ("up", "up too"):  # two of them: followed blindly, they would never end
        (tmp_path / "sub" / name).symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "sub" / "b.md").symlink_to(tmp_path / "sub" / "a.md")
    assert sources(tmp_path) == ["sub/a.md"]
    assert sources(tmp_path / "sub", tmp_path) == ["sub/a.md"]


def test_links_out_of_the_documents_folder_are_left_out_unless_they_are_to_be_followed(tmp_path: Path) -> None:
    write(tmp_path / "far" / "a.md")
    write(tmp_path / "far.md")
    write(tmp_path / "docs" / "c.md")
    (tmp_path / "docs" / "far").symlink_to(tmp_path / "far", target_is_directory=True)
    (tmp_path / "docs" / "b.md").symlink_to(tmp_path / "far.md")
    (tmp_path / "docs" / "within.md").symlink_to("c.md")
    (tmp_path / "docs" / "near").symlink_to(tmp_path / "docs-of-others", target_is_directory=True)
    write(tmp_path / "docs-of-others" / "d.md")
    out: list[LeftOut] = []
    assert [source for source, _ in find_files([tmp_path / "docs"], left_out=out.append)] == ["c.md"]
    assert sorted((each.source, each.why) for each in out) == [
        *(("b.md", "outside"), ("far", "outside"), ("near", "outside"), ("within.md", "again"))
    ]
    followed = [source for source, _ in find_files([tmp_path / "docs"], follow_links=True)]
    assert followed == ["b.md", "c.md", "far/a.md", "near/d.md"]
    assert locate("far/a.md", [tmp_path / "docs"], tmp_path / "uploads") is None
    assert locate("far/a.md", [tmp_path / "docs"], tmp_path / "uploads", follow_links=True) is not None
    (tmp_path / "link").symlink_to(tmp_path / "docs", target_is_directory=True)
    assert sources(tmp_path / "link") == ["c.md"]
    assert sources(tmp_path / "docs", tmp_path / "far") == ["docs/c.md", "docs/far/a.md"]  # within one of the folders


def test_what_a_thumbtuneignore_names_is_left_out_by_the_rules_of_gitignore(tmp_path: Path) -> None:
    docs, out = tmp_path / "docs", list[LeftOut]()
    for name in (
        "a.md",
        "log.md",
        "sub/log.md",
        "old/b.md",
        "old/keep.md",
        "sub/old/c.md",
        "drafts/d.md",
        "e.txt",
        "f.txt",
    ):
        write(docs / name)
    (docs / "far").symlink_to(docs / "old", target_is_directory=True)
    (docs / IGNORE_FILE).write_text(
        "\ufeff# notes of meetings\n/log.md\nold/\n\ndrafts/*\n*.txt\n!f.txt\n!old/keep.md\n", "utf-8"
    )
    found = [source for source, _ in find_files([docs], left_out=out.append)]
    assert found == ["a.md", "f.txt", "far/b.md", "far/keep.md", "sub/log.md"]
    ignored = [each.source for each in out if each.why == "ignored"]
    assert ignored == ["old", "e.txt", "log.md", "drafts/d.md", "sub/old"]
    for source in ("log.md", "old/b.md", "old/keep.md", "drafts/d.md"):
        assert locate(source, [docs], tmp_path / "uploads") is None
    assert locate("f.txt", [docs], tmp_path / "uploads") == docs / "f.txt"
    assert sources(docs / "log.md") == ["log.md"]  # named itself
    with_old = sources(docs, docs / "old")  # which is named itself
    assert with_old == ["docs/a.md", "docs/f.txt", "docs/far/b.md", "docs/far/keep.md", "docs/sub/log.md"]


def test_everything_may_be_left_out_but_then_nothing_is_there_to_index(tmp_path: Path) -> None:
    write(tmp_path / "a.md")
    (tmp_path / IGNORE_FILE).write_text("*")
    with pytest.raises(
        NoDocuments, match=r"\.thumbtuneignore leaves out all that is there; what was indexed before stays"
    ):
        find_files([tmp_path], known=["a.md"])


@pytest.mark.parametrize("line", ["[[:upper:]]*.md", "***/x.md", "f**/baz.md", "a/**b", "x**", "a/***", "!f**/baz.md"])
def test_a_pattern_that_git_would_match_otherwise_is_refused(tmp_path: Path, line: str) -> None:
    write(tmp_path / "a.md")
    (tmp_path / IGNORE_FILE).write_text(f"b.md\n{line}\n")
    with pytest.raises(NoDocuments, match=r"line 2: .* is no pattern of a \.gitignore that is understood here"):
        check_exists(tmp_path)


def test_the_patterns_that_stay_are_matched_as_git_matches_them(tmp_path: Path) -> None:
    for name in ("a.md", "sub/x.md", "sub/deep/x.md", "one/y.md", "two/b.md", "two/c/d.md", "e.md", "tab.md"):
        write(tmp_path / name)
    (tmp_path / IGNORE_FILE).write_bytes(b"**/x.md\r\none/**\r\ntwo/**/d.md\r\n# ***\r\n[e-f].md\r\n")
    assert sources(tmp_path) == ["a.md", "tab.md", "two/b.md"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"a.md\n!\n", r"\.thumbtuneignore line 2: '!' is no pattern of a \.gitignore"),
        (b"\xff\xfe", r"\.thumbtuneignore: cannot be read \(it is not UTF-8\)"),
        (None, r"\.thumbtuneignore: cannot be read \(Is a directory\)"),
        ("gone", r"\.thumbtuneignore: cannot be read \(No such file or directory\)"),
    ],
)
def test_nothing_is_indexed_while_a_thumbtuneignore_cannot_be_used(
    tmp_path: Path, content: bytes | str | None, complaint: str
) -> None:
    write(tmp_path / "a.md")
    if content is None:
        (tmp_path / IGNORE_FILE).mkdir()
    elif isinstance(content, str):
        (tmp_path / IGNORE_FILE).symlink_to(tmp_path / content)
    else:
        (tmp_path / IGNORE_FILE).write_bytes(content)
    with pytest.raises(NoDocuments, match=complaint):
        find_files([tmp_path])


def test_the_source_of_a_single_file_is_its_name(tmp_path: Path) -> None:
    assert sources(write(tmp_path / "a.md")) == ["a.md"]


def test_sources_of_several_folders_begin_with_enough_of_the_path_to_be_unique(tmp_path: Path) -> None:
    for folder in ("one/docs", "two/docs", "notes"):
        write(tmp_path / folder / "a.md")
    assert sources(tmp_path / "one/docs", tmp_path / "notes") == ["docs/a.md", "notes/a.md"]
    assert sources(tmp_path / "one/docs", tmp_path / "two/docs") == ["one/docs/a.md", "two/docs/a.md"]


def test_the_error_for_an_empty_folder_lists_the_suffixes(tmp_path: Path) -> None:
    with pytest.raises(NoDocuments, match=r"\.md \.markdown \.txt .*\.html .*\.pdf"):
        find_files([tmp_path])


def test_one_missing_folder_of_several_is_an_error_and_not_a_deletion(tmp_path: Path) -> None:
    write(tmp_path / "here" / "a.md")
    with pytest.raises(NoDocuments, match="gone"):
        find_files([tmp_path / "here", tmp_path / "gone"])


def test_a_single_file_with_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoDocuments, match=r"a\.gif' is neither a folder nor a document"):
        find_files([write(tmp_path / "a.gif")])


@pytest.fixture
def forbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that may be neither listed nor entered, even by root."""
    folder = tmp_path / "docs" / "lost+found"
    write(folder / "a.md")

    def refusing(act: Callable[..., object]) -> Callable[..., object]:
        def acting(path: object, *given: object, **named: object) -> object:
            where = Path(os.fspath(path))  # type: ignore[call-overload]
            if folder in where.parents or (where == folder and act is scandir):
                raise PermissionError(errno.EACCES, "Permission denied", os.fspath(where))
            return act(path, *given, **named)

        return acting

    scandir = os.scandir
    for name in ("scandir", "stat", "lstat"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    return folder


def test_a_folder_without_permission_is_returned_so_that_reading_it_reports_why(forbidden: Path) -> None:
    docs = forbidden.parent
    write(docs / "b.md")
    assert find_files([docs]) == [("b.md", docs / "b.md"), ("lost+found", forbidden)]


def test_an_emptied_folder_is_an_error_even_if_other_folders_have_files(tmp_path: Path) -> None:
    docs, notes, uploads = tmp_path / "docs", tmp_path / "notes", tmp_path / "home" / "uploads"
    docs.mkdir()
    write(notes / "a.md")
    write(uploads / "b.md")
    known = {"a.md", "deep/c.md", "uploads/b.md"}
    next_step = r"docs', but the index has documents of it \(2\): mount it, put a document there, or remove it"
    with pytest.raises(NoDocuments, match=next_step):
        find_files([docs], uploads=uploads, known=known)
    with pytest.raises(NoDocuments, match=r"docs', but the index has documents of it \(1\)"):
        find_files([docs, notes], uploads=uploads, known={"docs/a.md", "notes/a.md", "uploads/b.md"})
    assert len(find_files([docs], uploads=uploads, known={"uploads/b.md"})) == 1
    assert len(find_files([docs, notes], uploads=uploads, known={"docsier/a.md", "notes/a.md", "uploads/b.md"})) == 2


def test_a_documents_folder_called_uploads_is_distinct_from_the_uploads(tmp_path: Path) -> None:
    docs, notes = tmp_path / "uploads", tmp_path / "notes"
    docs.mkdir()
    write(notes / "a.md")
    assert sources(docs, notes) == ["notes/a.md"]
    assert len(find_files([docs, notes], known={"uploads/b.md"})) == 1
    with pytest.raises(NoDocuments, match=r"documents of it \(1\)"):
        find_files([docs, notes], known={"./uploads/b.md"})


def test_a_folder_with_only_an_unlistable_folder_counts_as_empty(forbidden: Path, tmp_path: Path) -> None:
    with pytest.raises(NoDocuments, match=r"documents of it \(1\)"):
        find_files([forbidden.parent], known={"a.md"})


def test_a_folder_of_files_that_are_not_read_says_how_many_there_are_of_which_ending(tmp_path: Path) -> None:
    for name in ("adams", "banner", "index.dat", ".hidden"):
        (tmp_path / name).write_text("Text.")
    why = r"where 3 files are not read \(2 with no ending, 1 with \.dat; a text is if it ends in \.txt\): put documents"
    with pytest.raises(NoDocuments, match=why):
        find_files([tmp_path])
