"""The model version that serves each arm (base, tuned), loaded once and swapped when the registry changes."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace

from rag.errors import NotIndexed, ThumbtuneError
from rag.ingest.corpus import Corpus
from rag.models.embedder import Embedder, load_embedder
from rag.models.precision import Precision, serving
from rag.models.registry import START_WEIGHTS, Registry
from rag.models.trials import trial_of
from rag.models.weights import read_dense_weight
from rag.records import ARMS, Arm
from rag.settings import Settings
from rag.store.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One arm as it serves: what people read as its model, the embedder, and the table made with that embedder.

    Where no hit's cosine reaches `abstain_below`, the answer is that it does not know; None: no cosine decides that.
    `dense_weight` is the share of the cosine in hybrid search that was learnt for this model; None: the usual one.
    `on_trial`: it has not been promoted, and only answers in comparisons.
    """

    arm: Arm
    model: str
    embedder: Embedder
    table: str
    abstain_below: float | None = None
    dense_weight: float | None = None
    on_trial: bool = False


def arm_models(settings: Settings, folders_id: str) -> dict[Arm, tuple[str, str]]:
    """Return for each arm what people read as its model, and the reference that loads it; a trial counts as tuned."""
    models = promoted_models(settings, folders_id)
    trial = trial_of(settings, folders_id)
    return models if trial is None else {**models, "tuned": (trial.name, str(settings.models / trial.name))}


def promoted_models(settings: Settings, folders_id: str) -> dict[Arm, tuple[str, str]]:
    """Return the same without a trial: the tuned arm's is the champion, or the start weights."""
    registry = Registry(settings.models)
    champion = registry.champion(folders_id)
    tuned = (champion.name, str(registry.model_folder(champion))) if champion else (START_WEIGHTS, settings.start_model)
    return {"base": (settings.base_model, settings.base_model), "tuned": tuned}


def arm_precision(settings: Settings, folders_id: str) -> Precision:
    """Return in which precision both arms serve now, so that only weights tell them apart. Raises BadSetting."""
    registry = Registry(settings.models)
    return serving(settings, registry.precision(folders_id, registry.champion(folders_id), settings.base_model))


class Arms:
    """What serves each arm now. `refresh` follows the registry; nothing else changes it."""

    def __init__(self, settings: Settings, store: Store, corpus: Corpus) -> None:
        self._settings, self._store, self.corpus = settings, store, corpus
        self._registry = Registry(settings.models)
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._served: dict[Arm, ServedModel] = {}
        self._awaited = ""  # the table that a champion lacks, until `rag index` has made it
        self.trouble = ""  # why the champion that the registry names does not serve, for the user to read
        self._load(fail=True)

    def current(self, arm: Arm) -> ServedModel:
        """Return what serves this arm in a comparison. A question keeps it to its end, whatever is promoted then."""
        return self._served[arm]

    def promoted(self, arm: Arm) -> ServedModel:
        """Return what serves where this arm alone is asked for: never a trial, but the start weights, as base does."""
        served = self._served[arm]
        return replace(self._served["base"], arm=arm, model=START_WEIGHTS) if served.on_trial else served

    def refresh(self) -> bool:
        """Load what the registry names now, and return whether an arm's model changed.

        A champion that cannot be loaded does not take the arm down: the former one serves on, and `trouble` says why.
        """
        with self._lock:
            if self._registry.stamp() == self._stamp and not self._has_come():
                return False
            before = dict(self._served)
            self._load(fail=False)
            return any(before[arm].model != self._served[arm].model for arm in ARMS)

    def _load(self, *, fail: bool) -> None:
        stamp, self._awaited = self._registry.stamp(), ""
        try:
            precision = arm_precision(self._settings, self.corpus.folders_id)
            served: dict[Arm, ServedModel] = {}
            for arm, (model, reference) in arm_models(self._settings, self.corpus.folders_id).items():
                loaded = [each.embedder for each in (*self._served.values(), *served.values())]
                served[arm] = self._serve(arm, model, reference, precision, loaded)
        except ThumbtuneError as error:
            if fail:
                raise
            self.trouble = f"A newly promoted model does not serve: {error}"
            log.error("%s", self.trouble)
        else:
            self._served, self.trouble = served, ""
        self._stamp = stamp

    def _has_come(self) -> bool:
        """Return whether the table that was lacking is there by now, and whole: `rag index` fills it step by step."""
        if not self._awaited or not self._store.chunks.exists(self._awaited):
            return False
        return len(self._store.chunks.ids(self._awaited)) >= self._store.documents.count_chunks(self.corpus.id)

    def _serve(self, arm: Arm, model: str, reference: str, precision: Precision, loaded: list[Embedder]) -> ServedModel:
        """Return an arm's Served; a model that is loaded already is not loaded twice."""
        same = (each for each in loaded if each.reference == reference and each.precision in (precision, None))
        embedder = next(same, None) or load_embedder(reference, self._settings, precision, loaded)
        table = self._store.chunks.table_name(self.corpus.id, embedder.fingerprint)
        if not self._store.chunks.exists(table):
            self._awaited = table
            folders = ", ".join(map(str, self._settings.docs))
            raise NotIndexed(
                f"arm {arm}: {model} has no index of these documents ({folders}): run `python -m rag index`, or set "
                "THUMBTUNE_DOCS to the folder that you indexed"
            )
        if self._settings.explore or self._settings.search == "hybrid":
            self._store.chunks.build_text_index(
                table
            )  # a table of an earlier release has none; 10,000 chunks take 0.2 s
        below = self._registry.abstain_below(self.corpus.id, embedder.query_fingerprint)
        trial = trial_of(self._settings, self.corpus.folders_id)
        is_trial = arm == "tuned" and trial is not None and trial.name == model
        return ServedModel(arm, model, embedder, table, below, read_dense_weight(reference), on_trial=is_trial)
