"""Measure text recognition on scans made for the purpose: pages drawn, tilted, with noise, and as JPEG.

python -m benchmarks.loaders.scans FILES: a PDF gives its first pages, and its own text is the right one; a SQuAD-format
file gives pages of its paragraphs, set in one column. Prints errors in percent of the right characters and words
(edit distance), and seconds of processor time a page. The files are yours; none is part of this repository.
"""

from __future__ import annotations

import argparse
import json
import textwrap
import time
import unicodedata
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pypdfium2
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from rag.loaders.ocr.pictures import load_picture
from rag.loaders.pdf.layout import SPACELESS
from rag.loaders.pdf.pages import load_pdf

CONDITIONS = ((150, 0.0, 0), (200, 0.0, 0), (300, 0.0, 0), (200, 1.5, 12), (150, 3.0, 20))  # dpi, degrees, noise
PARAGRAPHS = 3  # a page
FONTS = ("LiberationSerif-Regular.ttf", "DejaVuSerif.ttf")


def main() -> None:
    """Print a row for each file and condition."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loaders.scans", description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--pages", type=int, default=2, help="of each file")
    arguments = parser.parse_args()
    print(f"{'file':40} {'dpi':>4} {'tilt':>5} {'noise':>5} {'characters %':>12} {'words %':>8} {'CPU s/page':>10}")
    for path in arguments.files:
        pages = list(_pages(path, arguments.pages))
        for dpi, tilt, noise in CONDITIONS:
            wrong = right = wrong_words = right_words = 0
            start = time.process_time()
            for picture, text in ((draw(dpi), text) for draw, text in pages):
                read = _clean(load_picture(_scan(picture, tilt, noise)).text)
                wrong, right = wrong + distance(read, text), right + len(text)
                wrong_words += distance(read.split(), text.split())
                right_words += len(text.split())
            seconds = (time.process_time() - start) / len(pages)
            shares = f"{100 * wrong / right:>12.2f} {100 * wrong_words / right_words:>8.2f}"
            print(f"{path.name[-40:]:40} {dpi:>4} {tilt:>5} {noise:>5} {shares} {seconds:>10.1f}", flush=True)


def distance(some: Sequence[str], other: Sequence[str]) -> int:
    """Return the edit distance (Levenshtein) of two sequences of characters or words."""
    codes: dict[str, int] = {}
    first, second = (np.array([codes.setdefault(each, len(codes)) for each in text]) for text in (some, other))
    steps = np.arange(len(second) + 1)
    row = steps.copy()
    for code in first:
        candidates = np.concatenate(([row[0] + 1], np.minimum(row[1:] + 1, row[:-1] + (second != code))))
        row = np.minimum.accumulate(candidates - steps) + steps
    return int(row[-1])


def _pages(path: Path, count: int) -> Iterator[tuple]:
    """Yield (function dpi -> picture, right text) of each page."""
    if path.suffix == ".pdf":
        loaded, pdf = load_pdf(path.read_bytes(), lambda: None), pypdfium2.PdfDocument(path)
        for section in loaded.sections[:count]:
            text = " ".join(loaded.text[block.start : block.end] for block in section.blocks)
            page = pdf[section.page - 1]
            yield lambda dpi, page=page: page.render(scale=dpi / 72).to_pil(), _clean(text)
        return
    articles = json.loads(path.read_text("utf-8"))["data"]
    texts = [paragraph["context"] for article in articles for paragraph in article["paragraphs"]]
    for n in range(count):
        some = texts[n * PARAGRAPHS : (n + 1) * PARAGRAPHS]
        yield lambda dpi, some=some: _set(some, dpi), _clean(" ".join(some))


def _set(paragraphs: Sequence[str], dpi: int) -> Image.Image:
    """Return an A4 page with paragraphs in 11 points."""
    page = Image.new("L", (int(8.27 * dpi), int(11.69 * dpi)), 255)
    pen, size = ImageDraw.Draw(page), int(11 * dpi / 72)
    font, top = ImageFont.truetype(FONTS[0], size), dpi
    for paragraph in paragraphs:
        for line in textwrap.wrap(paragraph, 85):
            pen.text((dpi, top), line, font=font, fill=0)
            top += int(1.35 * size)
        top += size
    return page


def _scan(picture: Image.Image, tilt: float, noise: int) -> bytes:
    """Return a page as a scanner gives it: tilted by degrees, blurred, with noise of this deviation, as JPEG."""
    page = picture.convert("L").rotate(tilt, Image.Resampling.BICUBIC, expand=True, fillcolor=255)
    if noise:
        pixels = np.asarray(page.filter(ImageFilter.GaussianBlur(0.6)), np.float32)
        pixels = pixels * 0.85 + 20 + np.random.default_rng(1).normal(0, noise, pixels.shape)
        page = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    buffer = BytesIO()
    page.save(buffer, "JPEG", quality=75)
    return buffer.getvalue()


def _clean(text: str) -> str:
    """Return a text as it is compared: NFKC, hyphens, dashes and quotes of one kind, one blank between words."""
    plain = unicodedata.normalize("NFKC", text).translate(str.maketrans("–—−’‘“”„«»^", '---\'\'""""" '))
    plain = " ".join(plain.split())
    return "".join(plain.split()) if len(SPACELESS.findall(plain)) * 2 > len(plain) else plain


if __name__ == "__main__":
    main()
