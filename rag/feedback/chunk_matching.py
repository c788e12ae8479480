"""Match a stored label to a chunk of the current index, by id or text."""

from __future__ import annotations

from collections.abc import Sequence

from rag.records import Chunk

MIN_ANCHOR = 40  # characters; a shorter text is contained in other chunks by accident


class ChunkMatcher:
    """Finds the current chunk of a label. `texts` maps chunk id to text."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self.texts = {chunk.id: chunk.text for chunk in chunks}
        self._normal = [(" ".join(chunk.text.split()), chunk.id) for chunk in chunks]
        self._exact = dict(reversed(self._normal))  # of equal texts the first counts
        self._found: dict[str, str | None] = {}

    def find(self, chunk_id: str, text: str) -> str | None:
        """Return the id of that chunk, or of one whose text equals, contains or is within this text; else None."""
        if chunk_id in self.texts:
            return chunk_id
        wanted = " ".join(text.split())
        if wanted not in self._found:
            self._found[wanted] = self._exact.get(wanted) or self._around(wanted) or self._inside(wanted)
        return self._found[wanted]

    def _around(self, wanted: str) -> str | None:
        """Return the shortest chunk that contains the text: it has the least other text."""
        if len(wanted) < MIN_ANCHOR:
            return None
        return min(((len(text), i) for text, i in self._normal if wanted in text), default=(0, None))[1]

    def _inside(self, wanted: str) -> str | None:
        """Return the longest chunk that the text contains: it covers the most of it."""
        inside = [(len(text), i) for text, i in self._normal if len(text) >= MIN_ANCHOR and text in wanted]
        return max(inside, default=(0, None))[1]
