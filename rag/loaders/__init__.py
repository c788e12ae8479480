"""File formats -> text: Markdown, HTML, PDF, Office, EPUB, code. One loader per format: bytes in, never a path.

LOADERS           suffix -> loader, the only registry: bytes in, `LoadedText` out, raises `Unreadable`
blocks            sections and blocks of a text: where a chunk may be cut
builder           assembles a `LoadedText` block by block; tables as lines, decoding, titles, dates
markdown          Markdown and its YAML front matter
html              the main text of a web page, with trafilatura and lxml
pdf               PDF text page by page, with PDFium
text              plain text and source code
docx_epub         Word files and EPUB books, converted to XHTML first
xhtml             lenient XHTML parsing and the text of an element, for docx_epub
office_math       formulas in Word and PowerPoint files -> one line of text such as a/b or x^2
pptx              PowerPoint slides, with tables and speaker notes
spreadsheet       Excel workbooks and CSV
safe_zip          zip files, within limits on size and number of parts
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from rag.errors import Unreadable
from rag.loaders.builder import LoadedText
from rag.loaders.docx_epub import load_docx, load_epub
from rag.loaders.html import load_html
from rag.loaders.markdown import load_markdown
from rag.loaders.pdf import load_pdf
from rag.loaders.pptx import load_pptx
from rag.loaders.spreadsheet import load_csv, load_xlsx
from rag.loaders.text import SUFFIXES as CODE_SUFFIXES
from rag.loaders.text import load_code, load_text

UNSUPPORTED = {  # document formats without a loader: reported as skipped, with the format to save them in
    **dict.fromkeys((".doc", ".odt", ".rtf", ".pages"), ".docx"),
    **dict.fromkeys((".ppt", ".odp"), ".pptx"),
    **dict.fromkeys((".xls", ".xlsb", ".ods", ".numbers"), ".xlsx"),
    **dict.fromkeys((".mobi", ".azw3"), ".epub"),
}


def _refuse(better: str, data: bytes) -> LoadedText:
    raise Unreadable(f"this file format is not supported: save it as {better}")


LOADERS: Mapping[str, Callable[[bytes], LoadedText]] = {
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
    **{old: partial(_refuse, better) for old, better in UNSUPPORTED.items()},
}
DOCUMENT_SUFFIXES = tuple(suffix for suffix in LOADERS if suffix not in (*CODE_SUFFIXES, *UNSUPPORTED))
