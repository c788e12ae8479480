"""Rich Text: lists with their numbers, headings, notes, text boxes, page headers."""

from __future__ import annotations

import pytest

from rag.errors import Unreadable
from rag.loaders.office.rtf import load_rtf

HEAD = rb"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0 Arial;}{\f3\fcharset2 Symbol;}}"


def read(rtf: str) -> str:
    return load_rtf(HEAD + rtf.encode("latin-1") + b"}").text.strip()


def test_list_items_have_the_numbers_that_the_file_shows_once() -> None:
    rtf = (
        r"{\listtext\pard\plain 1.\tab}\pard\ls1\ilvl0 Open\par {\listtext\pard\plain (a)\tab}\pard\ls1\ilvl1 Push\par"
        r"{\listtext\pard\plain 2.\tab}\pard\ls1\ilvl0 Close\par\pard Then\par"
        r"{\pntext\f0 3.\tab}{\*\pn\pnlvlbody\pndec{\pntxta .}}Lock\par {\pntext\f3\'b7\tab}Key\par"
    )
    assert read(rtf) == "1. Open\n  (a) Push\n2. Close\n\nThen\n\n3. Lock\n- Key"


def test_a_number_that_is_typed_is_not_doubled() -> None:
    assert read(r"\pard\ls1 1. Open\par 2. Close\par") == "1. Open\n\n2. Close"


def test_headings_notes_text_boxes_comments_and_page_headers_are_read() -> None:
    rtf = (
        r"{\header\pard Harbour rules\par}{\headerf\pard Harbour rules\par}{\footer\pard\chpgn\par}"
        r"\pard\outlinelevel0 Boats\par\pard Boats wait{\super\chftn{\footnote\pard{\super\chftn} At pier 3.}} here\par"
        r"\pard Ask{\*\annotation\pard When?} us.{\shp{\*\shpinst{\sp{\sn fLine}{\sv 0}}{\shptxt\pard Box 7\par}}}\par"
    )
    wait = "Page header: Harbour rules\n\n# Boats\n\nBoats wait[1] here\n\n[1] At pier 3."
    assert read(rtf) == f"{wait}\n\nAsk us.\n\nComment: When?\n\nBox 7"


def test_optional_hyphens_go_and_bars_in_a_cell_stay() -> None:
    rtf = (
        r"Rail\-way\par\trowd\cellx9\cellx18\pard\intbl a|b\cell c\cell\row\trowd\pard\intbl d\cell e\cell\row\pard\par"
    )
    assert read(rtf) == "Railway\n\n| a\\|b | c |\n| --- | --- |\n| d | e |"


@pytest.mark.parametrize("data", [b"", b"{\\rt", b"PK"])
def test_what_is_no_rich_text_says_so(data: bytes) -> None:
    with pytest.raises(Unreadable, match="no Rich Text"):
        load_rtf(data)
