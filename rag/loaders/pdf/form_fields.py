"""What is filled into a PDF's form, and free text notes: at their places on the page.

PDFium draws them, but its page text lacks them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator

import pypdfium2
from pypdfium2 import raw

from rag.loaders.pdf.layout import Line, Segment

TICKED, NOT_TICKED = "\u2612", "\u2610"  # as in Word's forms
HIDDEN = raw.FPDF_ANNOT_FLAG_HIDDEN | raw.FPDF_ANNOT_FLAG_NOVIEW
BOXES = (raw.FPDF_FORMFIELD_CHECKBOX, raw.FPDF_FORMFIELD_RADIOBUTTON)
VALUES = (raw.FPDF_FORMFIELD_TEXTFIELD, raw.FPDF_FORMFIELD_COMBOBOX, raw.FPDF_FORMFIELD_LISTBOX)


def add_fields(page: pypdfium2.PdfPage, lines: list[Line]) -> list[Line]:
    """Return the lines of a page with the values of its form and its free text notes, each in the row it stands in."""
    for found in _fields(page):
        if not found.text:
            continue
        middle = (found.bottom + found.top) / 2
        row = next((line for line in lines if line.upright and _stands_in(found, line)), None)
        if row is None:
            below = (n for n, line in enumerate(lines) if line.upright and line.top < middle)
            lines.insert(next(below, len(lines)), Line([found]))
        else:
            at = next((n for n, part in enumerate(row.segments) if part.left > found.left), len(row.segments))
            row.segments.insert(at, found)
    return lines


def _stands_in(found: Segment, line: Line) -> bool:
    """Return whether the middle of a field is in the line, or the line's in the field, which may be taller."""
    middle, line_middle = (found.bottom + found.top) / 2, (line.bottom + line.top) / 2
    return line.bottom <= middle <= line.top or found.bottom < line_middle < found.top


def _fields(page: pypdfium2.PdfPage) -> Iterator[Segment]:
    """Yield the fields and notes of a page from top to bottom."""
    found = []
    form = page.formenv.raw if page.formenv else None
    for number in range(raw.FPDFPage_GetAnnotCount(page.raw)):
        annotation = raw.FPDFPage_GetAnnot(page.raw, number)
        if not annotation:
            continue
        try:
            text = _text(annotation, form)
            rect = raw.FS_RECTF()
            if text and raw.FPDFAnnot_GetRect(annotation, ctypes.byref(rect)):
                found.append(Segment(" ".join(text.split()), rect.left, rect.right, rect.bottom, rect.top))
        finally:
            raw.FPDFPage_CloseAnnot(annotation)
    yield from sorted(found, key=lambda segment: (-segment.top, segment.left))


def _text(annotation: raw.FPDF_ANNOTATION, form: raw.FPDF_FORMHANDLE | None) -> str:
    if raw.FPDFAnnot_GetFlags(annotation) & HIDDEN:
        return ""
    kind = raw.FPDFAnnot_GetSubtype(annotation)
    if kind == raw.FPDF_ANNOT_FREETEXT:
        return _utf16(lambda buffer, size: raw.FPDFAnnot_GetStringValue(annotation, b"Contents", buffer, size))
    if kind != raw.FPDF_ANNOT_WIDGET or form is None:
        return ""
    field = raw.FPDFAnnot_GetFormFieldType(form, annotation)
    if field in BOXES:
        return TICKED if raw.FPDFAnnot_IsChecked(form, annotation) else NOT_TICKED
    if field in VALUES:
        return _utf16(lambda buffer, size: raw.FPDFAnnot_GetFormFieldValue(form, annotation, buffer, size))
    return ""


def _utf16(get: Callable[[ctypes.Array[ctypes.c_ushort] | None, int], int]) -> str:
    """Return a string that PDFium writes into a buffer; called first for its size in bytes."""
    size = get(None, 0)
    if size <= 2:
        return ""
    buffer = (ctypes.c_ushort * (size // 2))()
    get(buffer, size)
    return bytes(buffer).decode("utf-16-le", "ignore").rstrip("\0")
