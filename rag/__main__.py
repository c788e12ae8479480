"""python -m rag: index and show documents, ask both arms in the terminal, take labels in and out, check the machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rag import cli
from rag.commands import documents, home, labels
from rag.indexing.engine import add_engine


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status (rag.cli.run)."""
    return cli.run(build_parser(), argv)


def build_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(prog="python -m rag", description=__doc__)
    add_commands(parser.add_subparsers(required=True, metavar="COMMAND"))
    return parser


def add_commands(commands: cli.Commands) -> None:
    """Add the commands of this program to a parser."""
    command = partial(cli.add_command, commands)
    index = command("index", documents.index, "update the index; embeds only what changed")
    index.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="folders or files instead of THUMBTUNE_DOCS")
    add_engine(index)
    output = index.add_mutually_exclusive_group()
    output.add_argument("--watch", action="store_true", help="keep running and index changes until Ctrl-C")
    output.add_argument("--list", action="store_true", help="list every file: read, read in part, skipped or left out")
    output.add_argument("--json", action="store_true", help="print the report as JSON")
    ask = command("ask", documents.ask, "answer a question with both arms")
    ask.add_argument("question")
    show = command("show", documents.show, "print what is read of a file and where it is cut into chunks")
    show.add_argument("file", help="the path of any file, or the name of an indexed document")
    show.add_argument("--json", action="store_true", help="print one JSON object")
    command("stats", documents.stats, "show documents, answers, ratings, pairs and versions")
    take_in = command(
        "import",
        labels.import_file,
        "import labels, or ratings that another program exported; what matches nothing is listed",
    )
    take_in.add_argument(
        "file", type=Path, help="a .jsonl or .parquet file, a folder of BEIR or Argilla, or another program's export"
    )
    take_in.add_argument(
        "--client", default="", metavar="NAME", help="store an export's raters as NAME:..., such as the name of its key"
    )
    export = command("export", labels.export, "write all labels, to a JSONL or Parquet file or a BEIR folder")
    export.add_argument("out", type=Path, help="a new file that ends in .jsonl or .parquet, or a new folder for BEIR")
    what = export.add_mutually_exclusive_group()
    what.add_argument("--rater", default="", metavar="NAME", help="write all that is stored of this rater instead")
    what.add_argument(
        "--as",
        dest="shape",
        choices=("pairs", "triplets", "argilla"),
        help="write the pairs that a training would make, in the columns of sentence-transformers; or all labels as a "
        "dataset of Argilla, in a new folder",
    )
    forget = command("forget", home.forget, "delete a rater's ratings, labels, chats and answers")
    forget.add_argument("rater", help="the identifier stored with the ratings, such as rater-0123456789abcdef")
    command("review", labels.review, "list the questions voted down that have no known correct passage")
    command(
        "gaps",
        labels.gaps,
        "list what the documents lack: questions without a good answer by subject, most wanted first",
    )
    check = command(
        "check", labels.check, "check that confirmed passages are still there and still found; exit code 1 if not"
    )
    check.add_argument(
        "file", nargs="?", type=Path, help="pins, one JSON object a line (default: pins.jsonl in the home)"
    )
    check.add_argument(
        "--arm", choices=("tuned", "base"), default="tuned", help="the arm to check (default: %(default)s)"
    )
    change = check.add_mutually_exclusive_group()
    change.add_argument("--save", action="store_true", help="pin what people confirmed and this arm finds now")
    change.add_argument("--waive", nargs=2, metavar=("QUESTION", "REASON"), help="let the pins of a question break")
    backup = command("backup", home.back_up, "back up the home folder while the chat runs")
    backup.add_argument("folder", type=Path, metavar="DIR", help="folder of the backups, best on another disk")
    what = backup.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="compare the backups there with their hashes, and make none")
    what.add_argument("--keep", type=int, default=0, metavar="N", help="remove all but the latest N (default: none)")
    restore = command("restore", home.restore, "restore the latest backup into THUMBTUNE_HOME, which must be empty")
    restore.add_argument("folder", type=Path, metavar="DIR", help="folder of the backups, or a single one in it")
    restore.add_argument("--replace", action="store_true", help="move a home folder that is not empty aside")
    command("copy-chats", home.copy_chats, "copy the chats of chat.db into the Postgres database of THUMBTUNE_HISTORY")
    command("settings", documents.settings_text, "print every setting with its default, as the text of a .env file")
    doctor = command("doctor", home.doctor, "check the home folder, documents, models, index and answerer")
    doctor.add_argument("--repair", action="store_true", help="repair what is damaged; stop the chat first")


if __name__ == "__main__":
    sys.exit(main())
