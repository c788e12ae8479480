"""Running headers and footers of a book: the page's number and a title that changes with the chapter or section."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from rag.loaders.pdf.layout import Line
from rag.loaders.pdf.text import EDGE_LINES, MARGIN, MIN_PAGES, PLACE, REPEATED

NUMBER_FIRST = re.compile(r"([1-9]\d{0,3})(?:\s+(.*\S))?")
NUMBER_LAST = re.compile(r"(.*\S)\s+([1-9]\d{0,3})")
WORD = re.compile(r"\w+")


def drop_running_titles(pages: Sequence[list[Line]]) -> None:
    """Remove lines in the margin that begin or end with the page's own number, where most pages have one; in place.

    The numbers go up by one a page, at one height. A title that stands nowhere else is kept on its first page.
    """
    found = list(_candidates(pages))
    where = defaultdict[tuple[int, int], set[int]](set)  # (number of the first page, band of heights) -> pages
    for page, _, number, _, place in found:
        where[number - page, place].add(page)
        where[number - page, place + 1].add(page)
    enough = max(MIN_PAGES, REPEATED * len(pages))
    running = {
        (page, n): title
        for page, n, number, title, place in found
        if any(len(where[number - page, band]) >= enough for band in (place, place + 1))
    }
    if not running:
        return
    others = [line.text for page, lines in enumerate(pages) for n, line in enumerate(lines) if (page, n) not in running]
    text = f" {_words(' '.join(others))} "
    seen, drop = set[str](), defaultdict[int, list[int]](list)
    for (page, n), title in sorted(running.items()):
        words = _words(title)
        if not words or words in seen or f" {words} " in text:
            drop[page].append(n)
        seen.add(words)
    for page, numbers in drop.items():
        if len(numbers) < len(pages[page]):
            for n in reversed(numbers):
                del pages[page][n]


def _candidates(pages: Sequence[list[Line]]) -> Iterator[tuple[int, int, int, str, int]]:
    """Yield (page, line, number, title, band of heights) of the lines in the margin that begin or end with a number."""
    placed = [line for lines in pages for line in lines if line.upright]
    low = min((line.bottom for line in placed), default=0.0)
    high = max((line.top for line in placed), default=0.0)
    margin = MARGIN * (high - low)
    for page, lines in enumerate(pages):
        for n, line in enumerate(lines):
            is_edge = n < EDGE_LINES or n >= len(lines) - EDGE_LINES
            if not is_edge or not line.upright or low + margin < line.bottom < high - margin:
                continue
            first, last = NUMBER_FIRST.fullmatch(line.text), NUMBER_LAST.fullmatch(line.text)
            place = int(line.bottom // PLACE)
            if first:
                yield page, n, int(first[1]), first[2] or "", place
            if last:
                yield page, n, int(last[2]), last[1], place


def _words(text: str) -> str:
    return " ".join(WORD.findall(text.casefold()))
