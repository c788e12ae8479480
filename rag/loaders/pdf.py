"""Read a PDF's text, page by page, with PDFium."""

from __future__ import annotations

import logging
import re
import threading

import pypdfium2
from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE

from rag.errors import Unreadable
from rag.loaders.blocks import Section, paragraphs
from rag.loaders.builder import LoadedText, day, good_title, normalise

PDF_PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD: it cannot be opened without one


LINE_END_HYPHEN = re.compile("[\x02\ufffe]")  # what PDFium puts for the hyphen of a word that goes on in the next line


logger = logging.getLogger(__name__)


_pdfium = threading.Lock()  # PDFium is not thread-safe, and the chat reads uploads in threads


def load_pdf(data: bytes) -> LoadedText:
    """Read a PDF's text, one section per page: a chunk has one page, and that is the page it is on."""
    pages, title, date = _read_pages(data)
    if not any(page.strip() for page, _ in pages):
        raise Unreadable("the PDF has no text, its pages are images: make it searchable first (OCR, such as ocrmypdf)")
    text, sections = "", []
    for number, (page, _) in enumerate(pages, 1):
        sections.append(Section(paragraphs(page, len(text), len(page)), page=number))
        text += page + "\n\n"
    return LoadedText(text, tuple(sections), title, _lost([kind for _, kind in pages]), date)


def _read_pages(data: bytes) -> tuple[list[tuple[str, str]], str, str]:
    """Return every page as _read_page does, and title and date in the PDF's metadata."""
    with _pdfium:
        try:
            pdf = pypdfium2.PdfDocument(data)
        except pypdfium2.PdfiumError as error:
            if error.err_code == PDF_PASSWORD_ERROR:
                raise Unreadable("the PDF is encrypted: save a copy without a password") from None
            raise Unreadable("the PDF is broken: open it in a viewer and save it anew") from None
        try:
            read = [_read_page(pdf, number) for number in range(len(pdf))]
            date = day(_property(pdf, "ModDate")) or day(_property(pdf, "CreationDate"))
            return read, good_title(_property(pdf, "Title")), date
        finally:
            pdf.close()


def _read_page(pdf: pypdfium2.PdfDocument, number: int) -> tuple[str, str]:
    """Return a page's text, and what it is where it has none; a damaged page costs itself, not the document."""
    try:
        page = pdf[number]
        text = LINE_END_HYPHEN.sub("", normalise(page.get_textpage().get_text_bounded()))
        kind = "" if text.strip() else "scanned" if any(page.get_objects([FPDF_PAGEOBJ_IMAGE])) else "empty"
        page.close()
    except pypdfium2.PdfiumError as error:
        logger.warning("page %d of a PDF is damaged and left out: %s", number + 1, error)
        return "", "damaged"
    return text, kind


def _lost(kinds: list[str]) -> str:
    """Tell of the pages that gave no text. An empty one has none to give, unless most pages are like it."""
    silent = [number for number, kind in enumerate(kinds, 1) if kind in ("scanned", "empty")]
    if len(silent) * 2 <= len(kinds):
        silent = [number for number in silent if kinds[number - 1] == "scanned"]
    damaged = [number for number, kind in enumerate(kinds, 1) if kind == "damaged"]
    said = (
        (silent, "have no text, as scanned ones", "make it searchable (OCR, such as ocrmypdf)"),
        (damaged, "are damaged and left out", "open it in a viewer and save it anew"),
    )
    of = f"of its {len(kinds)} pages"
    return "; ".join(f"{len(some)} {of} {what} (the first is {some[0]}): {do}" for some, what, do in said if some)


def _property(pdf: pypdfium2.PdfDocument, name: str) -> str:
    try:
        return str(pdf.get_metadata_value(name))
    except UnicodeDecodeError:
        return ""
