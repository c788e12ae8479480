"""Read the text of a PDF page by page, with PDFium."""

from __future__ import annotations

import logging
import threading

import pypdfium2
from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE

from rag.errors import Unreadable
from rag.loaders.blocks import Section, paragraphs
from rag.loaders.builder import LoadedText
from rag.loaders.metadata import day, good_title
from rag.loaders.pdf.form_fields import add_fields
from rag.loaders.pdf.layout import Line, read_lines
from rag.loaders.pdf.text import count_words, drop_repeated, page_text, whole_sentences

PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD: the file needs a password
NO_TEXT = {
    "scanned": "the PDF has no text, its pages are images: make it searchable first (OCR, such as ocrmypdf)",
    "empty": "the PDF has no text: its pages are blank, or drawn without letters",
}
log = logging.getLogger(__name__)
_pdfium_lock = threading.Lock()  # PDFium is not thread-safe, and the chat reads uploads in threads


def load_pdf(data: bytes) -> LoadedText:
    """Read a PDF, one section per page, so that each chunk has one page number.

    A sentence that goes on over the end of a page belongs to the page on which it begins. Raises Unreadable for a PDF
    that is encrypted, broken, or has no text on any page.
    """
    pages, problems, title, date = _read_pages(data)
    drop_repeated(pages)
    words = count_words([line.text for lines in pages for line in lines])
    texts = whole_sentences([page_text(lines, words) for lines in pages])
    if not any(page.strip() for page in texts):
        raise Unreadable(NO_TEXT["scanned" if "scanned" in problems else "empty"])
    text, sections = "", []
    for number, page in enumerate(texts, 1):
        sections.append(Section(paragraphs(page, len(text), len(page)), page=number))
        text += page + "\n\n"
    return LoadedText(text, tuple(sections), title, _note_lost_pages(problems), date)


def _read_pages(data: bytes) -> tuple[list[list[Line]], list[str], str, str]:
    """Return the lines of every page, what is wrong with it as _read_page does, and the title and date of the PDF."""
    with _pdfium_lock:
        try:
            pdf = pypdfium2.PdfDocument(data)
            count = len(pdf)
            if pdf.get_formtype():
                pdf.init_forms()
            date = day(_property(pdf, "ModDate")) or day(_property(pdf, "CreationDate"))
            title = good_title(_property(pdf, "Title"))
        except pypdfium2.PdfiumError as error:
            if error.err_code == PASSWORD_ERROR:
                raise Unreadable("the PDF is encrypted: save a copy without a password") from None
            raise Unreadable("the PDF is broken: open it in a viewer and save it again") from None
    pages, problems = [], []
    try:
        for number in range(count):
            with _pdfium_lock:  # given back after each page, so that a long file does not hold up the others
                lines, problem = _read_page(pdf, number)
            pages.append(lines)
            problems.append(problem)
    finally:
        with _pdfium_lock:
            pdf.close()
    return pages, problems, title, date


def _read_page(pdf: pypdfium2.PdfDocument, number: int) -> tuple[list[Line], str]:
    """Return a page's lines and why it has none: "", "scanned", "empty" or "damaged"; the others are still read."""
    try:
        page = pdf[number]
        try:
            lines = add_fields(page, read_lines(page))
            problem = "" if lines else "scanned" if any(page.get_objects([FPDF_PAGEOBJ_IMAGE])) else "empty"
        finally:
            page.close()
    except pypdfium2.PdfiumError as error:
        log.warning("page %d of a PDF is damaged and left out: %s", number + 1, error)
        return [], "damaged"
    return lines, problem


def _note_lost_pages(problems: list[str]) -> str:
    """Return a note on the pages without text, "" if there are none.

    Empty pages are not mentioned, unless most of the pages have no text.
    """
    silent = [number for number, problem in enumerate(problems, 1) if problem in ("scanned", "empty")]
    if len(silent) * 2 <= len(problems):
        silent = [number for number in silent if problems[number - 1] == "scanned"]
    damaged = [number for number, problem in enumerate(problems, 1) if problem == "damaged"]
    notes = (
        (silent, "have no text, as scanned ones", "make it searchable (OCR, such as ocrmypdf)"),
        (damaged, "are damaged and left out", "open it in a viewer and save it again"),
    )
    of = f"of its {len(problems)} pages"
    return "; ".join(f"{len(some)} {of} {what} (the first is {some[0]}): {do}" for some, what, do in notes if some)


def _property(pdf: pypdfium2.PdfDocument, name: str) -> str:
    """Return an entry of the metadata, "" where it is missing or cannot be decoded."""
    try:
        return str(pdf.get_metadata_value(name))
    except UnicodeDecodeError:
        return ""
