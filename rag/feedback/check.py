"""Check pins against the index as an arm searches it, and find which confirmed passages can be pinned."""

from __future__ import annotations

from collections.abc import Sequence

from rag.feedback.pins import Broken, Pin, check_pins, confirmed_pins, holds
from rag.feedback.ratings import current_labels
from rag.indexing.update import corpus_chunks
from rag.ingest.corpus import load_corpus
from rag.models.arms import Arms
from rag.records import Arm, Document
from rag.retrieval.search import build_options, retrieve
from rag.settings import Settings
from rag.store.lance.tables import IN_LIST
from rag.store.store import Store


class Checker:
    """Checks pins with what serves an arm now. Takes seconds to load. Raises NotIndexed and BadModel."""

    def __init__(self, settings: Settings, store: Store, arm: Arm = "tuned") -> None:
        self._store, self._corpus = store, load_corpus(settings)
        self._served = Arms(settings, store, self._corpus).current(arm)
        self._options = build_options(settings)
        self.name = f"{arm}, {self._served.model}; passages: {self._options.summary()}"

    def check(self, pins: Sequence[Pin]) -> list[Broken]:
        """Return the pins that do not hold."""
        return check_pins(pins, self._read, self._find)

    def confirmed(self) -> tuple[list[Pin], list[Pin]]:
        """Return the confirmed passages that are found now, and those that are not."""
        pins = confirmed_pins(current_labels(self._store), corpus_chunks(self._store, self._corpus.id))
        found = [holds(pin, self._find(pin.query)) for pin in pins]
        return (
            [pin for pin, is_found in zip(pins, found, strict=True) if is_found],
            [pin for pin, is_found in zip(pins, found, strict=True) if not is_found],
        )

    def _find(self, query: str) -> list[str]:
        return [hit.chunk.text for hit in retrieve(self._store, self._served, query, self._options)]

    def _read(self, sources: Sequence[str] | None) -> list[Document]:
        if sources is None:
            return self._store.documents.read(self._corpus.id)
        parts = (sources[start : start + IN_LIST] for start in range(0, len(sources), IN_LIST))
        return [document for part in parts for document in self._store.documents.read_sources(self._corpus.id, part)]
