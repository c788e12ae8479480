"""Tell a file's format by its first bytes, where its name says another one.

Why: a PDF named .txt was indexed as 8 chunks of "%PDF-1.3 ... /ASCII85Decode"; web shops and Word itself save pages of
HTML as .xls and .doc.
"""

from __future__ import annotations

import re
from io import BytesIO
from zipfile import ZipFile

from rag.loaders import ole
from rag.loaders.safe_zip import BROKEN

PICTURES = {b"\x89PNG\r\n\x1a\n": ".png", b"\xff\xd8\xff": ".jpg", b"II*\0": ".tif", b"MM\0*": ".tif"}
BOM = b"\xef\xbb\xbf"
HTML = re.compile(rb"\A(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!--.{0,500}?-->\s*)*(?:<!doctype html|<html[\s>])", re.I | re.S)
MHTML = re.compile(rb"\A(?:[!-9;-~]+:[^\n]*\n(?:[ \t][^\n]*\n)*)*?content-type:\s*multipart/related", re.IGNORECASE)
ZIP_FOLDERS = {"word/": ".docx", "ppt/": ".pptx", "xl/": ".xlsx"}
ZIP_TYPES = {
    b"application/epub+zip": ".epub",
    b"application/vnd.oasis.opendocument.text": ".odt",
    b"application/vnd.oasis.opendocument.text-template": ".odt",
    b"application/vnd.oasis.opendocument.spreadsheet": ".ods",
    b"application/vnd.oasis.opendocument.spreadsheet-template": ".ods",
    b"application/vnd.oasis.opendocument.presentation": ".odp",
    b"application/vnd.oasis.opendocument.presentation-template": ".odp",
}
OLE_STREAMS = {  # in the root of the file; embedded files have some in folders
    "__properties_version1.0": ".msg",
    "WordDocument": ".doc",
    "Workbook": ".xls",
    "Book": ".xls",
    "PowerPoint Document": ".ppt",
}
MAX_TYPE = 80  # bytes of the part that states a zip's type


def sniff(data: bytes) -> str:
    """Return the suffix of the format that the bytes are certainly in, "" where they may be anything."""
    start = data[:1024].removeprefix(BOM).lstrip()
    if start.startswith(b"%PDF-"):
        return ".pdf"
    if start.startswith(b"PK\x03\x04"):
        return _zip_suffix(data)
    if start.startswith(ole.SIGNATURE):
        return _ole_suffix(data)
    picture = next((suffix for mark, suffix in PICTURES.items() if data.startswith(mark)), "")
    if picture:
        return picture
    if start.startswith(b"{\\rtf"):
        return ".rtf"
    if HTML.match(start):
        return ".html"
    return ".mhtml" if start[:60].lower().startswith((b"mime-version:", b"from:")) and MHTML.match(start) else ""


def _zip_suffix(data: bytes) -> str:
    """Return the format of an office file or e-book, ".zip" for any other zip."""
    try:
        with ZipFile(BytesIO(data)) as opened:
            names = opened.namelist()[:2000]
            if "mimetype" in names and opened.getinfo("mimetype").file_size <= MAX_TYPE:
                return ZIP_TYPES.get(opened.read("mimetype").strip(), ".zip")
    except BROKEN:
        return ""  # the loader of its name says what is wrong
    if "[Content_Types].xml" not in names:
        return ".zip"
    found = (suffix for folder, suffix in ZIP_FOLDERS.items() if any(name.startswith(folder) for name in names))
    return next(found, ".zip")


def _ole_suffix(data: bytes) -> str:
    """Return the format of an old Office file or an Outlook message; "" for one that is encrypted or damaged."""
    try:
        with ole.open_ole(data) as opened:
            names = {path[0].lower() for path in opened.listdir() if len(path) == 1}
    except ole.DAMAGED:
        return ""  # the loader of its name says what is wrong
    return next((suffix for name, suffix in OLE_STREAMS.items() if name.lower() in names), "")
