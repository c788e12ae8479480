"""The text, headings or pages, title and date of each file format, or the reason why a file cannot be read."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import PurePath
from zipfile import ZipFile

import pypdfium2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from office import edit_zip, make_docx, make_epub, make_pptx, make_xlsx
from pdfs import ENCRYPTED, make_pdf
from rag.errors import Unreadable
from rag.loaders.builder import LoadedText
from rag.loaders.decoding import decode, normalise
from rag.loaders.formats import LOADERS, UNSUPPORTED, suffix_of
from rag.loaders.markup.markdown import load_markdown
from rag.loaders.pdf.pages import load_pdf
from rag.loaders.text import load_text
from rag.loaders.web.html import load_html

PAGE = """<!doctype html><html><head><title>Cats - a site</title></head><body>
<nav><a href="/">Home</a> <a href="/about">About us</a></nav>
<main><h1>All about cats</h1><p>Cats sleep most of the day, see <code>cat_sleep()</code> and cat_nap, 2 * 3 * 4.</p>
<h2>Food</h2><p>They eat fish.</p><pre><code># not a heading
def eat():
    fish = "\\_o_/"
</code></pre><ul><li>fish</li><li>mice</li></ul></main><footer>Imprint</footer></body></html>"""


def outline(loaded: LoadedText) -> list[tuple[str, str]]:
    """Return (heading path, text) of each section."""
    return [
        (section.heading, loaded.text[section.blocks[0].start : section.blocks[-1].end].strip())
        for section in loaded.sections
        if section.blocks
    ]


def test_markdown_is_split_into_sections_with_heading_paths() -> None:
    loaded = load_markdown(b"intro\n\n# Guide\n\na\n\n## Install\n\nb\n\n### On *Linux* with `pip`\nc\n\n## Run\n\nd\n")
    assert outline(loaded) == [
        ("", "intro"),
        ("Guide", "# Guide\n\na"),
        ("Guide > Install", "## Install\n\nb"),
        ("Guide > Install > On Linux with pip", "### On *Linux* with `pip`\nc"),
        ("Guide > Run", "## Run\n\nd"),
    ]
    assert loaded.title == "Guide"


def test_a_hash_in_code_is_no_heading_and_an_underlined_line_is_one() -> None:
    loaded = load_markdown(b"Guide\n=====\n\n```sh\n# comment\n```\n\n    # indented\n\n\\# escaped\n")
    assert [heading for heading, _ in outline(loaded)] == ["Guide"]


def test_link_definitions_are_kept() -> None:
    loaded = load_markdown(b"[x]: here.html\n\n# A\n\nsee [x]\n\n[y]: where.html\n")
    assert outline(loaded) == [("", "[x]: here.html"), ("A", "# A\n\nsee [x]\n\n[y]: where.html")]


def test_plain_text_has_paragraphs_and_no_headings() -> None:
    loaded = load_text(b"# one\r\nmore\r\n\r\n\r\ntwo\r\n")
    assert loaded.text == "# one\nmore\n\n\ntwo\n"
    assert [loaded.text[block.start : block.end] for block in loaded.sections[0].blocks] == ["# one\nmore", "two"]
    assert loaded.title == ""


def test_a_page_gives_its_main_text_with_headings_and_without_navigation() -> None:
    loaded = load_html(PAGE.encode())
    assert [heading for heading, _ in outline(loaded)] == ["All about cats", "All about cats > Food"]
    assert "Imprint" not in loaded.text
    assert "About us" not in loaded.text
    assert "- fish\n- mice" in loaded.text


def test_the_text_of_a_page_has_no_escapes_and_its_code_is_unchanged() -> None:
    text = load_html(PAGE.encode()).text
    assert "see `cat_sleep()` and cat_nap, 2 * 3 * 4." in text
    assert '# not a heading\ndef eat():\n    fish = "\\_o_/"' in text


def test_the_title_of_a_page_is_its_first_h1_else_its_title_element() -> None:
    assert load_html(PAGE.encode()).title == "All about cats"
    assert load_html(PAGE.replace("h1>", "h3>").encode()).title == "Cats - a site"


def test_a_fragment_of_html_is_read() -> None:
    assert load_html(b"<p>Cats sleep most of the day.</p>").text == "Cats sleep most of the day."


def test_a_page_rendered_by_a_script_is_refused() -> None:
    with pytest.raises(Unreadable, match="no main text was found"):
        load_html(
            b"<html><head><title>App</title></head><body><div id='app'></div><script>draw()</script></body></html>"
        )


def test_each_page_of_a_pdf_is_a_section() -> None:
    loaded = load_pdf(make_pdf("Cats sleep.\nThey eat.", "", "Dogs bark.", title="Pets"))
    found = [(section.page, loaded.text[b.start : b.end]) for section in loaded.sections for b in section.blocks]
    assert found == [(1, "Cats sleep.\nThey eat."), (3, "Dogs bark.")]
    assert loaded.title == "Pets"


@pytest.mark.parametrize("title", ["", "untitled", "Microsoft Word - cats.doc", "thesis.tex"])
def test_a_programs_default_title_in_a_pdf_is_ignored(title: str) -> None:
    assert load_pdf(make_pdf("Cats sleep.", title=title)).title == ""


def test_a_damaged_page_is_left_out_and_noted(caplog: pytest.LogCaptureFixture) -> None:
    loaded = load_pdf(make_pdf("Cats sleep.", "Dogs bark.").replace(b"/Type /Page /Parent", b"/Type /Nope /Parent", 1))
    assert loaded.text.strip() == "Dogs bark."
    assert [section.page for section in loaded.sections if section.blocks] == [2]
    assert "page 1 of a PDF is damaged" in caplog.text
    assert loaded.lost == ("page 1 of 2 is damaged: open it in a viewer and save it again")


def test_a_title_that_cannot_be_decoded_is_ignored() -> None:
    loaded = load_pdf(make_pdf("Cats sleep.", title="XX").replace(b"(XX)", b"<FEFFD8000041>"))
    assert (loaded.title, loaded.text.strip()) == ("", "Cats sleep.")


def test_a_word_broken_at_a_line_end_of_a_pdf_is_whole_again() -> None:
    assert "information is" in load_pdf(make_pdf("Here the infor-\nmation is broken over two lines.")).text


def test_an_encrypted_pdf_is_refused() -> None:
    with pytest.raises(Unreadable, match="the PDF is encrypted"):
        load_pdf(ENCRYPTED.read_bytes())


@pytest.mark.parametrize("data", [b"%PDF-1.7\nno more", b"plain text", make_pdf("Cats")[:60]])
def test_a_broken_pdf_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable, match="the PDF is broken"):
        load_pdf(data)


def test_a_scanned_pdf_is_refused_as_having_no_text() -> None:
    pdf, data = pypdfium2.PdfDocument.new(), BytesIO()
    page, picture = pdf.new_page(200, 200), pypdfium2.PdfImage.new(pdf)
    picture.set_bitmap(pypdfium2.PdfBitmap.new_native(1, 1, pypdfium2.raw.FPDFBitmap_BGR))
    page.insert_obj(picture)
    page.gen_content()
    pdf.save(data)
    with pytest.raises(Unreadable, match=r"has no text, its pages are images: .*OCR"):
        load_pdf(data.getvalue(), lambda: None)


def test_a_pdf_with_mostly_scanned_pages_notes_how_many() -> None:
    assert load_pdf(make_pdf("Cats sleep.", "", "")).lost.startswith("2 of its 3 pages have no text")
    assert load_pdf(make_pdf("Cats sleep.", "")).lost == ""


def test_a_single_scanned_page_of_a_pdf_is_noted() -> None:
    pdf, data = pypdfium2.PdfDocument(make_pdf("Cats sleep.", "", "", "Dogs bark.", "They run.")), BytesIO()
    page, picture = pdf[2], pypdfium2.PdfImage.new(pdf)
    picture.set_bitmap(pypdfium2.PdfBitmap.new_native(1, 1, pypdfium2.raw.FPDFBitmap_BGR))
    page.insert_obj(picture)
    page.gen_content()
    pdf.save(data)
    assert load_pdf(data.getvalue(), lambda: None).lost == (
        "page 3 of 5 has no text, as a scan: install text recognition (OCR): make ocr, or pip install 'thumbtune[ocr]'"
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_text_is_read_in_its_encoding(encoding: str) -> None:
    text = "Où êtes-vous? Les élèves étudient à l'école française."
    assert decode(text.encode(encoding)) == text


def test_other_legacy_encodings_are_recognised() -> None:
    text = "Привет, как дела? Это простой текст. Мы пишем его долго и много."
    assert decode(text.encode("cp1251")) == text


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", bytes(range(1, 256)) * 20, b"\xff\xfe\x00"])
def test_binary_data_with_a_text_suffix_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable, match="it is not text"):
        load_markdown(data)


def test_what_lancedb_cannot_store_is_removed() -> None:
    assert normalise("cat\ud800s\0 sleep\r\nall day\r") == "cats sleep\nall day\n"
    assert load_text("cat\0s".encode("utf-16")).text == "cats"


def read_or_reason(suffix: str, data: bytes) -> str:
    """Return the text, or the reason why there is none; any other error passes."""
    try:
        return LOADERS[suffix](data).text
    except Unreadable as error:
        return str(error)


@given(st.sampled_from(sorted(LOADERS)), st.binary(max_size=400))
def test_any_bytes_are_read_or_refused_with_a_reason(suffix: str, data: bytes) -> None:
    read_or_reason(suffix, data).encode("utf-8")


@given(st.data())
def test_a_damaged_pdf_is_read_or_refused_with_a_reason(data: st.DataObject) -> None:
    pdf = bytearray(make_pdf("Cats sleep.", "Dogs bark."))
    for _ in range(data.draw(st.integers(1, 8))):
        pdf[data.draw(st.integers(0, len(pdf) - 1))] = data.draw(st.integers(0, 255))
    assert read_or_reason(".pdf", bytes(pdf)).strip()


@pytest.mark.parametrize("suffix", UNSUPPORTED)
def test_an_unsupported_format_names_the_format_to_save_it_in(suffix: str) -> None:
    with pytest.raises(Unreadable, match=rf"not supported: save it as \.{UNSUPPORTED[suffix][1:]}$"):
        LOADERS[suffix](b"anything")
    assert UNSUPPORTED[suffix] in LOADERS


def with_macros(data: bytes, kind: str) -> bytes:
    """Return an office file with the content type of its macro-enabled variant."""
    with ZipFile(BytesIO(data)) as opened:
        types = opened.read("[Content_Types].xml").decode()
    (plain,) = re.findall(r'"(application/vnd\.openxmlformats-[^"]*\.main\+xml)"', types)
    return edit_zip(data, "[Content_Types].xml", plain, f"application/vnd.ms-{kind}.macroEnabled.main+xml")


PETS = "# Pets\n\n| Cat | Dog |\n| --- | --- |\n| 1 | 2 |\n\n"


def as_type(data: bytes, suffix: str) -> bytes:
    """Return an office file with the content type of a template or a slide show, as Office's Save As writes it."""
    old, new = {
        ".dotx": ("wordprocessingml.document.main", "wordprocessingml.template.main"),
        ".xltx": ("spreadsheetml.sheet.main", "spreadsheetml.template.main"),
        ".ppsx": ("presentationml.presentation.main", "presentationml.slideshow.main"),
        ".potx": ("presentationml.presentation.main", "presentationml.template.main"),
    }[suffix]
    return edit_zip(data, "[Content_Types].xml", old, new)


@pytest.mark.parametrize(
    ("suffix", "data", "text"),
    [
        (".dotx", as_type(make_docx("# Cats", "They sleep."), ".dotx"), "# Cats\n\nThey sleep.\n\n"),
        (".ppsx", as_type(make_pptx(("Cats", "b", "")), ".ppsx"), "# Slide 1: Cats\n\nb\n\n"),
        (".potx", as_type(make_pptx(("Cats", "b", "")), ".potx"), "# Slide 1: Cats\n\nb\n\n"),
        (".xltx", as_type(make_xlsx(Pets=[["Cat", "Dog"], [1, 2]]), ".xltx"), PETS),
        (".ppsm", with_macros(make_pptx(("Cats", "b", "")), "powerpoint.slideshow"), "# Slide 1: Cats\n\nb\n\n"),
        (".docm", with_macros(make_docx("# Cats", "They sleep."), "word.document"), "# Cats\n\nThey sleep.\n\n"),
        (".pptm", with_macros(make_pptx(("Cats", "b", "")), "powerpoint.presentation"), "# Slide 1: Cats\n\nb\n\n"),
        (".rst", b"Cats\n====\n\nThey sleep.\n", "# Cats\n\nThey sleep.\n\n"),
        (
            ".xhtml",
            b'<?xml version="1.0" encoding="utf-8"?><!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml"><head>'
            b"<title/></head><body><h1>Cats</h1><p>They sleep<br/>long.</p><script/><p>And eat.</p></body></html>",
            "# Cats\n\nThey sleep\nlong.\n\nAnd eat.",
        ),
    ],
)
def test_variants_of_a_format_are_read(suffix: str, data: bytes, text: str) -> None:
    assert LOADERS[suffix](data).text == text


def dated(meta: str) -> bytes:
    return PAGE.replace("<title>", f"{meta}<title>").encode()


@pytest.mark.parametrize(
    ("suffix", "data", "date"),
    [
        (".md", b"---\ntitle: A\ndate: 2026-05-31\n---\nText.", "2026-05-31"),
        (".md", b"---\ndate: 2024-01-01\nlastmod: '2026-05-31T10:00:00Z'\n---\nText.", "2026-05-31"),
        (".md", b"---\nDate: 2026/05/31\n---\nText.", "2026-05-31"),
        (".md", b"---\nlast_modified_at: 2026-05-31\n---\nText.", "2026-05-31"),
        (".md", b"---\ndate: 0101-01-01\n---\nText.", ""),
        (".md", b"---\ndate: yesterday\n---\nText.", ""),
        (".md", b"Text. date: 2026-05-31", ""),
        (".html", dated('<meta property="article:published_time" content="2026-05-31T10:00+02:00">'), "2026-05-31"),
        (".html", dated('<meta content="2026-05-31" name="date">'), "2026-05-31"),
        (".pdf", make_pdf("Text."), ""),
        (".pdf", make_pdf("Text.", date="D:20260531235959+02'00'"), "2026-05-31"),
        (
            ".docx",
            edit_zip(
                make_docx("Text."),
                "docProps/core.xml",
                "2013-12-23T23:15:00Z</dcterms:m",
                "2026-05-31T08:00:00Z</dcterms:m",
            ),
            "2026-05-31",
        ),
        (".epub", make_epub("<p>Text.</p>"), ""),
        (
            ".epub",
            edit_zip(
                make_epub("<p>Text.</p>"), "OEBPS/book.opf", "<dc:title>", "<dc:date>2026-05-31</dc:date><dc:title>"
            ),
            "2026-05-31",
        ),
        (".html", dated('<meta name="date" content="last May">'), ""),
        (".csv", b"a,b\n1,2", ""),
    ],
)
def test_the_date_of_a_file_is_the_one_it_states(suffix: str, data: bytes, date: str) -> None:
    assert LOADERS[suffix](data).date == date


def test_slides_and_workbooks_state_a_date() -> None:
    slides = make_pptx(("A", "b", ""))
    assert LOADERS[".pptx"](slides).date == ""  # the date of the template is ignored
    changed = edit_zip(
        slides, "docProps/core.xml", "2013-01-27T09:15:58Z</dcterms:m", "2026-05-31T08:00:00Z</dcterms:m"
    )
    assert LOADERS[".pptx"](changed).date == "2026-05-31"
    today = LOADERS[".xlsx"](make_xlsx(A=[["b", "c"], ["1", "2"]])).date
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", today)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("Page.RST.txt", ".rst"), ("page.md.txt", ".md"), ("v1.2.txt", ".txt"), ("rst.txt", ".txt"), ("zone.tab", ".tab")],
)
def test_copies_of_sources_are_read_as_what_they_were(name: str, suffix: str) -> None:
    assert suffix_of(PurePath(name)) == suffix


def test_tables_with_tabs_are_read_whatever_their_ending() -> None:
    rows = b"code\tzone\nAD\tEurope/Andorra\nAE\tAsia/Dubai\n"
    assert LOADERS[".tab"](rows).text == LOADERS[".tsv"](rows).text != ""
