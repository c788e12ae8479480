"""Read pictures of text: photographs, screenshots and scans in PNG, JPEG, TIFF (page by page) and WebP."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import TYPE_CHECKING

from rag.errors import Unreadable
from rag.loaders.blocks import Section, paragraphs
from rag.loaders.builder import LoadedText
from rag.loaders.ocr.engine import LONG_SIDE, RECOGNISED, Recognise, recogniser
from rag.loaders.ocr.extra import INSTALL
from rag.loaders.pdf.layout import Line
from rag.loaders.pdf.text import count_words, page_text

if TYPE_CHECKING:
    from PIL.Image import Image

    from rag.loaders.ocr.engine import Picture

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP")
MAX_PIXELS = 100_000_000  # of a page: A3 at 600 dpi has 70 million; this takes 400 MB
MAX_PAGES = 2_000  # of a TIFF
TALL = 2.0  # height by width of a picture, above which it is read in strips: a screenshot of a whole web page
STRIP = 1.4  # height by width of a strip, that of a page
SEARCHED = 0.2  # of a strip's height, its last part, in which the emptiest row of pixels is cut through


def load_picture(data: bytes, find_recogniser: Callable[[], Recognise | None] = recogniser) -> LoadedText:
    """Read a picture by text recognition: one section a page, numbered where there are several.

    Raises Unreadable without the extra `ocr`, and for a picture that is damaged, too large or has no text.
    """
    recognise = find_recogniser()
    if recognise is None:
        raise Unreadable(f"it is a picture: {INSTALL}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow: odd metadata, and sizes, which are checked here
            pages = [_lines(picture, recognise) for picture in _pages(data)]
    except Unreadable:
        raise
    except Exception as error:  # a damaged file may fail anywhere in Pillow
        raise Unreadable(
            f"the picture is damaged ({type(error).__name__}): open it in a viewer and save it again"
        ) from error
    words = count_words(pages)
    text, sections = "", []
    for number, lines in enumerate(pages, 1):
        page = page_text(lines, words)
        blocks = paragraphs(page, len(text), len(page))
        sections.append(Section(blocks, RECOGNISED, number if len(pages) > 1 else None))
        text += page + "\n\n"
    if not text.strip():
        raise Unreadable("no text was recognised in the picture")
    return LoadedText(text, tuple(sections), note="by text recognition")


def _pages(data: bytes) -> Iterator[Image]:
    """Yield the pages of a picture, upright as its camera held it, in RGB on white."""
    from PIL import Image, ImageOps

    Image.MAX_IMAGE_PIXELS = None  # the limit is checked here, for each page
    with Image.open(BytesIO(data), formats=FORMATS) as opened:
        count = getattr(opened, "n_frames", 1) if opened.format == "TIFF" else 1
        if count > MAX_PAGES:
            raise Unreadable(f"the picture has {count:,} pages, the limit is {MAX_PAGES:,}: split it")
        for number in range(count):
            opened.seek(number)
            width, height = opened.size
            if width * height > MAX_PIXELS:
                raise Unreadable(
                    f"the picture is too large: {width:,} x {height:,} pixels, "
                    f"the limit is {MAX_PIXELS // 1_000_000} million; scale it down"
                )
            if height <= TALL * width:
                opened.draft("RGB", (LONG_SIDE, LONG_SIDE))  # a JPEG is decoded at the size that is needed
            yield _on_white(ImageOps.exif_transpose(opened))


def _on_white(picture: Image) -> Image:
    import numpy as np
    from PIL import Image

    if picture.mode.startswith(("I", "F")):  # 16 bits and more
        values = np.asarray(picture, np.float32)
        values = (values - values.min()) * 255 / max(1.0, float(np.ptp(values)))
        picture = Image.fromarray(values.astype(np.uint8))
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")


def _lines(picture: Image, recognise: Recognise) -> list[Line]:
    return [line for strip in _strips(picture) for line in recognise(_array(strip))]


def _strips(picture: Image) -> Iterator[Image]:
    """Yield a picture, or the strips of a tall one from top to bottom, cut between two lines of text if possible."""
    import numpy as np

    width, height = picture.size
    if height <= TALL * width:
        yield picture
        return
    grey, top = np.asarray(picture.convert("L"), np.float32), 0
    while top < height:
        bottom = min(height, top + int(STRIP * width))
        if bottom < height:
            first = bottom - int(SEARCHED * STRIP * width)
            bottom -= int(np.argmin(grey[first:bottom].std(axis=1)[::-1]))
        yield picture.crop((0, top, width, bottom))
        top = bottom


def _array(picture: Image) -> Picture:
    """Return the pixels of a picture of at most LONG_SIDE a side, as `recognise` takes them."""
    import numpy as np

    picture.thumbnail((LONG_SIDE, LONG_SIDE))
    return np.ascontiguousarray(np.asarray(picture)[:, :, ::-1])
