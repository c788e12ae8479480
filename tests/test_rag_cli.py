"""python -m rag, as its own process would see it: what it prints and with which status it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

import rag.store.durability
from fakes import NOON, make_answer, make_hits
from rag.__main__ import main
from rag.feedback.ratings import rate_answer, repair, teach
from rag.records import Rating
from rag.settings import ROOT, Settings
from rag.store.store import open_store


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
    assert run(capsys, "index")[:2] == (0, "index: 2 added\nMarkdown: 2 read\n")
    assert run(capsys, "index")[:2] == (0, "index: unchanged, 2 documents\nMarkdown: 2 read\n")
    status, out, _ = run(capsys, "ask", "Does the cat drink warm milk at night?")
    assert status == 0
    assert out.count("The cat drinks warm milk at night. [") == 2
    assert "base (" in out
    assert "tuned (start weights)" in out
    status, out, _ = run(capsys, "stats")
    assert "(2 files)" in out
    assert "answers:                       2" in out


def test_index_lists_every_file_or_prints_one_json_object(
    capsys: pytest.CaptureFixture[str], settings: Settings
) -> None:
    for name in ("empty.md", "tune.mp3"):
        (settings.docs[0] / name).write_text("")
    status, out, _ = run(capsys, "index", "--list")
    assert (status, out.splitlines()) == (
        0,
        [
            "index: 2 added",
            "Markdown: 2 read, 1 skipped",
            "1 file of other kinds left out: .mp3 1",
            "read 'cats.md'",
            "read 'dogs.md'",
            "skipped 'empty.md': it is empty",
            "left out 'tune.mp3': file of another kind",
        ],
    )
    status, out, _ = run(capsys, "index", "--json", str(settings.docs[0]))
    row = json.loads(out)
    assert (status, row["unchanged"], row["added"]) == (0, ["cats.md", "dogs.md"], [])
    assert row["kinds"] == [{"kind": "Markdown", "read": 2, "partly": 0, "skipped": 1, "notes": 0}]
    assert row["left_out"]["files"] == [{"source": "tune.mp3", "why": "kind"}]
    assert {file["source"]: file["state"] for file in row["files"]} == {
        "cats.md": "read",
        "dogs.md": "read",
        "empty.md": "skipped",
    }
    status, out, _ = run(capsys, "stats")
    assert "files at the last index run:\n  Markdown: 2 read, 1 skipped\n  1 file of other kinds" in out
    with pytest.raises(SystemExit):
        run(capsys, "index", "--json", "--list")


def test_show_prints_what_was_read_of_any_file_and_where_it_is_cut(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    outside = tmp_path / "Lantern.md"
    outside.write_text("# Keeper\n\nThe lamp is lit at dusk.\n\n## Oil\n\nIt burns rape oil.\n")
    status, out, _ = run(capsys, "show", str(outside))
    assert status == 0
    assert f"file      {outside}\ntitle     Keeper\n" in out
    assert "2 chunks" in out
    assert "--- chunk 1 | 0 to 34 | " in out
    assert " tokens | Keeper > Oil\n## Oil\n\nIt burns rape oil." in out


def test_show_names_an_indexed_document_by_its_source_and_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "index")
    status, out, _ = run(capsys, "show", "cats.md", "--json")
    shown = json.loads(out)
    assert (status, shown["source"], shown["indexed"], shown["kind"]) == (0, "cats.md", True, "Markdown")
    assert all(set(chunk) == {"start", "end", "pages", "heading", "tokens", "text"} for chunk in shown["chunks"])
    assert len(shown["chunks"]) == 2


def test_show_says_why_a_file_cannot_be_read(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "broken.pdf").write_text("no PDF")
    assert run(capsys, "show", str(tmp_path / "broken.pdf"))[::2] == (
        2,
        f"error: {tmp_path}/broken.pdf: the PDF is broken: open it in a viewer and save it again\n",
    )
    assert run(capsys, "show", "nowhere.md")[0] == 2
    (tmp_path / "tune.xyz").write_text("no document")
    (tmp_path / "mail.mbox").write_text("From a Mon Nov 30 10:00:00 2026\nSubject: Boats\n\nHi.\n")
    for name, why in (
        ("tune.xyz", ".xyz files are not read: docs/how-to/your-own-documents.md lists what is"),
        ("", "is a folder: name a file in it, or see `python -m rag index --list`"),
        ("mail.mbox", "'mail.mbox/NAME'"),
        ("broken.pdf/page.txt", "no document of that name is indexed"),
    ):
        status, _, err = run(capsys, "show", f"{tmp_path}/{name}".rstrip("/"))
        assert (status, why in err, err.count("\n")) == (2, True, 1), err


def test_show_finds_an_indexed_attachment_by_its_path_too(
    capsys: pytest.CaptureFixture[str], settings: Settings
) -> None:
    attached = (
        "--x\nContent-Type: text/plain\n\nHi.\n--x\nContent-Disposition: attachment; filename=a.txt\n\nBoats.\n--x--\n"
    )
    letter = f"Subject: Pier\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n{attached}"
    (settings.docs[0] / "mail.eml").write_text(letter)
    run(capsys, "index")
    for name in ("mail.eml/a.txt", str(settings.docs[0] / "mail.eml" / "a.txt")):
        status, out, _ = run(capsys, "show", name)
        assert (status, "Boats." in out) == (0, True)


def test_a_filter_in_the_question_holds_for_both_arms_and_what_is_on_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(capsys, "index")
    _, out, _ = run(capsys, "ask", "Does the cat drink warm milk at night? in:dogs.md")
    assert "Passages: 5, by meaning, the last one may be a keyword match. Only documents in dogs.md.\n" in out
    assert out.count(" dogs.md") == 3
    assert "cats.md" not in out
    status, _, err = run(capsys, "ask", "Does the cat drink? type:pdf")
    assert (status, err.startswith("error: No document is of type 'pdf': the types are md.")) == (2, True)


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
    assert status == 0
    assert out.splitlines() == [
        "imported 2 labels, 1 of them on passages of these documents",
        "lines that match no passage in these documents: 1",
        "  line 2: 'what does a cat drink?': waits, for none of these documents holds 'Fish fly.'",
        "Waiting lines count once their documents are indexed.",
    ]
    assert "rated queries with a positive: 1" in run(capsys, "stats")[1]


def test_a_place_in_a_document_is_a_label_of_the_passage_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run(capsys, "index")
    place = {"query": "what does a dog keep?", "document": "dogs.md", "start": 8, "end": 20, "label": 1}
    (tmp_path / "labels.jsonl").write_text(f"{json.dumps(place)}\n{json.dumps(place)}\n")
    out = run(capsys, "import", str(tmp_path / "labels.jsonl"))[1]
    assert "imported 1 label, 1 of them on passages" in out
    assert "lines that repeat the rater, query and text of a later line, which counts: 1" in out
    run(capsys, "export", str(tmp_path / "out.jsonl"))
    label = json.loads((tmp_path / "out.jsonl").read_text())
    assert ("The dog keeps one bone" in label["text"], label["document"]) == (True, "dogs.md")


def test_of_many_unmatched_lines_the_first_are_printed_and_all_are_in_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, settings: Settings
) -> None:
    run(capsys, "index")
    lines = [json.dumps({"query": f"query {n}", "text": "Fish fly.", "label": 1}) for n in range(25)]
    (tmp_path / "labels.jsonl").write_text("\n".join(lines))
    out = run(capsys, "import", str(tmp_path / "labels.jsonl"))[1]
    assert ("'query 19'" in out, "'query 20'" in out) == (True, False)
    assert f"and 5 more: all are in {settings.home / 'unmatched.txt'}" in out
    assert len((settings.home / "unmatched.txt").read_text().splitlines()) == 25


def test_labels_go_out_and_come_in_again_as_a_file_and_as_a_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(capsys, "index")
    text = "# Cats The cat drinks warm milk at night."
    label = {"query": "what does a cat drink?", "text": text, "label": 1}
    (tmp_path / "labels.jsonl").write_text(json.dumps(label))
    run(capsys, "import", str(tmp_path / "labels.jsonl"))
    for out in (tmp_path / "out.jsonl", tmp_path / "beir"):
        assert run(capsys, "export", str(out))[:2] == (0, f"exported 1 label on 1 query to {out}\n")
        assert run(capsys, "export", str(out))[0] == 2
        monkeypatch.setenv("THUMBTUNE_HOME", str(tmp_path / f"home-{out.name}"))
        run(capsys, "index")
        assert "imported 1 label, 1 of them" in run(capsys, "import", str(out))[1]
        monkeypatch.setenv("THUMBTUNE_HOME", str(tmp_path / "home"))


def test_a_forgotten_rater_leaves_no_rating_no_label_and_in_the_end_no_byte(
    capsys: pytest.CaptureFixture[str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def files_that_name_bob() -> list[Path]:
        return [file for file in settings.lancedb.rglob("*") if file.is_file() and b"rater-bob" in file.read_bytes()]

    store = open_store(settings.lancedb)
    answers = [make_answer(make_hits("cat", "dog"), cited=(1,), id=f"answer-{n}") for n in range(30)]
    for answer in answers:
        store.feedback.put_answer(answer)
    ratings = [Rating(rater, a.id, 1, True, NOON) for a in answers for rater in ("rater-ann", "rater-eve")]
    store.feedback.put_ratings([*ratings, Rating("rater-bob", "answer-1", 1, True, NOON)])
    repair(store)
    assert files_that_name_bob()
    status, out, _ = run(capsys, "forget", "rater-bob")
    assert (status, "forgot 'rater-bob': deleted 1 rating and 2 labels" in out) == (0, True)
    assert {rating.rater for rating in store.feedback.ratings()} == {"rater-ann", "rater-eve"}
    assert sorted(rating.id for rating in store.feedback.ratings()) == sorted(rating.id for rating in ratings)
    assert Counter(label.rater for label in store.feedback.labels()) == {"rater-ann": 60, "rater-eve": 60}
    assert repair(store) == 0
    for kept in ("KEEP_OLD_FEEDBACK", "KEEP_OLD_VOTES"):  # as if a minute was over
        monkeypatch.setattr(rag.store.durability, kept, timedelta(milliseconds=1))
    assert run(capsys, "forget", "rater-bob")[0] == 2
    assert files_that_name_bob() == []
    store.close()


def test_a_rater_of_whom_nothing_is_stored_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "forget", "o'brien")
    assert (status, err.startswith('error: rater "o\'brien" has no rating and no label here: ')) == (2, True)


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
        ("THUMBTUNE_LLM", "", ["export", "labels.jsonl"], "there are no labels to export"),
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


def test_review_lists_what_was_voted_down_until_a_passage_is_known(settings, monkeypatch, capsys):
    monkeypatch.setenv("THUMBTUNE_HOME", str(settings.home))
    store = open_store(settings.lancedb)
    hits = make_hits("Cats eat fish.")
    store.feedback.put_answer(
        replace(make_answer(hits, cited=(1,), query="what do dogs eat?"), text="Cats eat fish. [1]")
    )
    rate_answer(store, rater="ann", answer_id="answer-1", value=-1, blind=True)
    assert main(["review"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "what do dogs eat?"
    teach(store, rater="ann", query="What do dogs eat", chunk=hits[0].chunk)
    store.close()
    assert main(["review"]) == 0
    assert "nothing to review" in capsys.readouterr().out


def test_gaps_lists_what_was_refused_until_it_is_answered(settings, monkeypatch, capsys):
    monkeypatch.setenv("THUMBTUNE_HOME", str(settings.home))
    store = open_store(settings.lancedb)
    hits = make_hits("Cats eat fish.")
    refusal = replace(make_answer(hits, query="what do dogs eat?"), abstained=True)
    store.feedback.put_answer(refusal)
    assert main(["gaps"]) == 0
    assert capsys.readouterr().out == "1. 1 refused; nearest passage: a.md\n   what do dogs eat?\n"
    teach(store, rater="ann", query="What do dogs eat", chunk=hits[0].chunk)
    store.close()
    assert main(["gaps"]) == 0
    assert capsys.readouterr().out.startswith("nothing is known to be missing")


def test_a_reader_that_has_seen_enough_ends_a_command_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A line of text.\n" * 20_000)
    command = f"{sys.executable} -m rag show {tmp_path / 'a.txt'} | head -1"
    env = {**os.environ, "THUMBTUNE_HOME": str(tmp_path / "home"), "THUMBTUNE_DOCS": str(tmp_path)}
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=env, cwd=ROOT)
    assert done.stdout.startswith("file ")
    assert done.stderr == ""
