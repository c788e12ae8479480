"""The registry of file formats: suffix -> kind of file and its loader.

Why loaders are named and not imported: all parsers together take 0.3 s to import, and `rag ask` needs none of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import cast

from rag.errors import Unreadable
from rag.loaders.builder import LoadedText

CODE_SUFFIXES = tuple(
    re.findall(
        r"\S+",
        """.py .js .mjs .ts .jsx .tsx .java .kt .scala .c .h .cc .cpp .hpp .cs .go .rs .swift .rb .php .pl .lua .r .jl
        .sh .bash .ps1 .sql .css .scss .vue .yaml .yml .toml .ini .tf .proto""",
    )
)
UNSUPPORTED = {  # document formats without a loader: reported as skipped, with the format to save them in
    **dict.fromkeys((".doc", ".odt", ".rtf", ".pages"), ".docx"),
    **dict.fromkeys((".ppt", ".odp"), ".pptx"),
    **dict.fromkeys((".xls", ".xlsb", ".ods", ".numbers"), ".xlsx"),
    **dict.fromkeys((".mobi", ".azw3"), ".epub"),
}


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file, as the index report names it, and the loader for it: `function` in module rag.loaders.`module`.

    `slow` formats are parsed once and cached by the hash of their bytes.
    """

    kind: str
    module: str
    function: str
    slow: bool = False

    def __call__(self, data: bytes) -> LoadedText:
        """Read the bytes of a file. Raises Unreadable with the reason."""
        loader = getattr(import_module(f"rag.loaders.{self.module}"), self.function)
        return cast(LoadedText, loader(data))


@dataclass(frozen=True, slots=True)
class Refused:
    """A kind of file without a loader; `better` is the suffix of a format to save it in."""

    better: str
    kind: str = "not supported"
    slow: bool = False

    def __call__(self, data: bytes) -> LoadedText:
        """Raise Unreadable."""
        raise Unreadable(f"this file format is not supported: save it as {self.better}")


LOADERS: Mapping[str, Format | Refused] = {
    **dict.fromkeys((".md", ".markdown"), Format("Markdown", "markup.markdown", "load_markdown")),
    **dict.fromkeys((".txt", ".text", ".rst"), Format("text", "text", "load_text")),
    **dict.fromkeys((".html", ".htm", ".xhtml"), Format("web page", "web.html", "load_html", slow=True)),
    ".pdf": Format("PDF", "pdf.pages", "load_pdf", slow=True),
    **dict.fromkeys((".docx", ".docm"), Format("Word", "office.docx_epub", "load_docx", slow=True)),
    **dict.fromkeys((".pptx", ".pptm"), Format("slides", "office.pptx", "load_pptx", slow=True)),
    **dict.fromkeys((".xlsx", ".xlsm"), Format("spreadsheet", "office.spreadsheet", "load_xlsx", slow=True)),
    **dict.fromkeys((".csv", ".tsv"), Format("CSV", "office.spreadsheet", "load_csv")),
    ".epub": Format("EPUB", "office.docx_epub", "load_epub", slow=True),
    **dict.fromkeys(CODE_SUFFIXES, Format("source code", "text", "load_code")),
    **{old: Refused(better) for old, better in UNSUPPORTED.items()},
}
DOCUMENT_SUFFIXES = tuple(suffix for suffix in LOADERS if suffix not in (*CODE_SUFFIXES, *UNSUPPORTED))
SLOW_SUFFIXES = frozenset(suffix for suffix, loader in LOADERS.items() if loader.slow)
