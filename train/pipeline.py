"""Run one training: mine negatives, train the challenger, evaluate, decide, report, promote a better version.

Why every training begins with the start weights, never with the champion's: overfitting and leaked chunks of one
version are not passed on. The champion mines the hard negatives, so that they are what the current model gets wrong.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from safetensors import SafetensorError

from rag.errors import StoreFailed, TrainingRefused, first_line, is_out_of_memory
from rag.ingest.chunking import CHUNKER_VERSION
from rag.models.arms import arm_precision
from rag.models.embedder import Vectors
from rag.models.precision import serving
from rag.models.registry import Registry, Version
from rag.models.trials import may_try
from rag.models.weights import write_dense_weight
from rag.records import Pair, content_id
from rag.settings import Settings
from rag.tracing.spans import span, start_spans
from train.context import TrainingContext
from train.dataset.earlier_versions import write_held_out
from train.dataset.plan import TrainingOptions, TrainingPlan
from train.judging.contenders import Candidate, challenger_candidates, served_candidates
from train.judging.evaluate import word_search
from train.judging.gate import Verdict
from train.judging.pinned import broken_by_challenger, why
from train.judging.promotion import apply, complete, keep_vectors, load_arms
from train.judging.serving_precision import PrecisionChoice
from train.progress import PREPARING, REPORTING, TUNING, StageReporter, bar, leads
from train.reporting.model_card import model_card
from train.reporting.report import write_report
from train.session import TrainingSession
from train.tuning.challenger import Challenger
from train.tuning.trainer import PROJECT, Run, lower_priority
from train.tuning.version_folder import CARD

CHECKPOINTS = "training"  # folder in the cache, for resuming
TORCH_WRITES = ("inline_container.cc", "PytorchStreamWriter")  # in the RuntimeErrors of torch.save


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """The outcome of a training. `vectors` (chunks, dim) are the challenger's, in the order of the chunks.

    `by_hand` says whether it was promoted whatever the gate decided.
    """

    version: Version
    verdict: Verdict
    trained: Challenger
    vectors: Vectors
    report: Path
    by_hand: bool = False


def run_training(
    context: TrainingContext, options: TrainingOptions, plan: TrainingPlan, clock: StageReporter
) -> TrainingOutcome | None:
    """Run all stages of a training; promote the version if the gate says so. Raises StoreFailed.

    Returns None in torchrun processes other than rank 0. Raises TrainingRefused where memory runs out.
    """
    start_spans(context.settings)
    with explain_memory(), span("train") as record:
        outcome = _run(context, options, plan, clock)
        if outcome:
            version, verdict = outcome.version, outcome.verdict
            record.add(version=version.name, decision=verdict.decision, by_hand=outcome.by_hand)
            record.texts(reason=verdict.reason)
    return outcome


@contextmanager
def explain_memory() -> Iterator[None]:
    """Raise TrainingRefused with what to do where memory runs out; a kill by the system leaves no chance to say so."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingRefused(
            "the memory ran out; what served before serves on: close other programs, or train with --fast or --lora 16"
        ) from error


def _run(
    context: TrainingContext, options: TrainingOptions, plan: TrainingPlan, clock: StageReporter
) -> TrainingOutcome | None:
    settings, registry = context.settings, context.registry
    lower_priority(settings.train_threads)
    session = TrainingSession(context, options, plan, served_candidates(context, clock.bar), context.champion, clock)
    pairs = session.pairs()
    clock.done(PREPARING, f"training {session.subject} on {len(pairs)} pairs")
    with new_version(settings, registry) as name:
        checkpoints = checkpoints_for(settings, options, pairs)
        trained = session.factory.make(pairs, name, checkpoints, run_of(settings, options, name, clock))
        clock.done(TUNING, f"trained: {_summary(trained.facts)}")
        challenger = challenger_candidates(trained, name, context.chunks, clock.bar, settings.cache)
        runs = session.judge(challenger, pairs)
        if not leads():
            return None
        verdict = session.verdict(challenger, pairs, runs)
        challenger = session.weighted(challenger)
        broken = broken_by_challenger(
            *(settings, session.champion, challenger, context.chunks, session.keywords),
            by_words=partial(word_search, context, session.champion.embedder),
        )
        by_hand = options.promote and not broken
        if broken:
            both = [verdict.reason] * (verdict.decision == "keep")
            verdict = replace(verdict, decision="keep", rule="", reason="; ".join([*both, f"it {why(broken)}"]))
        version = session.version(name, verdict, trained)
        trained.save(settings.models / name)
        if challenger.dense_weight is not None:
            write_dense_weight(settings.models / name, challenger.dense_weight)
        write_held_out(settings.models / name, plan.evaluation.never_trained)
        abstaining = session.fit_threshold(challenger)
        choice = None
        is_promoted = by_hand or verdict.decision == "promote"
        if is_promoted and not context.group:  # a group's adapter serves in what both arms serve in
            choice = session.choose_precision(name)
            clock.say(f"precision of both arms: {serving(settings, choice.precision)} ({choice.why})")
        results = session.results(version, verdict, trained, runs, abstaining, choice)
        report = write_report(settings.runs / name, results)
        (settings.models / name / CARD).write_text(model_card(results), "utf-8")
        measured = [each for role, each in abstaining.items() if role == "challenger" or not context.group]
        registry.set_abstain_below(context.corpus.id, {each.fingerprint: each.below for each in measured})
        session.record_evidence(verdict)
        may_be_tried = not context.group and may_try(settings, version.folders)
        on_trial = not is_promoted and not broken and verdict.is_ahead and may_be_tried
        if on_trial:
            clock.say(f"{name} is on trial: it is ahead without enough evidence, and answers in comparisons")
        _settle(context, version, challenger, choice, by_hand=by_hand, on_trial=on_trial)
        clock.done(REPORTING)
    if checkpoints:  # None for a bootstrap or --fast, which keep those of an interrupted training
        shutil.rmtree(checkpoints, ignore_errors=True)
    return TrainingOutcome(version, verdict, trained, challenger.vectors, report, by_hand)


@contextmanager
def new_version(settings: Settings, registry: Registry) -> Iterator[str]:
    """Yield the next version's name; if the training stops before it is recorded, delete its folders."""
    name = registry.next_name()
    try:
        yield name
    except BaseException as error:
        if leads() and name not in {version.name for version in registry.versions()}:
            for path in (settings.models / name, settings.runs / name):
                shutil.rmtree(path, ignore_errors=True)
        if why := _unwritten(error):
            raise StoreFailed(f"{settings.home}: {name} cannot be written ({why}): free some space") from error
        raise


def _unwritten(error: BaseException) -> str:
    """Return why a file could not be written, "" for another error. torch and safetensors have errors of their own."""
    if isinstance(error, OSError | SafetensorError):
        return first_line(error)
    is_torch = isinstance(error, RuntimeError) and any(text in str(error) for text in TORCH_WRITES)
    return "the disk is full or breaks off" if is_torch else ""


def checkpoints_for(settings: Settings, options: TrainingOptions, pairs: Sequence[Pair]) -> Path | None:
    """Return the checkpoint folder of exactly this training, for resuming it; those of other trainings are deleted.

    None for an adapter and a bootstrap: resuming would take as long.
    """
    if options.fast or options.kind == "bootstrap":
        return None
    texts = [f"{pair}" for pair in pairs]
    key = (CHUNKER_VERSION, settings.start_model, repr(replace(options, promote=False, report_to=())))
    place = settings.cache / CHECKPOINTS / content_id(*key, *texts)
    for other in place.parent.glob("*"):
        if other != place:
            shutil.rmtree(other, ignore_errors=True)
    return place


def run_of(settings: Settings, options: TrainingOptions, name: str, clock: StageReporter) -> Run | None:
    """Return how experiment trackers know the training of a version, None where none was asked for.

    TensorBoard would write into a folder that is deleted with the checkpoints, and gets one of its own.
    """
    if not options.report_to or not leads():
        return None
    os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(settings.home / "tensorboard" / name))
    os.environ.setdefault("WANDB_PROJECT", PROJECT)
    return Run(name, options.report_to, clock.say)


def _settle(
    context: TrainingContext,
    version: Version,
    challenger: Candidate,
    choice: PrecisionChoice | None,
    *,
    by_hand: bool,
    on_trial: bool,
) -> None:
    """Record a version; if it will answer, update both arms' tables in the precision they serve in, then swap.

    `choice` is the precision of a promotion of a version for everybody, None where there is none: a trial and a group's
    adapter serve in what both arms serve in already.
    """
    if not (by_hand or on_trial or version.verdict == "promote"):
        apply(context, version, challenger)
        return
    settings, folders = context.settings, context.corpus.folders_id
    keep_vectors(context, challenger)
    precision = serving(settings, choice.precision) if choice else arm_precision(settings, folders)
    arms = load_arms(settings, str(settings.models / version.name), precision)
    complete(context.store, context.corpus.id, arms, bar)
    chosen = choice.precision if choice else None
    apply(context, version, challenger, by_hand=by_hand, on_trial=on_trial, arms=arms, precision=chosen)


def _summary(facts: Mapping[str, object]) -> str:
    """Return one line on how a model was trained."""
    seconds = facts.get("seconds")
    spent = f" in {seconds:.0f} s" if isinstance(seconds, float) else ""
    if "steps" in facts and "examples" in facts:
        return f"{facts['steps']} steps on {facts['examples']} examples{spent}, kept {facts['kept']}"
    return f"a query adapter for {facts['adapts']}{spent}, kept {facts['kept']}"
