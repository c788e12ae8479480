"""Promote a version or roll back: bring the tables up to date, then swap the champion in the registry.

A version that the gate keeps back is recorded too, with its weights, so that it can be promoted by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rag.errors import TrainingRefused, UnknownVersion
from rag.indexing.update import STEP, Embedded, changing_documents, update_vectors
from rag.ingest.corpus import Corpus
from rag.models.arms import promoted_models, why_unfit
from rag.models.embedder import Embedder, load_embedder
from rag.models.precision import Precision, serving
from rag.models.registry import SHARED, START_WEIGHTS, Mover, Registry, Version, group_key
from rag.settings import Settings
from rag.store.store import Store
from train.judging.pinned import pins_of, require_unbroken
from train.tuning.version_folder import missing

if TYPE_CHECKING:  # torch, which neither a promotion by hand nor a rollback needs
    from rag.indexing.on_ray import RayEngine
    from train.context import TrainingContext
    from train.judging.contenders import Candidate

Load = Callable[[str, Settings, Precision | None], Embedder]
Bar = Callable[[str], Embedded]  # task -> progress callback

NOTHING: Mapping[str, Embedder] = {}


def apply(
    context: TrainingContext,
    version: Version,
    challenger: Candidate,
    *,
    by_hand: bool = False,
    on_trial: bool = False,
    arms: Mapping[str, Embedder] = NOTHING,
    precision: Precision | None = None,
) -> None:
    """Record a version; if its verdict is promote, write its table from the evaluated vectors and make it champion.

    `by_hand` promotes it whatever the verdict, and logs that; `on_trial` lets one that is kept back answer in
    comparisons. `arms` are the models as they will serve, in the measured `precision`. Documents that changed during
    the training are embedded before the swap. The old champion's table stays, for questions that are being answered and
    for a rollback.
    """
    registry, store, corpus_id = context.registry, context.store, context.corpus.id
    is_promoted = by_hand or version.verdict == "promote"
    if not (is_promoted or on_trial):
        registry.add(version)
        return
    keep_vectors(context, challenger)
    with changing_documents(store):  # an upload to the chat waits: it is indexed by the old champion or by the new one
        complete(store, corpus_id, {version.name: challenger.embedder, **arms})
        registry.add(version)
        if not is_promoted:
            registry.try_out(version.folders, version.name)
            return
        mover: Mover = "gate" if version.verdict == "promote" else "hand"
        base = arms["base"].reference if arms else ""
        registry.promote(version.folders, version.name, mover, version.summary, precision, base)


def keep_vectors(context: TrainingContext, challenger: Candidate) -> None:
    """Write the vector table of a new model from the evaluated vectors, without embedding again."""
    table = context.store.chunks.table_name(context.corpus.id, challenger.embedder.fingerprint)
    if not context.store.chunks.exists(table):  # an adapter uses its model's table
        context.store.chunks.put(table, context.chunks, challenger.vectors)


def load_arms(settings: Settings, tuned: str, precision: Precision, load: Load = load_embedder) -> dict[str, Embedder]:
    """Load the models of both arms in a precision; `tuned` is that arm's model reference. Raises BadModel."""
    base = load(settings.base_model, settings, precision)
    same = tuned == settings.base_model
    return {"base": base, "tuned": base if same else load(tuned, settings, precision)}


def complete(
    store: Store,
    corpus_id: str,
    arms: Mapping[str, Embedder],
    bar: Bar = lambda what: lambda done, total: None,
    step: int = STEP,
) -> None:
    """Bring these models' tables up to date with the documents.

    Why it is called twice: a new table takes long, so it is made before the documents are locked, then updated under
    the lock.
    """
    for name, embedder in arms.items():
        update_vectors(store, corpus_id, embedder, bar(f"embedding ({name})"), step=step)


def promote_by_hand(
    settings: Settings,
    store: Store,
    corpus: Corpus,
    name: str,
    bar: Bar,
    measure: Callable[[str], Precision | None] = lambda reference: None,
    engine: RayEngine | None = None,
) -> str:
    """Promote a version, or the start weights, whatever its verdict; log that, and return the name.

    `measure` chooses the precision for the model reference of a version that has never served; None means the native
    one. What served before serves as it did then: measuring takes minutes, a promotion back seconds. With an `engine` a
    cluster embeds the chunks. Raises UnknownVersion, also for a version that was trained on other documents, and
    TrainingRefused where it breaks pins.
    """
    registry = Registry(settings.models)
    version = registry.find(name)
    group = version.group if version else ""
    key = group_key(corpus.folders_id, group)
    if version and version.folders != key:
        known = ", ".join(each.name for each in registry.versions() if each.folders == corpus.folders_id) or "none yet"
        raise UnknownVersion(f"{name} was trained on other documents; for these there are: {known}")
    reference = _reference(settings, registry, version, corpus.folders_id)
    if version and group and (why := why_unfit(settings, corpus.folders_id, version)):
        raise TrainingRefused(why)
    champion = registry.champion(corpus.folders_id) if group else version  # a group's adapter serves as both arms do
    precision = registry.precision(corpus.folders_id, champion, settings.base_model)
    if precision is None and version and not group and not registry.has_served(version):
        precision = measure(reference)
    arms = load_arms(settings, reference, serving(settings, precision), engine.load if engine else load_embedder)
    complete(store, corpus.id, arms, bar, engine.step if engine else STEP)
    _require_unbroken(settings, store, corpus, name, arms["tuned"], bar, group)
    reason = f"by hand; the gate said {version.verdict}" if version else "by hand"
    with changing_documents(store):
        complete(store, corpus.id, arms)
        registry.promote(key, name, "hand", reason, precision, settings.base_model)
    return name


def _require_unbroken(
    settings: Settings, store: Store, corpus: Corpus, name: str, new: Embedder, bar: Bar, group: str
) -> None:
    """Raise TrainingRefused where a model breaks pins that hold with the one that serves now."""
    champion = Registry(settings.models).champion(corpus.folders_id)
    gone = champion and missing(Registry(settings.models).model_folder(champion))
    if gone or not pins_of(settings):
        return  # a champion without weights serves nobody
    now = load_embedder(promoted_models(settings, corpus.folders_id, group)["tuned"][1], settings, new.precision)
    complete(store, corpus.id, {"now": now}, bar)
    require_unbroken(settings, store, corpus.id, name, {"now": now, "new": new})


def roll_back(settings: Settings, store: Store, corpus: Corpus, bar: Bar, group: str = "") -> str:
    """Roll back to the previous champion, and return its name. Raises UnknownVersion where there is none.

    A group's adapters have no tables, so for a group it takes no time; before its first one the shared model serves it.
    """
    registry = Registry(settings.models)
    if group:
        former = registry.rollback(group_key(corpus.folders_id, group))
        return former.name if former else SHARED
    before = registry.previous(corpus.folders_id)
    reference = _reference(settings, registry, before, corpus.folders_id)
    precision = registry.precision(corpus.folders_id, before, settings.base_model)
    arms = load_arms(settings, reference, serving(settings, precision))
    complete(store, corpus.id, arms, bar)
    with changing_documents(store):
        complete(store, corpus.id, arms)
        registry.rollback(corpus.folders_id)
    return before.name if before else START_WEIGHTS


def _reference(settings: Settings, registry: Registry, version: Version | None, folders: str) -> str:
    """Return the model reference of a version, or of the start weights. Raises UnknownVersion if it is missing."""
    if version is None:
        return settings.start_model
    gone = missing(registry.model_folder(version))
    if gone is None:
        return str(registry.model_folder(version))
    there = (name for name in registry.former(folders) if name == START_WEIGHTS or not missing(registry.folder / name))
    raise UnknownVersion(
        f"{version.name} cannot serve: {gone} is missing: restore it, or run `python -m train promote {next(there)}`"
    )
