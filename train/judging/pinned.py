"""Find the pins that a promotion would break: they hold with what serves now, and not with the new model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from rag.errors import TrainingRefused
from rag.feedback.pins import PINS_FILE, Pin, holds, read_pins
from rag.models.arms import ServedModel
from rag.models.embedder import Embedder
from rag.models.weights import read_dense_weight
from rag.records import Chunk, Hit, Qrels
from rag.retrieval.search import build_options, retrieve, with_explore
from rag.settings import Settings
from rag.store.store import Store
from train.judging.evaluate import KeywordSearch, evaluation_runs

if TYPE_CHECKING:
    from train.judging.contenders import Candidate

SHOWN = 3  # pins that are named in one line


def pins_of(settings: Settings) -> list[Pin]:
    """Return the pins of a home that are not waived. Raises BadLabels."""
    return [pin for pin in read_pins(settings.home / PINS_FILE) if not pin.waived]


def broken_by_challenger(
    settings: Settings,
    champion: Candidate,
    challenger: Candidate,
    chunks: Sequence[Chunk],
    keywords: KeywordSearch | None = None,
    by_words: Callable[[], KeywordSearch] | None = None,
) -> list[Pin]:
    """Return the pins that the challenger breaks, ranked as a training evaluates: with `keywords` by hybrid search.

    `by_words` opens the keyword search of the slots that show its matches (`rag.retrieval.search.with_explore`).
    """
    from train.judging.contenders import candidates_for  # torch, which a promotion by hand does not need

    pins = pins_of(settings)
    if not pins:
        return []
    qrels = Qrels({pin.query: frozenset[str]() for pin in pins})
    both = {"now": champion, "new": challenger}
    runs = evaluation_runs([(qrels, candidates_for(both, qrels))], chunks, lambda dim: (dim,), keywords)
    known = {chunk.id: chunk for chunk in chunks}
    matches = by_words() if by_words and settings.explore else lambda query: dict[str, float]()

    def find(role: str) -> Callable[[Pin], list[str]]:
        ranked = runs[role][max(runs[role])].ranked

        def shown(pin: Pin) -> list[str]:
            best, lexical = (
                [Hit(known[each], rank, 0.0) for rank, each in enumerate(ids, 1) if each in known]
                for ids in (ranked[pin.query], matches(pin.query))
            )
            return [hit.chunk.text for hit in with_explore(best, lexical, settings.k, settings.explore)]

        return shown

    return _broken(pins, find("now"), find("new"))


def require_unbroken(
    settings: Settings, store: Store, corpus_id: str, name: str, models: Mapping[str, Embedder]
) -> None:
    """Raise TrainingRefused where the model `new` breaks pins that hold with the model `now`, searched as users do."""
    pins = pins_of(settings)
    if not pins:
        return
    options = build_options(settings)

    def find(role: str) -> Callable[[Pin], list[str]]:
        embedder = models[role]
        table, weight = store.chunks.table_name(corpus_id, embedder.fingerprint), read_dense_weight(embedder.reference)
        served = ServedModel("tuned", name, embedder, table, dense_weight=weight)
        return lambda pin: [hit.chunk.text for hit in retrieve(store, served, pin.query, options)]

    if broken := _broken(pins, find("now"), find("new")):
        raise TrainingRefused(f"{name} {why(broken)}")


def why(broken: Sequence[Pin]) -> str:
    """Return what a promotion breaks, and what to do."""
    named = ", ".join(repr(pin.query) for pin in broken[:SHOWN]) + (", ..." if len(broken) > SHOWN else "")
    held = "pin that holds" if len(broken) == 1 else "pins that hold"
    return (
        f"breaks {len(broken)} {held} now ({named}): look at them, and let each break with "
        "`python -m rag check --waive QUESTION REASON`"
    )


def _broken(pins: Sequence[Pin], now: Callable[[Pin], Sequence[str]], new: Callable[[Pin], Sequence[str]]) -> list[Pin]:
    return [pin for pin in pins if holds(pin, now(pin)) and not holds(pin, new(pin))]
