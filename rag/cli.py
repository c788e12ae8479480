"""Command-line helpers shared by all programs: exit codes, one line for what a user can fix, subcommands, --version.

Nothing heavy may be imported here or at the top of a `__main__`: `--help` loads argparse and little else.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rag.errors import ThumbtuneError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

DISTRIBUTION = "thumbtune"
PACKAGE = (__package__ or "").removesuffix("rag")  # "" in a checkout; "thumbtune." in a wheel: it holds all packages
BROKEN = 1  # what was checked does not hold
USER_ERROR = 2
INTERRUPTED = 130
READER_GONE = 141  # as a shell reports SIGPIPE
STOPPED = "stopped; what was done is kept"
PARENT = "THUMBTUNE_PARENT"  # in the environment of a command that runs in the background of the process with this id
NICE = 5  # priority in the background: lower than answering
PRIVATE = 0o077
PARENT_SECONDS = 0.5  # between two looks
Command = Callable[[argparse.Namespace], int | None]


def run(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: what it returns, else 0.

    2 stands for what the user can fix, 130 for Ctrl-C, 141 for a pipe that was closed.

    A parser sets `run`, a Command; it may set `before`, called with no argument, and `stopped`, which returns what
    Ctrl-C prints. The command finds what was typed as `command`.
    """
    os.umask(os.umask(PRIVATE) | PRIVATE)  # all that a command writes is its user's own; rag.home lets a group in
    given = parser.parse_args(argv)
    given.command = shlex.join([*parser.prog.split(), *(sys.argv[1:] if argv is None else argv)])
    try:
        if before := getattr(given, "before", None):
            before()
        if parent := os.environ.pop(PARENT, ""):
            if hasattr(os, "nice"):
                os.nice(max(0, NICE - os.nice(0)))
            threading.Thread(target=_end_with, args=(int(parent),), name="end-with-parent", daemon=True).start()
        status = int(given.run(given) or 0)
        if not sys.stdout.closed:  # the server of tools for agents closes it with their connection
            sys.stdout.flush()
        return status
    except ThumbtuneError as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR
    except BrokenPipeError:  # `| head` has read enough: as Python's documentation advises, nothing is flushed at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except KeyboardInterrupt:
        if stopped := getattr(given, "stopped", lambda: STOPPED)():
            print(stopped, file=sys.stderr)
        return INTERRUPTED


def counted(n: int, one: str, more: str = "") -> str:
    """Return a number with its noun: "1 label", "1,200 labels"; `more` where it is not `one` with an s."""
    return f"{n:,} {one if n == 1 else more or one + 's'}"


def python_of(*modules: str) -> tuple[str, ...]:
    """Return how to run one of our modules, such as "train", in a process of its own; without one, all but its name.

    In a wheel, files in the folder of the user cannot take the place of a library (-P).
    """
    unsafe = ("-P",) if PACKAGE else ()
    return (sys.executable, *unsafe, "-m", *(f"{PACKAGE}{module}" for module in modules))


def environment_of(root: Path) -> dict[str, str]:
    """Return the environment for `python_of`: from any folder, a checkout's packages are found in `root`."""
    given = dict(os.environ)
    if not PACKAGE:
        given["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    return given


def _end_with(parent: int) -> None:
    """End this process as SIGTERM does when its parent is gone: killed, it could not say so."""
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def add_command(commands: Commands, name: str, run: Command, text: str) -> argparse.ArgumentParser:
    """Add a subcommand and return its parser."""
    sub = commands.add_parser(name, help=text, description=text)
    sub.set_defaults(run=run)
    return sub


def add_version(parser: argparse.ArgumentParser) -> None:
    """Add the option --version, which prints the version in pyproject.toml as it was installed."""
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"{DISTRIBUTION} {version(DISTRIBUTION)}")
        parser.exit()
