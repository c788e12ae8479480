"""The gate: promote only what is better beyond luck. Deciding is pure; applying builds the new table, then swaps.

A keep is recorded too, and its weights stay, so that a person who knows more than the numbers can promote it by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from rag.embed import Embedder, Vectors, load_embedder
from rag.errors import UnknownVersion
from rag.index import Embedded, update_vectors
from rag.ingest import Corpus
from rag.records import Chunk
from rag.registry import START_WEIGHTS, Registry, Version
from rag.settings import Settings
from rag.stats import GATE, Interval, Tally, Values, paired_bootstrap, win_tie_loss
from rag.store import Store

Bar = Callable[[str], Embedded]  # what is done -> a progress that shows it

MIN_HELD_OUT = 10  # queries; on fewer the bootstrap calls a single lucky one certain


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a training, with the numbers it rests on: means of the gate's metric at full dimension."""

    word: Literal["promote", "keep"]
    reason: str
    challenger: float
    champion: float
    base: float
    gain: Interval  # challenger over champion
    tally: Tally  # challenger against champion
    n: int

    def line(self, challenger: str, champion: str) -> str:
        """Return the one line that a training ends in."""
        what = f"promote {challenger}" if self.word == "promote" else f"keep {champion}, not {challenger}"
        return (
            f"VERDICT: {what} | {GATE} {self.challenger:.2f}, champion {self.champion:.2f} ({self.gain}), "
            f"base {self.base:.2f} | n={self.n}"
        )


def decide(challenger: Values, champion: Values, base: Values) -> Verdict:
    """Promote if the challenger's gain over the champion is above 0 with 95% confidence and it is not below base.

    All three are the gate's metric per held-out query, in the same order.
    """
    n = int(challenger.size)
    ours, theirs, off_the_shelf = (float(values.mean()) if n else 0.0 for values in (challenger, champion, base))
    gain = paired_bootstrap(challenger, champion)
    against = {
        f"{n} held-out queries, need {MIN_HELD_OUT} to judge": n < MIN_HELD_OUT,
        f"the difference to the champion may be luck: {gain}": gain.low <= 0,
        f"it is below base: {ours:.3f} against {off_the_shelf:.3f}": ours < off_the_shelf,
    }
    reasons = [reason for reason, holds in against.items() if holds]
    reason = reasons[0] if reasons else f"better than the champion beyond luck: {gain}"
    tally = win_tie_loss(challenger, champion)
    return Verdict("keep" if reasons else "promote", reason, ours, theirs, off_the_shelf, gain, tally, n)


def apply(
    version: Version,
    registry: Registry,
    store: Store,
    corpus_id: str,
    embedder: Embedder,
    chunks: Sequence[Chunk],
    vectors: Vectors,
) -> None:
    """Record a version; if its verdict says so, write its table from the vectors it was judged by and let it serve.

    Documents that changed while it was trained are brought level before the swap. The champion's table is left alone,
    so that a question in flight, and a rollback, still find it.
    """
    if version.verdict == "promote":
        store.put_chunks(store.chunk_table(corpus_id, embedder.fingerprint), chunks, vectors)
        update_vectors(store, corpus_id, embedder)
    registry.add(version)
    if version.verdict == "promote":
        registry.promote(version.folders, version.name)


def promote_by_hand(settings: Settings, store: Store, corpus: Corpus, name: str, bar: Bar) -> str:
    """Let a version serve whatever its verdict was, and return its name. Raises UnknownVersion.

    A version that was trained on other documents is refused: nothing was measured on these.
    """
    registry = Registry(settings.models)
    version = registry.version(name)
    if version.folders != corpus.folders_id:
        known = ", ".join(each.name for each in registry.versions() if each.folders == corpus.folders_id) or "none yet"
        raise UnknownVersion(f"{name} was trained on other documents; for these there are: {known}")
    embedder = load_embedder(str(registry.model_folder(version)), settings)
    update_vectors(store, corpus.id, embedder, bar(f"embedding ({name})"))
    return registry.promote(corpus.folders_id, name).name


def roll_back(settings: Settings, store: Store, corpus: Corpus, bar: Bar) -> str:
    """Let serve what served before, and return its name. Raises UnknownVersion where nothing did."""
    registry = Registry(settings.models)
    before = registry.previous(corpus.folders_id)
    reference = str(registry.model_folder(before)) if before else settings.start_model
    name = before.name if before else START_WEIGHTS
    update_vectors(store, corpus.id, load_embedder(reference, settings), bar(f"embedding ({name})"))
    registry.rollback(corpus.folders_id)
    return name
