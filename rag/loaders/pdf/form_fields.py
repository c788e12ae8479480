"""Read a PDF's filled form fields, free text notes, stamps and signatures, at their places on the page.

PDFium draws them, but its page text lacks them. The captions of buttons are left out, as those of web pages are.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterable, Iterator

import pypdfium2
from pypdfium2 import raw

from rag.loaders.pdf.layout import Line, Segment

TICKED, NOT_TICKED = "\u2612", "\u2610"  # as in Word's forms
HIDDEN = raw.FPDF_ANNOT_FLAG_HIDDEN | raw.FPDF_ANNOT_FLAG_NOVIEW
BOXES = (raw.FPDF_FORMFIELD_CHECKBOX, raw.FPDF_FORMFIELD_RADIOBUTTON)
MOST_OPTIONS = 30  # of a list that shows all of them; of a longer one, such as all countries, only the chosen ones
NUMBER = re.compile(r"[\d.,+-]*")
SHOWN = re.compile(r"\(((?:[^()\\]|\\[()\\]){1,200})\)\s*Tj")  # a string that a field's appearance draws
ESCAPED = re.compile(r"\\(.)")


def add_fields(fields: Iterable[Segment], lines: list[Line]) -> list[Line]:
    """Return the lines of a page with the values of its form and its free text notes, each in the row it stands in."""
    for found in fields:
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


def fields_of(page: pypdfium2.PdfPage) -> list[Segment]:
    """Return the fields and notes of a page that have a text, from top to bottom."""
    found = []
    form = page.formenv.raw if page.formenv else None
    for annotation in _annotations(page):
        text = " ".join(_text(annotation, form).split())
        rect = raw.FS_RECTF()
        if text and raw.FPDFAnnot_GetRect(annotation, ctypes.byref(rect)):
            found.append(Segment(text, rect.left, rect.right, rect.bottom, rect.top))
    return sorted(found, key=lambda segment: (-segment.top, segment.left))


def draw_stamps(page: pypdfium2.PdfPage) -> bool:
    """Draw stamps and signatures onto a page, so that they are part of its text when it is opened again.

    Changes the page in memory; all its other annotations are gone. Returns whether there was one.
    """
    form = page.formenv.raw if page.formenv else None
    stamps = [_is_stamp(annotation, form) for annotation in _annotations(page)]
    if not any(stamps):
        return False
    for annotation, is_stamp in zip(_annotations(page), stamps, strict=True):
        if not is_stamp:
            raw.FPDFAnnot_SetFlags(annotation, raw.FPDF_ANNOT_FLAG_HIDDEN)
    return bool(raw.FPDFPage_Flatten(page.raw, raw.FLAT_NORMALDISPLAY) == raw.FLATTEN_SUCCESS)


def _annotations(page: pypdfium2.PdfPage) -> Iterator[raw.FPDF_ANNOTATION]:
    """Yield the annotations of a page, each closed after its use."""
    for number in range(raw.FPDFPage_GetAnnotCount(page.raw)):
        annotation = raw.FPDFPage_GetAnnot(page.raw, number)
        if annotation:
            try:
                yield annotation
            finally:
                raw.FPDFPage_CloseAnnot(annotation)


def _is_stamp(annotation: raw.FPDF_ANNOTATION, form: raw.FPDF_FORMHANDLE | None) -> bool:
    if raw.FPDFAnnot_GetFlags(annotation) & HIDDEN or not raw.FPDFAnnot_GetObjectCount(annotation):
        return False
    kind = raw.FPDFAnnot_GetSubtype(annotation)
    is_signature = form is not None and raw.FPDFAnnot_GetFormFieldType(form, annotation) == raw.FPDF_FORMFIELD_SIGNATURE
    return bool(kind == raw.FPDF_ANNOT_STAMP or (kind == raw.FPDF_ANNOT_WIDGET and is_signature))


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
    if field not in (raw.FPDF_FORMFIELD_TEXTFIELD, raw.FPDF_FORMFIELD_COMBOBOX, raw.FPDF_FORMFIELD_LISTBOX):
        return ""
    value = _utf16(lambda buffer, size: raw.FPDFAnnot_GetFormFieldValue(form, annotation, buffer, size))
    if field == raw.FPDF_FORMFIELD_TEXTFIELD:
        return _as_shown(annotation, value) if NUMBER.fullmatch(value) else value
    return _options(annotation, form, is_list=field == raw.FPDF_FORMFIELD_LISTBOX) or value


def _options(annotation: raw.FPDF_ANNOTATION, form: raw.FPDF_FORMHANDLE, *, is_list: bool) -> str:
    """Return the chosen options by their labels, and those of a list with its other options, as ticked boxes are."""
    count = raw.FPDFAnnot_GetOptionCount(form, annotation)
    chosen = [bool(raw.FPDFAnnot_IsOptionSelected(form, annotation, number)) for number in range(count)]

    def label(number: int) -> str:
        return _utf16(lambda buffer, size: raw.FPDFAnnot_GetOptionLabel(form, annotation, number, buffer, size))

    if is_list and count <= MOST_OPTIONS:
        return " ".join(f"{TICKED if chosen[number] else NOT_TICKED} {label(number)}" for number in range(count))
    return ", ".join(label(number) for number in range(count) if chosen[number])


def _as_shown(annotation: raw.FPDF_ANNOTATION, value: str) -> str:
    """Return a number as the field shows it, such as 232,324.00 for 232324, and what a field without a value shows."""
    drawn = _utf16(
        lambda buffer, size: raw.FPDFAnnot_GetAP(annotation, raw.FPDF_ANNOT_APPEARANCEMODE_NORMAL, buffer, size)
    )
    shown = "".join(ESCAPED.sub(r"\1", each) for each in SHOWN.findall(drawn))
    digits, shown_digits = ("".join(filter(str.isdigit, text)) for text in (value, shown))
    return shown if shown.isascii() and shown_digits.startswith(digits) else value


def _utf16(get: Callable[[ctypes.Array[ctypes.c_ushort] | None, int], int]) -> str:
    """Return a string that PDFium writes into a buffer; called first for its size in bytes."""
    size = get(None, 0)
    if size <= 2:
        return ""
    buffer = (ctypes.c_ushort * (size // 2))()
    get(buffer, size)
    return bytes(buffer).decode("utf-16-le", "ignore").rstrip("\0")
