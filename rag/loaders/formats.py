"""The registry of file formats: suffix -> kind of file and its loader.

Why loaders are named and not imported: all parsers together take 0.3 s to import, and `rag ask` needs none of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import PurePath
from typing import cast

from rag.errors import Unreadable
from rag.loaders.builder import LoadedText
from rag.loaders.sniff import sniff

CODE_SUFFIXES = tuple(
    re.findall(
        r"\S+",
        """.py .js .mjs .ts .jsx .tsx .java .kt .scala .c .h .cc .cpp .hpp .cs .go .rs .swift .rb .php .pl .lua .r .jl
        .sh .bash .ps1 .sql .css .scss .vue .toml .ini .tf .proto""",
    )
)
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")  # read by text recognition, the extra `ocr`
ILLUSTRATIONS = frozenset(  # folders whose pictures belong to pages; TIFF is no format for such
    re.findall(
        r"\S+", "image images img imgs figure figures fig figs icon icons screenshots assets static _static media"
    )
)
COPIED_SOURCES = (".rst", ".md")
UNSUPPORTED = {  # document formats without a loader: reported as skipped, with the format to save them in
    ".pages": ".docx",
    **dict.fromkeys((".xlsb", ".numbers"), ".xlsx"),
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
        """Read the bytes of a file, by their content if it is another format. Raises Unreadable with the reason."""
        return _read_as_content(data, self) or self.load(data)

    def load(self, data: bytes) -> LoadedText:
        """Read the bytes of a file of this format. Raises Unreadable with the reason."""
        loader = getattr(import_module(f"{__package__}.{self.module}"), self.function)
        return cast(LoadedText, loader(data))


@dataclass(frozen=True, slots=True)
class Refused:
    """A kind of file without a loader; `better` is the suffix of a format to save it in."""

    better: str
    kind: str = "not supported"
    slow: bool = False

    def __call__(self, data: bytes) -> LoadedText:
        """Read a file that is of another format than its name says; raise Unreadable for any other."""
        loaded = _read_as_content(data, self)
        if loaded:
            return loaded
        raise Unreadable(f"this file format is not supported: save it as {self.better}")


def suffix_of(name: PurePath) -> str:
    """Return the suffix in lower case, such as ".pdf"; for README and the like, the one of what they hold.

    Sphinx copies the sources of its pages as page.rst.txt and page.md.txt.
    """
    if name.suffix.lower() == ".txt" and PurePath(name.stem).suffix.lower() in COPIED_SOURCES:
        return PurePath(name.stem).suffix.lower()
    return name.suffix.lower() or NAMES_WITHOUT_SUFFIX.get(name.name.lower(), "")


def not_read(suffix: str) -> str:
    """Return why a file with a suffix that is not in LOADERS is not read, and what to do."""
    kind = f"{suffix} files" if suffix else "files without an ending"
    return f"{kind} are not read: docs/how-to/your-own-documents.md lists what is; save it as PDF, Markdown or text"


def is_illustration(inside: PurePath) -> bool:
    """Return whether a file is a picture in a folder of illustrations, by its path inside the documents folder."""
    is_picture = inside.suffix.lower() in PICTURE_SUFFIXES and not inside.suffix.lower().startswith(".tif")
    return is_picture and not ILLUSTRATIONS.isdisjoint(part.lower() for part in inside.parts[:-1])


def _read_as_content(data: bytes, named: Format | Refused) -> LoadedText | None:
    """Read a file whose bytes are another format than its name says, and note it; None if they are not."""
    suffix = sniff(data)
    actual = LOADERS.get(suffix)
    if not suffix or named.kind in ANY_CONTENT or (suffix == ".html" and named.kind in MAY_BEGIN_AS_HTML):
        return None
    if suffix == ".zip":
        if isinstance(named, Format) and named.slow and named.kind not in ("web page", "PDF"):
            return None  # an office file whose loader says what is wrong
        raise Unreadable('it is a zip archive: give it a name that ends in ".zip"')
    if not isinstance(actual, Format) or (isinstance(named, Format) and actual.kind == named.kind):
        return None
    loaded = actual.load(data)
    return replace(loaded, note="; ".join(filter(None, (f"by its content it is {actual.kind}", loaded.note))))


MARKED_UP_NAMES = "readme changelog changes news history install faq hacking contributing security"
PROSE_NAMES = """license licence copying copyright authors contributors maintainers thanks credits notice todo bugs
    citation acknowledgements"""
BUILD_NAMES = "makefile gnumakefile dockerfile containerfile jenkinsfile vagrantfile procfile gemfile rakefile"
README = "readme"  # stands for the suffix of prose without one: its markup is told by its text
NAMES_WITHOUT_SUFFIX = {  # in lower case; other files without a suffix are mostly programs
    **dict.fromkeys(re.findall(r"\w+", MARKED_UP_NAMES), README),
    **dict.fromkeys(re.findall(r"\w+", PROSE_NAMES), ".txt"),
    **dict.fromkeys(re.findall(r"\w+", BUILD_NAMES), ".sh"),
}
ANY_CONTENT = ("source code", "e-mail", "Outlook message", "saved web page")  # may quote any other format
MAY_BEGIN_AS_HTML = ("XML", "EPUB", "notebook", "data", "YAML")
LOADERS: Mapping[str, Format | Refused] = {
    **dict.fromkeys((".md", ".markdown"), Format("Markdown", "markup.markdown", "load_markdown")),
    **dict.fromkeys((".txt", ".text"), Format("text", "text", "load_text")),
    README: Format("text", "markup.readme", "load_readme", slow=True),
    ".rst": Format("reStructuredText", "markup.rst", "load_rst", slow=True),
    **dict.fromkeys((".wiki", ".mediawiki"), Format("Wiki text", "markup.wiki", "load_wiki", slow=True)),
    **dict.fromkeys((".adoc", ".asciidoc", ".asc"), Format("AsciiDoc", "markup.asciidoc", "load_adoc", slow=True)),
    ".org": Format("Org", "markup.org", "load_org", slow=True),
    ".tex": Format("LaTeX", "latex.latex", "load_tex", slow=True),
    **dict.fromkeys((".html", ".htm", ".xhtml"), Format("web page", "web.html", "load_html", slow=True)),
    ".pdf": Format("PDF", "pdf.pages", "load_pdf", slow=True),
    **dict.fromkeys(PICTURE_SUFFIXES, Format("picture", "ocr.pictures", "load_picture", slow=True)),
    **dict.fromkeys((".docx", ".docm", ".dotx", ".dotm"), Format("Word", "office.docx_epub", "load_docx", slow=True)),
    ".rtf": Format("Rich Text", "office.rtf", "load_rtf", slow=True),
    **dict.fromkeys(
        (".pptx", ".pptm", ".ppsx", ".ppsm", ".potx", ".potm"), Format("slides", "office.pptx", "load_pptx", slow=True)
    ),
    **dict.fromkeys(
        (".xlsx", ".xlsm", ".xltx", ".xltm"), Format("spreadsheet", "sheets.spreadsheet", "load_xlsx", slow=True)
    ),
    ".doc": Format("Word 97-2003", "office.legacy", "load_doc", slow=True),
    **dict.fromkeys((".ppt", ".pps"), Format("PowerPoint 97-2003", "office.legacy", "load_ppt", slow=True)),
    ".xls": Format("Excel 97-2003", "sheets.xls", "load_xls", slow=True),
    **dict.fromkeys((".odt", ".ott", ".fodt"), Format("OpenDocument text", "opendocument.text", "load_odt", slow=True)),
    **dict.fromkeys(
        (".ods", ".ots", ".fods"), Format("OpenDocument sheet", "opendocument.sheets", "load_ods", slow=True)
    ),
    **dict.fromkeys(
        (".odp", ".otp", ".fodp"), Format("OpenDocument slides", "opendocument.slides", "load_odp", slow=True)
    ),
    **dict.fromkeys((".csv", ".tsv", ".tab"), Format("CSV", "sheets.spreadsheet", "load_csv")),
    ".eml": Format("e-mail", "messages.mail", "load_eml"),
    ".msg": Format("Outlook message", "messages.outlook", "load_msg", slow=True),
    **dict.fromkeys((".mhtml", ".mht"), Format("saved web page", "messages.mhtml", "load_mhtml", slow=True)),
    ".ipynb": Format("notebook", "data.notebook", "load_ipynb"),
    **dict.fromkeys((".json", ".geojson"), Format("data", "data.json_yaml", "load_json")),
    **dict.fromkeys((".jsonl", ".ndjson"), Format("data", "data.json_yaml", "load_jsonl")),
    **dict.fromkeys((".yaml", ".yml"), Format("YAML", "data.json_yaml", "load_yaml")),
    ".xml": Format("XML", "data.xml", "load_xml"),
    **dict.fromkeys((".srt", ".vtt"), Format("subtitles", "data.subtitles", "load_subtitles")),
    ".log": Format("log", "text", "load_log"),
    ".epub": Format("EPUB", "office.docx_epub", "load_epub", slow=True),
    **dict.fromkeys((".rmd", ".qmd"), Format("Markdown", "markup.markdown", "load_markdown")),
    ".mdx": Format("Markdown", "markup.markdown", "load_mdx"),
    **dict.fromkeys(CODE_SUFFIXES, Format("source code", "text", "load_code")),
    **{old: Refused(better) for old, better in UNSUPPORTED.items()},
}
DOCUMENT_SUFFIXES = tuple(suffix for suffix in LOADERS if suffix not in (*CODE_SUFFIXES, *UNSUPPORTED, README))
SLOW_SUFFIXES = frozenset(suffix for suffix, loader in LOADERS.items() if loader.slow)
