"""Ids of a corpus: its documents folders and chunking settings, hashed without reading a file.

Why: a command that only looks up the champion of a documents folder need not import the parsers of a dozen formats.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rag.records import content_id
from rag.settings import Settings

CHUNKER_VERSION = "7"  # part of the corpus id: change it when the same file would give other text, chunks or vectors


@dataclass(frozen=True, slots=True)
class Corpus:
    """The documents folders and how they are chunked. `id`, a hash of both and of the tokenizer, names the tables."""

    id: str
    folders: tuple[Path, ...]

    @property
    def folders_id(self) -> str:
        """Return the hash of the folders alone: champions are registered under it."""
        return content_id(*map(os.fspath, self.folders))


def corpus_of(folders: Sequence[Path], chunk_tokens: int, tokenizer_id: str) -> Corpus:
    """Return the corpus of these folders, cut into chunks of `chunk_tokens` tokens of this tokenizer."""
    resolved = tuple(Path(os.path.realpath(folder)) for folder in folders)
    parts = (*map(os.fspath, resolved), str(chunk_tokens), tokenizer_id, CHUNKER_VERSION)
    return Corpus(content_id(*parts), resolved)


def load_corpus(settings: Settings) -> Corpus:
    """Return the corpus that the settings name. Both models count: a chunk must fit into the one that reads less."""
    return corpus_of(settings.docs, settings.chunk_tokens, f"{settings.start_model} {settings.base_model}")
