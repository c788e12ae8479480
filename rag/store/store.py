"""Open the store of a home folder: documents, chunk vectors, and feedback (answers, ratings, labels)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rag.errors import StoreFailed
from rag.home import open_home
from rag.store import schema
from rag.store.chunk_store import ChunkStore
from rag.store.document_store import DocumentStore
from rag.store.durability import make_folder
from rag.store.feedback_store import FeedbackStore
from rag.store.lance.tables import LanceTables

FOLDER = "lancedb"  # of the tables, in a home folder


def open_store(folder: Path) -> Store:
    """Open (or create) the tables under `folder`. Raises StoreFailed where that is impossible."""
    if folder.name == FOLDER:  # in a home folder
        open_home(folder.parent)
    try:
        make_folder(folder)
    except OSError as error:
        raise StoreFailed(
            f"{folder}: cannot be created ({error.strerror}): set THUMBTUNE_HOME to a folder you may write"
        ) from error
    tables = LanceTables(folder)
    documents = DocumentStore(tables)
    return Store(tables, documents, ChunkStore(tables, documents), FeedbackStore(tables))


@dataclass(frozen=True, slots=True)
class Store:
    """All tables of one home folder, by what they hold. Methods may be called from any thread; each raises StoreFailed.

    The parts share one writer thread (`LanceTables`).
    """

    tables: LanceTables
    documents: DocumentStore
    chunks: ChunkStore
    feedback: FeedbackStore

    @property
    def folder(self) -> Path:
        """Return the folder of the tables."""
        return self.tables.folder

    def stamp(self) -> tuple[int, ...]:
        """Return the versions of the documents and feedback tables: each write changes it. Takes 2 ms."""
        return tuple(self.tables.version(name) for name in schema.SCHEMAS if self.tables.exists(name))

    def close(self) -> None:
        """Wait for the pending writes."""
        self.tables.close()
