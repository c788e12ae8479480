"""What `make chat` runs: check the port and the home folder, index, bootstrap, then start Chainlit in this process.

Each step says "unchanged" where there is nothing to do, so a second start takes seconds.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rag import cli
from rag.errors import BadSetting, StoreFailed

if TYPE_CHECKING:
    from chat.web.signin import AuthMode
    from rag.settings import Settings

TERMINATED = 143
PREPARED = "THUMBTUNE_PREPARED"  # in the environment of a chat that replaced the process which prepared it
QUIET = ("Translated markdown file", "storage client is not initialized")  # Chainlit warns of what we do on purpose


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare and run the chat; return the exit status (rag.cli.run)."""
    return cli.run(build_parser(), argv)


def build_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(prog="python -m chat", description=__doc__)
    fill_parser(parser)
    return parser


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Give a parser what this program does; it has no options."""
    parser.set_defaults(run=_chat, stopped=str)


def _chat(given: argparse.Namespace) -> None:
    from chat.web.security import allowed_hosts
    from chat.web.signin import auth_mode, open_to_all
    from rag.settings import load_settings

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    settings = load_settings()
    mode = auth_mode(settings)
    allowed_hosts(settings)  # a bad name is an error now, not after the documents are indexed
    check_llm(settings)
    prepared = os.environ.pop(PREPARED, "") == str(os.getpid())
    if (warning := open_to_all(settings, mode)) and not prepared:
        print(warning, flush=True)
    check_port(settings.host, settings.port)
    check_home(settings.home)
    if not prepared:
        prepare(settings)
        check_port(settings.host, settings.port)  # again: the first start has taken minutes
        start_light()
    start(settings, mode)


def check_llm(settings: Settings) -> None:
    """Raise BadSetting where a language model in a file could not be loaded, before the documents are indexed."""
    if settings.is_local_llm:
        from rag.answering.local_llm import check

        check(settings)


def start_light() -> None:
    """Start this program again in its place where preparing has loaded torch: the chat serves without it.

    Torch and what comes with it keep some 500 MB for as long as a process lives; starting again takes seconds, and
    only a start that embedded or trained something does.
    """
    if "torch" in sys.modules and sys.platform != "win32":
        sys.stdout.flush()
        environment = {**os.environ, PREPARED: str(os.getpid()), "PYTHONPATH": python_path()}
        os.execve(sys.executable, [sys.executable, "-m", "chat"], environment)


def check_port(host: str, port: int) -> None:
    """Raise BadSetting where the chat could not listen on host and port."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise BadSetting(f"THUMBTUNE_HOST={host!r}: no such address ({error.strerror}); try localhost") from None
    for family, kind, protocol, _, address in addresses:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError as error:
                raise BadSetting(_why_not(host, port, error)) from None


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use: stop what uses it, or run `THUMBTUNE_PORT={port + 1} make chat`"
    if error.errno == errno.EACCES:
        return f"port {port} on {host} needs more rights: run `THUMBTUNE_PORT=8000 make chat`"
    return f"cannot listen on {host}:{port} ({error.strerror}): set THUMBTUNE_HOST and THUMBTUNE_PORT"


def check_home(home: Path) -> None:
    """Raise StoreFailed where nothing can be written under the home folder (root passes every check of rights)."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home) as probe:
            probe.write(b"probe" * 1024)
    except OSError as error:
        raise StoreFailed(
            f"{home}: cannot be written ({error.strerror}): set THUMBTUNE_HOME to a folder you may write"
        ) from None


def prepare(settings: Settings) -> None:
    """Bring the index up to date, and train the first model. The chat starts without a model, not without an index."""
    from rag.indexing.indexer import format_report, index
    from rag.ingest.corpus import load_corpus
    from rag.models.registry import Registry

    print(format_report(index(settings)), flush=True)
    if why := Registry(settings.models).why_no_bootstrap(load_corpus(settings).folders_id):
        print(why, flush=True)
    elif run("train", "--bootstrap"):
        print("The first training failed; the chat starts, and both sides use the same model.", file=sys.stderr)


def python_path() -> str:
    """Return the PYTHONPATH by which a child finds this program, from any folder."""
    from rag.settings import ROOT

    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


def run(*command: str) -> int:
    """Run `python -m COMMAND` to its end and return its exit code. Whoever stops this process stops it, too."""
    with subprocess.Popen([sys.executable, "-m", *command], env={**os.environ, "PYTHONPATH": python_path()}) as child:
        try:
            return child.wait()
        except KeyboardInterrupt:  # the terminal sent it to the child, too: let it clean up
            child.wait()
            raise
        except SystemExit:  # by SIGTERM, which the child has not got
            child.terminate()
            raise


def start(settings: Settings, mode: AuthMode) -> None:
    """Run Chainlit until it is stopped."""
    import logging

    from chat.web.rater_cookie import cookie_tag, load_secret
    from rag.settings import ROOT

    secret = load_secret(settings.secret)
    os.environ.update(
        CHAINLIT_APP_ROOT=str(ROOT),
        CHAINLIT_HOST=settings.host,
        CHAINLIT_PORT=str(settings.port),
        CHAINLIT_AUTH_SECRET=mode.token_key(secret),
        CHAINLIT_AUTH_COOKIE_NAME=f"access_token_{cookie_tag(secret)}",
        HF_HUB_OFFLINE="1",  # indexing has fetched what is needed; the chat never waits for a hub
        TRANSFORMERS_OFFLINE="1",
    )
    if mode.way == "header":
        os.environ["FORWARDED_ALLOW_IPS"] = ""  # or the server gives the browser's address where the proxy's is checked
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("chainlit").addFilter(lambda record: not any(text in record.getMessage() for text in QUIET))
    import chainlit
    from chainlit.cli import run_chainlit  # here, because it reads its environment when it is imported
    from chainlit.config import config

    keep_own(ROOT / ".chainlit" / "translations", Path(chainlit.__file__).parent / "translations")
    config.run.headless = not has_display()
    run_chainlit(str(ROOT / "chainlit_app.py"))


def keep_own(folder: Path, theirs: Path) -> None:
    """Remove the translations that Chainlit copies into the tree whenever it is imported; nothing can stop it.

    They lack the words of this chat. One that was changed here is somebody's work, and stays.
    """
    for translation in folder.glob("*.json"):
        copied = theirs / translation.name
        if copied.is_file() and copied.read_bytes() == translation.read_bytes():
            translation.unlink(missing_ok=True)


def has_display() -> bool:
    """Return whether a browser can be opened here."""
    if os.environ.get("SSH_CONNECTION"):
        return False
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


if __name__ == "__main__":
    sys.exit(main())
