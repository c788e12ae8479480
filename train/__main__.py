"""python -m train: train on the ratings; list, show, evaluate, compare, promote, roll back versions."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rag import cli
from rag.indexing.engine import add_engine, open_engine
from rag.models.registry import START_WEIGHTS
from train.recipe import LEAST_BATCH, LOSSES

if TYPE_CHECKING:
    from rag.models.precision import Precision
    from rag.settings import Settings
    from rag.shared_home.home import SharedHome
    from rag.store.store import Store
    from train.dataset.plan import TrainingOptions


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status (rag.cli.run)."""
    return cli.run(build_parser(), argv)


def build_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(
        prog="python -m train", description="Train on the ratings; promote the new version if it is better."
    )
    fill_parser(parser)
    return parser


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options and commands of this program."""
    parser.set_defaults(before=_stop_like_ctrl_c, stopped=_stopped)
    parser.set_defaults(run=_train)
    parser.add_argument(
        "--bootstrap", action="store_true", help="train on pairs made from the documents, before anybody has rated"
    )
    parser.add_argument("--fast", action="store_true", help="train a query adapter in a minute, without a new index")
    parser.add_argument(
        "--group", default="", metavar="NAME", help="with --fast: an adapter for a group of raters alone"
    )
    parser.add_argument(
        "--questions", action="store_true", help="first let the LLM write questions about the documents"
    )
    parser.add_argument("--dry-run", action="store_true", help="show the available training data and exit")
    parser.add_argument("--promote", action="store_true", help="promote the new version whatever the gate decides")
    parser.add_argument(
        "--epochs", type=_positive, default=0, metavar="N", help="number of epochs (default: by the number of pairs)"
    )
    parser.add_argument(
        "--batch", type=_batch, default=0, metavar="N", help="pairs in a batch, over all processes (default: 16)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (default: %(default)s)")
    parser.add_argument("--loss", choices=LOSSES, default=LOSSES[0], help="loss function (default: %(default)s)")
    parser.add_argument("--dims", type=_dims, default=(), metavar="N,N", help="dimensions that MatryoshkaLoss trains")
    parser.add_argument(
        "--lora",
        type=_positive,
        default=0,
        metavar="RANK",
        help="train a low-rank update (LoRA) instead of all weights",
    )
    parser.add_argument(
        "--serve-dim", type=_positive, default=0, metavar="N", help="serve vectors truncated to N dimensions"
    )
    parser.add_argument(
        "--report-to",
        type=_names,
        default=(),
        metavar="NAME,NAME",
        help="send the loss to experiment trackers: tensorboard, wandb, mlflow, trackio and others",
    )
    commands = parser.add_subparsers(metavar="COMMAND")
    command = partial(cli.add_command, commands)
    command("list", _list, "list the versions; * marks the one that serves these documents")
    command("show", _show, "show the verdict and metrics of a version").add_argument("version")
    evaluate = command("evaluate", _evaluate, "evaluate a version (default: the champion) on a file of labels")
    evaluate.add_argument("version", nargs="?", default="")
    evaluate.add_argument(
        "--qrels", type=Path, required=True, metavar="FILE", help="labels in a format of `python -m rag import`"
    )
    add_compare(commands)
    promote = command("promote", _promote, f"promote a version, or the {START_WEIGHTS}, whatever the gate decided")
    add_engine(promote)
    promote.add_argument("version", nargs="+", help=f"a version's name, or: {START_WEIGHTS}")
    back = command("rollback", _rollback, "roll back to the version that served before")
    back.add_argument("--group", default="", metavar="NAME", help="of a group of raters")
    add_publishing(commands)


def add_publishing(commands: cli.Commands) -> None:
    """Add the commands that take versions out and in."""
    push = cli.add_command(commands, "push", _push, "write a version to a folder that sentence-transformers loads")
    push.add_argument("version")
    push.add_argument("target", metavar="TARGET", help="a new folder, or hub:user/name")
    push.add_argument("--licence", default="", metavar="NAME", help="licence of the base model, if its card names none")
    push.add_argument("--public", action="store_true", help="a repository on the hub that everybody sees")
    pull = cli.add_command(commands, "pull", _pull, "take a model in as a version, which serves once it is promoted")
    pull.add_argument("source", metavar="SOURCE", help="a sentence-transformers folder, or its name on the hub")


def add_compare(commands: cli.Commands) -> None:
    """Add the command that compares two versions or settings."""
    text = "compare two versions or settings on the current held-out queries"
    two = cli.add_command(commands, "compare", _compare, text)
    side = f"a version, base, champion or {START_WEIGHTS!r}, and settings: search=hybrid, v3,rerank=FOLDER"
    two.add_argument("one", metavar="A", help=side)
    two.add_argument("other", metavar="B", help="what to compare it with: champion, chunk_tokens=256, llm=openai:NAME")
    two.add_argument("--most", type=_positive, metavar="N", help="of answers, ask at most N of the queries")


def _stopped() -> str:
    from train.progress import STOPPED

    return STOPPED


def _stop_like_ctrl_c() -> None:
    """Have SIGTERM stop a training as Ctrl-C does."""
    import signal

    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 1 or more")
    return int(text)


def _batch(text: str) -> int:
    if not text.isdigit() or int(text) < LEAST_BATCH:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of {LEAST_BATCH} or more")
    return int(text)


def _dims(text: str) -> tuple[int, ...]:
    return tuple(sorted(map(_positive, text.split(",")), reverse=True))


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))


def _settings() -> Settings:
    """Return the settings, of a home folder that this release can use. Raises BadSetting and StoreFailed."""
    from rag.home import check_format
    from rag.settings import load_settings

    settings = load_settings()
    check_format(settings.home)
    return settings


def _train(given: argparse.Namespace) -> None:
    from rag.errors import BadSetting, NotEnoughFeedback
    from rag.store.store import open_store
    from train import progress
    from train.context import open_context
    from train.dataset.generate_questions import generate_questions
    from train.dataset.plan import TrainingOptions

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
    settings = _settings()
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
    lock = training_lock(settings.home) if progress.leads() else nullcontext()
    with lock, closing(open_store(settings.lancedb)) as store:
        if given.bootstrap and bootstrap_is_done(settings):
            return
        with progress.publish_progress(settings.home if progress.leads() else None, given.command):
            if given.questions and progress.leads():
                generate_questions(open_context(settings, store), dry_run=given.dry_run)
            try:
                train(settings, store, options, given.dry_run, given.group)
            except NotEnoughFeedback as error:
                if not given.bootstrap:
                    raise
                say(f"bootstrap: {error}")  # not an error: the chat works without a bootstrap


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


def _promote(given: argparse.Namespace) -> None:
    from rag.ingest.corpus import load_corpus
    from rag.models.registry import Registry
    from rag.settings import load_settings
    from rag.store.store import open_store
    from train.judging.promotion import promote_by_hand
    from train.progress import bar

    settings = load_settings()
    with closing(open_store(settings.lancedb)) as store:

        def measure(reference: str) -> Precision | None:
            from train.compare_versions import measure_precision
            from train.context import open_context

            choice = measure_precision(open_context(settings, store), reference)
            print(f"precision: {choice.why}")
            return choice.precision

        named = " ".join(given.version)
        if named != START_WEIGHTS:
            Registry(settings.models).version(named)  # before a cluster is started for a name that is none
        with open_engine(given.engine, settings) as engine:
            name = promote_by_hand(settings, store, load_corpus(settings), named, bar, measure, engine)
    version = Registry(settings.models).find(name)
    whom = f" group {version.group}" if version and version.group else ""
    print(f"{name} serves{whom} now; a running chat follows within seconds")


def _rollback(given: argparse.Namespace) -> None:
    from rag.ingest.corpus import load_corpus
    from rag.settings import load_settings
    from rag.store.store import open_store
    from train.judging.promotion import roll_back
    from train.progress import bar

    settings = load_settings()
    with closing(open_store(settings.lancedb)) as store:
        name = roll_back(settings, store, load_corpus(settings), bar, given.group)
    whom = f" group {given.group}" if given.group else ""
    print(f"{name} serves{whom} now; a running chat follows within seconds")


def _push(given: argparse.Namespace) -> None:
    from train.reporting.publishing import push

    where = push(_settings(), given.version, given.target, licence=given.licence, public=given.public)
    print(f"{given.version} is in {where}: SentenceTransformer({where!r}) loads it")


def _pull(given: argparse.Namespace) -> None:
    from rag.ingest.corpus import load_corpus
    from train.reporting.publishing import pull

    settings = _settings()
    version = pull(settings, load_corpus(settings).folders_id, given.source)
    print(f"{version.name} is {version.summary}")
    print(f"Next: `python -m train evaluate {version.name} --qrels FILE`, or `python -m train promote {version.name}`")


def _list(given: argparse.Namespace) -> None:
    from rag.ingest.corpus import load_corpus
    from rag.models.arms import why_unfit
    from rag.models.registry import Registry, group_key
    from rag.models.trials import trial_of

    settings = _settings()
    registry, corpus = Registry(settings.models), load_corpus(settings)
    champion = registry.champion(corpus.folders_id)
    of_groups = registry.group_champions(corpus.folders_id)
    print(f"{'*' if champion is None else ' '} {START_WEIGHTS} ({settings.start_model})")
    for version in registry.versions():
        is_own = version == of_groups.get(version.group)
        unfit = why_unfit(settings, corpus.folders_id, version) if is_own else ""
        mark = "*" if version == champion or (is_own and not unfit) else " "
        where = f" of group {version.group}" if version.group else ""
        where += "" if version.folders == group_key(corpus.folders_id, version.group) else " (other documents)"
        where += ", on trial" if version == trial_of(settings, version.folders) else ""
        print(f"{mark} {version.name} {version.created:%Y-%m-%d %H:%M} {version.kind}{where}: {version.summary}")
        if unfit:
            print(f"  {unfit}")


def _show(given: argparse.Namespace) -> None:
    from rag.ingest.corpus import load_corpus
    from rag.models.arms import group_version
    from rag.models.registry import Registry
    from train.compare_versions import show

    settings = _settings()
    registry = Registry(settings.models)
    version = registry.version(given.version)
    folders = load_corpus(settings).folders_id
    serves = version in (registry.champion(folders), group_version(settings, folders, version.group))
    print(show(version, settings.runs / version.name, serves=serves))


def _evaluate(given: argparse.Namespace) -> None:
    from rag.settings import load_settings
    from rag.store.store import open_store
    from train.compare_versions import measure_by_file
    from train.context import open_context

    settings = load_settings()
    with closing(open_store(settings.lancedb)) as store:
        print(measure_by_file(open_context(settings, store), given.version, given.qrels).table())


def _compare(given: argparse.Namespace) -> None:
    from rag.settings import load_settings
    from rag.store.store import open_store
    from train.compare_settings import compare_sides, parse_side
    from train.compare_versions import compare, measure_held_out
    from train.context import open_context

    settings, sides = load_settings(), (parse_side(given.one), parse_side(given.other))
    with closing(open_store(settings.lancedb)) as store:
        context = open_context(settings, store)
        if any(side.changes_answers for side in sides):
            from train.compare_answers import compare_answers

            print(compare_answers(context, sides, given.most))
            return
        if not all(side.is_version for side in sides):
            print(compare_sides(context, sides))
            return
        measured = measure_held_out(context, (given.one, given.other))
    ours, theirs = (measured.scores[name] for name in (given.one, given.other))
    print(compare(given.one, given.other, ours, theirs, measured.summary, measured.groups))


if __name__ == "__main__":
    sys.exit(main())
