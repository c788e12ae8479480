"""Small real PDFs, written by hand: one Helvetica font, one text line per line."""

from __future__ import annotations

from pathlib import Path

ENCRYPTED = Path(__file__).parent / "files" / "encrypted.pdf"  # its password is "secret"


def make_pdf(*pages: str, title: str = "", date: str = "") -> bytes:
    """Return a PDF with these pages; a page without text is what a scanner makes."""
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"",
        font,
        b"<< /Title (%s) /ModDate (%s) >>" % (title.encode("ascii"), date.encode("ascii")),
    ]
    kids = []
    for page in pages:
        lines = b" ".join(b"(%s) Tj T*" % line.encode("ascii") for line in page.split("\n") if page)
        stream = b"BT /F1 12 Tf 14 TL 40 760 Td %s ET" % lines
        bodies.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        kids.append(len(bodies) + 1)
        bodies.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % len(bodies)
        )
    bodies[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(b"%d 0 R" % kid for kid in kids), len(kids))
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
