"""TrainingContext: settings, store, registry, corpus, chunks and group, shared by all steps of a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag.errors import NotIndexed
from rag.groups import read_groups
from rag.indexing.update import corpus_chunks
from rag.ingest.corpus import Corpus, load_corpus
from rag.models.arms import group_version
from rag.models.registry import Registry, Version, group_key
from rag.records import Chunk
from rag.settings import Settings
from rag.store.store import Store


@dataclass(frozen=True, slots=True)
class TrainingContext:
    """Settings, store, registry and corpus of a training. `chunks` are in the order of `corpus_chunks`.

    `group` is the group of raters that an adapter is for, "" where a version is for everybody.
    """

    settings: Settings
    store: Store
    registry: Registry
    corpus: Corpus
    chunks: Sequence[Chunk]
    group: str = ""

    @property
    def key(self) -> str:
        """Return under which name versions, champions and evidence of this training are recorded."""
        return group_key(self.corpus.folders_id, self.group)

    @property
    def champion(self) -> Version | None:
        """Return the version that currently serves these documents, or the group, None for the start weights."""
        own = group_version(self.settings, self.corpus.folders_id, self.group)
        return own or self.registry.champion(self.corpus.folders_id)


def open_context(settings: Settings, store: Store, group: str = "") -> TrainingContext:
    """Read the corpus that the settings name. Raises NotIndexed where it has no chunks, BadSetting for the group."""
    if group:
        read_groups(settings.home).require(group)
    corpus = load_corpus(settings)
    chunks = corpus_chunks(store, corpus.id)
    if not chunks:
        raise NotIndexed("these documents are not indexed yet: run `python -m rag index`")
    return TrainingContext(settings, store, Registry(settings.models), corpus, chunks, group)
