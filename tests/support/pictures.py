"""Pictures of text, drawn with Pillow's own font, and the extra that reads them."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import pytest
from PIL import Image, ImageDraw, ImageFont

from rag.loaders.ocr.extra import is_installed

needs_ocr = pytest.mark.skipif(not is_installed(), reason="the extra `ocr` is not installed")


def draw_picture(
    *lines: str | tuple[int, int, str], size: tuple[int, int] = (800, 500), turn: float = 0, font_size: int = 34
) -> Image.Image:
    """Return lines of black text on white, one below the other or at (x, y), turned anticlockwise by degrees."""
    picture = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(font_size)
    for number, line in enumerate(lines):
        x, y, text = line if isinstance(line, tuple) else (40, 40 + 2 * font_size * number, line)
        pen.text((x, y), text, fill="black", font=font)
    return picture.rotate(turn, expand=True, fillcolor="white") if turn else picture


def encode(pages: Image.Image | Sequence[Image.Image], kind: str = "PNG", **options: object) -> bytes:
    """Return pictures as one file of a format: PNG, JPEG, TIFF, or PDF, as a scanner makes it."""
    first, *more = [pages] if isinstance(pages, Image.Image) else pages
    buffer = BytesIO()
    first.save(buffer, kind, **({"save_all": True, "append_images": more} if more else {}), **options)
    return buffer.getvalue()
