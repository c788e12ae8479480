"""Run the chat (`make chat`): check the port and the home folder, index in the background, start Chainlit here.

The chat opens as soon as some documents can be searched; the first model is trained while it is open. Each step says
"unchanged" where there is nothing to do, so a second start takes seconds.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rag import cli
from rag.errors import BadSetting, StoreFailed
from rag.home import check_home

if TYPE_CHECKING:
    from chat.web.signin import AuthMode
    from rag.settings import Settings

TERMINATED = 143
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
    """Give a parser what this program does."""
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="folders or files instead of THUMBTUNE_DOCS"
    )
    parser.set_defaults(run=_chat, stopped=str)


def set_documents(paths: Sequence[Path]) -> None:
    """Make these the documents of this process and of those it starts. Raises BadSetting for one that cannot be named.

    Paths are made absolute first: `~` and relative ones mean what they mean here.
    """
    for path in paths:
        if os.pathsep in str(path):
            raise BadSetting(f"{path}: a name with {os.pathsep!r} cannot be set here: index a folder above it")
    if paths:
        os.environ["THUMBTUNE_DOCS"] = os.pathsep.join(str(path.expanduser().resolve()) for path in paths)


def _chat(given: argparse.Namespace) -> int:
    from chat.session.memory import limit_arenas
    from chat.training.first_start import FirstStart, set_current
    from chat.web.signin import auth_mode, open_to_all
    from rag.history import history_of
    from rag.settings import load_settings
    from rag.upkeep.in_use import chat_running
    from rag.web.hosts import allowed_hosts
    from rag.web.listen import check_port

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    limit_arenas()
    set_documents(given.paths)
    settings = load_settings()
    mode = auth_mode(settings)
    allowed_hosts(settings)  # a bad name is an error now, not after the documents are indexed
    check_llm(settings)
    if warning := open_to_all(settings, mode):
        print(warning, flush=True)
    check_port(settings.host, settings.port)
    check_home(settings.home)
    history_of(settings).make_tables()  # a database that cannot be used is an error now, not after the documents
    with chat_running(settings.home):
        first = FirstStart(settings)
        set_current(first)
        first.start()
        try:
            load(settings, mode)
            if status := first.wait_until_searchable():
                return status
            check_port(settings.host, settings.port)  # again: that may have taken a while
            serve()
        finally:
            first.stop()
    return 0


def check_llm(settings: Settings) -> None:
    """Raise BadSetting where a language model in a file could not be loaded, before the documents are indexed."""
    if settings.is_local_llm:
        from rag.answering.local_llm import check

        check(settings)


def load(settings: Settings, mode: AuthMode) -> None:
    """Set up Chainlit for these settings, and load what answers, which takes seconds."""
    import logging

    from chat.web.rater_cookie import cookie_tag
    from rag.settings import ROOT
    from rag.web.secret import load_secret

    gc.disable()  # until chainlit_app has started: what is loaded stays, and looking at it took 0.5 s
    secret = load_secret(settings.secret)
    root = app_root(settings.cache) if cli.PACKAGE else ROOT
    os.environ.update(
        CHAINLIT_APP_ROOT=str(root),
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
    import chainlit.server  # here, because it reads its environment when it is imported
    from chainlit.config import config

    import rag.answering.service  # noqa: F401  # now, while the documents are indexed

    keep_own(root / ".chainlit" / "translations", Path(chainlit.__file__).parent / "translations")
    config.run.headless = not has_display()


def app_root(cache: Path) -> Path:
    """Copy what Chainlit serves from its app root, where the app is installed, and return the folder.

    Why: Chainlit writes uploads and translations into its app root, and an installed package may be read-only.
    """
    from rag.settings import ROOT

    root = cache / "page"
    try:
        for name in (".chainlit", "public"):
            shutil.copytree(ROOT / name, root / name, dirs_exist_ok=True)
        for page in ROOT.glob("chainlit*.md"):
            shutil.copy2(page, root)
    except (OSError, shutil.Error) as error:
        raise StoreFailed(f"{root}: cannot be written ({error}): make room, or set THUMBTUNE_HOME") from error
    return root


def serve() -> None:
    """Run Chainlit until it is stopped."""
    from rag.settings import ROOT

    chainlit_runner()(str(ROOT / "chainlit_app.py"))


def chainlit_runner() -> Callable[[str], None]:
    """Return the function that runs a Chainlit app, imported so that asyncio stays as it is.

    Why: Chainlit's CLI calls nest_asyncio, which replaces asyncio's tasks, futures and loop by others written in
    Python. Only `run_sync` in the main thread needs that, which we never call, and anyio, by which requests to an LLM
    connect, is made for asyncio's own: in CI a connection failed twice inside anyio's task group.
    """
    import nest_asyncio

    vars(nest_asyncio)["apply"] = lambda: None
    from chainlit.cli import run_chainlit

    return run_chainlit


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
