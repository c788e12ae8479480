"""SmartArt is read by its data, or by the drawing that stands in for it in other programs."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from zipfile import ZipFile

import pytest

from office import edit_zip, make_docx, make_pptx, make_zip
from rag.loaders.formats import LOADERS

DRAWN = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
IDS = f'<dgm:relIds xmlns:dgm="dgm" xmlns:r="{RELATIONS}" r:dm="rd"/>'
POINTS = "".join(f"<pt><t><a:p><a:r><a:t>{text}</a:t></a:r></a:p></t></pt>" for text in ("Plan", "Build"))
MODEL = f"<dataModel {DRAWN}>{{}}<dataModelExt relId='rw'/></dataModel>"
DRAWING = (
    f"<drawing {DRAWN}><sp><a:p><a:r><a:t>Plan</a:t></a:r></a:p><a:p><a:r><a:t>Build</a:t></a:r></a:p></sp></drawing>"
)


def word() -> tuple[bytes, str, str]:
    graphic = f'<a:graphic {DRAWN}><a:graphicData uri="dgm">{IDS}</a:graphicData></a:graphic>'
    run = f"<w:r><w:drawing>{graphic}</w:drawing></w:r>"
    data = edit_zip(make_docx("Our way: END"), "word/document.xml", "</w:p>", f"{run}</w:p>")
    return data, "word/_rels/document.xml.rels", "word"


def slides() -> tuple[bytes, str, str]:
    frame = (
        '<p:graphicFrame><p:nvGraphicFramePr><p:cNvPr id="9" name="way"/><p:cNvGraphicFramePr/><p:nvPr/>'
        "</p:nvGraphicFramePr><p:xfrm><a:off x='0' y='9000000'/><a:ext cx='9' cy='9'/></p:xfrm>"
        f'<a:graphic><a:graphicData uri="dgm">{IDS}</a:graphicData></a:graphic></p:graphicFrame></p:spTree>'
    )
    data = edit_zip(make_pptx(("Our way", "END", "")), "ppt/slides/slide1.xml", "</p:spTree>", frame)
    return data, "ppt/slides/_rels/slide1.xml.rels", "ppt"


@pytest.mark.parametrize("points", [POINTS, ""])
@pytest.mark.parametrize(("make", "suffix"), [(word, ".docx"), (slides, ".pptx")])
def test_the_texts_of_a_diagram_are_a_list(
    make: Callable[[], tuple[bytes, str, str]], suffix: str, points: str
) -> None:
    data, relations, folder = make()
    links = "".join(
        f'<Relationship Id="{key}" Type="{RELATIONS}/{kind}" Target="/{folder}/diagrams/{name}.xml"/>'
        for key, kind, name in (("rd", "diagramData", "data1"), ("rw", "diagramDrawing", "drawing1"))
    )
    data = edit_zip(data, relations, "</Relationships>", f"{links}</Relationships>")
    kind = '<Default Extension="xml" ContentType="application/xml"/>'
    with ZipFile(BytesIO(data)) as opened:
        parts = {name: opened.read(name) for name in opened.namelist()}
    assert kind.encode() in parts["[Content_Types].xml"]
    added = {f"{folder}/diagrams/data1.xml": MODEL.format(points), f"{folder}/diagrams/drawing1.xml": DRAWING}
    assert LOADERS[suffix](make_zip(parts | added)).text.endswith("END\n\n- Plan\n- Build\n\n")
