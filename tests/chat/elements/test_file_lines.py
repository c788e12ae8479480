"""The documents page says what became of each file, in the language of the page."""

from __future__ import annotations

from typing import cast, get_args

from chat.elements import file_lines
from chat.elements.file_lines import KINDS, WHY, report_files, report_lines
from chat.language import in_language
from rag.indexing.file_report import FileRecord, FileReport, kind_of
from rag.ingest.discovery import LeftOut, LeftOutWhy
from rag.loaders.formats import LOADERS

DAMAGED = "2 of its 5 pages are damaged (the first is 3): open it in a viewer and save it again"
REPORT = FileReport(
    (
        FileRecord("a.md", "Markdown", "read"),
        FileRecord("b.txt", "text", "read", note="read as Windows-1252, guessed from its bytes"),
        FileRecord("c.pdf", "PDF", "read in part", DAMAGED),
        FileRecord("d.zip/e.xml", "XML", "skipped", "it is no XML: its markup cannot be read"),
    ),
    {".exe": 2, "": 1},
    {"hidden": 1, "ignored": 2},
    (LeftOut("f.exe", "kind"),),
)  # fmt: skip


def german(lines: list[str]) -> list[str]:
    return cast(list[str], in_language(lines, "de-DE"))


def test_each_kind_and_what_was_left_out_have_a_line() -> None:
    lines = report_lines(REPORT)
    assert lines == [
        "Markdown: 1 read",
        "PDF: 1 read in part",
        "XML: 1 skipped",
        "text: 1 read (1 with a note)",
        "3 files of other kinds left out: 2 × .exe, 1 × without ending",
        "Also left out: 1 × hidden, 2 × named in .thumbtuneignore",
    ]
    assert german(lines)[3:5] == [
        "Text: 1 gelesen (1 mit einem Hinweis)",
        "3 Dateien anderer Art ausgelassen: 2 × .exe, 1 × ohne Endung",
    ]


def test_each_file_with_news_is_listed_with_its_reason_in_the_language_of_the_page() -> None:
    assert report_files(REPORT)[0] == "Read: b.txt (note: read as Windows-1252, guessed from its bytes)"
    assert german(report_files(REPORT)) == [
        "Gelesen: b.txt (Hinweis: als Windows-1252 gelesen, aus den Bytes geschlossen)",
        "Teilweise gelesen: c.pdf (2 von 5 Seiten sind beschädigt (die erste ist 3): "
        "Öffnen Sie sie in einem Anzeigeprogramm und speichern Sie sie noch einmal)",
        "Übersprungen: d.zip/e.xml (Sie ist kein XML: Ihre Auszeichnungen sind nicht lesbar)",
        "Ausgelassen: f.exe (andere Art)",
        "und 5 weitere",
    ]


def test_a_long_list_ends_in_how_many_more_there_are() -> None:
    many = FileReport(tuple(FileRecord(f"{n}.md", "Markdown", "skipped", "it is empty") for n in range(502)))
    assert report_files(many)[-1] == f"and {502 - file_lines.MAX_ON_PAGE} more"
    assert len(report_files(many)) == file_lines.MAX_ON_PAGE + 1


def test_each_kind_has_a_name_in_each_language_or_is_a_name_itself() -> None:
    names = {"AsciiDoc", "CSV", "EPUB", "Excel 97-2003", "LaTeX", "Markdown", "Org", "PDF", "PowerPoint 97-2003", "Rich Text", "Word", "Word 97-2003", "XML", "YAML", "reStructuredText"}  # fmt: skip  # noqa: E501
    kinds = {
        *(loader.kind for loader in LOADERS.values()),
        *map(kind_of, ("a.zip", "a.mbox", "a.urls", "https://a.b", "a.q")),
    }
    assert kinds - KINDS.keys() == names
    assert set(WHY) == set(get_args(LeftOutWhy))
