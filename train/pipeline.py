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

from rag.errors import StoreFailed
from rag.evaluation.metrics import GATE
from rag.evaluation.win_rates import WinRate, outcomes, win_rate
from rag.ingest.chunking import CHUNKER_VERSION
from rag.models.embedder import Embedder, Vectors
from rag.models.precision import serving
from rag.models.registry import Registry, Version
from rag.records import Chunk, Pair, Qrels, content_id
from rag.settings import Settings
from rag.store.store import Store
from train.dataset.plan import TrainingOptions, TrainingPlan
from train.judging.contenders import Candidate, challenger_candidates, served_candidates
from train.judging.evaluate import full, scores_of
from train.judging.gate import Verdict, decide
from train.judging.promotion import apply, complete, keep_vectors, load_arms
from train.judging.serving_precision import AFTER_BOOTSTRAP, PrecisionChoice, choose_precision
from train.progress import MEETING, SETTLING, TUNING, StageReporter, bar, leads
from train.reporting.model_card import model_card
from train.reporting.report import write_report
from train.session import TrainingSession
from train.tuning.challenger import Challenger
from train.tuning.trainer import lower_priority
from train.tuning.version_folder import CARD

CHECKPOINTS = "training"  # a folder in the cache: where a training goes on that broke off


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """What a training came to. `vectors` are the challenger's, of all chunks in their order."""

    version: Version
    verdict: Verdict
    made: Challenger
    vectors: Vectors
    report: Path


def run_training(
    settings: Settings, store: Store, order: TrainingOptions, seen: TrainingPlan, clock: StageReporter
) -> TrainingOutcome | None:
    """Mine, make, judge, decide, report, and let serve what is better. Raises StoreFailed where nothing can be kept.

    Returns None in the processes of torchrun that only helped to compute.
    """
    lower_priority(settings.train_threads)
    registry = Registry(settings.models)
    crowned = registry.champion(seen.corpus.folders_id)
    served = served_candidates(settings, store, seen.corpus, seen.chunks, clock.bar)
    course = TrainingSession(settings, order, seen, served, crowned, clock)
    pairs = course.pairs()
    clock.done(MEETING, f"tuning {course.subject} on {len(pairs)} pairs")
    with new_version(settings, registry) as name:
        checkpoints = checkpoints_for(settings, order, pairs)
        made = course.maker.make(pairs, name, checkpoints)
        clock.done(TUNING, f"tuned: {_told(made.facts)}")
        challenger = challenger_candidates(made, name, seen.chunks, clock.bar)
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
        abstaining = course.fit_threshold(challenger)
        choice = None
        if order.promote or verdict.word == "promote":
            choice = _precision(settings, order, seen, course.qrels, name, crowned)
            clock.say(f"both arms will serve in {serving(settings, choice.precision)}: {choice.why}")
        facts = course.facts(version, verdict, made, runs, abstaining, choice)
        report = write_report(settings.runs / name, facts)
        (settings.models / name / CARD).write_text(model_card(facts), "utf-8")
        registry.set_abstain_below(seen.corpus.id, {each.fingerprint: each.below for each in abstaining.values()})
        _settle(settings, store, seen.corpus.id, challenger, seen.chunks, version, choice, order.promote)
        clock.done(SETTLING)
    if checkpoints:  # those of another training wait for it
        shutil.rmtree(checkpoints, ignore_errors=True)
    return TrainingOutcome(version, verdict, made, challenger.vectors, report)


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


def checkpoints_for(settings: Settings, order: TrainingOptions, pairs: Sequence[Pair]) -> Path | None:
    """Return the folder in which this very training would have broken off; what other ones left there is deleted.

    None for what takes no longer than going on would: an adapter, and a bootstrap.
    """
    if order.fast or order.kind == "bootstrap":
        return None
    said = [f"{pair}" for pair in pairs]
    what = (CHUNKER_VERSION, settings.start_model, repr(replace(order, promote=False)))
    place = settings.cache / CHECKPOINTS / content_id(*what, *said)
    for other in place.parent.glob("*"):
        if other != place:
            shutil.rmtree(other, ignore_errors=True)
    return place


def _precision(
    settings: Settings, order: TrainingOptions, seen: TrainingPlan, qrels: Qrels, name: str, crowned: Version | None
) -> PrecisionChoice:
    """Return the precision for a version that is to serve; nobody waits for that to be measured at a first start."""
    if order.kind == "bootstrap":
        return AFTER_BOOTSTRAP
    roles = {"base": settings.base_model, "challenger": str(settings.models / name)}
    now = Registry(settings.models).precision(seen.corpus.folders_id, crowned, settings.base_model)
    return choose_precision(settings, roles, qrels, seen.chunks, now)


def _settle(
    settings: Settings,
    store: Store,
    corpus_id: str,
    challenger: Candidate,
    chunks: Sequence[Chunk],
    version: Version,
    choice: PrecisionChoice | None,
    by_hand: bool,
) -> None:
    """Record a version; where it is to serve, complete both arms' tables in the precision that was chosen, and swap."""
    arms: Mapping[str, Embedder] = {}
    if choice:
        keep_vectors(store, corpus_id, challenger.embedder, chunks, challenger.vectors)
        arms = load_arms(settings, str(settings.models / version.name), serving(settings, choice.precision))
        complete(store, corpus_id, arms, bar)
    apply(
        version,
        Registry(settings.models),
        store,
        corpus_id,
        challenger.embedder,
        chunks,
        challenger.vectors,
        by_hand=by_hand,
        arms=arms,
        precision=choice.precision if choice else None,
    )


def _online(store: Store, registry: Registry, crowned: Version | None) -> WinRate | None:
    """Return how the champion has done against base, blind, since it serves; None where nothing was promoted."""
    if crowned is None:
        return None
    found = outcomes(store.feedback.ratings(), store.feedback.answers())
    return win_rate(found, crowned.name, registry.promoted_at(crowned.folders))


def _told(facts: Mapping[str, object]) -> str:
    """Return in a few words how a model came about."""
    seconds = facts.get("seconds")
    spent = f" in {seconds:.0f} s" if isinstance(seconds, float) else ""
    if "steps" in facts and "examples" in facts:
        return f"{facts['steps']} steps on {facts['examples']} examples{spent}, kept {facts['kept']}"
    return f"an adapter of {facts['adapts']}{spent}, kept {facts['kept']}"
