# ruff: noqa: E501  # lines of XML
"""Word files: what Word shows around the text and next to it is read where it stands; what it hides is not."""

from __future__ import annotations

from io import BytesIO
from zipfile import ZipFile

import docx
import pytest
from lxml import etree

from office import edit_zip, make_docx, make_zip
from rag.loaders.office.docx_epub import load_docx
from rag.loaders.office.ooxml import attribute, child
from rag.loaders.office.word_numbering import Numbering, numeral

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
TICK = (
    '<w:sdt><w:sdtPr><w14:checkbox xmlns:w14="http://schemas.microsoft.com/office/word/2010/wordml">'
    '<w14:checked w14:val="{}"/></w14:checkbox></w:sdtPr><w:sdtContent>{}</w:sdtContent></w:sdt>'
)
RUN = '<w:r><w:t xml:space="preserve">{}</w:t></w:r>'


def body(xml: str, **parts: str) -> str:
    """Return the text of a Word file with this body, other parts replaced or added by their names before .xml."""
    data = edit_zip(make_docx("END"), "word/document.xml", "<w:p><w:r><w:t>END</w:t></w:r></w:p>", xml)
    with ZipFile(BytesIO(data)) as opened:
        old = {name: opened.read(name) for name in opened.namelist()}
    links = old["word/_rels/document.xml.rels"].decode()
    for name in parts:
        kind = "aFChunk" if name.startswith("chunk") else name
        link = f'<Relationship Id="{name}" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/{kind}" Target="{name}.xml"/>'
        links = links.replace("</Relationships>", link + "</Relationships>")
    new = {f"word/{name}.xml": content for name, content in parts.items()}
    return load_docx(make_zip({**old, **new, "word/_rels/document.xml.rels": links})).text.strip()


def paragraph(content: str, properties: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr>{content}</w:p>"


@pytest.mark.parametrize(
    ("xml", "shown"),
    [
        (TICK.format(1, RUN.format("☒")) + RUN.format(" yes ") + TICK.format(0, RUN.format("☐")) + RUN.format(" no"), "☒ yes ☐ no"),
        (TICK.format("true", RUN.format("\u2714")) + RUN.format(" yes"), "☒ yes"),
        (TICK.format(1, "") + RUN.format(" yes"), "☒ yes"),
        ('<w:r><w:sym w:font="Wingdings" w:char="F0FE"/></w:r>' + RUN.format(" yes"), "☑ yes"),
        ('<w:r><w:sym w:font="Wingdings" w:char="F0A8"/></w:r>' + RUN.format(" no"), "☐ no"),
        ('<w:r><w:fldChar w:fldCharType="begin"><w:ffData><w:checkBox><w:default w:val="1"/></w:checkBox></w:ffData></w:fldChar>'
         '</w:r><w:r><w:instrText> FORMCHECKBOX </w:instrText></w:r><w:r><w:fldChar w:fldCharType="end"/></w:r>'
         + RUN.format(" yes"), "☒ yes"),
        ('<w:r><w:fldChar w:fldCharType="begin"><w:ffData><w:ddList><w:result w:val="1"/><w:listEntry w:val="red"/>'
         '<w:listEntry w:val="blue"/></w:ddList></w:ffData></w:fldChar></w:r><w:r><w:fldChar w:fldCharType="end"/></w:r>', "blue"),
        ('<w:fldSimple w:instr=" AUTHOR ">' + RUN.format("Ann") + "</w:fldSimple>", "Ann"),
        ("<w:r><w:t>Donau</w:t><w:softHyphen/><w:t>dampf\u00adschiff</w:t></w:r>", "Donaudampfschiff"),
        ("<w:r><w:t>ISO</w:t><w:noBreakHyphen/><w:t>9001</w:t></w:r>", "ISO-9001"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("in_table", [False, True])
def test_boxes_fields_and_signs_are_read_in_their_place(xml: str, shown: str, in_table: bool) -> None:
    cells = f"<w:tc>{paragraph(RUN.format('Smoker'))}</w:tc><w:tc>{paragraph(xml)}</w:tc>"
    if in_table:
        assert body(f"<w:tbl><w:tr>{cells}</w:tr></w:tbl>") == f"Smoker | {shown}"
    else:
        assert body(paragraph(xml)) == shown


STYLES = (
    f'<w:styles {W}><w:style w:type="character" w:styleId="Secret"><w:rPr><w:vanish/></w:rPr></w:style>'
    '<w:style w:type="paragraph" w:styleId="Note"><w:rPr><w:vanish/></w:rPr></w:style>'
    '<w:style w:type="paragraph" w:styleId="Child"><w:basedOn w:val="Note"/></w:style></w:styles>'
)


@pytest.mark.parametrize(
    ("run", "style", "is_read"),
    [
        ("<w:rPr><w:vanish/></w:rPr>", "", False),
        ('<w:rPr><w:vanish w:val="0"/></w:rPr>', "Note", True),
        ('<w:rPr><w:rStyle w:val="Secret"/></w:rPr>', "", False),
        ("", "Note", False),
        ("", "Child", False),
        ("<w:rPr><w:webHidden/></w:rPr>", "", True),
    ],
)
def test_hidden_text_is_left_out_and_noted(run: str, style: str, is_read: bool) -> None:
    xml = paragraph(f"<w:r>{run}<w:t>lowest price</w:t></w:r>", f'<w:pStyle w:val="{style}"/>')
    data = edit_zip(make_docx("Offer.", "END"), "word/document.xml", "<w:p><w:r><w:t>END</w:t></w:r></w:p>", xml)
    with ZipFile(BytesIO(data)) as opened:
        parts = {name: opened.read(name) for name in opened.namelist()}
    loaded = load_docx(make_zip({**parts, "word/styles.xml": STYLES}))
    assert ("lowest price" in loaded.text) == is_read
    assert ("hidden text" in loaded.note) != is_read


def numbering(levels: str, more: str = "") -> str:
    return f'<w:numbering {W}><w:abstractNum w:abstractNumId="0">{levels}</w:abstractNum><w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>{more}</w:numbering>'


def level(index: int, style: str, text: str, more: str = "") -> str:
    return f'<w:lvl w:ilvl="{index}"><w:start w:val="1"/><w:numFmt w:val="{style}"/>{more}<w:lvlText w:val="{text}"/></w:lvl>'


def labels(definition: str, *items: tuple[int, int], styles: str = f"<w:styles {W}/>") -> list[str]:
    """Return the labels of paragraphs of (list, level)."""
    counted = Numbering(etree.fromstring(definition), etree.fromstring(styles))
    return [counted.label(str(number), index) for number, index in items]


def test_levels_count_within_the_level_above() -> None:
    levels = level(0, "decimal", "%1.") + level(1, "decimal", "%1.%2") + level(2, "lowerLetter", "(%3)")
    items = [(1, 0), (1, 1), (1, 2), (1, 2), (1, 1), (1, 0), (1, 1), (1, 2)]
    assert labels(numbering(levels), *items) == ["1.", "1.1", "(a)", "(b)", "1.2", "2.", "2.1", "(a)"]


def test_lists_of_one_definition_continue_each_other_unless_one_starts_over() -> None:
    more = (
        '<w:num w:numId="2"><w:abstractNumId w:val="0"/></w:num><w:num w:numId="3"><w:abstractNumId w:val="0"/>'
        '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="5"/></w:lvlOverride></w:num>'
    )
    items = [(1, 0), (2, 0), (3, 0), (3, 0), (1, 0)]
    assert labels(numbering(level(0, "decimal", "%1."), more), *items) == ["1.", "2.", "5.", "6.", "7."]


def test_legal_numbers_and_levels_that_never_restart() -> None:
    levels = level(0, "upperRoman", "Article %1") + level(1, "decimal", "%1.%2", '<w:lvlRestart w:val="0"/><w:isLgl/>')
    assert labels(numbering(levels), (1, 0), (1, 1), (1, 0), (1, 1)) == ["Article I", "1.1", "Article II", "2.2"]


@pytest.mark.parametrize(
    ("number", "style", "text"),
    [(27, "lowerLetter", "aa"), (28, "upperLetter", "BB"), (14, "lowerRoman", "xiv"), (1949, "upperRoman", "MCMXLIX"),
     (3, "decimalZero", "03"), (12, "ordinal", "12th"), (22, "ordinal", "22nd"), (21, "cardinalText", "Twenty-one"),
     (20, "ordinalText", "Twentieth"), (7, "001", "007"), (2, "decimalEnclosedCircle", "②"), (12, "chineseCounting", "十二"),
     (4, "none", ""), (0, "lowerLetter", "0"), (5, "unheard of", "5")],
)  # fmt: skip
def test_numerals_are_written_as_word_writes_them(number: int, style: str, text: str) -> None:
    assert numeral(number, style) == text


def test_headings_numbered_by_their_style_show_their_numbers() -> None:
    styles = (
        f'<w:styles {W}><w:style w:type="paragraph" w:styleId="Heading1"><w:name w:val="heading 1"/><w:pPr><w:numPr>'
        '<w:numId w:val="1"/></w:numPr></w:pPr></w:style><w:style w:type="paragraph" w:styleId="Heading2"><w:name '
        'w:val="heading 2"/><w:basedOn w:val="Heading1"/><w:pPr><w:numPr><w:ilvl w:val="1"/></w:numPr></w:pPr></w:style></w:styles>'
    )
    levels = level(0, "decimal", "%1") + level(1, "decimal", "%1.%2")
    counted = Numbering(etree.fromstring(numbering(levels)), etree.fromstring(styles))
    first, second = (
        counted.place(etree.fromstring(f'<w:pPr {W}><w:pStyle w:val="Heading{n}"/></w:pPr>')) for n in (1, 2)
    )
    assert (first, second) == (("1", 0), ("1", 1))
    assert [counted.label(*place) for place in (first, second, second) if place] == ["1", "1.1", "1.2"]


def test_a_numbered_list_keeps_its_numbers_around_a_note() -> None:
    document = docx.Document()
    for text in ("Switch off.", "Open it."):
        document.add_paragraph(text, style="List Number")
        document.add_paragraph("Note: wait.")
    data = BytesIO()
    document.save(data)
    assert load_docx(data.getvalue()).text.split("\n\n")[:3] == ["1. Switch off.", "Note: wait.", "2. Open it."]


def test_page_headers_and_footers_are_read_once_and_marked() -> None:
    document = docx.Document()
    document.add_heading("Delivery")
    section = document.sections[0]
    section.different_first_page_header_footer = True
    section.header.paragraphs[0].text = "Contract KV-1"
    section.first_page_header.paragraphs[0].text = "Baker & Sons"
    section.footer.paragraphs[0].text = "Contract KV-1"  # said before
    document.add_section().footer.is_linked_to_previous = True
    data = BytesIO()
    document.save(data)
    text = load_docx(data.getvalue()).text
    assert text == "Page header: Contract KV-1\n\nPage header of the first page: Baker & Sons\n\n# Delivery\n\n"


def test_a_page_number_alone_is_no_footer() -> None:
    document = docx.Document()
    document.add_paragraph("Text.")
    paragraph = document.sections[0].footer.paragraphs[0]
    paragraph._p.append(
        etree.fromstring(f'<w:fldSimple {W} w:instr=" PAGE "><w:r><w:t>Page12</w:t></w:r></w:fldSimple>')
    )
    data = BytesIO()
    document.save(data)
    assert load_docx(data.getvalue()).text == "Text.\n\n"


def test_a_comment_follows_its_block_with_its_author() -> None:
    document = docx.Document()
    document.add_heading("Noise")
    run = document.add_paragraph("Shifts are loud.").runs[0]
    document.add_comment(run, text="Measured 61 decibels", author="Rev")
    document.add_paragraph("After.")
    data = BytesIO()
    document.save(data)
    assert load_docx(data.getvalue()).text == (
        "# Noise\n\nShifts are loud.\n\nComment by Rev: Measured 61 decibels\n\nAfter.\n\n"
    )


CHUNK = '<w:altChunk xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships" r:id="chunk"/>'
PAGE = (
    "<!DOCTYPE html><html><head><style>x</style></head><body><h2>Fire</h2><p>Doors&nbsp;stick.<p>Fix {}</body></html>"
)


def chunk(content: str | bytes, name: str = "chunk.html") -> str:
    data = edit_zip(make_docx("Before.", "END"), "word/document.xml", "<w:p><w:r><w:t>END</w:t></w:r></w:p>", CHUNK)
    link = f'<Relationship Id="chunk" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/aFChunk" Target="/word/{name}"/></Relationships>'
    data = edit_zip(data, "word/_rels/document.xml.rels", "</Relationships>", link)
    with ZipFile(BytesIO(data)) as opened:
        parts = {each: opened.read(each) for each in opened.namelist()}
    return load_docx(make_zip({**parts, f"word/{name}": content})).text


def test_embedded_files_are_read_in_their_place() -> None:
    fixed = "Before.\n\n## Fire\n\nDoors stick.\n\nFix ü\n\n"
    mime = "MIME-Version: 1.0\nContent-Type: multipart/related; boundary=b\n\n--b\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{}\n--b--\n"
    assert chunk(PAGE.format("ü")) == fixed
    assert chunk(PAGE.format("ü").encode("utf-16"), "chunk.dat") == fixed
    assert chunk(mime.format(PAGE.format("ü")).encode(), "chunk.mht") == fixed
    assert chunk(make_docx("## Fire", "Doors stick."), "chunk.docx") == "Before.\n\n## Fire\n\nDoors stick.\n\n"
    assert chunk("One.\n\nTwo.", "chunk.txt") == "Before.\n\nOne.\n\nTwo.\n\n"
    assert chunk(rb"{\rtf1\ansi Doors {\b stick}.\par Fix.}", "chunk.rtf") == "Before.\n\nDoors stick.\n\nFix.\n\n"


def test_an_embedded_file_that_cannot_be_read_is_noted() -> None:
    data = edit_zip(make_docx("Before.", "END"), "word/document.xml", "<w:p><w:r><w:t>END</w:t></w:r></w:p>", CHUNK)
    link = '<Relationship Id="chunk" Type="http://x/aFChunk" Target="gone.html"/></Relationships>'
    loaded = load_docx(edit_zip(data, "word/_rels/document.xml.rels", "</Relationships>", link))
    assert "'word/gone.html' cannot be read" in loaded.lost
    assert loaded.text == "Before.\n\n"


def test_two_header_rows_name_each_column_together() -> None:
    document = docx.Document()
    table = document.add_table(rows=0, cols=4)
    for row in (["Town", "2022", "", ""], ["", "Steel", "Glass", "Wood"], *[["Ulm", "12", "30", "8"]] * 30):
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    table.cell(0, 1).merge(table.cell(0, 3))
    table.cell(0, 0).merge(table.cell(1, 0))
    data = BytesIO()
    document.save(data)
    assert (
        load_docx(data.getvalue()).text.splitlines()[3]
        == "Town: Ulm | 2022, Steel: 12 | 2022, Glass: 30 | 2022, Wood: 8"
    )


def test_attributes_and_children_are_found_without_their_namespaces() -> None:
    element = etree.fromstring(f'<w:a {W} w:val="1"><w:b/></w:a>')
    assert (attribute(element, "val"), attribute(None, "val"), child(element, "b", "c")) == ("1", "", None)
