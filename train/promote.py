"""The gate: promote only what is better beyond luck. Deciding is pure; applying builds the new table, then swaps.

A keep is recorded too, and its weights stay, so that a person who knows more than the numbers can promote it by hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rag.embed import Embedder, Vectors, load_embedder
from rag.errors import UnknownVersion
from rag.index import Embedded, changing_documents, update_vectors
from rag.ingest import Corpus
from rag.online import WinRate
from rag.precision import Precision, serving
from rag.records import Chunk
from rag.registry import START_WEIGHTS, Mover, Registry, Version
from rag.settings import Settings
from rag.stats import GATE, Interval, Tally, Values, paired_bootstrap, queries_needed, win_tie_loss
from rag.store import Store
from train.folder import missing
from train.folds import ENOUGH_HELD_OUT, TrialKind
from train.split import HELD_OUT_SHARE

Bar = Callable[[str], Embedded]  # what is done -> a progress that shows it

MIN_HELD_OUT = 10  # queries; on fewer the bootstrap calls a single lucky one certain
HARDLY_WORSE = -0.01  # how low the interval may reach where raters, blind, prefer what was trained
# How far the mean of the gate's metric may fall on a regression set. Where the champion wins it was lucky as well: the
# same recipe with another seed falls there by 0.02 (docs/decisions/0010-cross-fitting-and-the-wider-gate.md).
CHAMPION_WINS, CHAMPION_WINS_TOLERANCE = "queries the champion wins", 0.05
GENERAL, GENERAL_TOLERANCE = "general queries", 0.03
NOTHING: Mapping[str, Embedder] = {}
MIN_REGRESSION = 20  # queries; on fewer the mean of a set moves by more than its tolerance for nothing


@dataclass(frozen=True, slots=True)
class RegressionSet:
    """Queries on which a challenger must not fall: how far it is from the champion there, and how far it may be."""

    name: str
    change: Interval
    n: int
    tolerance: float

    @property
    def is_broken(self) -> bool:
        """Return whether the challenger fell too far, on enough queries to tell."""
        return self.n >= MIN_REGRESSION and self.change.mean < -self.tolerance

    def __str__(self) -> str:
        return f"{self.name}: {self.change} on {self.n}, {-self.tolerance:+.2f} is tolerated"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a training, with the numbers it rests on: means of the gate's metric at full dimension.

    `rule` says what promoted. `more` is how many more rated queries would decide a keep at the present gain and spread,
    None where more of the same would not.
    """

    word: Literal["promote", "keep"]
    reason: str
    challenger: float
    champion: float
    base: float
    gain: Interval  # challenger over champion
    tally: Tally  # challenger against champion
    n: int
    kind: TrialKind
    rule: Literal["", "interval", "duels"] = ""
    regressions: tuple[RegressionSet, ...] = ()
    online: WinRate | None = None
    more: int | None = None

    def line(self, challenger: str, champion: str) -> str:
        """Return the one line that a training ends in."""
        what = f"promote {challenger}" if self.word == "promote" else f"keep {champion}, not {challenger}"
        return (
            f"VERDICT: {what} | {GATE} {self.challenger:.2f}, champion {self.champion:.2f} ({self.gain}), "
            f"base {self.base:.2f} | n={self.n} {self.kind}"
        )


def decide(
    challenger: Values,
    champion: Values,
    base: Values,
    *,
    kind: TrialKind = "held out",
    general: tuple[Values, Values] | None = None,
    online: WinRate | None = None,
) -> Verdict:
    """Promote a challenger whose gain over the champion is beyond luck, or that is hardly worse and preferred blind.

    The first three are the gate's metric per query that judges, in the same order. `general` has challenger's and
    champion's on queries that neither was trained on; `online` is how the champion did against base since it serves.
    Whatever the gain, nothing is promoted on too few queries, below base, or with a regression set broken.
    """
    n = int(challenger.size)
    ours, theirs, off_the_shelf = (float(values.mean()) if n else 0.0 for values in (challenger, champion, base))
    gain = paired_bootstrap(challenger, champion)
    sets = _regression_sets(challenger, champion, base, general)
    rule = _rule(gain, online)
    more = None if rule and n >= MIN_HELD_OUT else _labels_needed(challenger - champion, kind)
    against = {
        f"{n} queries to judge by, need {MIN_HELD_OUT}: rate about {more} more questions": n < MIN_HELD_OUT,
        _undecided(gain, online, more): n >= MIN_HELD_OUT and not rule,
        f"it is below base: {ours:.3f} against {off_the_shelf:.3f}": ours < off_the_shelf,
        **{f"it falls too far on {each}": each.is_broken for each in sets},
    }
    reasons = [reason for reason, holds in against.items() if holds]
    return Verdict(
        word="keep" if reasons else "promote",
        reason="; ".join(reasons) or _why(rule, gain, online),
        challenger=ours,
        champion=theirs,
        base=off_the_shelf,
        gain=gain,
        tally=win_tie_loss(challenger, champion),
        n=n,
        kind=kind,
        rule="" if reasons else rule,
        regressions=sets,
        online=online,
        more=more,
    )


def _regression_sets(
    challenger: Values, champion: Values, base: Values, general: tuple[Values, Values] | None
) -> tuple[RegressionSet, ...]:
    won = (champion > base) & ~np.isclose(champion, base)
    given = [(CHAMPION_WINS, challenger[won], champion[won], CHAMPION_WINS_TOLERANCE)]
    if general:
        given.append((GENERAL, *general, GENERAL_TOLERANCE))
    return tuple(
        RegressionSet(name, paired_bootstrap(ours, theirs), int(ours.size), tolerance)
        for name, ours, theirs, tolerance in given
    )


def _rule(gain: Interval, online: WinRate | None) -> Literal["", "interval", "duels"]:
    if gain.low > 0:
        return "interval"
    preferred = online is not None and online.interval.low > 0.5
    return "duels" if preferred and gain.mean > 0 and gain.low > HARDLY_WORSE else ""


def _labels_needed(difference: Values, kind: TrialKind) -> int | None:
    """Return how many more rated queries would bring as many to judge by as the interval needs.

    Cross-fitted every rated query judges, but only up to as many as make the hash's share enough.
    """
    n, more = int(difference.size), queries_needed(difference)
    if n < MIN_HELD_OUT:
        more = max(more or 0, MIN_HELD_OUT - n)
    if more is None:
        return None

    def labels(queries: int) -> int:
        every = kind == "cross-fitted" and queries < ENOUGH_HELD_OUT / HELD_OUT_SHARE
        return queries if every else math.ceil(queries / HELD_OUT_SHARE)

    return labels(n + max(more, 1)) - labels(n)


def _undecided(gain: Interval, online: WinRate | None, more: int | None) -> str:
    if more is None:
        return f"it is not better than the champion: {gain}; more ratings of the same kind would not change that"
    duels = f", and the duels do not decide: {online}" if online and gain.low > HARDLY_WORSE else ""
    return (
        f"the difference to the champion may be luck: {gain}{duels}; about {more} more rated questions would "
        "decide it, if the gain stays as it is"
    )


def _why(rule: str, gain: Interval, online: WinRate | None) -> str:
    if rule == "interval":
        return f"better than the champion beyond luck: {gain}"
    return f"hardly worse than the champion at worst: {gain}, and raters prefer what was trained: {online}"


def apply(
    version: Version,
    registry: Registry,
    store: Store,
    corpus_id: str,
    embedder: Embedder,
    chunks: Sequence[Chunk],
    vectors: Vectors,
    by_hand: bool = False,
    arms: Mapping[str, Embedder] = NOTHING,
    precision: Precision | None = None,
) -> None:
    """Record a version; if its verdict says so, write its table from the vectors it was judged by and let it serve.

    `by_hand` lets it serve whatever the verdict, and the log says so. `arms` are the models as they serve from then on,
    in the `precision` that was measured. Documents that changed while it was trained are brought level before the swap.
    The champion's table is left alone, so that a question in flight, and a rollback, still find it.
    """
    if not (by_hand or version.verdict == "promote"):
        registry.add(version)
        return
    keep_vectors(store, corpus_id, embedder, chunks, vectors)
    with changing_documents(store):  # a file that is dropped into the chat goes to what serves: before, or after
        complete(store, corpus_id, {version.name: embedder, **arms})
        registry.add(version)
        mover: Mover = "gate" if version.verdict == "promote" else "hand"
        base = arms["base"].reference if arms else ""
        registry.promote(version.folders, version.name, mover, version.summary, precision, base)


def keep_vectors(store: Store, corpus_id: str, embedder: Embedder, chunks: Sequence[Chunk], vectors: Vectors) -> None:
    """Write the table of a new model from the vectors that it was judged by: nothing is embedded twice."""
    table = store.chunk_table(corpus_id, embedder.fingerprint)
    if not store.has_table(table):  # an adapter's is there: it is its model's
        store.put_chunks(table, chunks, vectors)


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
