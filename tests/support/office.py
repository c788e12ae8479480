"""Small real office files and e-books, written by the libraries that people's programs are like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile


def make_zip(parts: Mapping[str, str | bytes], compression: int = ZIP_DEFLATED) -> bytes:
    """Return a zip of these parts."""
    data = BytesIO()
    with ZipFile(data, "w", compression) as packed:
        for name, content in parts.items():
            packed.writestr(name, content)
    return data.getvalue()


def edit_zip(data: bytes, part: str, old: str, new: str) -> bytes:
    """Return a zip in which one part has another text."""
    with ZipFile(BytesIO(data)) as opened:
        parts = {name: opened.read(name) for name in opened.namelist()}
    assert old.encode() in parts[part]
    return make_zip(parts | {part: parts[part].replace(old.encode(), new.encode(), 1)})


def make_docx(*blocks: str | Sequence[Sequence[str]]) -> bytes:
    """Return a Word file: "# a" is a heading, "- a" an item, rows of cells are a table, all else a paragraph."""
    import docx

    document, data = docx.Document(), BytesIO()
    for block in blocks:
        if not isinstance(block, str):
            table = document.add_table(rows=len(block), cols=len(block[0]))
            for row, cells in zip(table.rows, block, strict=True):
                for cell, text in zip(row.cells, cells, strict=True):
                    cell.text = text
        elif block.startswith("#"):
            document.add_heading(block.lstrip("# "), block.count("#"))
        elif block.startswith("- "):
            document.add_paragraph(block[2:], style="List Bullet")
        else:
            document.add_paragraph(block)
    document.save(data)
    return data.getvalue()


def make_pptx(*slides: tuple[str, str, str], title: str = "") -> bytes:
    """Return a PowerPoint file of (title, text, notes)."""
    import pptx

    presentation, data = pptx.Presentation(), BytesIO()
    presentation.core_properties.title = title
    for heading, text, notes in slides:
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        slide.shapes.title.text, slide.placeholders[1].text = heading, text
        if notes:
            slide.notes_slide.notes_text_frame.text = notes
    presentation.save(data)
    return data.getvalue()


def make_xlsx(**sheets: Sequence[Sequence[object]]) -> bytes:
    """Return a workbook of these sheets."""
    import openpyxl

    book, data = openpyxl.Workbook(), BytesIO()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    book.save(data)
    return data.getvalue()


def make_epub(*chapters: str, title: str = "A book", extra: Mapping[str, str] | None = None) -> bytes:
    """Return an e-book; the order of its files is not the one in which they are read."""
    names = [f"c{len(chapters) - number}.xhtml" for number in range(len(chapters))]
    items = "".join(f'<item id="{name}" href="text/{name}" media-type="application/xhtml+xml"/>' for name in names)
    spine = "".join(f'<itemref idref="{name}"/>' for name in names)
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
        f'<dc:title>{title}</dc:title></metadata><manifest><item id="nav" href="nav.xhtml" properties="nav"/>{items}'
        f'</manifest><spine><itemref idref="nav"/>{spine}</spine></package>'
    )
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
    )
    pages = {
        f"OEBPS/text/{name}": '<?xml version="1.0" encoding="utf-8"?><!DOCTYPE html>'
        f'<html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head><body>{chapter}</body></html>'
        for name, chapter in sorted(zip(names, chapters, strict=True))
    }
    fixed = {"META-INF/container.xml": container, "OEBPS/book.opf": package, "OEBPS/nav.xhtml": "<html>Contents</html>"}
    return make_zip({"mimetype": "application/epub+zip", **fixed, **pages, **(extra or {})})
