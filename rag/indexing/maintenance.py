"""What a running chat sees to by itself: large tables get their index, and an arm that lacks documents says so.

The idea a reader would miss: both arms may be searched in different ways for a while, one by its index and one exactly.
That is fair, since an index serves only once it was measured to find what exact search finds.
"""

from __future__ import annotations

import logging
import threading

from rag.errors import ThumbtuneError
from rag.indexing.update import update_vector_index
from rag.models.arms import Arms
from rag.records import ARMS
from rag.store.store import Store

EVERY = 60.0  # seconds between two looks, of a millisecond each; uploads and promotions make tables grow
log = logging.getLogger(__name__)


class Maintenance:
    """The upkeep of the tables that serve."""

    def __init__(self, store: Store, arms: Arms, corpus_id: str) -> None:
        self._store, self._arms, self._corpus_id = store, arms, corpus_id
        self._told: dict[tuple[str, int, int], str] = {}
        self._lacking: dict[str, str] | None = None  # by table, as the background saw it last
        self.trouble = ""  # why a table that is due an index has none, for the user to read

    def start(self) -> None:
        """Look after the tables from now on, in the background, as long as the process lives."""
        self._lacking = {}
        threading.Thread(target=self._forever, name="upkeep", daemon=True).start()

    def look(self) -> None:
        """See what each table that serves lacks, and give it the index for its size: minutes where one is due."""
        self.trouble = ""
        for table, embedder in {each.table: each.embedder for each in map(self._arms.current, ARMS)}.items():
            try:
                if self._lacking is not None:
                    self._lacking[table] = self._lacks(table)
                if made := update_vector_index(self._store, table, embedder):
                    log.warning("search: %s", made)
            except ThumbtuneError as error:
                self.trouble = f"Search is exact and slow: its index could not be made: {error}"
                log.error("%s", self.trouble)

    def notes(self) -> list[str]:
        """Return for each arm whose table does not cover the documents what it lacks.

        A million chunks take five seconds to compare, so a chat is told what the background saw, a minute ago at most.
        """
        notes = [self.trouble] if self.trouble else []
        for arm in ARMS:
            table = self._arms.current(arm).table
            if lacks := self._lacks(table) if self._lacking is None else self._lacking.get(table, ""):
                notes.append(f"The {arm} arm's index {lacks}: run `python -m rag index`.")
        return notes

    def _lacks(self, table: str) -> str:
        """Return what a table lacks, compared anew only when documents or table were written."""
        key = (table, *self._store.chunks.versions(table))
        if key not in self._told:
            self._told = {known: told for known, told in self._told.items() if known[0] != table}
            self._told[key] = self._store.chunks.diff(self._corpus_id, table).told
        return self._told[key]

    def _forever(self) -> None:
        rest = threading.Event()
        while True:
            self.look()
            rest.wait(EVERY)
