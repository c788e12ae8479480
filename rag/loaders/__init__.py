"""File formats -> text: Markdown, HTML, PDF, Office, EPUB, code. One loader per kind of file; none touches a disk.

LOADERS           suffix -> loader, the one registry: bytes in, `LoadedText` out, `Unreadable` for what cannot be used
blocks            sections and blocks of a text: where a chunk may be cut
builder           an `LoadedText` assembled block by block; decoding, titles, dates
markdown          Markdown and its YAML front matter
html              web pages, by trafilatura and lxml
pdf               PDF text, page by page, by PDFium
text              plain text and source code
docx_epub         Word files and e-books, by way of XHTML
xhtml             XHTML -> blocks, for docx_epub and pptx
office_math       Office formulas -> LaTeX
pptx              slides
spreadsheet       Excel workbooks and CSV
safe_zip          zip containers, within limits of size and number
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

OUTDATED = {  # they are documents as well, so people must be told that they are not read
    **dict.fromkeys((".doc", ".odt", ".rtf", ".pages"), ".docx"),
    **dict.fromkeys((".ppt", ".odp"), ".pptx"),
    **dict.fromkeys((".xls", ".xlsb", ".ods", ".numbers"), ".xlsx"),
    **dict.fromkeys((".mobi", ".azw3"), ".epub"),
}


def _refuse(better: str, data: bytes) -> LoadedText:
    raise Unreadable(f"files of this kind are not read: save it as {better}")


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
    **{old: partial(_refuse, better) for old, better in OUTDATED.items()},
}
NAMED = tuple(suffix for suffix in LOADERS if suffix not in (*CODE_SUFFIXES, *OUTDATED))  # in a list for people
