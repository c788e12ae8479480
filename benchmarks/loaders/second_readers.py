"""The same file by other readers: poppler and MuPDF (PDF), pandoc (markup, books), lxml (web pages), raw XML (Office).

`apt-get install poppler-utils mupdf-tools pandoc asciidoctor antiword catdoc`. Only for measuring; the app calls none.
"""

from __future__ import annotations

import email
import email.policy
import json
import math
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from html import unescape
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pypdfium2
from lxml import etree, html

SECONDS = 60  # for one file in one program
PANDOC = {
    **dict.fromkeys(("md", "markdown"), "markdown_mmd-raw_tex+yaml_metadata_block+fenced_divs+link_attributes"),
    "rst": "rst", "org": "org", "tex": "latex", "mediawiki": "mediawiki", "wiki": "mediawiki", "ipynb": "ipynb",
    "epub": "epub", "odt": "odt",
}  # fmt: skip
MARKUP = ("latex", "org", "mediawiki", "asciidoc")
FILTER = Path(__file__).with_name("verbatim.lua")
STORED = Path(__file__).with_name("stored.js")
COMMAND = re.compile(r"\\[A-Za-z]+")  # of a formula that pandoc cannot write: their names are no words
NOISE = (
    "//script|//style|//noscript|//template|//head|//nav|//*[@role='navigation']|//header|//footer|//aside|//button"
    "|//select|//svg|//iframe"
)
PARTS = {
    "docx": re.compile(r"word/(document|footnotes|endnotes|header\d*|footer\d*)\.xml"),
    "docm": re.compile(r"word/(document|footnotes|endnotes|header\d*|footer\d*)\.xml"),
    "pptx": re.compile(r"ppt/(slides/slide|notesSlides/notesSlide)\d+\.xml"),
    "odt": re.compile(r"content\.xml"), "ods": re.compile(r"content\.xml"), "odp": re.compile(r"content\.xml"),
}  # fmt: skip
BESIDE = re.compile(r"/(?:comments\w*|charts/chart\w*|diagrams/data\w*|comments/[^/]*)\.xml$")


def read(path: Path) -> list[str]:
    """Return a file's text by each second reader of its kind, the one to compare with first; [] if none can read it."""
    suffix = path.suffix[1:].lower()
    try:
        texts = _READERS[suffix](path) if suffix in _READERS else []
        return texts if any(map(str.strip, texts[:1])) else [text for text in texts if text.strip()]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, etree.LxmlError, subprocess.SubprocessError):
        return []


def third_of(path: Path, texts: list[str]) -> str:
    """Return the text that decides where the first reader and we differ, "" if there is none.

    MuPDF's of a PDF, catdoc's of a .doc, and the source of markup: what pandoc counts or names itself is not in it.
    """
    suffix = path.suffix[1:].lower()
    decides = {"pdf": 2, "doc": 1, **{each: 1 for each, form in PANDOC.items() if form in MARKUP}}
    number = decides.get(suffix, len(texts))
    return texts[number] if number < len(texts) else ""


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=True)
    return done.stdout.decode("utf-8", "replace")


def _pdf(path: Path) -> list[str]:
    """Return the text of the pages as viewers show them: what stands outside the crop box is no part of them.

    By poppler in two orders, then by MuPDF, then the notes and form values as they are stored, which neither draws
    where they have no appearance: what any of them reads as well is not invented.
    """
    shown = ("-cropbox", *_crop(path))
    texts = [_run("pdftotext", "-q", "-enc", "UTF-8", *shown, *option, str(path), "-") for option in ((), ("-raw",))]
    if not any(map(str.strip, texts)) or not shutil.which("mutool"):
        return texts
    return [*texts, _mutool("draw", "-q", "-F", "txt", "-o", "-", str(path)), _mutool("run", str(STORED), str(path))]


def _mutool(*arguments: str) -> str:
    """Return what MuPDF writes; it may repair a page and fail."""
    done = subprocess.run(("mutool", *arguments), capture_output=True, timeout=SECONDS, check=False)
    return done.stdout.decode("utf-8", "replace")


def _crop(path: Path) -> list[str]:
    """Return the options for the crop box of a PDF's first page; none where it shows the whole page.

    With -cropbox alone, poppler gives the text outside of it as well.
    """
    try:
        page = pypdfium2.PdfDocument(path)[0]
    except pypdfium2.PdfiumError:
        return []
    if page.get_cropbox() == page.get_mediabox():
        return []
    width, height = page.get_size()
    return ["-x", "0", "-y", "0", "-W", str(math.ceil(width)), "-H", str(math.ceil(height))]


def _pandoc(path: Path) -> list[str]:
    """Return pandoc's text, and the file itself: what is only there, such as a formula's command, is not invented."""
    suffix = path.suffix[1:].lower()
    form = PANDOC[suffix]
    if form == "odt":
        return [_run("pandoc", "-t", "plain", "--wrap=none", str(path)), *_xml(path)]
    whole = () if form == "epub" else ("-s",)  # a book's title page is its metadata, and repeats what is in the text
    text = _run("pandoc", *whole, "-f", form, "-t", "plain", "--wrap=none", f"--lua-filter={FILTER}", str(path))
    if not text.strip():  # pandoc leaves out tables in HTML
        return []
    if form == "latex":
        text = COMMAND.sub(" ", text)
    elif form == "mediawiki":  # MediaWiki decodes entities in code, too
        text = unescape(text)
    return [text, *([path.read_text("utf-8", "replace")] if form in MARKUP or suffix in ("md", "markdown") else [])]


def _asciidoctor(path: Path) -> list[str]:
    """Return asciidoctor's page as text, and the file itself. `apt-get install asciidoctor`."""
    options = ("-a", "linkcss", "-a", "nofooter", "-a", "toc!@")
    page = _run("asciidoctor", "-q", "-S", "secure", *options, "-o", "-", str(path))
    root = html.document_fromstring(page.encode())
    for element in root.xpath("//head|//script|//style"):
        element.drop_tree()
    text = " ".join(map(str, root.xpath("//body//text()")))
    return [text, path.read_text("utf-8", "replace")] if text.strip() else []


def _xml(path: Path) -> list[str]:
    """Return the text of Office's XML: all text elements, without deleted and hidden runs and fallbacks.

    Then that of comments, charts and diagrams, which are not invented.
    """
    suffix = path.suffix[1:].lower()
    pieces, beside = [], []
    with zipfile.ZipFile(path) as opened:
        for name in sorted(opened.namelist()):
            if BESIDE.search(name):
                beside.append(" ".join(etree.fromstring(opened.read(name)).itertext()))
            if PARTS[suffix].fullmatch(name):
                root = etree.parse(BytesIO(opened.read(name)), etree.XMLParser(recover=True)).getroot()
                pieces.append(_text(root, odf=suffix.startswith("od")))
    if not any(map(str.strip, pieces)):
        return []
    return [
        "\n".join(pieces),
        "\n".join(beside),
        *([_run("pandoc", "-t", "plain", "--wrap=none", str(path))] if suffix == "docx" else []),
    ]


def _is_not_shown(element: etree._Element, tag: str) -> bool:
    """Return whether an element is deleted, hidden, a fallback, or the number of a slide."""
    if tag in ("Fallback", "del", "moveFrom", "tracked-changes", "instrText", "delText"):
        return True
    if tag == "r" and any(etree.QName(mark).localname == "vanish" for mark in element.iter(etree.Element)):
        return True
    return tag == "fld" and element.get("type") == "slidenum"


def _text(root: etree._Element, odf: bool) -> str:
    pieces: list[str] = []

    def visit(element: etree._Element) -> None:
        if not isinstance(element.tag, str):
            return
        tag = etree.QName(element).localname
        if _is_not_shown(element, tag):
            return
        if odf or tag == "t":
            pieces.append(element.text or "")
        if tag in ("p", "br", "tab", "tc", "h", "s", "table-cell", "line-break", "cr"):
            pieces.append(" ")
        for child in element:
            visit(child)
            if odf:
                pieces.append(child.tail or "")
        if tag in ("p", "tc", "h", "table-cell"):
            pieces.append("\n")

    visit(root)
    return "".join(pieces)


def _xlsx(path: Path) -> list[str]:
    """Return the texts of a workbook's cells without their readings in kana, then all that is shown or stored.

    Numbers are formatted: LibreOffice writes them as the cells show them. `apt-get install libreoffice-calc-nogui`.
    """
    with zipfile.ZipFile(path) as opened:
        pieces = []
        for name in opened.namelist():
            if name.endswith("sharedStrings.xml"):
                root = etree.fromstring(opened.read(name))
                etree.strip_elements(root, "{*}rPh", with_tail=False)
                pieces += ["".join(item.itertext("{*}t")) for item in root.iterfind("{*}si")]
        stored = [etree.fromstring(opened.read(name)) for name in opened.namelist() if name.endswith(".xml")]
    if not any(map(str.strip, pieces)):
        return []
    names = (each.get("name") or "" for root in stored for each in root.iter("{*}sheet", "{*}table", "{*}person"))
    all_text = " ".join([*names, *(" ".join(root.itertext()) for root in stored)])
    return ["\n".join(pieces), all_text, *_shown_cells(path)]


def _shown_cells(path: Path) -> list[str]:
    """Return each sheet as LibreOffice shows it; [] where it is not installed or cannot read the file."""
    if not (office := shutil.which("soffice")):
        return []
    with TemporaryDirectory() as folder:
        profile = f"-env:UserInstallation={(Path(folder) / 'profile').as_uri()}"
        all_sheets = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,true,false,false,-1"
        _run(office, profile, "--headless", "--convert-to", all_sheets, "--outdir", folder, str(path))
        return [each.read_text("utf-8", "replace") for each in Path(folder).glob("*.csv")]


def _html(path: Path) -> list[str]:
    """Return a page's text without what a site repeats, then all of it with the values of its forms."""
    data = path.read_bytes()
    try:
        page: str | bytes = data.decode("utf-8-sig")  # lxml takes a page that names no encoding for Latin-1
        page = re.sub(r"\A\s*<\?xml[^>]*\?>", "", page)
    except UnicodeDecodeError:
        page = data
    root = html.document_fromstring(page)
    whole = " ".join(map(str, root.xpath("//text()|//input/@value|//img/@alt")))
    for element in root.xpath(NOISE):
        element.drop_tree()
    shown = " ".join(map(str, root.xpath("//body//text()")))
    return [shown, whole] if shown.strip() else []


def _mail(path: Path) -> list[str]:
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    body = message.get_body(("plain", "html"))
    text = body.get_content() if body else ""
    if body and body.get_content_type() == "text/html":
        text = html.document_fromstring(text).text_content()
    return [f"{message['subject'] or ''}\n{text}"]


def _doc(path: Path) -> list[str]:
    """Return a .doc by antiword without its marks for pictures, then by catdoc."""
    text = _run("antiword", "-m", "UTF-8.txt", "-w", "0", str(path)).replace("[pic]", " ")
    return [text, _run("catdoc", "-d", "utf-8", "-w", str(path))]


def _plain(path: Path) -> list[str]:
    return [path.read_bytes().decode("utf-8-sig")]


def _subtitles(path: Path) -> list[str]:
    lines = path.read_text("utf-8-sig").splitlines()
    kept = [re.sub(r"<[^>]*>", "", line) for line in lines if "-->" not in line and not line.strip().isdigit()]
    return ["\n".join(kept)]


def _notebook(path: Path) -> list[str]:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return ["\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")]


_READERS: dict[str, Callable[[Path], list[str]]] = {
    "pdf": _pdf,
    **dict.fromkeys(PARTS, _xml),
    **dict.fromkeys(("xlsx", "xlsm"), _xlsx),
    **dict.fromkeys(("html", "htm", "xhtml"), _html),
    **dict.fromkeys(PANDOC, _pandoc),
    **dict.fromkeys(("adoc", "asciidoc"), _asciidoctor),
    "doc": _doc,
    "ipynb": _notebook,
    "eml": _mail,
    **dict.fromkeys(("txt", "csv", "log"), _plain),
    **dict.fromkeys(("srt", "vtt"), _subtitles),
}
