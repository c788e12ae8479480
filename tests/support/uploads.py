"""A corpus that is served by two models, and its uploads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rag.indexing.update import (
    is_up_to_date,
)
from rag.indexing.uploads import Uploads
from rag.ingest.corpus import load_corpus
from rag.models.arms import Arms
from rag.records import ARMS
from rag.settings import Settings
from rag.store.store import Store, open_store

BIRDS = "# Birds\n\nBirds eat seed in the cold garden.\n"
Give = Callable[..., Path]


class App:
    """A corpus that is served by two models, and its uploads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store: Store = open_store(settings.lancedb)
        self.corpus = load_corpus(settings)
        self.arms = Arms(settings, self.store, self.corpus)
        self.uploads = Uploads(settings, self.store, self.arms)

    def sources(self) -> list[str]:
        return list(self.store.documents.hashes(self.corpus.id))

    def files(self) -> list[str]:
        return sorted(path.name for path in self.uploads.folder.iterdir())

    def is_up_to_date(self) -> bool:
        return all(is_up_to_date(self.store, self.corpus.id, self.arms.current(arm).table) for arm in ARMS)
