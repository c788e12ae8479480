"""Workbooks of Excel 97 to 2003, through the loader of their suffix."""

from __future__ import annotations

import struct

import pytest

from biff import make_xls
from outlook import compound_file
from rag.errors import Unreadable
from rag.loaders.formats import LOADERS


def test_cells_are_read_as_they_are_shown() -> None:
    cells = {
        (0, 0): "Zip",
        (0, 1): "Weight",
        (0, 2): "Due",
        (1, 0): (1069.0, "00000"),
        (1, 1): (12.5, '0.00" kg"'),
        (1, 2): (46173.0, "d mmm yyyy"),
    }
    assert LOADERS[".xls"](make_xls(cells)).text == (
        "# Fees\n\n| Zip | Weight | Due |\n| --- | --- | --- |\n| 01069 | 12.50 kg | 31 May 2026 |\n\n"
    )


def test_hidden_rows_columns_and_sheets_stay_out_and_are_counted() -> None:
    cells = {(row, column): f"{'abc'[row]}{column}" for row in range(3) for column in range(3)}
    loaded = LOADERS[".xls"](make_xls(cells, hidden_rows=[1], hidden_columns=[2], hidden_sheet="Secret"))
    assert loaded.text == "# Fees\n\n| a0 | a1 |\n| --- | --- |\n| c0 | c1 |\n\n"
    assert loaded.note == "what is hidden is left out: 1 rows, 1 columns, 1 sheets"


def test_a_merged_cell_counts_in_each_of_its_rows() -> None:
    cells = {(0, 0): "City", (0, 1): "Fee", (1, 0): "Rome", (1, 1): (5.0, "0"), (2, 1): (7.0, "0")}
    assert "| Rome | 7 |" in LOADERS[".xls"](make_xls(cells, merged=[(1, 0, 2, 0)])).text


def test_text_boxes_and_charts_follow_the_cells() -> None:
    text = LOADERS[".xls"](make_xls({(0, 0): "a"}, box="In a box", chart="Visitors µ")).text
    assert text == "# Fees\n\na\n\nIn a box\n\nChart: Visitors µ\n\n"


def in_container(workbook: bytes) -> bytes:
    return compound_file({"Workbook": workbook})


def test_a_workbook_in_its_container_is_read() -> None:
    assert LOADERS[".xls"](in_container(make_xls({(0, 0): "a"}))).text == "# Fees\n\na\n\n"


def test_a_chain_of_sectors_that_leads_back_to_itself_ends() -> None:
    data = in_container(make_xls({(0, 0): "a" * 200}))
    chain = struct.pack("<4I", 1, 2, 3, 4)
    assert data.count(chain) == 1
    with pytest.raises(Unreadable, match=r"save it as \.xlsx"):
        LOADERS[".xls"](data.replace(chain, struct.pack("<4I", 1, 0, 3, 4)))


def test_a_container_that_lists_itself_is_refused() -> None:
    data = bytearray(in_container(make_xls({(0, 0): "a"})))
    root = data.index("Root Entry".encode("utf-16-le"))
    data[root + 66] = 1  # a folder in a folder
    struct.pack_into("<I", data, root + 76, 0)  # whose first child is itself
    with pytest.raises(Unreadable, match=r"save it as \.xlsx"):
        LOADERS[".xls"](bytes(data))


@pytest.mark.parametrize("data", [b"a;b\n1;2\n", make_xls({(0, 0): "a"})[:30]])
def test_what_is_no_workbook_says_so(data: bytes) -> None:
    with pytest.raises(Unreadable, match=r"save it as \.xlsx"):
        LOADERS[".xls"](data)
