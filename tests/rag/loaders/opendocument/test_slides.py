"""OpenDocument presentations, through the loader of their suffix; and the order of boxes on a slide."""

from __future__ import annotations

from opendocument import make_odf
from rag.loaders.formats import LOADERS
from rag.loaders.office.reading_order import Box, in_reading_order

HIDDEN = (
    '<style:style style:name="dp2" style:family="drawing-page"><style:drawing-page-properties '
    'presentation:visibility="hidden"/></style:style>'
)


def frame(*paragraphs: str, kind: str = "", top: float | None = None) -> str:
    place = f' svg:x="1cm" svg:y="{top}cm" svg:width="9cm" svg:height="1cm"' if top is not None else ""
    inner = "".join(f"<text:p>{each}</text:p>" for each in paragraphs)
    return f'<draw:frame presentation:class="{kind}"{place}><draw:text-box>{inner}</draw:text-box></draw:frame>'


def page(*shapes: str, style: str = "dp1") -> str:
    return f'<draw:page draw:style-name="{style}">{"".join(shapes)}</draw:page>'


def test_a_slide_is_a_section_with_its_title_lists_and_notes_and_hidden_ones_stay_out() -> None:
    notes = f"<presentation:notes>{frame('Say hello.', kind='notes')}</presentation:notes>"
    body = page(frame("Bees"), frame("About bees", kind="title"), frame("One", "Two"), notes) + page(
        frame("Secret"), style="dp2"
    )
    loaded = LOADERS[".odp"](make_odf("presentation", body, automatic=HIDDEN))
    assert loaded.text == "# Slide 1: About bees\n\nBees\n\n- One\n- Two\n\nNotes: Say hello.\n\n"
    assert loaded.note == "hidden slides are left out: 2"
    assert loaded.title == "About bees"


def test_a_box_that_comes_first_in_the_file_but_stands_below_is_read_after() -> None:
    body = page(frame("Below", top=5), frame("Above", top=1))
    assert LOADERS[".odp"](make_odf("presentation", body)).text == "# Slide 1\n\nAbove\n\nBelow\n\n"


def test_footers_stand_once() -> None:
    body = (
        '<presentation:footer-decl presentation:name="f">Confidential</presentation:footer-decl>' + page(frame("x")) * 2
    )
    assert LOADERS[".odp"](make_odf("presentation", body)).text.count("Page footer: Confidential") == 1


def test_cards_side_by_side_keep_the_order_of_the_file() -> None:
    cards = {"A": Box(0, 0, 2, 1), "a": Box(0, 1, 2, 5), "B": Box(3, 0, 5, 1), "b": Box(3, 1, 5, 5)}
    assert "".join(in_reading_order(list(cards), list(cards.values()))) == "AaBb"


def test_only_what_is_out_of_order_moves_and_a_box_without_a_place_stays() -> None:
    boxes = [Box(3, 0, 5, 1), None, Box(0, 0, 2, 1), Box(0, 9, 5, 10)]
    assert in_reading_order("RnLd", boxes) == ["n", "L", "R", "d"]
