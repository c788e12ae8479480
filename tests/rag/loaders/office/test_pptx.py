"""Slides: one section each with the speaker notes, or the reason why a file cannot be read."""

from __future__ import annotations

import re
from copy import deepcopy
from io import BytesIO
from zipfile import ZipFile

import pptx
import pytest
from pptx.util import Inches

from office import edit_zip, make_docx, make_pptx, make_zip
from rag.errors import Unreadable
from rag.loaders.office.pptx import load_pptx


def test_each_slide_is_a_section_with_its_notes() -> None:
    loaded = load_pptx(make_pptx(("Cats", "They sleep.\nThey eat.", "Ask who has one."), ("", "One line", "")))
    assert loaded.text == (
        "# Slide 1: Cats\n\n- They sleep.\n- They eat.\n\nNotes: Ask who has one.\n\n# Slide 2\n\nOne line\n\n"
    )
    assert [section.heading for section in loaded.sections] == ["Slide 1: Cats", "Slide 2"]


def test_a_long_slide_title_is_kept_in_full() -> None:
    title = " ".join(f"word{n}" for n in range(60))
    loaded = load_pptx(make_pptx((title, "One line", "")))
    assert loaded.text == f"# Slide 1: {title}\n\nOne line\n\n"
    assert loaded.title == title[:200]


@pytest.mark.parametrize(("stored", "title"), [("Pets", "Pets"), ("PowerPoint Presentation", "Cats"), ("", "Cats")])
def test_the_title_is_that_of_the_properties_else_of_the_first_slide(stored: str, title: str) -> None:
    assert load_pptx(make_pptx(("Cats", "a", ""), title=stored)).title == title


def test_tables_and_groups_are_read_in_order() -> None:
    presentation, data = pptx.Presentation(), BytesIO()
    shapes = presentation.slides.add_slide(presentation.slide_layouts[6]).shapes
    table = shapes.add_table(2, 3, 0, 0, Inches(1), Inches(1)).table
    for number, text in enumerate(("Name", "Age", "City", "Ann", "3", "Rome")):
        table.cell(number // 3, number % 3).text = text
    box = shapes.add_group_shape().shapes.add_textbox(0, 0, Inches(1), Inches(1))
    box.text_frame.text = "in a group"
    presentation.save(data)
    text = load_pptx(data.getvalue()).text
    assert text == "# Slide 1\n\n| Name | Age | City |\n| --- | --- | --- |\n| Ann | 3 | Rome |\n\nin a group\n\n"


@pytest.mark.parametrize("data", [b"PK", make_docx("a"), make_pptx(("a", "b", ""))[:5000]])
def test_a_file_that_is_no_powerpoint_file_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable, match="save it again"):
        load_pptx(data)


MATH = """<mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006">
<mc:Choice xmlns:a14="http://schemas.microsoft.com/office/drawing/2010/main" Requires="a14">BOX</mc:Choice>
<mc:Fallback/></mc:AlternateContent>"""
FORMULA = """<a14:m><m:oMathPara xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"><m:oMath><m:r>
<m:t>E=m</m:t></m:r><m:sSup><m:e><m:r><m:t>c</m:t></m:r></m:e><m:sup><m:r><m:t>2</m:t></m:r></m:sup></m:sSup></m:oMath>
</m:oMathPara></a14:m>"""


def test_a_text_box_with_a_formula_is_read_with_the_formula() -> None:
    data = make_pptx(("Energy", "It is PLACE always.", ""))
    part = "ppt/slides/slide1.xml"
    with ZipFile(BytesIO(data)) as opened:
        slide = opened.read(part).decode()
    (box,) = [found for found in re.findall("<p:sp>.*?</p:sp>", slide, re.DOTALL) if "PLACE" in found]
    before, run, after = re.split("(<a:r>.*?PLACE.*?</a:r>)", box, flags=re.DOTALL)
    assert run
    parts = f"{before}<a:r><a:t>It is </a:t></a:r>{FORMULA}<a:r><a:t> always.</a:t></a:r>{after}"
    text = load_pptx(edit_zip(data, part, box, MATH.replace("BOX", parts))).text
    assert text == "# Slide 1: Energy\n\nIt is E=mc^2 always.\n\n"


def test_a_box_that_comes_first_in_the_file_but_stands_below_is_read_after() -> None:
    presentation, data = pptx.Presentation(), BytesIO()
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    for text, top in (("Below", 3), ("Above", 1)):
        slide.shapes.add_textbox(Inches(1), Inches(top), Inches(4), Inches(1)).text_frame.text = text
    presentation.save(data)
    assert load_pptx(data.getvalue()).text == "# Slide 1\n\nAbove\n\nBelow\n\n"


@pytest.mark.parametrize(
    "comment",
    [
        '<p:cmLst xmlns:p="p"><p:cm authorId="7"><p:text>Too long?</p:text></p:cm></p:cmLst>',
        '<x:cmLst xmlns:x="x" xmlns:a="a"><x:cm authorId="7"><x:replyLst><x:reply authorId="8"><x:txBody><a:p><a:r>'
        "<a:t>No.</a:t></a:r></a:p></x:txBody></x:reply></x:replyLst><x:txBody><a:p><a:r><a:t>Too long?"
        "</a:t></a:r></a:p></x:txBody></x:cm></x:cmLst>",
    ],
)
def test_comments_follow_the_slide_with_their_authors(comment: str) -> None:
    data = make_pptx(("Cats", "They sleep.", ""))
    kinds = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/"
    for part, name, target in (
        ("ppt/slides/_rels/slide1.xml.rels", "comments", "/ppt/comments/comment1.xml"),
        ("ppt/_rels/presentation.xml.rels", "commentAuthors", "/ppt/commentAuthors.xml"),
    ):
        link = f'<Relationship Id="c{name}" Type="{kinds}{name}" Target="{target}"/></Relationships>'
        data = edit_zip(data, part, "</Relationships>", link)
    authors = (
        '<p:cmAuthorLst xmlns:p="p"><p:cmAuthor id="7" name="Ann"/><p:cmAuthor id="8" name="Bob"/></p:cmAuthorLst>'
    )
    with ZipFile(BytesIO(data)) as opened:
        parts = {each: opened.read(each) for each in opened.namelist()}
    types = parts["[Content_Types].xml"].replace(
        b"</Types>",
        b'<Override PartName="/ppt/comments/comment1.xml" ContentType="application/xml"/>'
        b'<Override PartName="/ppt/commentAuthors.xml" ContentType="application/xml"/></Types>',
    )
    added = {"[Content_Types].xml": types, "ppt/comments/comment1.xml": comment, "ppt/commentAuthors.xml": authors}
    text = load_pptx(make_zip(parts | added)).text
    assert text.startswith("# Slide 1: Cats\n\nThey sleep.\n\nComment by Ann: Too long?\n\n")
    assert ("Comment by Bob: No." in text) == ("reply" in comment)


def test_footers_of_slides_come_once_and_slide_numbers_not_at_all() -> None:
    deck, data = pptx.Presentation(), BytesIO()
    for heading in ("Cats", "Dogs"):
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text, slide.placeholders[1].text = heading, f"About {heading}"
        for layout in slide.slide_layout.placeholders:
            if layout.placeholder_format.idx in (11, 12):
                slide.shapes._spTree.append(deepcopy(layout._element))
                slide.shapes[-1].text_frame.text = (
                    "ACME 2026" if layout.placeholder_format.idx == 11 else "\u2039#\u203a"
                )
    deck.save(data)
    text = load_pptx(data.getvalue()).text
    assert text == "# Slide 1: Cats\n\nAbout Cats\n\nACME 2026\n\n# Slide 2: Dogs\n\nAbout Dogs\n\n"


def test_a_table_and_a_box_on_the_page_of_the_notes_are_read() -> None:
    deck, data = pptx.Presentation(), BytesIO()
    notes = deck.slides.add_slide(deck.slide_layouts[1]).notes_slide
    notes.notes_text_frame.text = "Ask who has one."
    box = deepcopy(deck.slides[0].shapes.add_textbox(0, 0, 9, 9)._element)
    deck.slides[0].shapes[-1]._element.getparent().remove(deck.slides[0].shapes[-1]._element)
    notes.shapes._spTree.append(box)
    notes.shapes[-1].text_frame.text = "Bring the leash."
    deck.save(data)
    assert load_pptx(data.getvalue()).text == "# Slide 1\n\nNotes: Ask who has one.\n\nBring the leash.\n\n"
