"""OpenDocument spreadsheets, through the loader of their suffix."""

from __future__ import annotations

import time

import pytest

from opendocument import make_odf
from rag.errors import Unreadable
from rag.loaders.builder import LoadedText
from rag.loaders.formats import LOADERS

STYLES = (
    '<style:style style:name="off" style:family="table"><style:table-properties table:display="false"/></style:style>'
)


def cell(text: str, **attributes: object) -> str:
    written = "".join(f' table:{name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    return f"<table:table-cell{written}>{f'<text:p>{text}</text:p>' if text else ''}</table:table-cell>"


def row(*cells: str, **attributes: object) -> str:
    written = "".join(f' table:{name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    return (
        f"<table:table-row{written}>{''.join(each if '<' in each else cell(each) for each in cells)}</table:table-row>"
    )


def load(*rows: str, tables: str = "") -> LoadedText:
    body = f'<table:table table:name="Fees">{"".join(rows)}</table:table>{tables}'
    return LOADERS[".ods"](make_odf("spreadsheet", body, automatic=STYLES))


def test_cells_are_read_as_they_are_shown_with_the_sheet_as_heading() -> None:
    shown = (
        '<table:table-cell office:value-type="float" office:value="12.5"><text:p>12.50 kg</text:p></table:table-cell>'
    )
    stored = '<table:table-cell office:value-type="float" office:value="3"/>'
    text = load(row("Name", "Weight", "Count"), row("Ann", shown, stored)).text
    assert text == "# Fees\n\n| Name | Weight | Count |\n| --- | --- | --- |\n| Ann | 12.50 kg | 3 |\n\n"


def test_hidden_sheets_rows_and_columns_stay_out_and_are_counted() -> None:
    columns = '<table:table-column/><table:table-column table:visibility="collapse"/><table:table-column/>'
    secret = f'<table:table table:name="Secret" table:style-name="off">{row("a")}</table:table>'
    loaded = load(
        columns, row("a", "b", "c"), row("d", "e", "f", visibility="filter"), row("g", "h", "i"), tables=secret
    )
    assert loaded.text == "# Fees\n\n| a | c |\n| --- | --- |\n| g | i |\n\n"
    assert loaded.note == "what is hidden is left out: 1 rows, 1 columns, 1 sheets"


def test_rows_and_cells_that_repeat_to_the_end_of_the_sheet_cost_nothing() -> None:
    wide = cell("", number_columns_repeated=16_384)
    start = time.perf_counter()
    loaded = load(row("a", "b", wide), row(wide, number_rows_repeated=1_048_570), row("c", number_rows_repeated=2))
    assert time.perf_counter() - start < 1
    assert loaded.text == "# Fees\n\na | b\n\n| c |\n| --- |\n| c |\n\n"


def test_more_cells_than_a_document_has_are_refused() -> None:
    with pytest.raises(Unreadable, match="more than 2,000,000 cells"):
        load(row(cell("x", number_columns_repeated=1_000), number_rows_repeated=1_000_000_000))


def test_a_merged_cell_counts_in_each_row_and_two_rows_of_names_become_one() -> None:
    covered = "<table:covered-table-cell/>"
    text = load(
        row("", cell("Berlin", number_columns_spanned=2), covered),
        row("Year", "Cost", "Visitors"),
        row(cell("2025", number_rows_spanned=2), "1", "2"),
        row(covered, "3", "4"),
    ).text
    assert "| Year | Berlin, Cost | Berlin, Visitors |" in text
    assert "| 2025 | 3 | 4 |" in text


def test_comments_of_cells_follow_the_sheet_with_their_place() -> None:
    note = "<office:annotation><dc:creator>Ann</dc:creator><text:p>Too high?</text:p></office:annotation>"
    text = load(row("a", f"<table:table-cell>{note}<text:p>900</text:p></table:table-cell>")).text
    assert text == "# Fees\n\na | 900\n\nComment by Ann on B1: Too high?\n\n"
