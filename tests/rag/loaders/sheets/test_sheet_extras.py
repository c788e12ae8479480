"""What belongs to a sheet and is in no cell, and rows that have a format only."""

from __future__ import annotations

import time
from io import BytesIO

import openpyxl
from openpyxl.chart import BarChart, Reference
from openpyxl.comments import Comment

from office import edit_zip
from rag.loaders.formats import LOADERS
from rag.loaders.sheets.sheet_extras import cell_name
from rag.loaders.sheets.spreadsheet import without_blanks


def saved(book: openpyxl.Workbook) -> bytes:
    data = BytesIO()
    book.save(data)
    return data.getvalue()


def book_with_chart() -> openpyxl.Workbook:
    book = openpyxl.Workbook()
    book.active.title = "Visitors"
    for row in (["Year", "Rome"], ["2024", 30], ["2025", 40]):
        book.active.append(row)
    chart = BarChart()
    chart.title = "Visitors by year"
    chart.add_data(Reference(book.active, min_col=2, min_row=1, max_row=3), titles_from_data=True)
    book.active.add_chart(chart, "D2")
    return book


def test_comments_of_cells_follow_the_sheet_with_their_place_and_author() -> None:
    book = openpyxl.Workbook()
    book.active["B2"] = 900
    book.active["B2"].comment = Comment("Ann:\nToo high?", "Ann")
    assert LOADERS[".xlsx"](saved(book)).text == "# Sheet\n\n900\n\nComment by Ann on B2: Too high?\n\n"


def test_a_chart_of_visible_cells_gives_its_titles_and_not_the_values_again() -> None:
    text = LOADERS[".xlsx"](saved(book_with_chart())).text
    assert "Chart: Visitors by year" in text
    assert text.count("40") == 1


def test_a_chart_of_a_hidden_sheet_gives_its_values() -> None:
    book = book_with_chart()
    sheet = book.create_sheet("Shown", 0)
    sheet["A1"] = "x"
    sheet._charts, book["Visitors"]._charts = book["Visitors"]._charts, []
    book["Visitors"].sheet_state = "hidden"
    cached = (
        '<c:f>\'Visitors\'!$B$2:$B$3</c:f><c:numCache><c:pt idx="0"><c:v>30</c:v></c:pt><c:pt idx="1"><c:v>40</c:v>'
        "</c:pt></c:numCache>"
    )
    data = edit_zip(saved(book), "xl/charts/chart1.xml", "<f>'Visitors'!$B$2:$B$3</f>", cached.replace("c:", ""))
    text = LOADERS[".xlsx"](data).text
    assert "Chart: Visitors by year" in text
    assert "40" in text


def test_rows_that_only_have_a_format_cost_nothing() -> None:
    book = openpyxl.Workbook()
    book.active["A1"] = "They sleep."
    rows = "".join(
        f'<row r="{row}" s="1"><c r="A{row}" s="1"/><c r="B{row}" s="1"/></row>' for row in range(2, 300_000)
    )
    data = edit_zip(saved(book), "xl/worksheets/sheet1.xml", "</sheetData>", f"{rows}</sheetData>")
    start = time.process_time()
    assert LOADERS[".xlsx"](data).text == "# Sheet\n\nThey sleep.\n\n"
    assert time.process_time() - start < 3  # 10 s before


def test_cells_without_a_place_of_their_own_stay() -> None:
    xml = b'<sheetData><row><c/><c t="str"><v>b</v></c></row></sheetData>'
    assert without_blanks(xml) == xml


def test_cells_are_named_as_excel_names_them() -> None:
    assert [cell_name(0, 0), cell_name(1, 25), cell_name(9, 26), cell_name(0, 16_383)] == ["A1", "Z2", "AA10", "XFD1"]
