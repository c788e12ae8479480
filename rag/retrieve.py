"""A query and an arm -> ranked hits, and what serves each arm now.

The idea a reader would miss: a question takes its arm's `Served` once, at its start. A promotion swaps the next one's.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from rag.embed import Embedder, load_embedder
from rag.errors import NotIndexed, ThumbtuneError
from rag.ingest import Corpus
from rag.records import ARMS, Arm, Hit
from rag.registry import START_WEIGHTS, Registry
from rag.settings import Settings
from rag.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """One arm as it serves: what people read as its model, the embedder, and the table made with that embedder."""

    arm: Arm
    model: str
    embedder: Embedder
    table: str


def arm_models(settings: Settings, folders_id: str) -> dict[Arm, tuple[str, str]]:
    """Return for each arm what people read as its model, and the reference that loads it."""
    registry = Registry(settings.models)
    champion = registry.champion(folders_id)
    tuned = (champion.name, str(registry.model_folder(champion))) if champion else (START_WEIGHTS, settings.start_model)
    return {"base": (settings.base_model, settings.base_model), "tuned": tuned}


def retrieve(store: Store, served: Served, query: str, k: int) -> list[Hit]:
    """Return the k chunks nearest to the query by this arm's embeddings, best first."""
    (vector,) = served.embedder.embed_queries([query])
    return store.search(served.table, vector, k)


class Arms:
    """What serves each arm now. `refresh` follows the registry; nothing else changes it."""

    def __init__(self, settings: Settings, store: Store, corpus: Corpus) -> None:
        self._settings, self._store, self._corpus = settings, store, corpus
        self._registry = Registry(settings.models)
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._served: dict[Arm, Served] = {}
        self.trouble = ""  # why the champion that the registry names does not serve, for the user to read
        self._load(fail=True)

    def current(self, arm: Arm) -> Served:
        """Return what serves this arm. A question keeps it until its end, whatever is promoted meanwhile."""
        return self._served[arm]

    def refresh(self) -> bool:
        """Load what the registry names now, and return whether an arm's model changed.

        A champion that cannot be loaded does not take the arm down: the former one serves on, and `trouble` says why.
        """
        with self._lock:
            if self._registry.stamp() == self._stamp:
                return False
            before = dict(self._served)
            self._load(fail=False)
            return any(before[arm].model != self._served[arm].model for arm in ARMS)

    def _load(self, *, fail: bool) -> None:
        stamp = self._registry.stamp()
        try:
            served: dict[Arm, Served] = {}
            for arm, (model, reference) in arm_models(self._settings, self._corpus.folders_id).items():
                served[arm] = self._serve(arm, model, reference, [*self._served.values(), *served.values()])
        except ThumbtuneError as error:
            if fail:
                raise
            self.trouble = f"A newly promoted model does not serve: {error}"
            log.error("%s", self.trouble)
        else:
            self._served, self.trouble = served, ""
        self._stamp = stamp

    def _serve(self, arm: Arm, model: str, reference: str, loaded: list[Served]) -> Served:
        """Return an arm's Served; a model that is loaded already is not loaded twice."""
        embedder = next((other.embedder for other in loaded if other.embedder.reference == reference), None)
        embedder = embedder or load_embedder(reference, self._settings)
        table = self._store.chunk_table(self._corpus.id, embedder.fingerprint)
        if not self._store.has_table(table):
            raise NotIndexed(f"arm {arm}: {model} has no index of these documents: run `python -m rag index`")
        return Served(arm, model, embedder, table)
