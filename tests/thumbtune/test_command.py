"""The one command at its door: what each of its commands says about a home folder that it cannot use."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.home import FORMAT, FORMAT_FILE
from thumbtune.__main__ import main

COMMANDS = (
    "index,ask q,stats,import labels.jsonl,export out.jsonl,forget ann,review,gaps,check,backup backups,doctor,"
    "train,train list,train show v1,train evaluate --qrels labels.jsonl,train promote v1,train rollback,compare v1 v2,"
    "push v1 out,pull model,serve,keys add web,keys list,keys remove web,mcp,chat"
).split(",")


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "cats.md").write_text("A cat drinks milk.")
    (tmp_path / "labels.jsonl").write_text('{"query": "q", "text": "A cat drinks milk.", "label": 1}\n')
    known = {"DOCS": "papers", "HOME": "home", "BASE_MODEL": str(tiny_model), "START_MODEL": str(tiny_model)}
    for name, value in {**known, "LLM": "extractive"}.items():
        monkeypatch.setenv(f"THUMBTUNE_{name}", value)
    before = os.umask(0o022)  # a command sets it
    yield tmp_path
    os.umask(before)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_home_of_a_newer_release_is_refused_in_one_line_and_not_touched(
    folder: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "home").mkdir()
    (folder / "home" / FORMAT_FILE).write_text(json.dumps({"format": FORMAT + 1}))
    assert main(command.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "was made by a newer release" in line
    assert [path.name for path in (folder / "home").iterdir()] == [FORMAT_FILE]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_home_that_is_a_file_is_refused_in_one_line(
    folder: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "home").write_text("mine")
    assert main(command.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "home: is a file, not a folder: set THUMBTUNE_HOME to a folder" in line
    assert (folder / "home").read_text() == "mine"


def test_a_demo_is_made_in_a_folder_only(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "home").write_text("mine")
    assert main(["demo", "home"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is a file, not a folder" in line
