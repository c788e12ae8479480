"""Slides: a section for each, with what the speaker says; or one reason why not."""

from __future__ import annotations

from io import BytesIO

import pptx
import pytest
from pptx.util import Inches

from office import make_docx, make_pptx
from rag.errors import Unreadable
from rag.slides import load_pptx


def test_each_slide_is_a_section_with_its_notes() -> None:
    extract = load_pptx(make_pptx(("Cats", "They sleep.\nThey eat.", "Ask who has one."), ("", "One line", "")))
    assert extract.text == (
        "# Slide 1: Cats\n\n- They sleep.\n- They eat.\n\nNotes: Ask who has one.\n\n# Slide 2\n\nOne line\n\n"
    )
    assert [section.heading for section in extract.sections] == ["Slide 1: Cats", "Slide 2"]


@pytest.mark.parametrize(("stored", "title"), [("Pets", "Pets"), ("PowerPoint Presentation", "Cats"), ("", "Cats")])
def test_slides_are_named_by_their_properties_else_by_the_first_title(stored: str, title: str) -> None:
    assert load_pptx(make_pptx(("Cats", "a", ""), title=stored)).title == title


def test_tables_and_groups_are_read_in_their_place() -> None:
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
def test_what_are_no_slides_says_so(data: bytes) -> None:
    with pytest.raises(Unreadable, match="save it anew"):
        load_pptx(data)
