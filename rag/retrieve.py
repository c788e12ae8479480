"""A query and an arm -> ranked hits, and what serves each arm now.

The ideas a reader would miss: a question takes its arm's `Served` once, at its start; a promotion swaps the next one's.
And the last places may go to chunks that the words found and the embeddings did not, in both arms alike: a rating can
only teach what was shown, so a model that alone decides what is shown never hears of what it misses.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

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


def retrieve(store: Store, served: Served, query: str, k: int, explore: int) -> list[Hit]:
    """Return the k chunks nearest to the query by this arm's embeddings, the last `explore` places open to words."""
    (vector,) = served.embedder.embed_queries([query])
    dense = store.search(served.table, vector, k)
    # k are enough: even if words find all that dense ranks first, `explore` of k candidates are others
    lexical = store.search_text(served.table, query, vector, k) if explore else []
    return with_explore(dense, lexical, k, explore)


def with_explore(dense: Sequence[Hit], lexical: Sequence[Hit], k: int, explore: int) -> list[Hit]:
    """Return the k best dense hits, the last of them displaced by what the words found and these k lack.

    Candidates are the `explore` best lexical hits outside the first k - explore dense ones. One that is among the k
    anyway stays there as what it is, a dense hit; only a chunk that dense would not have shown is marked "explore".
    So a dense hit always has its dense rank, and no word in common means no change.
    """
    first = {hit.chunk.id for hit in dense[: k - explore]}
    shown = {hit.chunk.id for hit in dense[:k]}
    candidates = [hit for hit in lexical if hit.chunk.id not in first][:explore]
    new = [hit for hit in candidates if hit.chunk.id not in shown]
    hits = [*dense[: k - len(new)], *new]
    return [replace(hit, rank=rank) for rank, hit in enumerate(hits, start=1)]


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
        if self._settings.explore:
            self._store.index_words(table)  # a table of an earlier release has none; 10,000 chunks take 0.2 s
        return Served(arm, model, embedder, table)
