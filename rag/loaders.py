"""A file's bytes -> its text, its title and its sections. One loader per kind of file; none touches a disk.

LOADERS is the one registry. Markdown, plain text, web pages and PDF are read here, the others in modules of their own.
What a loader cannot use it refuses with Unreadable, whose message is what the user reads about that file.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import pypdfium2
from markdown_it import MarkdownIt
from markdown_it.token import Token
from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE

from rag.chunking import PARAGRAPH, Block, Kind, Section, split
from rag.code import SUFFIXES as CODE_SUFFIXES
from rag.code import load_code
from rag.drafts import Extract, day, decode, good_title, normalise, one_line
from rag.errors import Unreadable
from rag.front_matter import take_front_matter
from rag.markup import load_docx, load_epub
from rag.pages import mend
from rag.sheets import load_csv, load_xlsx
from rag.slides import load_pptx

PDF_PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD: it cannot be opened without one
META_DATES = ("article:modified_time", "dateModified", "dcterms.modified", "article:published_time", "date")
ESCAPED = re.compile(r"(`+[^`]*`+)|\\([\\`*_{}\[\]()#+\-.!<>~])")
LINE_END_HYPHEN = re.compile("[\x02\ufffe]")  # what PDFium puts for the hyphen of a word that goes on in the next line
KINDS: Mapping[str, Kind] = {
    "paragraph_open": "prose",
    "blockquote_open": "prose",
    "bullet_list_open": "list",
    "ordered_list_open": "list",
    "table_open": "table",
}  # every other block of Markdown is code, or like it

logger = logging.getLogger(__name__)
_pdfium = threading.Lock()  # PDFium is not thread-safe, and the chat reads uploads in threads


def load_text(data: bytes) -> Extract:
    """Read plain text: paragraphs, no headings."""
    text = normalise(decode(data))
    return Extract(text, (Section(_paragraphs(text, 0, len(text))),))


def load_markdown(data: bytes) -> Extract:
    """Read Markdown. Front matter is no text; its title counts."""
    title, date, text = take_front_matter(normalise(decode(data)))
    lines = _outline(text)
    return Extract(text, _sections(text, lines), title or _first_heading(lines), date=date)


def load_html(data: bytes) -> Extract:
    """Read the main text of a page as Markdown, so that headings, lists, code and tables survive."""
    markdown, title, date = _main_text(normalise(decode(data)))
    lines = _outline(markdown)
    text = _unescape(markdown, lines)
    title = _first_heading(lines, level=1) or title or _first_heading(lines)
    return Extract(text, _sections(text, lines), title, date=date)


def load_pdf(data: bytes) -> Extract:
    """Read a PDF's text, one section per page: a chunk has one page, and that is the page it is on."""
    pages, title, date = _read_pages(data)
    if not any(page.strip() for page, _ in pages):
        raise Unreadable("the PDF has no text, its pages are images: make it searchable first (OCR, such as ocrmypdf)")
    text, sections = "", []
    for number, (page, _) in enumerate(pages, 1):
        sections.append(Section(_paragraphs(page, len(text), len(page)), page=number))
        text += page + "\n\n"
    return Extract(text, tuple(sections), title, _lost([kind for _, kind in pages]), date)


OUTDATED = {  # they are documents as well, so people must be told that they are not read
    **dict.fromkeys((".doc", ".odt", ".rtf", ".pages"), ".docx"),
    **dict.fromkeys((".ppt", ".odp"), ".pptx"),
    **dict.fromkeys((".xls", ".xlsb", ".ods", ".numbers"), ".xlsx"),
    **dict.fromkeys((".mobi", ".azw3"), ".epub"),
}


def _refuse(better: str, data: bytes) -> Extract:
    raise Unreadable(f"files of this kind are not read: save it as {better}")


LOADERS: Mapping[str, Callable[[bytes], Extract]] = {
    **dict.fromkeys((".md", ".markdown"), load_markdown),
    **dict.fromkeys((".txt", ".text", ".rst"), load_text),
    **dict.fromkeys((".html", ".htm", ".xhtml"), load_html),
    ".pdf": load_pdf,
    **dict.fromkeys((".docx", ".docm"), load_docx),
    **dict.fromkeys((".pptx", ".pptm"), load_pptx),
    **dict.fromkeys((".xlsx", ".xlsm"), load_xlsx),
    **dict.fromkeys((".csv", ".tsv"), load_csv),
    ".epub": load_epub,
    **dict.fromkeys(CODE_SUFFIXES, load_code),
    **{old: partial(_refuse, better) for old, better in OUTDATED.items()},
}
NAMED = tuple(suffix for suffix in LOADERS if suffix not in (*CODE_SUFFIXES, *OUTDATED))  # in a list for people


def _paragraphs(text: str, offset: int, length: int) -> tuple[Block, ...]:
    return tuple(Block(offset + start, offset + end) for start, end in split(text, 0, length, PARAGRAPH))


@dataclass(frozen=True, slots=True)
class Lines:
    """A top-level block of Markdown by its lines, so that it can be found again after an edit inside the lines."""

    first: int
    end: int
    kind: Kind
    level: int = 0
    title: str = ""


def _outline(markdown: str) -> list[Lines]:
    """Return the top-level blocks in order, each line with text in one of them.

    markdown-it knows that a `#` in a code fence is no heading; what it drops (link definitions) is kept as prose.
    """
    parser = MarkdownIt("commonmark").enable("table")
    tokens: list[Token] = []
    parser.block.parse(markdown, parser, {}, tokens)
    outline, done = [], 0
    for token, inline in pairwise([*tokens, Token("end", "", 0)]):
        if token.level or not token.map or token.nesting < 0:
            continue
        first, end = token.map
        if first > done:
            outline.append(Lines(done, first, "prose"))
        if token.type == "heading_open":
            outline.append(Lines(first, end, "heading", int(token.tag[1:]), _plain(parser, inline.content)))
        else:
            outline.append(Lines(first, end, KINDS.get(token.type, "code")))
        done = end
    return [*outline, Lines(done, markdown.count("\n") + 1, "prose")]


def _plain(parser: MarkdownIt, inline: str) -> str:
    """Return a heading without its markup."""
    children = parser.parseInline(inline)[0].children or []
    return one_line("".join(child.content or " " * (child.type == "softbreak") for child in children))


def _sections(text: str, outline: list[Lines]) -> tuple[Section, ...]:
    """Return one section per heading with its path; a heading with nothing under it joins the next section."""
    starts = _line_starts(text)
    sections: list[Section] = []
    blocks: list[Block] = []
    path: list[Lines] = []
    heading = ""
    for lines in outline:
        if lines.kind == "heading":
            if blocks and blocks[-1].kind != "heading":
                sections.append(Section(tuple(blocks), heading))
                blocks = []
            path = [above for above in path if above.level < lines.level] + [lines]
            heading = " > ".join(above.title for above in path if above.title)
        block = Block(starts[lines.first], starts[lines.end], lines.kind)
        if text[block.start : block.end].strip():
            blocks.append(block)
    return (*sections, Section(tuple(blocks), heading))


def _line_starts(text: str) -> list[int]:
    """Return the offset of every line, and the text's end as that of the line after the last."""
    return [0, *(match.end() for match in re.finditer("\n", text)), len(text)]


def _first_heading(outline: list[Lines], level: int | None = None) -> str:
    headings = (lines.title for lines in outline if lines.kind == "heading" and level in (None, lines.level))
    return next(filter(None, headings), "")


def _main_text(html: str) -> tuple[str, str, str]:
    """Return a page's main text as Markdown, its <title> and its date."""
    if "<html" not in html[:5000].lower():
        html = f"<html><body>{html}</body></html>"  # trafilatura refuses fragments
    try:
        markdown, title, date = _extract_markdown(html)
    except Exception as error:  # a hostile page may break lxml or trafilatura in any way
        raise Unreadable(f"its HTML cannot be read ({type(error).__name__}): save the page anew") from error
    if not markdown:
        raise Unreadable("no main text was found in this page: it is empty, or a script makes its text")
    return normalise(markdown), one_line(title), date


def _extract_markdown(html: str) -> tuple[str, str, str]:
    import trafilatura  # takes a moment, and many folders hold no page

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # what it says on refusing a page, Unreadable says
    page = trafilatura.load_html(html, len(html) + 1)
    if page is None:
        return "", "", ""
    title = page.findtext(".//title") or ""
    mend(page)
    told = {
        meta.get("property") or meta.get("name") or meta.get("itemprop"): meta.get("content")
        for meta in page.iter("meta")
    }
    date = next(
        filter(None, (day(told.get(name) or "") for name in META_DATES)), ""
    )  # the last change before the first
    return trafilatura.extract(page, output_format="markdown", include_comments=False) or "", title, date


def _unescape(markdown: str, outline: list[Lines]) -> str:
    """Undo trafilatura's escapes (snake\\_case) outside code, line by line, so that the outline still holds."""
    rows = markdown.split("\n")
    for lines in outline:
        if lines.kind != "code":
            rows[lines.first : lines.end] = [
                ESCAPED.sub(lambda match: match[1] or match[2], row) for row in rows[lines.first : lines.end]
            ]
    return "\n".join(rows)


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
