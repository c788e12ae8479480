"""Match a stored label to a chunk of the current index, by id or text.

Texts are compared without white-space, markup and typographic differences: NFKC, one kind of quotes and dashes, no soft
hyphens. A text that crosses a chunk border matches the chunk that holds most of it.

Why hashes: looking for each text in each chunk grows with their product; 20,000 labels and 10,000 chunks take 6.5 s.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rag.records import Chunk

MIN_ANCHOR = 40  # characters; a shorter text counts only where it stands once
GRAM = 16  # characters that are hashed together
STEP = 8  # every eighth gram of the documents is indexed, so a text finds one among eight neighbours of its own
ALIKE = str.maketrans(
    dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff*_`#|\\", None)
    | dict.fromkeys('‘’‚‛“”„‟«»‹›′″"「」『』', "'")
    | dict.fromkeys("‐‑‒–—―−﹘﹣－", "-")
)
Hashes = NDArray[np.uint64]
POWERS: Hashes = np.array([pow(1_000_003, n, 2**64) for n in range(GRAM)], dtype=np.uint64)


def normalise_passage(text: str) -> str:
    """Return a text without white-space and markup characters, in NFKC, with one kind of quotes and dashes."""
    return "".join(unicodedata.normalize("NFKC", text.translate(ALIKE)).translate(ALIKE).split())


@dataclass(frozen=True, slots=True)
class Match:
    """The chunk that a text means; `crosses` says whether it goes on in another. `places` counts equal passages."""

    chunk_id: str | None = None
    crosses: bool = False
    places: int = 0


class ChunkMatcher:
    """Finds the current chunk of a label. `texts` maps chunk id to text."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self.texts = {chunk.id: chunk.text for chunk in chunks}
        self._chunks = chunks
        self._found: dict[str, Match] = {}

    def find(self, chunk_id: str, text: str) -> str | None:
        """Return the id of that chunk, or of the one that holds most of this text, or lies within it; else None."""
        return chunk_id if chunk_id in self.texts else self.match(text).chunk_id

    def match(self, text: str) -> Match:
        """Return the chunk that holds most of a text; a short text that stands in several chunks has only `places`."""
        if text not in self._found:
            self._found[text] = self._passages.match(normalise_passage(text), len(text) < MIN_ANCHOR)
        return self._found[text]

    @cached_property
    def _passages(self) -> _Passages:
        return _Passages(self._chunks)


class _Passages:
    """The normalised text of all chunks in document order, and the sorted hashes of its grams."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        ordered = sorted(chunks, key=lambda chunk: (chunk.document_id, chunk.start))
        self._ids = [chunk.id for chunk in ordered]
        normal = [normalise_passage(chunk.text) for chunk in ordered]
        self._exact: dict[str, list[int]] = {}
        parts, self._starts, length = [], [0] * 0, 0
        for position, (chunk, text) in enumerate(zip(ordered, normal, strict=True)):
            self._exact.setdefault(text, []).append(position)
            if position and chunk.document_id != ordered[position - 1].document_id:
                parts.append("\0")
                length += 1
            self._starts.append(length)
            parts.append(text)
            length += len(text)
        self._lengths = [len(text) for text in normal]
        self._first = {chunk.id: number for number, chunk in reversed(list(enumerate(chunks)))}
        self._text = "".join(parts)
        self._hashes, self._places = _sorted(_hashes(self._text, STEP), STEP)
        heads = [number for number, text in enumerate(normal) if len(text) >= MIN_ANCHOR // 2]
        begins = [_hashes(normal[number][:GRAM])[0] for number in heads]
        self._heads: dict[int, list[int]] = {}
        for number, begin in zip(heads, begins, strict=True):
            self._heads.setdefault(int(begin), []).append(number)

    def match(self, wanted: str, short: bool) -> Match:
        """Return the chunk of a normalised text."""
        if not wanted:
            return Match()
        if equal := self._exact.get(wanted):
            return Match(min((self._ids[each] for each in equal), key=self._first.__getitem__), places=len(equal))
        places = list(self._occurrences(wanted))
        if not places:
            return self._inside(wanted)
        held = [self._holder(place, place + len(wanted)) for place in places]
        if short and len({number for number, _ in held}) > 1:
            return Match(places=len(held))
        number, overlap = min(held, key=lambda each: (-each[1], self._lengths[each[0]]))
        return Match(self._ids[number], overlap < len(wanted), len(held))

    def _occurrences(self, wanted: str) -> Iterator[int]:
        """Yield the places of a text: by its rarest eight neighbouring grams, or by looking, where it has none."""
        if len(wanted) < GRAM + STEP - 1:
            place = self._text.find(wanted)
            while place >= 0:
                yield place
                place = self._text.find(wanted, place + 1)
            return
        grams = _hashes(wanted)
        low, high = (np.searchsorted(self._hashes, grams, side) for side in ("left", "right"))
        windows = np.convolve(high - low, np.ones(STEP, dtype=np.int64), "valid")
        first = int(windows.argmin())
        for offset in range(first, first + STEP):
            for place in self._places[low[offset] : high[offset]]:
                if self._text.startswith(wanted, begin := int(place) - offset) and begin >= 0:
                    yield begin

    def _holder(self, start: int, end: int) -> tuple[int, int]:
        """Return the number of the chunk that holds most of a range, and how many characters of it."""
        number = bisect_right(self._starts, start) - 1
        best = (number, 0)
        while number < len(self._starts) and self._starts[number] < end:
            begin = self._starts[number]
            overlap = min(end, begin + self._lengths[number]) - max(start, begin)
            best = max(best, (number, overlap), key=lambda each: each[1])
            number += 1
        return best

    def _inside(self, wanted: str) -> Match:
        """Return the longest chunk that the text contains: it covers the most of it."""
        found: list[int] = []
        if len(wanted) >= GRAM:
            for place, gram in enumerate(_hashes(wanted).tolist()):
                for number in self._heads.get(gram, ()):
                    start, length = self._starts[number], self._lengths[number]
                    if wanted.startswith(self._text[start : start + length], place):
                        found.append(number)
        best = max(found, key=self._lengths.__getitem__, default=None)
        return Match() if best is None else Match(self._ids[best], crosses=True, places=1)


def _hashes(text: str, step: int = 1) -> Hashes:
    """Return the hash of each gram of a text, or of every `step`-th; shape (grams,)."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    count = max(0, len(codes) - GRAM + 1)
    sums = np.zeros(len(range(0, count, step)), dtype=np.uint64)
    for position, power in enumerate(POWERS):
        sums += codes[position : position + count : step] * power
    return sums


def _sorted(hashes: Hashes, step: int) -> tuple[Hashes, NDArray[np.int64]]:
    order = np.argsort(hashes, kind="stable")
    return hashes[order], order * step
