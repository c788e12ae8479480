"""Small OpenDocument files as LibreOffice writes them, without what a reader does not need."""

from __future__ import annotations

from office import make_zip

SPACES = {
    **{name: f"urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"
       for name in ("office", "text", "table", "style", "presentation", "chart", "form", "meta", "manifest")},
    "draw": "urn:oasis:names:tc:opendocument:xmlns:drawing:1.0",
    "fo": "urn:oasis:names:tc:opendocument:xmlns:xsl-fo-compatible:1.0",
    "svg": "urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xlink": "http://www.w3.org/1999/xlink",
    "math": "http://www.w3.org/1998/Math/MathML",
}  # fmt: skip
NAMESPACES = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in SPACES.items())
TYPES = {"text": "text", "spreadsheet": "spreadsheet", "presentation": "presentation"}


def make_odf(kind: str, body: str, automatic: str = "", styles: str = "", meta: str = "", **objects: str) -> bytes:
    """Return a file whose body is `body`; `automatic` are styles of the content, `styles` what styles.xml holds."""
    content = (
        f"<office:document-content {NAMESPACES}><office:automatic-styles>{automatic}</office:automatic-styles>"
        f"<office:body><office:{kind}>{body}</office:{kind}></office:body></office:document-content>"
    )
    parts = {
        "mimetype": f"application/vnd.oasis.opendocument.{kind}",
        "content.xml": content,
        "styles.xml": f"<office:document-styles {NAMESPACES}>{styles}</office:document-styles>",
        "meta.xml": f"<office:document-meta {NAMESPACES}><office:meta>{meta}</office:meta></office:document-meta>",
        "META-INF/manifest.xml": f"<manifest:manifest {NAMESPACES}/>",
        **{f"{name}/content.xml": xml.replace(">", f" {NAMESPACES}>", 1) for name, xml in objects.items()},
    }
    return make_zip(parts)
