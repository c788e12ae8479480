"""What `python -m train` without a command does: one training at a time in a home, printed stage by stage."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from train.recipe import LOSSES

if TYPE_CHECKING:
    from rag.settings import Settings
    from rag.shared_home.home import SharedHome
    from rag.store.store import Store
    from train.dataset.plan import TrainingOptions


def run(given: argparse.Namespace) -> None:
    """Train as the options say, if no other training is under way."""
    from rag.errors import NotEnoughFeedback, StoreFailed
    from rag.store.store import open_store
    from train import progress
    from train.context import open_context
    from train.dataset.generate_questions import generate_questions
    from train.dataset.plan import TrainingOptions

    _check(given)
    settings = usable_settings()
    os.environ.setdefault("MPLCONFIGDIR", str(settings.cache / "matplotlib"))  # else plots leave files in ~
    options = TrainingOptions(
        kind="bootstrap" if given.bootstrap else "ratings",
        fast=given.fast,
        epochs=given.epochs,
        batch=given.batch,
        seed=given.seed,
        loss=given.loss,
        dims=given.dims,
        lora=given.lora,
        serve_dim=given.serve_dim,
        promote=given.promote,
        report_to=given.report_to,
    )
    with ExitStack() as held:
        publishes = progress.leads()
        try:
            held.enter_context(training_lock(settings.home) if publishes else nullcontext())
        except StoreFailed:
            if not given.dry_run:  # which changes nothing, and so may run beside a training
                raise
            publishes = False
        store = held.enter_context(closing(open_store(settings.lancedb)))
        if given.bootstrap and bootstrap_is_done(settings):
            return
        with progress.publish_progress(settings.home if publishes else None, given.command):
            if given.questions and progress.leads():
                generate_questions(open_context(settings, store), dry_run=given.dry_run)
            try:
                train(settings, store, options, given.dry_run, given.group)
            except NotEnoughFeedback as error:
                if not given.bootstrap:
                    raise
                say(f"bootstrap: {error}")  # not an error: the chat works without a bootstrap


def _check(given: argparse.Namespace) -> None:
    """Raise BadSetting for options that exclude each other, and for trackers that cannot report."""
    from rag.errors import BadSetting

    if given.fast and (
        given.epochs or given.batch or given.lora or given.dims or given.serve_dim or given.loss != LOSSES[0]
    ):
        raise BadSetting(
            "--fast fits an adapter: --epochs, --batch, --loss, --dims, --lora and --serve-dim do not apply"
        )
    if given.group and not given.fast:
        raise BadSetting(f"--group {given.group}: a group gets a query adapter over the one index: add --fast")
    if given.fast and given.report_to:
        raise BadSetting("--fast fits an adapter, which has no steps: --report-to does not apply")
    if given.report_to:
        from train.tuning.reporters import check_reporters

        check_reporters(given.report_to)


def train(settings: Settings, store: Store, options: TrainingOptions, dry_run: bool, group: str = "") -> None:
    """Print the training plan; unless it is a dry run, train, and print the verdict last.

    `group` is the group of raters that the version is for, "" for everybody.
    """
    from rag.models.precision import serving
    from train import progress
    from train.context import open_context
    from train.dataset.plan import make_plan
    from train.progress import GATHERING, StageReporter, stages

    serving(settings, None)  # raises now, not after hours, for a precision that cannot serve
    clock = StageReporter(say)
    progress.now().plan([GATHERING])
    context = open_context(settings, store, group)
    plan = make_plan(context, options)
    progress.now().plan([GATHERING] if dry_run else stages(len(plan.evaluation.splits)))
    clock.done(GATHERING, plan.summary())
    if dry_run:
        say("dry run: nothing was trained and nothing changed")
        return
    from train.pipeline import run_training  # torch takes seconds to import

    outcome = run_training(context, options, plan, clock)
    if outcome is None:
        return
    if outcome.verdict.decision == "keep":
        say(f"why: {outcome.verdict.reason}")
    say(f"report: {outcome.report}\n{outcome.version.summary}")
    if options.promote and outcome.version.verdict == "keep":
        if outcome.by_hand:
            say(f"{outcome.version.name} promoted anyway, because of --promote")
        else:
            say(f"{outcome.version.name} not promoted: {outcome.verdict.reason}")
    progress.now().end("done", version=outcome.version.name)


def say(line: str) -> None:
    """Print a line, and publish it with the progress."""
    from train import progress

    print(line, flush=True)
    progress.now().line(line)


@contextmanager
def training_lock(home: Path) -> Iterator[None]:
    """Lock a home for one training at a time. Raises StoreFailed that names the other process."""
    from filelock import FileLock, Timeout

    from rag.errors import StoreFailed
    from rag.home_address import shared_home
    from rag.training_status import LOCK_FILE, read_training

    if shared := shared_home(home):
        with _leasing_training(shared):
            yield
        return
    lock = FileLock(home / LOCK_FILE, timeout=0)
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        other = read_training(home)
        who = other.who if other and other.is_running else "another process"
        raise StoreFailed(f"a training is under way already ({who}): wait for it, or stop it") from None
    except OSError as error:
        raise StoreFailed(f"{home}: cannot be written ({error}): set THUMBTUNE_HOME elsewhere") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _leasing_training(home: SharedHome) -> Iterator[None]:
    """Do the same in a shared home, among all machines: a training that was left for dead can no longer promote."""
    from rag.errors import StoreFailed
    from rag.models.registry import Registry
    from rag.training_status import LEASE

    with ExitStack() as held:
        try:
            lease = held.enter_context(home.lease(LEASE, 0))
        except TimeoutError as error:
            raise StoreFailed(f"a training is under way already ({error}): wait for it, or stop it there") from None
        if lease.taken_over:
            Registry(home.folder / "models").fence(lease.token)
        yield


def bootstrap_is_done(settings: Settings) -> bool:
    """Return whether these documents have a champion or had a bootstrap already, and print which."""
    from rag.ingest.corpus import load_corpus
    from rag.models.registry import Registry

    why = Registry(settings.models).why_no_bootstrap(load_corpus(settings).folders_id)
    if why:
        print(why)
    return bool(why)


def usable_settings() -> Settings:
    """Return the settings, of a home folder that this release can use. Raises BadSetting and StoreFailed."""
    from rag.home import check_format
    from rag.settings import load_settings

    settings = load_settings()
    check_format(settings.home)
    return settings
