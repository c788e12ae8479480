"""python -m train: pairs -> split -> negatives -> tune -> evaluate -> promote or keep. `train` is the whole recipe.

Every training begins with the start model's weights, never with the champion's: what one version overfitted, and the
chunks it saw, are not handed on.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from tqdm import tqdm

from rag.embed import Embedder, bf16_pays, load_embedder, load_trainable, pick_device, wrap
from rag.errors import NotEnoughFeedback, StoreFailed, ThumbtuneError
from rag.index import load_corpus
from rag.ingest import Corpus
from rag.records import Chunk, Pair, Qrels
from rag.registry import START_WEIGHTS, Registry, Version
from rag.retrieve import arm_models
from rag.settings import Settings, load_settings
from rag.stats import GATE
from rag.store import Store, open_store
from train.evaluate import Contender, full, judge, newcomer, serving
from train.gather import gather_ratings, gather_synthetic, indexed_chunks
from train.negatives import add_negatives
from train.promote import apply, decide, promote_by_hand, roll_back
from train.report import Facts, config_of, data_of, seen_by_champion, write_report
from train.split import Split, alike, split

USER_ERROR = 2
INTERRUPTED = 130
BOOTSTRAP_EXAMPLES = 400  # without hard negatives some 60 s of tuning on one core
LIBRARIES = ("torch", "sentence-transformers", "transformers", "datasets", "lancedb")
Kind = Literal["ratings", "bootstrap"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 2 for what the user can mend, 130 for Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever stops a training stops it as Ctrl-C does
    given = build_parser().parse_args(argv)
    try:
        given.run(given)
    except ThumbtuneError as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("stopped: what served before serves on, and nothing of this training is left", file=sys.stderr)
        return INTERRUPTED
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(prog="python -m train", description="Train on the ratings, and promote if better.")
    parser.set_defaults(run=_train)
    parser.add_argument("--bootstrap", action="store_true", help="make pairs from the documents: nobody rated yet")
    parser.add_argument("--epochs", type=_positive, default=0, metavar="N", help="how often each pair is seen")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="fixes the random choices")
    commands = parser.add_subparsers(metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    command("promote", _promote, "let a version serve, whatever the gate said").add_argument("version")
    command("rollback", _rollback, "go back to what served before")
    command("versions", _versions, "list the versions and mark the one that serves these documents")
    return parser


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of epochs: give 1 or more")
    return int(text)


def _train(given: argparse.Namespace) -> None:
    settings = load_settings()
    with sole_trainer(settings.home), closing(open_store(settings.lancedb)) as store:
        if not given.bootstrap:
            train(settings, store, "ratings", given.epochs, given.seed)
        elif not bootstrap_is_done(settings):
            try:
                train(settings, store, "bootstrap", given.epochs, given.seed)
            except NotEnoughFeedback as error:  # small folders are no fault: the chat works without a bootstrap
                print(f"bootstrap: {error}")


def train(settings: Settings, store: Store, kind: Kind, epochs: int, seed: int) -> None:
    """Gather, split, mine, tune, judge, decide; print what was done, and the verdict last."""
    clock = Clock()
    corpus, registry = load_corpus(settings), Registry(settings.models)
    chunks = indexed_chunks(store, corpus.id)
    gathered = (gather_ratings if kind == "ratings" else gather_synthetic)(store, settings, chunks)
    parts = split(gathered.pairs, gathered.extra, chunks)
    examples = [*parts.train, *parts.extra[: len(parts.train)]]
    notes = [gathered.told, _told(parts, examples)]
    clock.done("gathering", "\n".join(notes))

    from train import tune  # torch takes seconds to import: not before there is enough to train on

    tune.give_way(settings.train_threads)
    crowned = registry.champion(corpus.folders_id)
    entered, miner = enter_served(settings, store, corpus, parts.held_out, chunks)
    start = entered.pop("start")
    pairs = examples
    if kind == "ratings":  # near a chunk of one's own making stand others that are as right: mining there did harm
        queries = miner.embed_queries([pair.query for pair in examples])
        pairs = add_negatives(examples, queries, chunks, start.chunks, alike)
    clock.done("base, champion and hard negatives", f"tuning {settings.start_model} on {len(pairs)} pairs")

    with new_version(settings, registry) as (name, folder):
        model = load_trainable(settings.start_model, settings)
        recipe = tune.Recipe(epochs or default_epochs(kind, len(pairs)), seed, bf16_pays(pick_device(settings)))
        tuned = tune.tune(model, pairs, recipe)
        tune.save(model, folder, pairs)
        clock.done("tuning", f"tuned: {tuned.steps} steps in {tuned.seconds:.0f} s")

        embedder = wrap(model, str(folder), settings)
        entered["challenger"] = newcomer(name, embedder, parts.held_out, chunks, bar(f"embedding ({name})"))
        scores = judge(entered, parts.held_out, chunks, tune.matryoshka_dims)
        verdict = decide(*(full(scores[role])[GATE] for role in ("challenger", "champion", "base")))
        if verdict.word == "promote" and registry.champion(corpus.folders_id) != crowned:
            verdict = replace(verdict, word="keep", reason="another version was promoted meanwhile: train again")
        clock.done("judging")

        seen = tune.trained_on(registry.model_folder(crowned)) if crowned else frozenset()
        version = Version(
            name=name,
            folders=corpus.folders_id,
            fingerprint=embedder.fingerprint,
            started_from=settings.start_model,
            kind=kind,
            verdict=verdict.word,
            summary=verdict.line(name, entered["champion"].name),
            created=datetime.now(UTC),
        )
        facts = Facts(
            version=version,
            reason=verdict.reason,
            names={role: each.name for role, each in entered.items()},
            config={**config_of(settings), **asdict(recipe), **asdict(tuned)},
            data=data_of(corpus.id, chunks, parts, pairs),
            notes=[*notes, seen_by_champion(parts, seen)],
            scores=scores,
            queries=list(parts.held_out.relevant),
            seconds=clock.seconds,
        )
        report = write_report(settings.runs / name, facts)
        apply(version, registry, store, corpus.id, embedder, chunks, entered["challenger"].chunks)
    print(f"report: {report}\n{version.summary}")


def default_epochs(kind: Kind, pairs: int) -> int:
    """Return how often each pair is seen: enough for 20 steps on few pairs, bounded time on many.

    A bootstrap stands between a newcomer and the chat: it sees BOOTSTRAP_EXAMPLES in all (three epochs of 300 pairs
    gained no more than one; for ratings see docs/log.md).
    """
    usual = 4 if pairs < 100 else 3 if pairs <= 2000 else 1
    return usual if kind == "ratings" else max(1, min(usual, BOOTSTRAP_EXAMPLES // pairs))


def enter_served(
    settings: Settings, store: Store, corpus: Corpus, held_out: Qrels, chunks: Sequence[Chunk]
) -> tuple[dict[str, Contender], Embedder]:
    """Return base, champion and start model as contenders, and the start model's embedder; each is loaded once.

    The start model mines: what a training gives depends on its pairs alone, not on which version serves meanwhile.
    """
    arms = arm_models(settings, corpus.folders_id)
    models = {"base": arms["base"], "champion": arms["tuned"], "start": (START_WEIGHTS, settings.start_model)}
    embedders = {reference: load_embedder(reference, settings) for reference in {ref for _, ref in models.values()}}
    entered = {
        role: serving(name, embedders[reference], held_out, chunks, store, corpus.id, bar(f"embedding ({name})"))
        for role, (name, reference) in models.items()
    }
    return entered, embedders[settings.start_model]


@contextmanager
def new_version(settings: Settings, registry: Registry) -> Iterator[tuple[str, Path]]:
    """Give the next version's name and folder; whatever stops the training before it is recorded takes both away."""
    name = registry.next_name()
    folders = (settings.models / name, settings.runs / name)
    try:
        yield name, folders[0]
    except BaseException as error:
        if name not in {version.name for version in registry.versions()}:
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise StoreFailed(f"{settings.home}: {name} cannot be written ({error}): free some space") from error
        raise


@contextmanager
def sole_trainer(home: Path) -> Iterator[None]:
    """Let one training run at a time in a home; raise StoreFailed with the process that runs the other."""
    holder = home / "training.pid"
    lock = FileLock(home / "training.lock", timeout=0)
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        holder.write_text(f"process {os.getpid()} since {datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    except Timeout:
        who = holder.read_text() if holder.exists() else "another process"
        raise StoreFailed(f"a training is under way already ({who}): wait for it, or stop it") from None
    except OSError as error:
        raise StoreFailed(f"{home}: cannot be written ({error}): set THUMBTUNE_HOME elsewhere") from error
    try:
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def bootstrap_is_done(settings: Settings) -> bool:
    """Return, and say, whether these documents have a champion or had their bootstrap already."""
    registry, folders = Registry(settings.models), load_corpus(settings).folders_id
    champion, made = registry.champion(folders), registry.bootstrapped(folders)
    if champion:
        print(f"bootstrap: {champion.name} serves these documents already")
    elif made:
        print(f"bootstrap: {made.name} was made before; the {START_WEIGHTS} serve until answers are rated")
    return bool(champion or made)


def bar(text: str) -> Callable[[int, int], None]:
    """Return a progress to be told (done in this step, total); on a terminal it draws a bar with the time left."""
    drawn: list[tqdm[Any]] = []

    def progress(done: int, total: int) -> None:
        if total and not drawn:
            drawn.append(tqdm(total=total, desc=text, unit="chunk", disable=None, leave=False))
        for each in drawn:
            each.update(done)
            if each.n >= total:
                each.close()

    return progress


class Clock:
    """Tells the user what a stage came to, and keeps how long it took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.monotonic()

    def done(self, stage: str, line: str = "") -> None:
        """End a stage, and print its line."""
        now = time.monotonic()
        self.seconds[stage], self._since = now - self._since, now
        if line:
            print(line, flush=True)


def _promote(given: argparse.Namespace) -> None:
    settings = load_settings()
    with closing(open_store(settings.lancedb)) as store:
        name = promote_by_hand(settings, store, load_corpus(settings), given.version, bar)
    print(f"{name} serves now; a running chat follows within seconds")


def _rollback(given: argparse.Namespace) -> None:
    settings = load_settings()
    with closing(open_store(settings.lancedb)) as store:
        name = roll_back(settings, store, load_corpus(settings), bar)
    print(f"{name} serves now; a running chat follows within seconds")


def _versions(given: argparse.Namespace) -> None:
    settings = load_settings()
    registry, corpus = Registry(settings.models), load_corpus(settings)
    champion = registry.champion(corpus.folders_id)
    print(f"{'*' if champion is None else ' '} {START_WEIGHTS} ({settings.start_model})")
    for version in registry.versions():
        mark = "*" if version == champion else " "
        where = "" if version.folders == corpus.folders_id else " (other documents)"
        print(f"{mark} {version.name} {version.created:%Y-%m-%d %H:%M} {version.kind}{where}: {version.summary}")


def _told(parts: Split, examples: Sequence[Pair]) -> str:
    told = f"split: {len(parts.held_out)} queries held out, {len(parts.train)} pairs to train on"
    if parts.leaks:
        told += f" ({parts.leaks} left out: they lead to a chunk of a held-out query)"
    if len(examples) > len(parts.train):
        told += f", {len(examples) - len(parts.train)} added that judge nothing"
    rated = sum(bool(pair.negatives) for pair in examples)
    return f"{told}; {rated} have a negative from a rater"


if __name__ == "__main__":
    sys.exit(main())
