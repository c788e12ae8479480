"""Read the text of a PDF page by page, with PDFium; that of scanned pages by text recognition where it is installed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import pypdfium2
from pypdfium2 import raw

from rag.errors import Unreadable
from rag.loaders.blocks import Section, paragraphs
from rag.loaders.builder import LoadedText
from rag.loaders.metadata import day, good_title
from rag.loaders.ocr.engine import LONG_SIDE, RECOGNISED, Recognise, recogniser
from rag.loaders.ocr.extra import INSTALL
from rag.loaders.pdf.form_fields import add_fields, draw_stamps, fields_of
from rag.loaders.pdf.layout import Line, read_lines
from rag.loaders.pdf.running_titles import drop_running_titles
from rag.loaders.pdf.text import count_words, drop_repeated, page_text, whole_sentences

if TYPE_CHECKING:
    from rag.loaders.ocr.engine import Picture

PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD: the file needs a password
NO_TEXT = {
    "scanned": f"the PDF has no text, its pages are images: {INSTALL}",
    "unrecognised": "the PDF has no text: none was recognised in the pictures on its pages",
    "empty": "the PDF has no text: its pages are blank, or drawn without letters",
}
FEW_LETTERS = 100  # of a page that may be a scan with a stamp or a page number over it
COVERING = 0.5  # share of the page that a scan covers at least
FINEST = 300 / 72  # pixels a point: small pages are not scaled up beyond
Problem = Literal["", "scanned", "pictured", "drawn", "unrecognised", "empty", "damaged"]
log = logging.getLogger(__name__)
_pdfium_lock = threading.Lock()  # PDFium is not thread-safe, and the chat reads uploads in threads


@dataclass(slots=True)
class Page:
    """The lines of a page, and what is wrong with it.

    scanned: a picture instead of text. pictured: hardly more than a picture. drawn: lines or areas without text.
    unrecognised: text recognition found none. empty: nothing at all. `recognised`: its lines are.
    """

    lines: list[Line] = field(default_factory=list)
    problem: Problem = ""
    recognised: bool = False


def load_pdf(data: bytes, find_recogniser: Callable[[], Recognise | None] = recogniser) -> LoadedText:
    """Read a PDF, one section per page, so that each chunk has one page number.

    A sentence that goes on over the end of a page is in the section of the page on which it begins. Raises Unreadable
    for a PDF that is encrypted, broken, or has no text on any page.
    """
    pages, title, date = _read_pages(data, find_recogniser())
    all_lines = [page.lines for page in pages]
    drop_running_titles(all_lines)
    drop_repeated(all_lines)
    words = count_words(all_lines)
    texts = whole_sentences([page_text(lines, words) for lines in all_lines])
    if not any(text.strip() for text in texts):
        problems = {page.problem for page in pages}
        raise Unreadable(
            next(reason for problem, reason in NO_TEXT.items() if problem in problems or problem == "empty")
        )
    text, sections = "", []
    for number, (page, page_of_text) in enumerate(zip(pages, texts, strict=True), 1):
        blocks = paragraphs(page_of_text, len(text), len(page_of_text))
        sections.append(Section(blocks, RECOGNISED if page.recognised else "", number))
        text += page_of_text + "\n\n"
    return LoadedText(text, tuple(sections), title, _note_lost_pages(pages), date, _note_recognised(pages))


def _read_pages(data: bytes, recognise: Recognise | None) -> tuple[list[Page], str, str]:
    """Return every page, and the title and date of the PDF."""
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
    pages = []
    try:
        for number in range(count):
            with _pdfium_lock:  # given back after each page, so that a long file does not hold up the others
                page, picture, scale = _read_page(pdf, number, draw=recognise is not None)
            if recognise is not None and picture is not None:
                page = _with_recognised(page, recognise(picture), scale)
            pages.append(page)
    finally:
        with _pdfium_lock:
            pdf.close()
    return pages, title, date


def _read_page(pdf: pypdfium2.PdfDocument, number: int, *, draw: bool) -> tuple[Page, Picture | None, float]:
    """Return a page; with `draw` also its picture where its text may be in one, and the pixels a point."""
    try:
        page = pdf[number]
        try:
            fields = fields_of(page)
            if draw_stamps(page):
                page.close()
                page = pdf[number]
            lines = add_fields(fields, read_lines(page))
            problem = _problem(page, lines)
            if draw and problem in ("scanned", "pictured", "drawn"):
                return Page(lines, problem), *_draw(page)
        finally:
            page.close()
    except pypdfium2.PdfiumError as error:
        log.warning("page %d of a PDF is damaged and left out: %s", number + 1, error)
        return Page([], "damaged"), None, 1.0
    return Page(lines, problem), None, 1.0


def _problem(page: pypdfium2.PdfPage, lines: list[Line]) -> Problem:
    """Return why a page may have text that its lines lack, "" if it has none or enough."""
    if len(lines) >= FEW_LETTERS or sum(len(line.text) for line in lines) >= FEW_LETTERS:
        return ""
    pictures = list(page.get_objects([raw.FPDF_PAGEOBJ_IMAGE]))
    if lines:
        return "pictured" if _cover(page, pictures) else ""
    if pictures:
        return "scanned"
    return "drawn" if any(page.get_objects()) else "empty"


def _cover(page: pypdfium2.PdfPage, pictures: list[pypdfium2.PdfObject]) -> bool:
    """Return whether pictures, which may be strips of one, cover most of a page."""
    low_x, low_y, high_x, high_y = page.get_bbox()
    covered = 0.0
    for picture in pictures:
        left, bottom, right, top = picture.get_bounds()
        width, height = min(right, high_x) - max(left, low_x), min(top, high_y) - max(bottom, low_y)
        covered += max(0.0, width) * max(0.0, height)
    return bool(covered > COVERING * (high_x - low_x) * (high_y - low_y))


def _draw(page: pypdfium2.PdfPage) -> tuple[Picture, float]:
    """Return a page as pixels, as a viewer shows it, and how many there are to a point."""
    scale = min(FINEST, LONG_SIDE / max(*page.get_size(), 1))
    bitmap = page.render(scale=scale, force_bitmap_format=raw.FPDFBitmap_BGR, may_draw_forms=False)
    return bitmap.to_numpy().copy(), scale


def _with_recognised(page: Page, lines: list[Line], scale: float) -> Page:
    """Return a page with the lines that were recognised, placed in points, if they say more than its own."""
    if sum(len(line.text) for line in lines) <= sum(len(line.text) for line in page.lines):
        return Page(page.lines, "" if page.lines else "unrecognised")
    for segment in (segment for line in lines for segment in line.segments):
        segment.left, segment.right = segment.left / scale, segment.right / scale
        segment.bottom, segment.top = segment.bottom / scale, segment.top / scale
    return Page(lines, recognised=True)


def _note_recognised(pages: list[Page]) -> str:
    """Return how many pages were read by text recognition, "" for none."""
    count = sum(page.recognised for page in pages)
    return f"{count} of its {len(pages)} pages by text recognition" if count else ""


def _note_lost_pages(pages: list[Page]) -> str:
    """Return a note on the pages without text, "" if there are none.

    Empty pages are not mentioned, unless most of the pages have no text.
    """

    def numbers(*problems: Problem) -> list[int]:
        return [number for number, page in enumerate(pages, 1) if page.problem in problems]

    scanned, silent = numbers("scanned"), numbers("scanned", "drawn", "unrecognised", "empty")
    blank = "it is blank, or a picture" if len(silent) == 1 else "they are blank, or pictures"
    advice = INSTALL if numbers("scanned", "drawn") else f"{blank} without letters"
    notes = (
        (
            silent if len(silent) * 2 > len(pages) else scanned,
            "has no text, as a scan",
            "have no text, as scans",
            advice,
        ),
        (numbers("pictured"), "is hardly more than a picture", "are hardly more than a picture", INSTALL),
        (numbers("damaged"), "is damaged", "are damaged", "open it in a viewer and save it again"),
    )
    return "; ".join(
        f"page {some[0]} of {len(pages)} {one}: {do}"
        if len(some) == 1
        else f"{len(some)} of its {len(pages)} pages {several} (the first is {some[0]}): {do}"
        for some, one, several, do in notes
        if some
    )


def _property(pdf: pypdfium2.PdfDocument, name: str) -> str:
    """Return an entry of the metadata, "" where it is missing or cannot be decoded."""
    try:
        return str(pdf.get_metadata_value(name))
    except UnicodeDecodeError:
        return ""
