"""Signs of symbol fonts become characters that people can read and search."""

from __future__ import annotations

import pytest

from office import edit_zip, make_docx, make_pptx
from rag.loaders.builder import DocumentBuilder
from rag.loaders.office.docx_epub import load_docx
from rag.loaders.office.pptx import load_pptx
from rag.loaders.symbols import plain_signs, sign_of


@pytest.mark.parametrize(
    ("font", "code", "sign"),
    [("Wingdings", 0xF0E0, "→"), ("wingdings", 0xFC, "✓"), ("Symbol", 0xF061, "α"), ("Symbol", 0xB7, "•"),
     ("Arial", 0xF0E0, ""), ("Wingdings", 0x2013, "")],
)  # fmt: skip
def test_a_sign_is_found_by_its_font_and_code(font: str, code: int, sign: str) -> None:
    assert sign_of(font, code) == sign


def test_without_a_font_bullets_and_arrows_are_signs_and_the_rest_goes() -> None:
    assert plain_signs("\uf0b7 one \uf0e0 two\uf0f9\nE000: \ue000") == "• one → two\nE000: \ue000"


def test_code_keeps_its_private_characters() -> None:
    builder = DocumentBuilder()
    builder.add("\uf0e0 a")
    builder.code("icon = '\uf0e0'")
    assert builder.build().text == "→ a\n\n```\nicon = '\uf0e0'\n```\n\n"


@pytest.mark.parametrize(
    "run",
    [
        '<w:r><w:sym w:font="Wingdings" w:char="F0E0"/></w:r>',
        '<w:r><w:rPr><w:rFonts w:ascii="Wingdings"/></w:rPr><w:t>à</w:t></w:r>',
        "<w:r><w:t>\uf0e0</w:t></w:r>",
    ],
)
def test_an_arrow_of_words_autocorrect_is_an_arrow(run: str) -> None:
    data = edit_zip(make_docx("Press END"), "word/document.xml", "</w:p>", f"{run}<w:r><w:t> Save</w:t></w:r></w:p>")
    assert load_docx(data).text.strip() == "Press END→ Save"


def test_an_arrow_on_a_slide_is_an_arrow_and_a_letter_stays_a_letter() -> None:
    run = '<a:r><a:rPr lang="en"><a:sym typeface="Wingdings" pitchFamily="2"/></a:rPr><a:t>{}</a:t></a:r></a:p>'
    slides = make_pptx(("Voilà", "Press END", ""))
    for text in ("à", " déjà"):
        slides = edit_zip(slides, "ppt/slides/slide1.xml", "END</a:t></a:r>", "END</a:t></a:r>" + run.format(text)[:-6])
    assert "Voilà" in load_pptx(slides).text
    assert "Press END déjà→" in load_pptx(slides).text
