"""The lines of a PDF's pages as text: hyphens at line ends, headers and footers that are repeated on every page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from rag.loaders.blocks import SENTENCE
from rag.loaders.decoding import shorten_leaders
from rag.loaders.pdf.characters import HYPHENS
from rag.loaders.pdf.layout import Line
from rag.loaders.symbols import plain_signs
from rag.records import PAGE_TURN

HYPHEN = re.compile(f"(\\w*)[{HYPHENS}]\n?(\\w*)")
BROKEN_PATH = (
    re.compile(  # "/usr/" above "share/doc", "https://sso.debian." above "org/x": the rest is surely none of prose
        rf"""(?<![^\s(<\["'\u00ab\u201c])
    (?: ((?:/\w[^\s{HYPHENS}]*|[a-z][a-z+]*://[^\s/{HYPHENS}]+)/) \n (?=[\w~-]+[/._]\w)
      | ((?:/\w|[a-z][a-z+]*://)[^\s{HYPHENS}]*[{HYPHENS}]) \n (?=[\w~-]+[/._]\w)
      | ([a-z][a-z+]*://[^\s{HYPHENS}]+/) \n (?=[\w~/-]+\.\w)
      | ([a-z][a-z+]*://[\w.-]+\.) \n (?=[a-z][\w-]*[/.]\w | (?:org|com|net|edu|gov|info|eu|de|fr)\b) )""",
        re.VERBOSE,
    )
)
MIN_PAGES = 3  # with which a line is called repeated
REPEATED = 0.5  # share of the pages on which it stands at the same place
EDGE_LINES = 3  # lines from the top and from the bottom of a page that may be a header or footer
MARGIN = 0.15  # of the height that text takes on the pages: headers and footers stand in this part, above or below
PLACE = 6.0  # points; the same header stands at the same height within this
CARRIED = 400  # characters of a sentence taken from the next page: 60 words
SENTENCE_ENDS = ".!?:;…。！？"
MASK = re.compile(r"\d+|\b[ivxlc]+\b")
NUMBER = re.compile(r"[0-9]{1,9}")
PAGE_NUMBER = re.compile(
    r"\W*(?:page|seite|página|p\.|s\.)?\W*(?:\d{1,4}|[ivxlc]{1,6})(?:\W*(?:of|von|de|/)?\W*\d{1,4})?\W*", re.IGNORECASE
)
KEEP_HYPHEN = frozenset(("well", "self", "half", "cross", "ill", "all", "ex"))  # well-known is never wellknown


def drop_repeated(pages: Sequence[list[Line]]) -> None:
    """Remove headers and footers that stand on most pages, from all pages but the first that has them; in place.

    Their numbers are the same as on the page before, or count the pages. Another number, such as that of a new chapter,
    is kept with its line.
    """
    if len(pages) < MIN_PAGES:
        return
    low = min((line.bottom for lines in pages for line in lines), default=0.0)
    high = max((line.top for lines in pages for line in lines), default=0.0)
    margin = MARGIN * (high - low)
    inside = [[n for n in _edges(lines) if not low + margin < lines[n].bottom < high - margin] for lines in pages]
    keys = [{n: _key(lines[n]) for n in _edges(lines)} for lines in pages]
    counts = Counter(key for some, edges in zip(keys, inside, strict=True) for key in {some[n] for n in edges})
    repeated = {key for key, n in counts.items() if n >= max(MIN_PAGES, REPEATED * len(pages))}
    kept: dict[tuple[str, int], tuple[int, list[str]]] = {}  # the page that had a line last, and the line's numbers
    for page, (lines, some, edges) in enumerate(zip(pages, keys, inside, strict=True)):
        numbers = {n: NUMBER.findall(lines[n].text) for n in some if some[n] in repeated}
        drop = [
            n
            for n in numbers
            if PAGE_NUMBER.fullmatch(lines[n].text) or (some[n] in kept and _go_on(page, numbers[n], *kept[some[n]]))
        ]
        kept.update({some[n]: (page, numbers[n]) for n in numbers if n in edges or some[n] in kept})
        if len(drop) == len(lines):  # a page that holds nothing else
            continue
        for n in sorted(drop, reverse=True):
            del lines[n]


def page_text(lines: Sequence[Line], words: Counter[str]) -> str:
    """Return the text of a page; `words` counts the words of the document, to tell which hyphens belong to a word."""
    text = join_paths("\n".join(line.text for line in lines))
    return shorten_leaders(plain_signs(join_hyphens(text, words)))


def join_paths(text: str) -> str:
    """Return the text with paths and addresses whole that a line's end breaks after a slash, a dot or a hyphen.

    Only where the next line begins with what is no word of a sentence: it has a slash, a dot or _ in it, or is "org".
    """
    while (joined := BROKEN_PATH.sub(_without_break, text)) != text:
        text = joined
    return text


def _without_break(match: re.Match[str]) -> str:
    path = match[0][:-1]
    return f"{path[:-1]}-" if path[-1] in HYPHENS else path


def join_hyphens(text: str, words: Counter[str]) -> str:
    """Return the text with the words that were divided at the end of a line, whole again.

    A hyphen goes only where the word goes on in lower case after two letters or more, and where the document does not
    write it with a hyphen elsewhere (well-known). Before digits, capitals and single letters it belongs to the text.
    """

    def join(match: re.Match[str]) -> str:
        before, after = match[1], match[2]
        is_divided = len(before) > 1 and before[-1].isalpha() and after[:1].islower() and len(after) > 1
        with_hyphen, without = f"{before}-{after}".casefold(), f"{before}{after}".casefold()
        is_divided = is_divided and before.casefold() not in KEEP_HYPHEN
        if is_divided and words[with_hyphen] <= words[without]:
            return f"{before}{after}"
        return f"{before}-{after}"

    return HYPHEN.sub(join, text)


def whole_sentences(pages: Sequence[str]) -> list[str]:
    """Return the texts of the pages with each sentence that goes on over a page's end whole, on its first page.

    It goes on where the page ends without an end mark and the next one begins in lower case; up to its own end, and at
    most CARRIED characters of it. PAGE_TURN stands where the page ends.
    """
    whole = list(pages)
    for n in range(len(whole) - 1):
        before, after = whole[n].rstrip(), whole[n + 1].lstrip()
        if not before or not after[:1].islower() or before[-1] in SENTENCE_ENDS or before[-1] in HYPHENS:
            continue
        end = SENTENCE.search(after, 0, CARRIED)
        if end:
            gap = end.lastindex or 0
            whole[n] = f"{before} {PAGE_TURN}{after[: end.start(gap)]}"
            whole[n + 1] = after[end.end(gap) :]
        elif len(after) <= CARRIED:
            whole[n], whole[n + 1] = f"{before} {PAGE_TURN}{after}", ""
    return whole


def count_words(pages: Sequence[Sequence[Line]]) -> Counter[str]:
    """Return how often each word stands on the pages, compounds with a hyphen as one; nothing where no line is divided.

    Only join_hyphens needs them.
    """
    texts = [line.text for lines in pages for line in lines]
    if not any(HYPHENS[0] in text or HYPHENS[1] in text for text in texts):
        return Counter()
    return Counter(word.casefold() for text in texts for word in re.findall(r"\w+(?:-\w+)*", text))


def _edges(lines: Sequence[object]) -> Iterator[int]:
    """Yield the numbers of the first and last lines of a page."""
    count = len(lines)
    yield from sorted({*range(min(EDGE_LINES, count)), *range(max(0, count - EDGE_LINES), count)})


def _go_on(page: int, numbers: list[str], page_before: int, before: list[str]) -> bool:
    """Return whether each number is that of the line on the page before, or as many higher as pages went by."""
    return len(numbers) == len(before) and all(
        number == last or int(number) - int(last) == page - page_before
        for number, last in zip(numbers, before, strict=True)
    )


def _key(line: Line) -> tuple[str, int]:
    """Return what is equal for one header on all pages: its text without numbers, and about its height."""
    return MASK.sub("#", line.text.casefold()), round(line.bottom / PLACE)
