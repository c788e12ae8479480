"""Make the demo's home: the documentation indexed, and a query adapter that was trained on its questions, promoted.

Why an adapter: with 0.3 MB it fits into the wheel, and it needs no index of its own. Why shipped vectors: embedding all
pages takes minutes on a slow machine. A vector belongs to a text; a page that was changed since is embedded as usual.
`benchmarks.learning.demo_data` makes what is shipped.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from rag.errors import BadSetting
from rag.home import check_format
from rag.indexing.indexer import Indexer
from rag.models.embedder import Embedder, Progress, Vectors, load_embedder
from rag.models.precision import Precision
from rag.models.registry import Registry, Version
from rag.models.weights import ADAPTER, BUILTIN, MATRIX
from rag.records import content_id
from rag.settings import ROOT, Settings, load_settings
from rag.store.durability import make_folder, sync_tree
from train.dataset.earlier_versions import HELD_OUT

DATA = Path(__file__).parent / "data"
VECTORS = "vectors.npz"
NAME = "v1"
SUMMARY = "the demo's query adapter, trained on 882 questions about these pages and on queries made from them"


def key(text: str) -> int:
    """Return the number under which a text's vector is shipped."""
    return int(content_id("vector", text), 16)


def demo_settings(home: Path) -> Settings:
    """Return the settings of a demo in a home folder: these pages and the built-in model, whatever is set elsewhere."""
    return load_settings(
        home=home, docs=(ROOT / "docs",), base_model=BUILTIN, start_model=BUILTIN, chunk_tokens=128, search="dense"
    )


def seed(settings: Settings) -> None:
    """Index these pages and let the shipped adapter serve. A second time nothing is left to do.

    Raises BadSetting for a home folder with something else in it, StoreFailed for one that cannot be used.
    """
    registry = Registry(settings.models)
    check_format(settings.home)
    if settings.home.exists() and any(settings.home.iterdir()):
        if not any(version.summary == SUMMARY for version in registry.versions()):
            raise BadSetting(f"{settings.home}: holds something else: name an empty folder, as `thumbtune demo DIR`")
        return
    vectors = read_vectors()

    def load(reference: str, given: Settings, precision: Precision | None = None) -> Embedder:
        embedder: Embedder = KnownVectors(load_embedder(reference, given, precision), vectors)
        return embedder

    from rag.ingest.corpus import load_corpus

    with Indexer(settings, load) as indexer:
        indexer.run()
    folders = load_corpus(settings).folders_id
    fingerprint = load_embedder(BUILTIN, settings).fingerprint
    make_folder(settings.models)
    folder = settings.models / NAME
    shutil.copytree(DATA, folder, ignore=shutil.ignore_patterns(VECTORS))
    sync_tree(folder)
    registry.add(Version(NAME, folders, fingerprint, BUILTIN, "pulled", "promote", SUMMARY, datetime.now(UTC)))
    registry.promote(folders, NAME, "hand", SUMMARY, base=BUILTIN)


def read_vectors() -> dict[int, Vectors]:
    """Return the shipped vectors by the key of their text."""
    with np.load(DATA / VECTORS, allow_pickle=False) as shipped:
        vectors: Vectors = shipped["vectors"].astype(np.float32)
        keys = shipped["keys"].tolist()
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)  # they were rounded to 16 bits
    return dict(zip(keys, vectors, strict=True))


@dataclass
class KnownVectors:
    """A model that takes the vectors of known texts from a table, and computes all others."""

    model: Embedder
    known: Mapping[int, Vectors]

    def __post_init__(self) -> None:
        self.reference, self.precision, self.dim = self.model.reference, self.model.precision, self.model.dim
        self.fingerprint, self.query_fingerprint = self.model.fingerprint, self.model.query_fingerprint
        self.max_tokens = self.model.max_tokens
        self.count_tokens, self.embed_queries = self.model.count_tokens, self.model.embed_queries

    def embed_documents(self, texts: list[str], progress: Progress | None = None) -> Vectors:
        """Return unit vectors, shape (n, dim), float32."""
        vectors = [self.known.get(key(text)) for text in texts]
        missing = [text for text, vector in zip(texts, vectors, strict=True) if vector is None]
        computed = iter(self.model.embed_documents(missing, progress) if missing else ())
        if progress:
            progress(len(texts) - len(missing))
        rows = [next(computed) if vector is None else vector for vector in vectors]
        return np.stack(rows) if rows else np.empty((0, self.dim), np.float32)


def held_out() -> frozenset[str]:
    """Return the keys of the questions that the adapter has never seen (train.dataset.held_out.key_of)."""
    return frozenset(json.loads((DATA / HELD_OUT).read_text("utf-8")))


SHIPPED = (ADAPTER, MATRIX, HELD_OUT, VECTORS)  # the files in DATA
