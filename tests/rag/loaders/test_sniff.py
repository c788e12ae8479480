"""Files whose names say another format than their bytes, files without a suffix, and logs."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_LZMA, ZipFile

import pytest

from office import make_docx, make_epub, make_xlsx, make_zip
from pdfs import make_pdf
from rag.errors import Unreadable
from rag.ingest.discovery import find_files
from rag.ingest.documents import Document, ingest
from rag.loaders.formats import LOADERS, suffix_of


@pytest.mark.parametrize(
    ("suffix", "data", "words", "kind"),
    [
        (".txt", make_pdf("They sleep."), "They sleep.", "PDF"),
        (".docx", make_pdf("They sleep."), "They sleep.", "PDF"),
        (".pdf", make_docx("They sleep."), "They sleep.", "Word"),
        (".md", make_docx("They sleep."), "They sleep.", "Word"),
        (".doc", make_docx("They sleep."), "They sleep.", "Word"),
        (".csv", make_xlsx(a=[["They", "sleep."], [1, 2]]), "sleep.", "spreadsheet"),
        (".txt", make_epub("<p>They sleep.</p>"), "They sleep.", "EPUB"),
        (".txt", b"<!DOCTYPE html><html><body><p>They sleep.</p></body></html>", "They sleep.", "web page"),
        (".xls", b"\n<html><body><p>They sleep.</p></body></html>", "They sleep.", "web page"),
    ],
)
def test_a_file_is_read_as_what_it_is_and_that_is_noted(suffix: str, data: bytes, words: str, kind: str) -> None:
    loaded = LOADERS[suffix](data)
    assert words in loaded.text
    assert loaded.note == f"by its content it is {kind}"


def test_a_zip_named_as_text_is_refused_with_the_name_it_needs() -> None:
    with pytest.raises(Unreadable, match=r"zip archive: give it a name that ends in \"\.zip\""):
        LOADERS[".txt"](make_zip({"a.txt": "x"}))


@pytest.mark.parametrize(
    ("suffix", "data"),
    [
        (".php", b"<!DOCTYPE html><html><?php echo 1 ?></html>"),
        (".md", b"See `<html>` and %PDF-1.4."),
        (".eml", b"A: b\n\n<html>"),
    ],
)
def test_a_file_that_quotes_another_format_stays_what_it_is(suffix: str, data: bytes) -> None:
    assert LOADERS[suffix](data).note == ""


def test_readme_and_makefile_without_a_suffix_are_found_and_programs_are_not(tmp_path: Path) -> None:
    for name in ("README", "LICENSE", "CHANGELOG", "Makefile", "a.log"):
        (tmp_path / name).write_text("all:\n\tThey sleep.\n")
    (tmp_path / "program").write_bytes(b"\x7fELF\0")
    assert [source for source, _ in find_files([tmp_path])] == ["CHANGELOG", "LICENSE", "Makefile", "README", "a.log"]
    outcomes = ingest([tmp_path], known={}, count_tokens=lambda texts: [9 for _ in texts], chunk_tokens=64)
    found = [each for each in outcomes if isinstance(each, Document)]
    assert len(found) == 5
    assert all("They sleep." in each.text for each in found)


def test_a_log_keeps_its_lines_without_colours() -> None:
    loaded = LOADERS[".log"](b"\x1b[32m12:00 INFO\x1b[0m started\n12:01 WARN hot\n")
    assert loaded.text == "12:00 INFO started\n12:01 WARN hot\n"
    assert {block.kind for section in loaded.sections for block in section.blocks} == {"code"}


@pytest.mark.parametrize(
    ("text", "begin", "note"),
    [
        ("= Boats\n\n== Piers\n\nPier 3.\n", "# Boats\n\n## Piers", "read as AsciiDoc"),
        ("#+TITLE: Boats\n\n* Piers\n\nPier [[a][3]].\n", "", "read as Org"),
        ("Boats\n=====\n\n.. note:: Wait.\n\nSee `here <https://a.b>`_.\n", "# Boats", "read as reStructuredText"),
        ("# Boats\n\n## Piers\n\nPier 3.\n", "# Boats\n\n## Piers", "read as Markdown"),
        ("Boats\n=====\n\n* Pier 3\n* Pier 4::\n\n    a\n", "Boats\n=====", ""),
    ],
)
def test_a_readme_without_an_ending_is_read_in_the_markup_that_it_shows(
    tmp_path: Path, text: str, begin: str, note: str
) -> None:
    (tmp_path / "README").write_text(text)
    outcomes = ingest([tmp_path], known={}, count_tokens=lambda texts: [len(each) for each in texts], chunk_tokens=99)
    document = next(each for each in outcomes if isinstance(each, Document))
    assert document.text.startswith(begin)
    assert LOADERS[suffix_of(tmp_path / "README")](text.encode()).note == note


@pytest.mark.parametrize("method", [ZIP_DEFLATED, ZIP_LZMA, ZIP_BZIP2])
def test_an_e_book_whose_type_cannot_be_unpacked_is_refused(method: int) -> None:
    written = BytesIO()
    with ZipFile(written, "w", method) as book:
        book.writestr("mimetype", "application/epub+zip")
    data = bytearray(written.getvalue())
    start = data.index(b"mimetype") + len(b"mimetype")
    data[start : start + 20] = b"\xff" * 20
    with pytest.raises(Unreadable):
        LOADERS[".epub"](bytes(data))
