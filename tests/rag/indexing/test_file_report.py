"""The report names every file: read, read in part, skipped or left out, and why."""

from __future__ import annotations

import json

import pytest

import hostile
from office import make_zip
from pdfs import make_pdf
from rag.indexing import file_report, indexer
from rag.indexing.file_report import FileReport, kind_of, load_file_report
from rag.indexing.indexer import Indexer, format_report, index, report_json
from rag.ingest import workers
from rag.ingest.corpus import load_corpus
from rag.settings import Settings

LATIN = "Für Müll gilt: Größe bis 80 Liter kostet 5 Euro im Monat, für Gemüse gilt dasselbe.\n".encode("cp1252")


@pytest.fixture
def mixed(settings: Settings) -> Settings:
    """Return settings whose folder has a file for each thing that may happen to one."""
    folder = settings.docs[0]
    (folder / "scan.pdf").write_bytes(make_pdf("Cats sleep.", "", ""))
    (folder / "named.txt").write_bytes(make_pdf("Dogs run."))
    (folder / "latin.txt").write_bytes(LATIN)
    (folder / "broken.docx").write_bytes(b"none")
    (folder / "empty.md").write_bytes(b"")
    (folder / "more.zip").write_bytes(make_zip({"a.md": "In a zip.", "b.gif": "GIF", ".c.md": "hidden", "d.md": ""}))
    for name in ("a.bmp", "b.bmp", "tune.mp3", "program", ".hidden.md", "questions.jsonl"):
        (folder / name).write_text("x")
    (folder / ".git").mkdir()
    (folder / "node_modules").mkdir()
    (folder / "linked.md").symlink_to(folder / "cats.md")
    return settings


LINES = [
    "Markdown: 3 read, 2 skipped",
    "text: 2 read (2 with a note)",
    "PDF: 1 read in part",
    "Word: 1 skipped",
    "5 files of other kinds left out: .bmp 2, without ending 1, .gif 1, .mp3 1",
    "also left out: 3 hidden files and folders, 1 folder of a tool, 1 file of questions for the training, "
    "1 link to what is read anyway",
]


def test_each_kind_has_a_line_and_all_that_is_left_out_is_counted(mixed: Settings) -> None:
    report = index(mixed).files
    assert sorted(report.lines()[:4]) == sorted(LINES[:4])
    assert report.lines()[4] == LINES[4]
    assert set(report.lines()[5].removeprefix("also left out: ").split(", ")) == set(
        LINES[5].removeprefix("also left out: ").split(", ")
    )
    details = list(report.details())
    assert len(details) == 6
    assert details[0] == "skipped 'broken.docx': it is damaged: open it in its own program and save it again"
    assert "skipped 'empty.md': it is empty" in details
    assert "skipped 'more.zip/d.md': it is empty" in details
    assert any(line.startswith("read 'latin.txt': note: read as ") for line in details)
    assert any(line.startswith("read 'named.txt': note: by its content it is PDF") for line in details)
    assert any(line.startswith("read in part 'scan.pdf': 2 of its 3 pages have no text") for line in details)


def test_every_entry_of_the_folder_is_in_the_list(mixed: Settings) -> None:
    lines = list(index(mixed).files.details(everything=True))
    for path in mixed.docs[0].iterdir():
        assert any(f"'{path.name}" in line for line in lines), path.name
    assert "left out 'program': file of another kind" in lines
    assert "left out '.git': hidden file or folder" in lines
    assert "left out 'more.zip/b.gif': file of another kind" in lines


def test_the_report_of_a_second_run_and_its_json_are_as_those_of_the_first(mixed: Settings) -> None:
    first = index(mixed)
    second = index(mixed)
    assert second.is_unchanged
    assert second.files == first.files == load_file_report(mixed, load_corpus(mixed))
    row = json.loads(report_json(second))
    assert FileReport.read(row) == first.files
    assert {kind["kind"]: kind["skipped"] for kind in row["kinds"]} == {"Markdown": 2, "text": 0, "PDF": 0, "Word": 1}


def test_a_run_after_one_that_was_killed_still_reports_what_is_missing(
    mixed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = index(mixed)
    (mixed.home / "reports" / f"files-{load_corpus(mixed).id}.json").unlink()  # as if it was killed before the report
    again = index(mixed)
    assert again.is_unchanged
    assert again.files == first.files


def test_a_damaged_report_is_made_again(mixed: Settings) -> None:
    first = index(mixed)
    path = mixed.home / "reports" / f"files-{load_corpus(mixed).id}.json"
    for damage in ("", "[]", '{"files": [{}], "left_out": {}}', '{"files": 3}'):
        path.write_text(damage)
        assert load_file_report(mixed, load_corpus(mixed)) is None
    assert index(mixed).files == first.files


def test_only_a_screenful_is_printed_without_the_list(settings: Settings) -> None:
    for number in range(25):
        (settings.docs[0] / f"{number:02}.md").write_text("")
    report = index(settings).files
    assert len(list(report.details())) == 21
    assert list(report.details())[-1] == "and 5 more: `python -m rag index --list` shows all"
    assert len(list(report.details(everything=True))) == 27


def test_many_names_are_counted_and_not_all_kept(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_report, "MAX_KEPT", 3)
    for number in range(20):
        (settings.docs[0] / f"x.{number:02}").write_text("x")
    report = index(settings).files
    assert report.lines()[-1].startswith("20 files of other kinds left out: .00 1, .01 1")
    assert report.lines()[-1].endswith(".11 1, 8 other endings")
    assert list(report.details(everything=True))[-1] == "and 17 more left out"


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("a/b.PDF", "PDF"),
        ("README", "text"),
        ("https://example.org/a.pdf", "web address"),
        ("a.zip", "archive"),
        ("a.mbox", "mailbox"),
        ("a.urls", "list of addresses"),
        ("old.pages", "not supported"),
        ("odd", "other"),
    ],
)
def test_a_kind_is_named_as_people_name_it(source: str, kind: str) -> None:
    assert kind_of(source) == kind


def test_a_run_that_finished_an_earlier_one_says_what_it_did(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        """Stands for kill -9."""

    def killed(*given: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(indexer, "update_vectors", killed)
        with pytest.raises(Killed):
            index(settings)
    assert format_report(index(settings)).splitlines()[:2] == [
        "index: unchanged, 2 documents",
        f"embedded 3 missing vectors ({settings.base_model}, a new table) of documents that an earlier run has read",
    ]
    assert format_report(index(settings)) == "index: unchanged, 2 documents\nMarkdown: 2 read"


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("exit", "it made its parser crash"),
        ("spin", "reading it took more than 2 s"),
        ("eat", "reading it took more memory than 1.0 GB"),
    ],
)
def test_a_file_that_crashes_or_hangs_its_parser_costs_itself(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, word: str, why: str
) -> None:
    monkeypatch.setattr(workers, "begin_work", hostile.begin_work)
    monkeypatch.setattr(workers, "SECONDS", 2.0)
    monkeypatch.setattr(workers, "MEMORY", 1_000_000_000)
    for name, text in {"a.pdf": "Apes climb.", "b.pdf": word, "c.pdf": "Cows moo."}.items():
        (settings.docs[0] / name).write_text(text)
    with Indexer(settings) as running:
        report = running.run()
    assert report.added == ["a.pdf", "c.pdf", "cats.md", "dogs.md"]
    assert "PDF: 2 read, 1 skipped" in report.files.lines()
    assert [line.split(": ")[0] for line in report.files.details()] == ["skipped 'b.pdf'"]
    assert why in next(report.files.details())
