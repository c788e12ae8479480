"""What loaders write into: offsets are exact, headings lead, tables can be read line by line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.drafts import SMALL_TABLE, Draft, good_title, is_header, table_lines

LONG = "a value that takes its room " * 3


def test_blocks_lie_where_their_offsets_say() -> None:
    draft = Draft()
    draft.heading(1, "Cats ")
    draft.add("They sleep.\r\n")
    draft.add("  \n")
    draft.heading(2, "Food")
    draft.heading(3, "Fish")
    draft.add("They eat.", "list")
    draft.heading(2, "Sleep")
    draft.add("Long.")
    extract = draft.extract("Pets")
    assert [(s.heading, [extract.text[b.start : b.end] for b in s.blocks]) for s in extract.sections] == [
        ("Cats", ["# Cats", "They sleep."]),
        ("Cats > Food > Fish", ["## Food", "### Fish", "They eat."]),
        ("Cats > Sleep", ["## Sleep", "Long."]),
    ]
    assert (extract.title, draft.first_heading) == ("Pets", "Cats")


@given(st.lists(st.text()))
def test_any_text_can_be_stored_and_found_at_its_offsets(texts: list[str]) -> None:
    draft = Draft()
    for text in texts:
        draft.add(text)
    extract = draft.extract()
    extract.text.encode()
    assert "\0" not in extract.text
    assert all(extract.text[b.start : b.end].strip() for section in extract.sections for b in section.blocks)


def test_a_small_table_is_markdown_and_a_mark_in_a_cell_is_escaped() -> None:
    assert table_lines([["Name", "Age", "of"], ["Ann | Bob", "3", ""], ["", "", ""]]) == [
        "| Name | Age | of |",
        "| --- | --- | --- |",
        "| Ann \\| Bob | 3 |  |",
    ]


def test_a_row_of_a_long_table_says_what_its_values_are() -> None:
    rows = [["Name", "Age", ""], *[["Ann", "", LONG]] * 9]
    assert table_lines(rows) == [f"Name: Ann | {' '.join(LONG.split())}"] * 9


def test_two_columns_of_text_are_names_and_values_of_one_thing() -> None:
    draft = Draft()
    draft.table([["Name", "Ann"], ["Home", LONG * 6], ["Age", "3"]])
    assert draft.extract().text.splitlines()[0::2] == ["Name | Ann", "Age | 3"]


def test_headers_from_above_serve_rows_that_have_none() -> None:
    assert table_lines([["3", "4"]] * 2, ["Age", "Size"])[0] == "| Age | Size |"
    assert table_lines([["3", "4"]] * SMALL_TABLE, ["Age", "Size"])[-1] == "Age: 3 | Size: 4"


@pytest.mark.parametrize(
    ("first", "names"),
    [
        (["Name", "Age"], True),
        (["Ann", "3"], False),
        (["Ann", "2026-01-02"], False),
        (["Ann", "1.234,50 €"], False),
        (["Name", "Name"], False),
        (["Name", ""], False),
        (["Name", "x" * 100], False),
        (["2024 plan", "Q1"], True),
    ],
)
def test_a_first_row_names_the_columns_or_does_not(first: list[str], names: bool) -> None:
    assert is_header([first, ["Ann", "3"]]) is names
    assert not is_header([first])


@pytest.mark.parametrize(("given", "title"), [("Cats", "Cats"), ("a\n b", "a b"), ("Untitled", ""), ("x.docx", "")])
def test_a_title_that_a_program_left_is_none(given: str, title: str) -> None:
    assert good_title(given) == title
