"""Workbooks and CSV: every row names its values; no file exhausts memory or time."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from io import BytesIO

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from office import edit_zip, make_docx, make_xlsx
from rag.errors import Unreadable
from rag.ingest.chunking import chunk_text
from rag.loaders.sheets.spreadsheet import MAX_CELLS, load_csv, load_xlsx

PEOPLE = [["Name", "Age", "City"], ["Ann", 3, "Rome"], ["Bob", 4.5, "Oslo"]]
MANY = [["Name", "Age", "City"], *([f"Ann {n}", n, "Rome"] for n in range(100))]


def lines(data: bytes) -> list[str]:
    return load_csv(data).text.strip().splitlines()


def test_each_sheet_is_a_section_and_a_small_one_a_markdown_table() -> None:
    loaded = load_xlsx(make_xlsx(People=PEOPLE, Dogs=[["Rex"]]))
    assert loaded.text == (
        "# People\n\n| Name | Age | City |\n| --- | --- | --- |\n| Ann | 3 | Rome |\n| Bob | 4.5 | Oslo |\n\n"
        "# Dogs\n\nRex\n\n"
    )
    assert [section.heading for section in loaded.sections] == ["People", "Dogs"]


def test_each_row_of_a_long_sheet_has_its_column_names_in_its_chunk() -> None:
    loaded = load_xlsx(make_xlsx(People=MANY))
    chunks = chunk_text(loaded.text, loaded.sections, lambda texts: [len(text.split()) + 2 for text in texts], 30)
    texts = [loaded.text[start:end] for start, end, _ in chunks]
    assert len(texts) > 30
    assert all(line.startswith(("Name: Ann ", "# People")) for text in texts for line in text.splitlines() if line)
    assert "Name: Ann 7 | Age: 7 | City: Rome" in loaded.text.splitlines()


def test_values_are_written_as_people_write_them() -> None:
    row = [3.0, 0.1, date(2026, 1, 2), datetime(2026, 1, 2, 3, 4), True, None, "two\nlines", 1e20]
    text = load_xlsx(make_xlsx(A=[row])).text
    assert text == "# A\n\n3 | 0.1 | 2026-01-02 | 2026-01-02 03:04:00 | True | two; lines | 1e+20\n\n"


def test_a_title_above_a_table_is_text_and_a_table_below_reuses_its_header() -> None:
    rows = [["Sales of the year"], ["Name", "Age", "City"], *MANY[1:], [], ["Zoe", 9, "Bonn"]]
    text = load_xlsx(make_xlsx(A=rows)).text.splitlines()
    assert text[2] == "Sales of the year"
    assert text[3:5] == ["", "Name: Ann 0 | Age: 0 | City: Rome"]
    assert text[-4:-1] == ["| Name | Age | City |", "| --- | --- | --- |", "| Zoe | 9 | Bonn |"]


def test_rows_of_text_after_a_blank_row_reuse_the_header() -> None:
    more = [[f"Cid{n}", f"Oslo{n}", "smith"] for n in range(20)]
    rows = [["name", "city", "job"], *([f"Ann{n}", f"Rome{n}", "cook"] for n in range(20)), [], *more]
    data = "\n".join(",".join(row) for row in rows).encode()
    assert lines(data)[-20] == "name: Cid0 | city: Oslo0 | job: smith"
    assert lines(data)[-1] == "name: Cid19 | city: Oslo19 | job: smith"


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        (["thing", "colour", "price"], ["ink", "blue", "3"], "thing: ink | colour: blue | price: 3"),  # above numbers
        (["thing", "colour"], ["ink", "blue"], "thing: ink | colour: blue"),  # of another width
        (["name", "city", "job"], ["Bob", "Oslo", "smith"], "name: Bob | city: Oslo | job: smith"),  # the same again
    ],
)
def test_a_table_after_a_blank_row_may_have_its_own_header(header: list[str], row: list[str], expected: str) -> None:
    rows = [["name", "city", "job"], *[["Ann", "Rome", "cook"]] * 20, [], header, *[row] * 40]
    assert lines("\n".join(",".join(row) for row in rows).encode())[-40:] == [expected] * 40


def test_years_are_column_names() -> None:
    rows = [["Region", 2021, 2022], *([f"North {n}", n, n + 1] for n in range(40))]
    assert "Region: North 7 | 2021: 7 | 2022: 8" in load_xlsx(make_xlsx(A=rows)).text.splitlines()


def test_rows_without_a_header_have_no_names() -> None:
    rows = [[n, f"{n}.5", "Rome and all of its seven hills"] for n in range(30)]
    assert "7 | 7.5 | Rome and all of its seven hills" in load_xlsx(make_xlsx(A=rows)).text.splitlines()


def test_a_cell_in_the_last_row_and_column_takes_no_memory() -> None:
    data = edit_zip(make_xlsx(A=[["Cats"], ["END"]]), "xl/worksheets/sheet1.xml", 'r="A2"', 'r="XFD1048576"')
    assert "Cats" in load_xlsx(data).text


def with_row_number(number: str) -> bytes:
    return edit_zip(make_xlsx(A=[["Cats"], ["END"]]), "xl/worksheets/sheet1.xml", '<row r="2"', f'<row r="{number}"')


def test_a_forged_row_number_is_not_counted_up_to() -> None:
    assert load_xlsx(with_row_number("99999999999999")).text == "# A\n\nCats\n\n"
    with pytest.raises(Unreadable, match=r"damaged \(ValueError\)"):
        load_xlsx(with_row_number("x"))


def test_a_hidden_sheet_is_not_read() -> None:
    data = edit_zip(make_xlsx(A=[["Cats"]], B=[["Secret"]]), "xl/workbook.xml", 'name="B" sheetId="2" state="visible"',
                    'name="B" sheetId="2" state="hidden"')  # fmt: skip
    assert load_xlsx(data).text == "# A\n\nCats\n\n"


@pytest.mark.parametrize("data", [b"PK", make_docx("a"), make_xlsx(A=PEOPLE)[:3000]])
def test_a_file_that_is_no_workbook_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable, match="save it again"):
        load_xlsx(data)


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_any_usual_delimiter_is_detected(mark: str) -> None:
    rows = [["Name", "Said", "Age"], *(["Ann", "well, yes; no", str(n)] for n in range(30))]
    data = "\r\n".join(mark.join(f'"{cell}"' for cell in row) for row in rows).encode()
    assert lines(data)[4] == "Name: Ann | Said: well, yes; no | Age: 4"


def test_empty_cells_and_rows_of_other_lengths_lose_nothing() -> None:
    filler = "".join(f"Ann,{n},somewhere in the country\n" for n in range(30))
    assert lines(f"Name,Age,City\nBob,,Rome\nZoe,5,Bonn,more\n{filler}".encode())[:2] == [
        "Name: Bob | City: Rome",
        "Name: Zoe | Age: 5 | City: Bonn | more",
    ]


def test_a_quotation_mark_that_is_never_closed_is_refused() -> None:
    with pytest.raises(Unreadable, match="close its quotation marks"):
        load_csv(b'a,b\n"' + b"x," * 100_000)


def test_a_sheet_with_too_many_cells_is_refused() -> None:
    with pytest.raises(Unreadable, match="2,000,000 cells"):
        load_csv(b"," * 1_000 + b"\n" + (b"," * 999 + b"\n") * (MAX_CELLS // 1_000))


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=5), max_size=5), max_size=12))
def test_no_value_is_lost(rows: list[list[str]]) -> None:
    text = load_xlsx(make_xlsx(A=[[f"'{cell}" for cell in row] for row in rows])).text
    assert all(cell.replace("|", "\\|") in text or cell in text for row in rows for cell in row)


def test_a_number_is_shown_with_its_percent_or_its_currency() -> None:
    book, data = openpyxl.Workbook(), BytesIO()
    shown = {0.125: "0.0%", 3: '#,##0.00 "€"', 4.5: "[$£-809]#,##0.00", 6: "[$-407]0.00", 3.3000000000000003: "General"}
    book.active.append(list(shown))
    for cell, style in zip(book.active[1], shown.values(), strict=True):
        cell.number_format = style
    book.save(data)
    assert load_xlsx(data.getvalue()).text == "# Sheet\n\n12.5% | 3.00 € | £4.50 | 6.00 | 3.3\n\n"


def test_a_duration_is_written_in_hours_and_minutes() -> None:
    row = [timedelta(hours=26, minutes=5), timedelta(seconds=61)]
    assert "26:05 | 0:01:01" in load_xlsx(make_xlsx(A=[row])).text


def test_formulas_without_a_stored_value_are_noted() -> None:
    loaded = load_xlsx(make_xlsx(A=[["Price", "Tax"], [3, "=A2*0.2"], [4, "=A3*0.2"]]))
    assert loaded.lost.startswith("2 of its formulas have no stored value: ")
    assert load_xlsx(make_xlsx(A=PEOPLE)).lost == ""
