"""TrainingContext: settings, store, registry, corpus and chunks, shared by all steps of a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag.errors import NotIndexed
from rag.indexing.update import corpus_chunks
from rag.ingest.corpus import Corpus, load_corpus
from rag.models.registry import Registry, Version
from rag.records import Chunk
from rag.settings import Settings
from rag.store.store import Store


@dataclass(frozen=True, slots=True)
class TrainingContext:
    """Settings, store, registry and corpus of a training. `chunks` are in the order of `corpus_chunks`."""

    settings: Settings
    store: Store
    registry: Registry
    corpus: Corpus
    chunks: Sequence[Chunk]

    @property
    def champion(self) -> Version | None:
        """Return the version that currently serves these documents, None for the start weights."""
        return self.registry.champion(self.corpus.folders_id)


def open_context(settings: Settings, store: Store) -> TrainingContext:
    """Read the corpus that the settings name. Raises NotIndexed where it has no chunks."""
    corpus = load_corpus(settings)
    chunks = corpus_chunks(store, corpus.id)
    if not chunks:
        raise NotIndexed("these documents are not indexed yet: run `python -m rag index`")
    return TrainingContext(settings, store, Registry(settings.models), corpus, chunks)
