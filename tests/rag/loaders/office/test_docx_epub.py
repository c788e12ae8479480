"""Word files and EPUB books: all of their text under its headings, or the reason why they cannot be read."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from zipfile import ZipFile, ZipInfo

import docx
import pytest
from docx.enum.style import WD_STYLE_TYPE
from hypothesis import given, settings
from hypothesis import strategies as st

from office import edit_zip, make_docx, make_epub, make_pptx, make_xlsx, make_zip
from opendocument import make_odf
from outlook import compound_file
from rag.errors import Unreadable
from rag.loaders.builder import DocumentBuilder, LoadedText
from rag.loaders.formats import LOADERS
from rag.loaders.office.docx_epub import load_docx, load_epub, write_html

WORD = make_docx(
    "# Cats", "Cats sleep.", "## Food", "- fish", "- mice", [["Name", "Age", "City"], ["Ann", "3", "Rome"]], "END"
)


def outline(loaded: LoadedText) -> list[tuple[str, list[str]]]:
    """Return (heading path, kinds of blocks) of each section."""
    return [(section.heading, [block.kind for block in section.blocks]) for section in loaded.sections]


def html(text: str) -> str:
    builder = DocumentBuilder()
    write_html(builder, text)
    return builder.build().text.strip()


def test_a_word_file_keeps_headings_lists_and_tables() -> None:
    loaded = load_docx(WORD)
    assert outline(loaded) == [
        ("Cats", ["heading", "prose"]),
        ("Cats > Food", ["heading", "list", "table", "prose"]),
    ]
    assert loaded.title == "Cats"
    assert loaded.text.startswith("# Cats\n\nCats sleep.\n\n## Food\n\n- fish\n- mice\n\n| Name | Age | City |\n")


@pytest.mark.parametrize(
    ("xml", "kept"),
    [
        ("<w:ins w:id='1'><w:r><w:t>inserted</w:t></w:r></w:ins>", "inserted"),
        ("<w:sdt><w:sdtContent><w:r><w:t>in a control</w:t></w:r></w:sdtContent></w:sdt>", "in a control"),
        ("<w:del w:id='1'><w:r><w:delText>deleted</w:delText></w:r></w:del>", ""),
        ("<w:r><w:t>one</w:t><w:br/><w:t>two</w:t></w:r>", "one\ntwo"),
        ("<w:r><w:t>ein \u00e4 &amp; &lt;b&gt;</w:t></w:r>", "ein ä & <b>"),
    ],
)
def test_text_outside_raw_paragraphs_is_kept(xml: str, kept: str) -> None:
    data = edit_zip(make_docx("before", "END"), "word/document.xml", "<w:r><w:t>END</w:t></w:r>", xml)
    assert load_docx(data).text.strip() == f"before\n\n{kept}".strip()


def test_a_document_that_declares_entities_is_refused() -> None:
    bomb = edit_zip(WORD, "word/document.xml", "<w:document ", "<!DOCTYPE x [<!ENTITY a 'b'>]><w:document ")
    with pytest.raises(Unreadable, match="declares XML entities"):
        load_docx(bomb)


@pytest.mark.parametrize("data", [b"PK\x03\x04", b"", make_zip({"a.txt": "b"}), WORD[:2000], make_epub("<p>a</p>")])
def test_a_file_that_is_no_word_file_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable, match=r"save it again"):
        load_docx(data)


def test_a_word_file_with_a_password_is_refused() -> None:
    with pytest.raises(Unreadable, match="damaged, or encrypted"):
        load_docx(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    with pytest.raises(Unreadable, match="it is protected by a password: save a copy without one"):
        load_docx(compound_file({"EncryptedPackage": b"x" * 100, "EncryptionInfo": b"x" * 100}))
    with pytest.raises(Unreadable, match="in an older format than its name says"):
        load_docx(compound_file({"Contents": b"x" * 100}))


def test_a_book_is_read_in_reading_order_without_its_table_of_contents() -> None:
    book = make_epub("<h1>One</h1><p>Cats&nbsp;sleep &mdash; long.</p>", "<h1>Two</h1><p>Dogs bark.</p>", title="Pets")
    loaded = load_epub(book)
    assert loaded.text == "# One\n\nCats sleep — long.\n\n# Two\n\nDogs bark.\n\n"
    assert [section.heading for section in loaded.sections] == ["One", "Two"]
    assert loaded.title == "Pets"


def test_a_missing_chapter_is_left_out_and_noted() -> None:
    book = edit_zip(make_epub("<p>One.</p>", "<p>Two.</p>"), "OEBPS/book.opf", "text/c2.xhtml", "text/gone.xhtml")
    loaded = load_epub(book)
    assert loaded.text == "Two.\n\n"
    assert loaded.lost.startswith(
        "1 of its 2 chapters cannot be read, the first: 'OEBPS/text/gone.xhtml', it is damaged"
    )


def rights(*encrypted: str) -> dict[str, str]:
    references = "".join(f'<CipherReference URI="{uri}"/>' for uri in encrypted)
    return {"META-INF/encryption.xml": f"<encryption>{references}</encryption>"}


def test_copy_protected_chapters_are_refused_and_obfuscated_fonts_are_not() -> None:
    with pytest.raises(Unreadable, match="copy protection"):
        load_epub(make_epub("<p>a</p>", extra=rights("OEBPS/text/c1.xhtml")))
    assert load_epub(make_epub("<p>a</p>", extra=rights("OEBPS/font.otf"))).text == "a\n\n"


@pytest.mark.parametrize("data", [b"PK", make_zip({"a.txt": "b"}), make_zip({"META-INF/container.xml": "<a/>"})])
def test_a_file_that_is_no_book_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable):
        load_epub(data)


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>a <b>b</b>\n c</p>tail", "a b c\n\ntail"),
        ("<div>a<p>b</p>c</div>", "a\n\nb\n\nc"),
        ("<p>a<br/>b</p>", "a\nb"),
        ("<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>", "- a\n  - b\n- c"),
        ("<ol><li><p>a</p><p>b</p></li><li>c</li></ol>", "1. a b\n2. c"),
        ("<ul><li>x</li><ul><li>a</li></ul></ul>", "- x\n  - a"),
        ("<pre>def a():\n    b</pre>", "```\ndef a():\n    b\n```"),
        ("<p>a</p><script>x</script><style>y</style><!-- z --><img alt='q'/>", "a"),
        ("<p>a &lt; b &amp; c &unknown; d</p>", "a < b & c &unknown; d"),
        ("<h2>a</h2><h3>b</h3>", "## a\n\n### b"),
        ("<table><tr><th>a</th><td><table><tr><td>b</td></tr></table></td></tr><tr><td>c</td><td>d</td></tr></table>",
         "| a | b |\n| --- | --- |\n| c | d |"),
    ],
)  # fmt: skip
def test_all_text_of_a_page_is_kept_in_order(markup: str, text: str) -> None:
    assert html(markup) == text


def test_declared_entities_are_not_expanded_and_no_file_is_read() -> None:
    doctype = '<!DOCTYPE a [<!ENTITY b "bomb"><!ENTITY c SYSTEM "file:///etc/passwd">]>'
    assert html(f"{doctype}<html><body><p>x &b;&c; y</p></body></html>") == "x &b;&c; y"


def test_deep_or_long_markup_is_not_cut_off_silently() -> None:
    assert html("<div>" * 300 + "deep" + "</div>" * 300 + "<p>after</p>") == "deep\n\nafter"
    assert html(f"<p>{'word ' * 2_100_000}END</p><p>after</p>").endswith("END\n\nafter")
    with pytest.raises(Unreadable, match="nested too deeply"):
        html("<div>" * 2_000 + "deep" + "</div>" * 2_000)


@pytest.mark.parametrize(
    ("suffix", "whole"),
    [
        (".docx", make_docx("Cats sleep.")),
        (".pptx", make_pptx(("Cats", "Cats sleep.", ""))),
        (".xlsx", make_xlsx(cats=[["Cats sleep."]])),
        (".odt", make_odf("text", "<text:p>Cats sleep.</text:p>")),
        (".epub", make_epub("<p>Cats sleep.</p>")),
    ],
)
def test_a_part_without_a_name_does_no_harm(suffix: str, whole: bytes) -> None:
    made = BytesIO(whole)
    with ZipFile(made, "a") as opened:
        opened.writestr(ZipInfo(""), b"nobody can refer to it")
    assert "Cats sleep." in LOADERS[suffix](made.getvalue()).text


@given(st.data())
@settings(max_examples=25)
def test_a_damaged_file_is_read_or_refused_with_a_reason(data: st.DataObject) -> None:
    load, whole = data.draw(st.sampled_from([(load_docx, WORD), (load_epub, make_epub("<p>a</p>", "<p>b</p>"))]))
    broken = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 8))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    with suppress(Unreadable):
        load(bytes(broken)).text.encode()


def test_a_note_follows_the_block_that_links_to_it() -> None:
    point = '<sup><a href="#footnote-1">[1]</a></sup>'
    notes = (
        '<ol><li id="footnote-1"><p>Some bark. <a href="#r">↑</a></p></li><li id="footnote-2"><p>Alone.</p></li></ol>'
    )
    for block, text in {
        f"<p>Dogs{point} run.</p>": "Dogs[1] run.",
        f"<ul><li>Dogs{point}</li></ul>": "- Dogs[1]",
        f"<table><tr><td>Dogs{point}</td></tr></table>": "Dogs[1]",
    }.items():
        assert html(f"{block}<h1>Cats</h1><p>Sleep.</p>{notes}") == (
            f"{text}\n\n[1] Some bark.\n\n# Cats\n\nSleep.\n\n2. Alone."
        )


def test_cells_that_span_rows_and_columns_keep_the_others_in_their_columns() -> None:
    rows = (
        "<tr><td>Kind</td><td>Name</td><td>Price</td></tr><tr><td rowspan='2'>Fruit</td><td>Apple</td><td>1</td></tr>"
        "<tr><td>Pear</td><td>2</td></tr><tr><td colspan='2'>Sum</td><td>3</td></tr>"
    )
    assert html(f"<table>{rows}</table>").splitlines()[2:] == [
        "| Fruit | Apple | 1 |",
        "| Fruit | Pear | 2 |",
        "| Sum |  | 3 |",
    ]


ROWS = "".join(f"<tr><td>{n}</td><td>what it is</td><td>7</td></tr>" for n in range(30))


@pytest.mark.parametrize(
    "head", ["<tr><th>1</th><th>2</th><th>3</th></tr>", "<thead><tr><td>1</td><td>2</td><td>3</td></tr></thead>"]
)
def test_a_row_marked_as_header_in_html_is_one(head: str) -> None:
    assert html(f"<table>{head}{ROWS}</table>").splitlines()[5] == "1: 5 | 2: what it is | 3: 7"


def test_a_single_th_in_the_first_row_makes_no_header() -> None:
    rows = ROWS.replace("<td>", "<th>", 1).replace("</td>", "</th>", 1)
    assert html(f"<table>{rows}</table>").splitlines()[0] == "0 | what it is | 7"


def test_a_row_marked_as_header_in_word_is_one() -> None:
    rows = [["2021", "2022", "2023"], *[[str(n), "17", "20"] for n in range(40)]]
    row = "<w:tr>"
    data = edit_zip(make_docx(rows), "word/document.xml", row, f"{row}<w:trPr><w:tblHeader/></w:trPr>")
    assert load_docx(data).text.splitlines()[7] == "2021: 7 | 2022: 17 | 2023: 20"


def test_a_long_heading_in_word_is_kept_in_full() -> None:
    clause = " ".join(f"word{n}" for n in range(100))
    assert load_docx(make_docx(f"## {clause}", "text")).text == f"## {clause}\n\ntext\n\n"


def test_code_keeps_its_line_breaks_and_indentation() -> None:
    assert html("<pre>if a:<br/>    b<br/></pre>") == "```\nif a:\n    b\n```"
    code = docx.Document()
    code.styles.add_style("Source Code", WD_STYLE_TYPE.PARAGRAPH)
    for line in ("if a:", "    b"):
        code.add_paragraph(line, style="Source Code")
    data = BytesIO()
    code.save(data)
    loaded = load_docx(data.getvalue())
    assert (loaded.text.strip(), outline(loaded)) == ("```\nif a:\n    b\n```", [("", ["code"])])


def test_paragraphs_in_a_font_for_code_are_one_code_block_with_its_indentation() -> None:
    document = docx.Document()
    document.add_paragraph("This function counts, as long as there is something to count, and then returns.")
    for line in ("def f(n):", "    while n:", "        n -= 1", "    return n"):
        document.add_paragraph().add_run(line).font.name = "Courier New"
    document.add_paragraph("It needs no more.")
    data = BytesIO()
    document.save(data)
    code = "```\ndef f(n):\n    while n:\n        n -= 1\n    return n\n```"
    assert f"returns.\n\n{code}\n\nIt needs" in load_docx(data.getvalue()).text


def test_a_letter_in_courier_is_no_code() -> None:
    document = docx.Document()
    for line in ("Dear Ann,", "the key stays.", "Bob"):
        document.add_paragraph().add_run(line).font.name = "Courier New"
    data = BytesIO()
    document.save(data)
    assert load_docx(data.getvalue()).text == "Dear Ann,\n\nthe key stays.\n\nBob\n\n"


def test_a_formula_becomes_text() -> None:
    run = "<m:r><m:t>{}</m:t></m:r>"
    half = f"<m:f><m:num>{run.format(1)}</m:num><m:den>{run.format('x&lt;2')}</m:den></m:f>"
    xml = f"<m:oMathPara xmlns:m='http://schemas.openxmlformats.org/officeDocument/2006/math'><m:oMath>{half}</m:oMath></m:oMathPara>"
    data = edit_zip(make_docx("before", "END"), "word/document.xml", "<w:r><w:t>END</w:t></w:r>", xml)
    assert load_docx(data).text.strip() == "before\n\n1/x<2"
