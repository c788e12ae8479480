"""DocumentBuilder: exact offsets, heading paths, tables that can be read line by line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.loaders.builder import DocumentBuilder
from rag.loaders.metadata import good_title
from rag.loaders.tables import SMALL_TABLE, is_header, table_lines

LONG = "a value of many characters " * 3


def test_block_offsets_are_exact() -> None:
    builder = DocumentBuilder()
    builder.heading(1, "Cats ")
    builder.add("They sleep.\r\n")
    builder.add("  \n")
    builder.heading(2, "Food")
    builder.heading(3, "Fish")
    builder.add("They eat.", "list")
    builder.heading(2, "Sleep")
    builder.add("Long.")
    loaded = builder.build("Pets")
    assert [(s.heading, [loaded.text[b.start : b.end] for b in s.blocks]) for s in loaded.sections] == [
        ("Cats", ["# Cats", "They sleep."]),
        ("Cats > Food > Fish", ["## Food", "### Fish", "They eat."]),
        ("Cats > Sleep", ["## Sleep", "Long."]),
    ]
    assert (loaded.title, builder.first_heading) == ("Pets", "Cats")


@given(st.lists(st.text()))
def test_any_text_can_be_stored_and_found_at_its_offsets(texts: list[str]) -> None:
    builder = DocumentBuilder()
    for text in texts:
        builder.add(text)
    loaded = builder.build()
    loaded.text.encode()
    assert "\0" not in loaded.text
    assert all(loaded.text[b.start : b.end].strip() for section in loaded.sections for b in section.blocks)


def test_a_small_table_is_markdown_and_a_bar_in_a_cell_is_escaped() -> None:
    assert table_lines([["Name", "Age", "of"], ["Ann | Bob", "3", ""], ["", "", ""]]) == [
        "| Name | Age | of |",
        "| --- | --- | --- |",
        "| Ann \\| Bob | 3 |  |",
    ]


def test_each_row_of_a_long_table_names_its_values() -> None:
    rows = [["Name", "Age", ""], *[["Ann", "", LONG]] * 9]
    assert table_lines(rows) == [f"Name: Ann | {' '.join(LONG.split())}"] * 9


def test_two_columns_of_text_are_names_and_values_of_one_thing() -> None:
    builder = DocumentBuilder()
    builder.table([["Name", "Ann"], ["Home", LONG * 6], ["Age", "3"]])
    assert builder.build().text.splitlines()[0::2] == ["Name | Ann", "Age | 3"]


def test_given_headers_are_used_for_rows_without_headers() -> None:
    assert table_lines([["3", "4"]] * 2, ["Age", "Size"])[0] == "| Age | Size |"
    assert table_lines([["3", "4"]] * SMALL_TABLE, ["Age", "Size"])[-1] == "Age: 3 | Size: 4"


@pytest.mark.parametrize(
    ("first", "names"),
    [
        (["Name", "Age"], True),
        (["Ann", "3"], False),
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


@pytest.mark.parametrize(
    ("first", "below", "names"),
    [
        (["Region", "2021", "2022"], ["North", "17", "20"], True),
        (["", "2021", "2022"], ["North", "17", "20"], True),
        (["Name", "2026-01-02", "03.01.2026"], ["Ann", "ill", "here"], True),
        (["Region", "2021", "3022"], ["North", "17", "20"], False),  # no year
        (["2020", "2021", "2022"], ["15", "17", "20"], False),  # nothing says of what
        (["Ann", "Rome", "2026-01-02"], ["Bob", "Oslo", "2026-01-03"], False),  # days are what the column holds
        (["Region", "Total", "Count", "Total"], ["North", "17", "20", "5"], True),
        (["yes", "no", "yes", "no"], ["no", "no", "no", "yes"], False),
    ],
)
def test_years_and_repeated_names_are_headers_if_the_rows_below_hold_other_values(
    first: list[str], below: list[str], names: bool
) -> None:
    assert is_header([first, below]) is names


def test_a_repeated_column_name_is_numbered() -> None:
    rows = [["Region", "Total", "Count", "Total"], *[["North", "17", "20", LONG]] * 9]
    assert table_lines(rows)[0] == f"Region: North | Total: 17 | Count: 20 | Total (2): {' '.join(LONG.split())}"


def test_a_first_row_marked_as_header_is_used_as_one() -> None:
    def lines(first: list[str], rows: list[list[str]]) -> list[str]:
        builder = DocumentBuilder()
        builder.table([first, *rows], has_header=True)
        return builder.build().text.strip().splitlines()

    assert lines(["1", "2", "3"], [["a", "b", LONG]] * 9)[0].startswith("1: a | 2: b | 3: a value")
    assert lines(["Setting", "Default"], [["port", LONG]] * 9)[0].startswith("Setting: port | Default: a value")
    assert lines(["All settings", ""], [["port", LONG]] * 9)[:2] == ["All settings", f"port | {' '.join(LONG.split())}"]
    assert lines(["Setting", "Default"], [["", ""]]) == ["Setting | Default"]


def test_a_long_heading_is_kept_in_the_text_and_truncated_in_the_path() -> None:
    clause = " ".join(f"word{n}" for n in range(100))
    builder = DocumentBuilder()
    builder.heading(2, clause)
    loaded = builder.build()
    assert loaded.text == f"## {clause}\n\n"
    assert loaded.sections[0].heading == clause[:200]


@pytest.mark.parametrize(("given", "title"), [("Cats", "Cats"), ("a\n b", "a b"), ("Untitled", ""), ("x.docx", "")])
def test_a_programs_default_title_is_ignored(given: str, title: str) -> None:
    assert good_title(given) == title
