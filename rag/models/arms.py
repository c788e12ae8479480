"""The model version that serves each arm (base, tuned), loaded once and swapped when the registry changes.

A group of raters may have a query adapter of its own in place of the tuned arm's model. Why it must be for a model that
serves: it searches that model's table, and only the tables of both arms follow the documents. Where another champion
serves, the shared model answers the group, and `notes_of` says so.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rag.errors import BadModel, NotIndexed, ThumbtuneError
from rag.ingest.corpus import Corpus
from rag.models.embedder import Embedder, load_embedder
from rag.models.precision import Precision, serving
from rag.models.registry import START_WEIGHTS, Registry, Version
from rag.models.trials import trial_of
from rag.models.weights import is_adapter, model_behind, read_dense_weight
from rag.records import ARMS, Arm
from rag.settings import Settings

if TYPE_CHECKING:
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


def promoted_models(settings: Settings, folders_id: str, group: str = "") -> dict[Arm, tuple[str, str]]:
    """Return the same without a trial: the tuned arm's is the group's version, the champion, or the start weights."""
    registry = Registry(settings.models)
    champion = registry.champion(folders_id)
    tuned = (champion.name, str(registry.model_folder(champion))) if champion else (START_WEIGHTS, settings.start_model)
    if own := group_version(settings, folders_id, group):
        tuned = own.name, str(registry.model_folder(own))
    return {"base": (settings.base_model, settings.base_model), "tuned": tuned}


def group_version(settings: Settings, folders_id: str, group: str) -> Version | None:
    """Return the version that serves a group in place of the shared model, None where the shared model serves it."""
    version = Registry(settings.models).group_champions(folders_id).get(group) if group else None
    return version if version and not why_unfit(settings, folders_id, version) else None


def why_unfit(settings: Settings, folders_id: str, version: Version) -> str:
    """Return why a group's champion cannot serve now, as a line for the user; "" where it can. Raises BadModel."""
    serving = {reference for _, reference in promoted_models(settings, folders_id).values()}
    return _unfit(settings, version, {model_behind(reference) for reference in serving})


def _unfit(settings: Settings, version: Version, models: Collection[str]) -> str:
    """Return the same where these models serve the arms, by their references without an adapter."""
    folder, group = str(settings.models / version.name), version.group
    again = f"the shared model serves {group} until `python -m train --fast --group {group}`"
    if not is_adapter(folder):
        return f"{version.name} of group {group} is missing or no adapter: {again}"
    try:
        model = model_behind(folder)
    except BadModel as error:
        return f"{version.name} of group {group}: {error}: {again}"
    if model not in models:
        return f"{version.name} of group {group} was fitted for {Path(model).name}, which does not serve: {again}"
    return ""


def arm_precision(settings: Settings, folders_id: str) -> Precision:
    """Return in which precision both arms serve now, so that only weights tell them apart. Raises BadSetting."""
    registry = Registry(settings.models)
    return serving(settings, registry.precision(folders_id, registry.champion(folders_id), settings.base_model))


@dataclass(frozen=True, slots=True)
class _GroupModels:
    """The groups' versions, why some do not serve beside the models in `served`, and those asked for, loaded."""

    served: Mapping[Arm, ServedModel] = field(default_factory=dict)
    versions: Mapping[str, Version] = field(default_factory=dict)
    unfit: dict[str, str] = field(default_factory=dict)
    loaded: dict[str, ServedModel] = field(default_factory=dict)


class Arms:
    """What serves each arm now. `refresh` follows the registry; nothing else changes it."""

    def __init__(self, settings: Settings, store: Store, corpus: Corpus) -> None:
        self._settings, self._store, self.corpus = settings, store, corpus
        self._registry = Registry(settings.models)
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._served: dict[Arm, ServedModel] = {}
        self._groups = _GroupModels()
        self._awaited = ""  # the table that a champion lacks, until `rag index` has made it
        self.trouble = ""  # why the champion that the registry names does not serve, for the user to read
        self._load(fail=True)

    def current(self, arm: Arm, group: str = "") -> ServedModel:
        """Return what serves this arm in a comparison. A question keeps it to its end, whatever is promoted then.

        `group` is who asks: the tuned arm is that group's adapter, where it has one.
        """
        own = self._own(group) if arm == "tuned" and group else None
        return own or self._served[arm]

    def promoted(self, arm: Arm, group: str = "") -> ServedModel:
        """Return what serves where this arm alone is asked for: never a trial, but the start weights, as base does."""
        served = self.current(arm, group)
        return replace(self._served["base"], arm=arm, model=START_WEIGHTS) if served.on_trial else served

    def notes_of(self, group: str = "") -> list[str]:
        """Return why adapters do not serve their groups, one line each: of one group, or of all."""
        return [why for name, why in sorted(self._groups.unfit.items()) if not group or name == group]

    def _own(self, group: str) -> ServedModel | None:
        """Return a group's adapter as it serves, loaded when its group first asks; None where it has none."""
        groups = self._groups
        if group in groups.loaded:
            return groups.loaded[group]
        version = groups.versions.get(group)
        if version is None or group in groups.unfit:
            return None
        try:
            reference = str(self._registry.model_folder(version))
            models = [each.embedder for each in groups.served.values()]
            embedder = load_embedder(reference, self._settings, groups.served["tuned"].embedder.precision, models)
            table = self._store.chunks.table_name(self.corpus.id, embedder.fingerprint)
            below = self._registry.abstain_below(self.corpus.id, embedder.query_fingerprint)
            own = ServedModel("tuned", version.name, embedder, table, below, read_dense_weight(reference))
        except ThumbtuneError as error:
            groups.unfit[group] = f"{version.name} does not serve group {group}, the shared model does: {error}"
            log.error("%s", groups.unfit[group])
            return None
        return groups.loaded.setdefault(group, own)

    def _find_groups(self, served: Mapping[Arm, ServedModel]) -> _GroupModels:
        """Return the groups' versions, and which of them do not fit the models that serve the arms."""
        versions = self._registry.group_champions(self.corpus.folders_id)
        if not versions:
            return _GroupModels()
        models = {model_behind(each.embedder.reference) for each in served.values()}
        found = {group: _unfit(self._settings, version, models) for group, version in versions.items()}
        return _GroupModels(served, versions, {group: why for group, why in found.items() if why})

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
            groups = self._find_groups(served)
        except ThumbtuneError as error:
            if fail:
                raise
            self.trouble = f"A newly promoted model does not serve: {error}"
            log.error("%s", self.trouble)
        else:
            self._served, self._groups, self.trouble = served, groups, ""
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
