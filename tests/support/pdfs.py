"""Small real PDFs, written by hand: one Helvetica font, one text line per line."""

from __future__ import annotations

from pathlib import Path

ENCRYPTED = Path(__file__).parent / "files" / "encrypted.pdf"  # its password is "secret"


def make_pdf(*pages: str, title: str = "", date: str = "") -> bytes:
    """Return a PDF with these pages; a page without text is what a scanner makes."""
    streams = []
    for page in pages:
        lines = " ".join(f"({line}) Tj T*" for line in page.split("\n") if page)
        streams.append(f"BT /F1 12 Tf 14 TL 40 760 Td {lines} ET")
    return draw_pdf(*streams, title=title, date=date)


def place(*texts: tuple[float, float, str], size: float = 12) -> str:
    """Return the drawing of texts, each at (x, y) in points from the lower left."""
    return " ".join(f"BT /F1 {size} Tf 1 0 0 1 {x} {y} Tm ({text}) Tj ET" for x, y, text in texts)


def draw_pdf(
    *streams: str, title: str = "", date: str = "", page: str = "", box: str = "", annotations: tuple[str, ...] = ()
) -> bytes:
    """Return a PDF of pages drawn by content streams; `page` is added to each page's dictionary.

    `box` is the media box of all pages, which inherit it, such as "0 0 595 842"; else each is 612 by 792 points.
    `annotations` are dictionaries of form fields and notes on the first page.
    """
    first = 5  # number of the first annotation's object
    numbers = range(first, first + len(annotations))
    fields = " ".join(f"{number} 0 R" for number in numbers)
    bodies = [
        f"<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [{fields}] >> >>".encode()
        if annotations
        else b"<< /Type /Catalog /Pages 2 0 R >>",
        b"",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Title (%s) /ModDate (%s) >>" % (title.encode("ascii"), date.encode("ascii")),
        *(annotation.encode("ascii") for annotation in annotations),
    ]
    kids = []
    for stream in (each.encode("ascii") for each in streams):
        bodies.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        kids.append(len(bodies) + 1)
        extra = f"/Annots [{fields}] " if annotations and len(kids) == 1 else ""
        bodies.append(
            b"<< /Type /Page /Parent 2 0 R %s%s/Contents %d 0 R /Resources << /Font << /F1 3 0 R >> >> >>"
            % (b"" if box else b"/MediaBox [0 0 612 792] ", (extra + page).encode("ascii"), len(bodies))
        )
    inherited = f"/MediaBox [{box}] ".encode("ascii") if box else b""
    listed = b" ".join(b"%d 0 R" % kid for kid in kids)
    bodies[1] = b"<< /Type /Pages %s/Kids [%s] /Count %d >>" % (inherited, listed, len(kids))
    return _join(bodies)


def _join(bodies: list[bytes]) -> bytes:
    data, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(bodies, start=1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    count = len(bodies) + 1
    return data + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R /Info 4 0 R >>\nstartxref\n%d\n%%%%EOF\n"
        % (count, table, count, len(data))
    )
