"""The gate: promote only what is better beyond luck. Deciding is pure; applying builds the new table, then swaps.

A keep is recorded too, and its weights stay, so that a person who knows more than the numbers can promote it by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rag.errors import UnknownVersion
from rag.indexing.update import Embedded, changing_documents, update_vectors
from rag.ingest.documents import Corpus
from rag.models.embedder import Embedder, load_embedder
from rag.models.precision import Precision, serving
from rag.models.registry import START_WEIGHTS, Mover, Registry, Version
from rag.settings import Settings
from rag.store.store import Store
from train.context import TrainingContext
from train.judging.contenders import Candidate
from train.tuning.version_folder import missing

Bar = Callable[[str], Embedded]  # what is done -> a progress that shows it

MIN_HELD_OUT = 10  # queries; on fewer the bootstrap calls a single lucky one certain
HARDLY_WORSE = -0.01  # how low the interval may reach where raters, blind, prefer what was trained
# How far the mean of the gate's metric may fall on a regression set. Where the champion wins it was lucky as well: the
# same recipe with another seed falls there by 0.02 (docs/decisions/0010-cross-fitting-and-the-wider-gate.md).
CHAMPION_WINS, CHAMPION_WINS_TOLERANCE = "queries the champion wins", 0.05
GENERAL, GENERAL_TOLERANCE = "general queries", 0.03
NOTHING: Mapping[str, Embedder] = {}
MIN_REGRESSION = 20  # queries; on fewer the mean of a set moves by more than its tolerance for nothing


def apply(
    context: TrainingContext,
    version: Version,
    challenger: Candidate,
    *,
    by_hand: bool = False,
    arms: Mapping[str, Embedder] = NOTHING,
    precision: Precision | None = None,
) -> None:
    """Record a version; if its verdict says promote, write its table from the vectors that judged it and let it serve.

    `by_hand` lets it serve whatever the verdict, and the log says so. `arms` are the models as they serve from then on,
    in the measured `precision`. Documents that changed during the training are embedded before the swap. The champion's
    table stays, so that a running question, and a rollback, still find it.
    """
    registry, store, corpus_id = context.registry, context.store, context.corpus.id
    if not (by_hand or version.verdict == "promote"):
        registry.add(version)
        return
    keep_vectors(context, challenger)
    with changing_documents(store):  # a file that is dropped into the chat goes to what serves: before, or after
        complete(store, corpus_id, {version.name: challenger.embedder, **arms})
        registry.add(version)
        mover: Mover = "gate" if version.verdict == "promote" else "hand"
        base = arms["base"].reference if arms else ""
        registry.promote(version.folders, version.name, mover, version.summary, precision, base)


def keep_vectors(context: TrainingContext, challenger: Candidate) -> None:
    """Write the table of a new model from the vectors that it was judged by: nothing is embedded twice."""
    table = context.store.chunks.table_name(context.corpus.id, challenger.embedder.fingerprint)
    if not context.store.chunks.exists(table):  # an adapter's exists: it is its model's
        context.store.chunks.put(table, context.chunks, challenger.vectors)


def load_arms(settings: Settings, tuned: str, precision: Precision) -> dict[str, Embedder]:
    """Return the models of both arms as they serve in a precision; `tuned` refers to that arm's. Raises BadModel."""
    base = load_embedder(settings.base_model, settings, precision)
    same = tuned == settings.base_model
    return {"base": base, "tuned": base if same else load_embedder(tuned, settings, precision)}


def complete(
    store: Store, corpus_id: str, arms: Mapping[str, Embedder], bar: Bar = lambda what: lambda done, total: None
) -> None:
    """Bring these models' tables level with the documents.

    Where a table is new that takes long. So it is done before the documents are locked, and once more within the lock.
    """
    for name, embedder in arms.items():
        update_vectors(store, corpus_id, embedder, bar(f"embedding ({name})"))


def promote_by_hand(
    settings: Settings,
    store: Store,
    corpus: Corpus,
    name: str,
    bar: Bar,
    measure: Callable[[str], Precision | None] = lambda reference: None,
) -> str:
    """Let a version, or the start weights, serve whatever a verdict was; log that, and return the name.

    A version that was trained on other documents is refused: nothing was measured on these. `measure` says in which
    precision a model is to serve; None: the native one, or what was measured when it served before. Raises
    UnknownVersion.
    """
    registry = Registry(settings.models)
    version = registry.find(name)
    if version and version.folders != corpus.folders_id:
        known = ", ".join(each.name for each in registry.versions() if each.folders == corpus.folders_id) or "none yet"
        raise UnknownVersion(f"{name} was trained on other documents; for these there are: {known}")
    reference = _reference(settings, registry, version, corpus.folders_id)
    precision = measure(reference) or registry.precision(corpus.folders_id, version, settings.base_model)
    arms = load_arms(settings, reference, serving(settings, precision))
    complete(store, corpus.id, arms, bar)
    reason = f"by hand; the gate said {version.verdict}" if version else "by hand"
    with changing_documents(store):
        complete(store, corpus.id, arms)
        registry.promote(corpus.folders_id, name, "hand", reason, precision, settings.base_model)
    return name


def roll_back(settings: Settings, store: Store, corpus: Corpus, bar: Bar) -> str:
    """Let serve what served before, and return its name. Raises UnknownVersion where nothing did."""
    registry = Registry(settings.models)
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
    """Return what loads a version, or the start weights. Raises UnknownVersion, with what is left, if it is gone."""
    if version is None:
        return settings.start_model
    gone = missing(registry.model_folder(version))
    if gone is None:
        return str(registry.model_folder(version))
    there = (name for name in registry.former(folders) if name == START_WEIGHTS or not missing(registry.folder / name))
    raise UnknownVersion(
        f"{version.name} cannot serve: {gone} is gone: put it back, or go to `python -m train promote {next(there)}`"
    )
