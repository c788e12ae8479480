"""A training, top to bottom: mine, make, judge, decide, report, and serve what is better.

Every training begins with the start model's weights, never with the champion's: what one version overfitted, and the
chunks it saw, are not handed on. The champion mines the hard negatives, so that they are what fools it today.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rag.embed import Vectors
from rag.errors import StoreFailed
from rag.online import WinRate, outcomes, win_rate
from rag.records import Pair, content_id
from rag.registry import Registry, Version
from rag.settings import Settings
from rag.stats import GATE
from rag.store import Store
from train.card import model_card
from train.clock import MEETING, SETTLING, TUNING, Clock, leads
from train.contest import enter_made, enter_served
from train.course import Course
from train.evaluate import full, scores_of
from train.folder import CARD
from train.make import Made
from train.promote import Verdict, apply, decide
from train.prospect import Order, Prospect
from train.report import write_report
from train.tune import give_way

CHECKPOINTS = "training"  # a folder in the cache: where a training goes on that broke off


@dataclass(frozen=True, slots=True)
class Learned:
    """What a training came to. `vectors` are the challenger's, of all chunks in their order."""

    version: Version
    verdict: Verdict
    made: Made
    vectors: Vectors
    report: Path


def learn(settings: Settings, store: Store, order: Order, seen: Prospect, clock: Clock) -> Learned | None:
    """Mine, make, judge, decide, report, and let serve what is better. Raises StoreFailed where nothing can be kept.

    Returns None in the processes of torchrun that only helped to compute.
    """
    give_way(settings.train_threads)
    registry = Registry(settings.models)
    crowned = registry.champion(seen.corpus.folders_id)
    served = enter_served(settings, store, seen.corpus, seen.chunks, clock.bar)
    course = Course(settings, order, seen, served, crowned, clock)
    pairs = course.pairs()
    clock.done(MEETING, f"tuning {course.subject} on {len(pairs)} pairs")
    with new_version(settings, registry) as name:
        checkpoints = checkpoints_for(settings, order, pairs)
        made = course.maker.make(pairs, name, checkpoints)
        clock.done(TUNING, f"tuned: {_told(made.facts)}")
        challenger = enter_made(made, name, seen.chunks, clock.bar)
        runs = course.judge(challenger, pairs)
        if not leads():
            return None
        scores = {role: scores_of(each, course.qrels) for role, each in runs.items()}
        verdict = decide(
            *(full(scores[role])[GATE] for role in ("challenger", "champion", "base")),
            kind=seen.trial.kind,
            general=course.general(challenger, pairs),
            online=_online(store, registry, crowned),
        )
        if verdict.word == "promote" and registry.champion(seen.corpus.folders_id) != crowned:
            verdict = replace(verdict, word="keep", reason="another version was promoted meanwhile: train again")
        version = course.version(name, verdict, made)
        made.save(settings.models / name)
        facts = course.facts(version, verdict, made, runs)
        report = write_report(settings.runs / name, facts)
        (settings.models / name / CARD).write_text(model_card(facts), "utf-8")
        apply(version, registry, store, seen.corpus.id, made.embedder, seen.chunks, challenger.vectors, order.promote)
        clock.done(SETTLING)
    if checkpoints:  # those of another training wait for it
        shutil.rmtree(checkpoints, ignore_errors=True)
    return Learned(version, verdict, made, challenger.vectors, report)


@contextmanager
def new_version(settings: Settings, registry: Registry) -> Iterator[str]:
    """Give the next version's name; whatever stops the training before it is recorded takes its folders away."""
    name = registry.next_name()
    try:
        yield name
    except BaseException as error:
        if leads() and name not in {version.name for version in registry.versions()}:
            for path in (settings.models / name, settings.runs / name):
                shutil.rmtree(path, ignore_errors=True)
        if isinstance(error, OSError):
            raise StoreFailed(f"{settings.home}: {name} cannot be written ({error}): free some space") from error
        raise


def checkpoints_for(settings: Settings, order: Order, pairs: Sequence[Pair]) -> Path | None:
    """Return the folder in which this very training would have broken off; what other ones left there is deleted.

    None for what takes no longer than going on would: an adapter, and a bootstrap.
    """
    if order.fast or order.kind == "bootstrap":
        return None
    said = [part for pair in pairs for part in (pair.query, pair.positive, *pair.negatives, str(pair.weight))]
    place = settings.cache / CHECKPOINTS / content_id(settings.start_model, repr(replace(order, promote=False)), *said)
    for other in place.parent.glob("*"):
        if other != place:
            shutil.rmtree(other, ignore_errors=True)
    return place


def _online(store: Store, registry: Registry, crowned: Version | None) -> WinRate | None:
    """Return how the champion has done against base, blind, since it serves; None where nothing was promoted."""
    if crowned is None:
        return None
    found = outcomes(store.ratings(), store.answers())
    return win_rate(found, crowned.name, registry.promoted_at(crowned.folders))


def _told(facts: Mapping[str, object]) -> str:
    """Return in a few words how a model came about."""
    seconds = facts.get("seconds")
    spent = f" in {seconds:.0f} s" if isinstance(seconds, float) else ""
    if "steps" in facts and "examples" in facts:
        return f"{facts['steps']} steps on {facts['examples']} examples{spent}, kept {facts['kept']}"
    return f"an adapter of {facts['adapts']}{spent}, kept {facts['kept']}"
