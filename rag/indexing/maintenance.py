"""Background maintenance of a running chat: vector indexes of large tables, notes on arms and on documents.

Why this stays fair: for a while one arm may be searched by its index and the other exactly. An index is used only after
it was measured to find what exact search finds.
"""

from __future__ import annotations

import logging
import threading

from rag.errors import ThumbtuneError
from rag.home_address import shared_home
from rag.indexing.language_note import language_note
from rag.indexing.running import read_indexing
from rag.indexing.update import INDEX, update_vector_index
from rag.models.arms import Arms
from rag.records import ARMS
from rag.settings import Settings
from rag.store.store import Store

INTERVAL = 60.0  # seconds between two checks of a millisecond each; uploads and promotions make tables grow
STOP_SECONDS = 5.0  # a check takes milliseconds, unless it builds an index, which nobody waits for
log = logging.getLogger(__name__)


class Maintenance:
    """Checks the tables that serve the arms, once or in a background thread."""

    def __init__(self, settings: Settings, store: Store, arms: Arms) -> None:
        self._settings, self._store, self._arms = settings, store, arms
        self._language: str | None = None  # the note on the documents' language, found once
        self._summaries: dict[tuple[str, int, int], str] = {}  # by table and the versions compared
        self._lacking: dict[str, str] | None = None  # by table, at the last check of the background thread
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.index_error = ""  # message for the user: why a large table has no vector index

    def start(self) -> None:
        """Start checking in a background thread, until `stop`."""
        self._lacking = {}
        self._thread = threading.Thread(target=self._check_forever, name="maintenance", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Begin no further check, and wait a little for the one that runs: the store is about to be closed."""
        self._stopped.set()
        if self._thread:
            self._thread.join(STOP_SECONDS)

    def check(self) -> None:
        """Compare each serving table with the documents and build a vector index if one is due, which takes minutes.

        Old versions of the feedback tables are removed first, and replaced indexes closed.
        """
        self.index_error = ""
        self._store.tables.remove_old_versions()
        self._store.tables.forget_replaced_indexes()
        self._look_at_language()
        for table, embedder in {each.table: each.embedder for each in map(self._arms.current, ARMS)}.items():
            try:
                if self._lacking is not None:
                    is_running = self._is_indexing()  # which adds what is lacking now
                    self._lacking[table] = "" if is_running else self._lacks(table)
                if made := update_vector_index(self._store, table, embedder):
                    log.warning("search: %s", made)
            except ThumbtuneError as error:
                self.index_error = f"The search index could not be checked or built, so search may be slow: {error}"
                log.error("%s", self.index_error)

    def _is_indexing(self) -> bool:
        """Return whether the documents are being indexed, here or on another machine of a shared home."""
        home = shared_home(self._settings.home)
        return bool(read_indexing(self._settings.home) or (home and home.holder(INDEX)))

    def notes(self) -> list[str]:
        """Return notes for the user on each arm whose table lacks documents, and on the documents' language.

        Comparing a million chunks takes five seconds, and detecting the language reads up to 100 documents: a chat
        gets the result of the last background check.
        """
        notes = [self.index_error] if self.index_error else []
        for arm in ARMS:
            table = self._arms.current(arm).table
            if lacks := self._lacks(table) if self._lacking is None else self._lacking.get(table, ""):
                notes.append(f"The {arm} arm's index {lacks}: run `python -m rag index`.")
        if self._lacking is None:
            self._look_at_language()
        if self._language:
            notes.append(self._language)
        return notes

    def _look_at_language(self) -> None:
        if self._language is None:
            try:
                self._language = language_note(self._settings, self._store, self._arms.corpus)
            except ThumbtuneError as error:
                log.warning("the documents' language could not be looked at: %s", error)

    def _lacks(self, table: str) -> str:
        """Return a summary of what a table lacks, computed again only after documents or table were written."""
        key = (table, *self._store.chunks.versions(table))
        if key not in self._summaries:
            self._summaries = {known: text for known, text in self._summaries.items() if known[0] != table}
            self._summaries[key] = self._store.chunks.diff(self._arms.corpus.id, table).summary
        return self._summaries[key]

    def _check_forever(self) -> None:
        while not self._stopped.is_set():
            self.check()
            self._stopped.wait(INTERVAL)
