"""python -m rag, as its own process would see it: what it prints and with which status it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.__main__ import main
from rag.settings import Settings


@pytest.fixture(autouse=True)
def _environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("home", "base_model", "start_model", "chunk_tokens", "device"):
        monkeypatch.setenv(f"THUMBTUNE_{name.upper()}", str(getattr(settings, name)))
    monkeypatch.setenv("THUMBTUNE_DOCS", str(settings.docs[0]))


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    status = main(argv)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_index_then_unchanged_then_ask_then_stats(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "index")[:2] == (0, "index: 2 added\n")
    assert run(capsys, "index")[:2] == (0, "index: unchanged, 2 documents\n")
    status, out, _ = run(capsys, "ask", "Does the cat drink warm milk at night?")
    assert status == 0
    assert out.count("The cat drinks warm milk at night. [") == 2
    assert "base (" in out
    assert "tuned (start weights)" in out
    status, out, _ = run(capsys, "stats")
    assert "(2 files)" in out
    assert "answers:                       2" in out


def test_other_paths_are_indexed_and_say_how_to_chat_with_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "one.txt").write_text("Birds eat seed.")
    status, out, _ = run(capsys, "index", str(tmp_path / "papers"))
    assert (status, f"make chat DOCS={tmp_path / 'papers'}" in out) == (0, True)


def test_a_skipped_file_is_named_with_its_reason_on_one_line(
    capsys: pytest.CaptureFixture[str], settings: Settings
) -> None:
    (settings.docs[0] / "two\nlines.txt").write_bytes(b"\x00\x01binary")
    _, out, _ = run(capsys, "index")
    (line,) = (line for line in out.splitlines() if line.startswith("skipped"))
    assert "'two\\nlines.txt'" in line


def test_labels_are_imported_and_counted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run(capsys, "index")
    text = "# Cats The cat drinks warm milk at night."
    label = {"query": "what does a cat drink?", "text": text, "label": 1}
    (tmp_path / "labels.jsonl").write_text(json.dumps(label) + "\n" + json.dumps(label | {"text": "Fish fly."}))
    status, out, _ = run(capsys, "import", str(tmp_path / "labels.jsonl"))
    assert (status, "imported 2 labels, 1 of them on passages of these documents" in out) == (0, True)
    assert "rated queries with a positive: 1" in run(capsys, "stats")[1]


def test_doctor_says_what_is_missing_and_then_that_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert "index incomplete: run `python -m rag index`" in run(capsys, "doctor")[1]
    run(capsys, "index")
    assert run(capsys, "doctor")[1].count("index complete") == 2


@pytest.mark.parametrize(
    ("setting", "value", "argv", "message"),
    [
        ("THUMBTUNE_DOCS", "/no/such/folder", ["index"], "/no/such/folder"),
        ("THUMBTUNE_BASE_MODEL", "/no/model", ["index"], "/no/model: there is no such model folder"),
        ("THUMBTUNE_BASE_MODEL", "openai:embed", ["index"], "set OPENAI_API_KEY"),
        ("THUMBTUNE_K", "0", ["stats"], "THUMBTUNE_K='0'"),
        ("THUMBTUNE_LLM", "", ["ask", "anything"], "run `python -m rag index`"),
        ("THUMBTUNE_LLM", "", ["import", "/no/labels.jsonl"], "/no/labels.jsonl: there is no such file"),
    ],
)
def test_what_a_user_can_mend_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    value: str,
    argv: list[str],
    message: str,
) -> None:
    monkeypatch.setenv(setting, value)
    status, _, err = run(capsys, *argv)
    assert status == 2
    assert message in err
    assert err.startswith("error: ")
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(("question", "message"), [(" ", "is empty"), ("x" * 100_000, "100,000 characters")])
def test_an_impossible_question_is_one_line(capsys: pytest.CaptureFixture[str], question: str, message: str) -> None:
    run(capsys, "index")
    status, _, err = run(capsys, "ask", question)
    assert (status, message in err) == (2, True)


def test_a_file_where_the_home_folder_should_be_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("THUMBTUNE_HOME", str(tmp_path / "file"))
    status, _, err = run(capsys, "stats")
    assert (status, "set THUMBTUNE_HOME to a folder you may write" in err) == (2, True)
