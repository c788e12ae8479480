# ruff: noqa: E501  # number formats
"""Sheets and slides as they are shown: number formats, hidden rows and slides, merged headers, charts, broken shapes."""

from __future__ import annotations

from io import BytesIO

import openpyxl
import pptx
import pytest
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE

from office import edit_zip, make_pptx, make_xlsx
from rag.loaders.office.pptx import load_pptx
from rag.loaders.sheets.number_formats import show
from rag.loaders.sheets.spreadsheet import load_csv, load_xlsx


@pytest.mark.parametrize(
    ("value", "style", "shown"),
    [
        (1069, "00000", "01069"), (4935112345, '"+49 "0', "+49 4935112345"), (12.5, '0.00" kg"', "12.50 kg"),
        (44259, "d. mmmm yyyy", "4. March 2021"), (44259.75, "dd.mm.yyyy hh:mm", "04.03.2021 18:00"),
        (-1234.5, "#,##0.00;[Red](#,##0.00)", "(1,234.50)"), (0.5, "h:mm AM/PM", "12:00 PM"), (-0.125, "0%", "-13%"),
        (1.0868055555555556, "[hh]:mm:ss", "26:05:00"), (5551234, "000-0000", "555-1234"), (12345678, "#,##0.0,,", "12.3"),
        (0, '0;-0;"none"', "none"), (3, '[<5]"low";"high"', "low"), (0.5, "# ?/?", "1/2"), (-2.25, "# ??/??", "-2 1/4"), (5.25, "?/?", "21/4"), (0.3, "# ??/16", "5/16"), (3, "# ?/?", "3"),
        (198356388, "0.00E+00", "1.98E+08"), (40089.8479, "mm-dd-yy", "2009-10-03"), (40089.8479, "m/d/yy h:mm", "2009-10-03 20:20"),
        (40089, "m/d/yy h:mm", "2009-10-03"), (40089.8479282, "yyyy-mm-dd h:mm:ss", "2009-10-03 20:21:01"), (3.3000000000000003, "General", "3.3"),
    ],
)  # fmt: skip
def test_a_number_is_written_as_its_format_shows_it(value: float, style: str, shown: str) -> None:
    assert show(value, style) == shown


def saved(book: openpyxl.Workbook) -> bytes:
    data = BytesIO()
    book.save(data)
    return data.getvalue()


def test_hidden_rows_columns_and_sheets_are_left_out_and_noted() -> None:
    book = openpyxl.Workbook()
    for row in (["Article", "Cost", "Price"], ["Chair", 20, 49], ["Secret", 1, 2]):
        book.active.append(row)
    book.active.column_dimensions["B"].hidden = book.active.row_dimensions[3].hidden = True
    book.create_sheet("Gone").sheet_state = "hidden"
    loaded = load_xlsx(saved(book))
    assert loaded.text == "# Sheet\n\n| Article | Price |\n| --- | --- |\n| Chair | 49 |\n\n"
    assert loaded.note == "what is hidden is left out: 1 rows, 1 columns, 1 sheets"


def test_merged_headers_and_group_names_stand_with_each_value() -> None:
    book = openpyxl.Workbook()
    book.active.append(["Month", "Berlin", None, "Rome", None])
    book.active.append([None, "Cost", "Visitors", "Cost", "Visitors"])
    for month in range(40):
        book.active.append(["Q1" if month == 0 else None, 1, 2, 3, 4])
    for cells in ("A1:A2", "B1:C1", "D1:E1", "A3:A42"):
        book.active.merge_cells(cells)
    lines = load_xlsx(saved(book)).text.strip().splitlines()[2:]
    row = "Month: Q1 | Berlin, Cost: 1 | Berlin, Visitors: 2 | Rome, Cost: 3 | Rome, Visitors: 4"
    assert lines == [row] * 40


def test_strict_open_xml_is_read() -> None:
    book = openpyxl.Workbook()
    book.active.append(["Cats"])
    usual, strict = (
        "http://schemas.openxmlformats.org/spreadsheetml/2006/main",
        "http://purl.oclc.org/ooxml/spreadsheetml/main",
    )
    data = edit_zip(edit_zip(saved(book), "xl/workbook.xml", usual, strict), "xl/worksheets/sheet1.xml", usual, strict)
    assert load_xlsx(data).text == "# Sheet\n\nCats\n\n"


def test_a_broken_shape_costs_itself_and_is_reported() -> None:
    data = edit_zip(make_pptx(("Cats", "They sleep.", ""), ("Dogs", "Bark.", "")), "ppt/slides/slide1.xml",
                    "</p:spTree>", "<p:graphicFrame><p:nvGraphicFramePr/></p:graphicFrame></p:spTree>")  # fmt: skip
    loaded = load_pptx(data)
    assert "They sleep." in loaded.text
    assert "Bark." in loaded.text
    assert loaded.lost.startswith("a shape on slide 1 cannot be read")


def test_a_chart_is_a_table_and_a_hidden_slide_is_left_out() -> None:
    presentation, data = pptx.Presentation(), BytesIO()
    numbers = CategoryChartData()
    numbers.categories = ["North", "South"]
    numbers.add_series("2023", (120, 85))
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    chart = slide.shapes.add_chart(XL_CHART_TYPE.PIE, 0, 0, 9, 9, numbers).chart
    chart.has_title = True
    chart.chart_title.text_frame.text = "Sales"
    presentation.slides.add_slide(presentation.slide_layouts[6])._element.set("show", "0")
    presentation.save(data)
    loaded = load_pptx(data.getvalue())
    assert "Chart: Sales\n\n| Category | 2023 |\n| --- | --- |\n| North | 120 |\n| South | 85 |" in loaded.text
    assert loaded.note == "hidden slides are left out: 2"


def test_a_separator_line_is_no_row_and_a_long_field_is_read() -> None:
    assert load_csv(b"sep=;\nName;Age\nAnn;3\n").text.startswith("| Name | Age |")
    assert len(load_csv(b'Name,Text\nAnn,"' + b"word " * 40_000 + b'"\n').text) > 190_000


def test_long_numbers_have_their_digits_and_measured_ones_an_exponent() -> None:
    rows = [
        ["Account", "Mass"],
        [4012345678901234567, 1.5e16],
        [1234567890123460.0, 6.02214076e23],
        [12345678901, 2e-9],
    ]
    sheet, rounded = "xl/worksheets/sheet1.xml", "4.012345678901235e+18"  # openpyxl rounds what it writes
    text = load_xlsx(edit_zip(make_xlsx(Accounts=rows), sheet, rounded, "4012345678901234567")).text
    for row in ("4012345678901234567 | 1.5e+16", "1234567890123460 | 6.02214076e+23", "12345678901 | 2e-09"):
        assert f"| {row} |" in text
