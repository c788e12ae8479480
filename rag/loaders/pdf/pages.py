"""Read the text of a PDF page by page, with PDFium."""

from __future__ import annotations

import logging
import re
import threading

import pypdfium2
from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE

from rag.errors import Unreadable
from rag.loaders.blocks import Section, paragraphs
from rag.loaders.builder import LoadedText
from rag.loaders.decoding import normalise
from rag.loaders.metadata import day, good_title

PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD: the file needs a password
LINE_END_HYPHEN = re.compile("[\x02\ufffe]")  # PDFium's mark for the hyphen of a word that continues on the next line
log = logging.getLogger(__name__)
_pdfium_lock = threading.Lock()  # PDFium is not thread-safe, and the chat reads uploads in threads


def load_pdf(data: bytes) -> LoadedText:
    """Read a PDF, one section per page, so that each chunk has one page number.

    Raises Unreadable for a PDF that is encrypted, broken, or has no text on any page.
    """
    pages, title, date = _read_pages(data)
    if not any(page.strip() for page, _ in pages):
        raise Unreadable("the PDF has no text, its pages are images: make it searchable first (OCR, such as ocrmypdf)")
    text, sections = "", []
    for number, (page, _) in enumerate(pages, 1):
        sections.append(Section(paragraphs(page, len(text), len(page)), page=number))
        text += page + "\n\n"
    return LoadedText(text, tuple(sections), title, _note_lost_pages([problem for _, problem in pages]), date)


def _read_pages(data: bytes) -> tuple[list[tuple[str, str]], str, str]:
    """Return (text, problem) for every page as _read_page does, and the title and date in the PDF's metadata."""
    with _pdfium_lock:
        try:
            pdf = pypdfium2.PdfDocument(data)
        except pypdfium2.PdfiumError as error:
            if error.err_code == PASSWORD_ERROR:
                raise Unreadable("the PDF is encrypted: save a copy without a password") from None
            raise Unreadable("the PDF is broken: open it in a viewer and save it again") from None
        try:
            pages = [_read_page(pdf, number) for number in range(len(pdf))]
            date = day(_property(pdf, "ModDate")) or day(_property(pdf, "CreationDate"))
            return pages, good_title(_property(pdf, "Title")), date
        finally:
            pdf.close()


def _read_page(pdf: pypdfium2.PdfDocument, number: int) -> tuple[str, str]:
    """Return a page's text and why it has none: "", "scanned", "empty" or "damaged". The other pages are still read."""
    try:
        page = pdf[number]
        text = LINE_END_HYPHEN.sub("", normalise(page.get_textpage().get_text_bounded()))
        problem = "" if text.strip() else "scanned" if any(page.get_objects([FPDF_PAGEOBJ_IMAGE])) else "empty"
        page.close()
    except pypdfium2.PdfiumError as error:
        log.warning("page %d of a PDF is damaged and left out: %s", number + 1, error)
        return "", "damaged"
    return text, problem


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
