"""What stands on lines of its own in a table cell stays apart in the text, whatever the format."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import docx
import pptx
import pytest
from pptx.util import Inches

from office import make_epub, make_xlsx
from opendocument import make_odf
from rag.loaders.formats import LOADERS
from rag.loaders.tables import cell_line

HTML = """<p>Our pets and what they eat, in one table.</p><table><tr><th>Pet</th><th>Its<br/>food</th></tr>
<tr><td>Cat</td><td><ul><li>fish</li><li>mice</li></ul><p>Bread</p><p>Milk.</p>Eggs<br/>Ham
<table><tr><td>Size</td><td>M</td></tr><tr><td>Colour</td><td>red</td></tr></table></td></tr></table>"""


def make_word() -> bytes:
    document, data = docx.Document(), BytesIO()
    table = document.add_table(2, 2)
    for cell, text in zip((*table.rows[0].cells, table.cell(1, 0)), ("Pet", "Its\nfood", "Cat"), strict=True):
        cell.text = text
    cell = table.cell(1, 1)
    cell.paragraphs[0].text, cell.paragraphs[0].style = "fish", document.styles["List Bullet"]
    cell.add_paragraph("mice", style="List Bullet")
    for text in ("Bread", "Milk.", "Eggs\nHam"):
        cell.add_paragraph(text)
    inner = cell.add_table(2, 2)
    for place, text in zip(
        [inner.cell(0, 0), inner.cell(0, 1), *inner.rows[1].cells], "Size M Colour red".split(), strict=True
    ):
        place.text = text
    document.save(data)
    return data.getvalue()


def make_text() -> bytes:
    def row(*cells: str) -> str:
        inside = "".join(f"<table:table-cell>{each}</table:table-cell>" for each in cells)
        return f"<table:table-row>{inside}</table:table-row>"

    def paragraph(text: str) -> str:
        return f"<text:p>{text}</text:p>"

    items = "".join(f"<text:list-item>{paragraph(each)}</text:list-item>" for each in ("fish", "mice"))
    inner = row(paragraph("Size"), paragraph("M")) + row(paragraph("Colour"), paragraph("red"))
    food = (
        f"<text:list>{items}</text:list>{paragraph('Bread')}{paragraph('Milk.')}"
        f"{paragraph('Eggs<text:line-break/>Ham')}<table:table>{inner}</table:table>"
    )
    head = row(paragraph("Pet"), paragraph("Its<text:line-break/>food"))
    return make_odf("text", f"<table:table>{head}{row(paragraph('Cat'), food)}</table:table>")


def make_slides() -> bytes:
    presentation, data = pptx.Presentation(), BytesIO()
    shapes = presentation.slides.add_slide(presentation.slide_layouts[6]).shapes
    table = shapes.add_table(2, 2, 0, 0, Inches(4), Inches(2)).table
    texts = ("Pet", "Its\vfood", "Cat", "fish\nmice\nBread\nMilk.\nEggs\vHam\nSize, M\nColour, red")
    for number, text in enumerate(texts):
        table.cell(number // 2, number % 2).text = text
    presentation.save(data)
    return data.getvalue()


RTF = rb"""{\rtf1\ansi\deff0{\fonttbl{\f0 Arial;}} Our pets\par
\trowd\cellx1000\cellx2000\pard\intbl Pet\cell Its\line food\cell\row
\trowd\cellx1000\cellx2000\pard\intbl Cat\cell {\listtext\f3 \'b7\tab}fish\par {\listtext\f3 \'b7\tab}mice\par
Bread\par Milk.\par Eggs\line Ham\par
\pard\intbl\itap2 Size\nestcell M\nestcell{\*\nesttableprops\trowd\cellx5\cellx7\nestrow}{\nonesttables\par}
Colour\nestcell red\nestcell{\*\nesttableprops\trowd\cellx5\cellx7\nestrow}{\nonesttables\par}\pard\intbl\itap1\cell\row
\pard After\par}"""


@pytest.mark.parametrize(
    ("suffix", "make"),
    [
        (".docx", make_word),
        (".odt", make_text),
        (".pptx", make_slides),
        (".html", lambda: f"<main>{HTML}</main>".encode()),
        (".epub", lambda: make_epub(HTML)),
        (".md", lambda: HTML.encode()),
        (".rtf", lambda: RTF),
    ],
)
def test_items_paragraphs_and_inner_tables_of_a_cell_stay_apart(suffix: str, make: Callable[[], bytes]) -> None:
    text = LOADERS[suffix](make()).text
    assert "| Pet | Its food |" in text
    assert "| Cat | fish; mice; Bread; Milk. Eggs; Ham; Size, M; Colour, red |" in text


@pytest.mark.parametrize("suffix", [".xlsx", ".csv"])
def test_lines_of_a_sheets_cell_stay_apart(suffix: str) -> None:
    rows = [["Pet", "Its\nfood"], ["Cat", "fish\nmice"], ["Dog", "- bone\n- meat"]]
    csv = "\n".join(f'{pet},"{food}"' for pet, food in rows).encode()
    text = LOADERS[suffix](make_xlsx(Pets=rows) if suffix == ".xlsx" else csv).text
    assert "| Pet | Its food |" in text
    assert "| Cat | fish; mice |" in text
    assert "| Dog | - bone; - meat |" in text


@pytest.mark.parametrize(
    ("cell", "line"),
    [
        ("one\v\vtwo\v", "one; two"),
        ("12\n%", "12 %"),
        ("Main Street 1\n12345 Town", "Main Street 1; 12345 Town"),
        ("This line was wrapped by its author\nand goes on.", "This line was wrapped by its author and goes on."),
        ("a,\n b", "a, b"),
        (" \n ", ""),
    ],
)
def test_lines_of_a_cell_are_joined_by_what_they_are(cell: str, line: str) -> None:
    assert cell_line(cell) == line
