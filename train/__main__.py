"""python -m train: train on the ratings; list, show, evaluate, compare, promote, roll back versions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rag import cli
from rag.indexing.engine import add_engine
from rag.models.registry import START_WEIGHTS
from train.commands import training, versions
from train.recipe import LEAST_BATCH, LOSSES


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
    parser.set_defaults(run=training.run)
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
    command("list", versions.list_versions, "list the versions; * marks the one that serves these documents")
    command("show", versions.show, "show the verdict and metrics of a version").add_argument("version")
    evaluate = command("evaluate", versions.evaluate, "evaluate a version (default: the champion) on a file of labels")
    evaluate.add_argument("version", nargs="?", default="")
    evaluate.add_argument(
        "--qrels", type=Path, required=True, metavar="FILE", help="labels in a format of `python -m rag import`"
    )
    add_compare(commands)
    promote = command(
        "promote", versions.promote, f"promote a version, or the {START_WEIGHTS}, whatever the gate decided"
    )
    add_engine(promote)
    promote.add_argument("version", nargs="+", help=f"a version's name, or: {START_WEIGHTS}")
    back = command("rollback", versions.rollback, "roll back to the version that served before")
    back.add_argument("--group", default="", metavar="NAME", help="of a group of raters")
    add_publishing(commands)


def add_publishing(commands: cli.Commands) -> None:
    """Add the commands that take versions out and in."""
    push = cli.add_command(
        commands, "push", versions.push, "write a version to a folder that sentence-transformers loads"
    )
    push.add_argument("version")
    push.add_argument("target", metavar="TARGET", help="a new folder, or hub:user/name")
    push.add_argument("--licence", default="", metavar="NAME", help="licence of the base model, if its card names none")
    push.add_argument("--public", action="store_true", help="a repository on the hub that everybody sees")
    pull = cli.add_command(
        commands, "pull", versions.pull, "take a model in as a version, which serves once it is promoted"
    )
    pull.add_argument("source", metavar="SOURCE", help="a sentence-transformers folder, or its name on the hub")


def add_compare(commands: cli.Commands) -> None:
    """Add the command that compares two versions or settings."""
    text = "compare two versions or settings on the current held-out queries"
    two = cli.add_command(commands, "compare", versions.compare, text)
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


if __name__ == "__main__":
    sys.exit(main())
