"""Serve the tuned retriever to other programs by OpenAI's protocol (`thumbtune serve`), and make keys for them.

The chat serves the same routes on its own port while it runs; this is for a machine without the chat.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag import cli

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from rag.answering.service import QueryService
    from rag.settings import Settings

FOLLOW_SECONDS = 0.5  # between two looks for a newly promoted model, as in the chat: a stat of one file
EVERYWHERE = ("0.0.0.0", "::")  # listening addresses that are no address to ask
TERMINATED = 143
DRAIN_SECONDS = 10  # for running answers after Ctrl-C


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status (rag.cli.run)."""
    return cli.run(build_parser(), argv)


def build_parser() -> argparse.ArgumentParser:
    """Return the command line's parser: without a command, it serves."""
    parser = argparse.ArgumentParser(prog="python -m serve", description=__doc__)
    fill_parser(parser)
    commands = parser.add_subparsers(metavar="COMMAND")
    fill_keys(commands.add_parser("keys", help=KEYS, description=KEYS))
    fill_mcp(commands.add_parser("mcp", help=MCP, description=MCP))
    return parser


MCP = "serve search, ask, rate and list_documents to an agent by the Model Context Protocol, on stdin and stdout"
KEYS = "make, list and remove the keys of programs that may ask"


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Give a parser what `serve` does."""
    parser.set_defaults(run=_serve, stopped=str)


def fill_mcp(parser: argparse.ArgumentParser) -> None:
    """Give a parser what `mcp` does."""
    parser.set_defaults(run=_mcp, stopped=str)


def fill_keys(parser: argparse.ArgumentParser) -> None:
    """Give a parser the commands of keys."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add = cli.add_command(commands, "add", _add_key, "make a key for a program, and print it once")
    add.add_argument("name", help="name of the program, such as openwebui; its users' ratings are stored under it")
    add.add_argument(
        "--scope", metavar="LIST", help="what it may ask for: ask, rate, retrieve, metrics (default: the first three)"
    )
    cli.add_command(commands, "list", _list_keys, "list who has a key, and for what")
    remove = cli.add_command(commands, "remove", _remove_key, "remove a program's key; it ends at once")
    remove.add_argument("name", help="name of the program")


def _serve(given: argparse.Namespace) -> None:
    import os
    import signal

    from rag.home import check_format, check_home
    from rag.settings import load_settings
    from rag.upkeep.in_use import chat_running
    from rag.web.hosts import allowed_hosts
    from rag.web.listen import check_port
    from serve.access import require_access
    from serve.keys import KeyRing

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # after uvicorn's own end of it
    settings = load_settings()
    check_format(settings.home)
    hosts = allowed_hosts(settings)
    require_access(settings, KeyRing(settings))
    check_port(settings.host, settings.port, "thumbtune serve")
    check_home(settings.home)
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")  # indexing has fetched what is needed
    with chat_running(settings.home):
        from rag.answering.service import open_service
        from rag.web.secret import load_secret
        from serve.app import build_app, open_api

        serving = open_service(settings)
        api = open_api(settings, serving, load_secret(settings.secret))
        run_server(settings, serving, build_app(api, hosts))


def run_server(settings: Settings, serving: QueryService, app: ASGIApp) -> None:
    """Run an app until it is stopped; follow promotions meanwhile."""
    import threading
    from functools import partial

    import uvicorn

    closing = threading.Event()
    follow = partial(serving.follow, closing, FOLLOW_SECONDS, partial(print, flush=True))
    threading.Thread(target=follow, name="follow-promotions", daemon=True).start()
    serving.start()
    for note in serving.notes():
        print(f"Note: {note}")
    host = "localhost" if settings.host in EVERYWHERE else settings.host
    print(f"thumbtune: http://{host}:{settings.port}/v1  (Ctrl-C stops it)", flush=True)
    try:
        uvicorn.run(
            app,
            host=settings.host,
            port=settings.port,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
    finally:
        closing.set()
        serving.close()


def _mcp(given: argparse.Namespace) -> None:
    """Serve the tools on standard input and output: nothing else may be printed there."""
    import os
    from contextlib import redirect_stdout

    from rag.home import check_home
    from rag.settings import load_settings

    settings = load_settings()
    check_home(settings.home)
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
    with redirect_stdout(sys.stderr):
        from rag.answering.service import open_service
        from rag.web.secret import load_secret
        from serve.mcp_server import build_mcp, local_tools

        serving = open_service(settings)
        server = build_mcp(local_tools(serving, load_secret(settings.secret)))
    try:
        server.run("stdio")
    finally:
        serving.close()


def _add_key(given: argparse.Namespace) -> None:
    from rag.home import check_home
    from rag.settings import load_settings
    from serve.keys import DEFAULT_SCOPES, add_key

    home = load_settings().home
    check_home(home)
    scopes = DEFAULT_SCOPES if given.scope is None else given.scope.split(",")
    key = add_key(home, given.name, scopes)
    print(f"{given.name} may ask for {', '.join(scopes)} by this key, which is not shown again:", file=sys.stderr)
    print(key)


def _list_keys(given: argparse.Namespace) -> None:
    from rag.home import check_format
    from rag.settings import load_settings
    from serve.keys import keys_file, read_keys

    home = load_settings().home
    check_format(home)
    for key in read_keys(keys_file(home)):
        print(f"{key.name:20} {', '.join(key.scopes):28} made {key.made}")


def _remove_key(given: argparse.Namespace) -> None:
    from rag.home import check_format
    from rag.settings import load_settings
    from serve.keys import remove_key

    home = load_settings().home
    check_format(home)
    remove_key(home, given.name)
    print(f"removed the key of {given.name}")


if __name__ == "__main__":
    sys.exit(main())
