"""The command `thumbtune`: the commands of `python -m rag`, `train`, `chat` and `serve` in one program."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from chat.__main__ import fill_parser as fill_chat
from rag import cli
from rag.__main__ import add_commands
from serve.__main__ import KEYS, MCP, fill_keys, fill_mcp
from serve.__main__ import fill_parser as fill_serve
from train.__main__ import add_compare, add_publishing
from train.__main__ import fill_parser as fill_train


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands. It imports nothing that a command needs."""
    parser = argparse.ArgumentParser(
        prog="thumbtune",
        description="Chat with your own documents through two retrievers at once; your ratings train the better one.",
    )
    cli.add_version(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    chat = "open the chat; index the documents and train the first model meanwhile"
    fill_chat(commands.add_parser("chat", help=chat, description=chat))
    add_commands(commands)
    train = "train on the ratings, and promote if better; list, compare and move the versions"
    fill_train(commands.add_parser("train", help=train, description=train))
    add_compare(commands)
    add_publishing(commands)
    demo = "make a home about these pages in which a tuned model serves, and measure what it gained"
    sub = cli.add_command(commands, "demo", _demo, demo)
    sub.add_argument("folder", nargs="?", type=Path, default=Path("thumbtune-demo"), help="default: %(default)s")
    passwords = "ask for a password twice and print a line for the file of THUMBTUNE_PASSWORDS"
    sub = cli.add_command(commands, "passwords", _passwords, passwords)
    sub.add_argument("name", help="what the person types as name; ratings are stored under it")
    serve = "serve the tuned retriever to other programs by OpenAI's protocol, without the chat"
    fill_serve(commands.add_parser("serve", help=serve, description=serve))
    fill_keys(commands.add_parser("keys", help=KEYS, description=KEYS))
    fill_mcp(commands.add_parser("mcp", help=MCP, description=MCP))
    return parser


def _demo(given: argparse.Namespace) -> None:
    import shlex

    from thumbtune.demo.measuring import measure
    from thumbtune.demo.seeding import demo_settings, seed

    settings = demo_settings(given.folder)
    print("Indexing these pages; a query adapter that was trained on their questions will serve.", flush=True)
    seed(settings)
    for line in measure(settings).lines():
        print(line)
    print(f"Try it, blind and side by side: THUMBTUNE_HOME={shlex.quote(str(settings.home))} thumbtune chat")


def _passwords(given: argparse.Namespace) -> int:
    from chat.passwords import ask_password

    return ask_password(given.name)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status (rag.cli.run)."""
    return cli.run(build_parser(), argv)


if __name__ == "__main__":
    sys.exit(main())
