"""The key of a home folder, which signs cookies and draws the arm of a blind answer."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from rag.errors import StoreFailed
from rag.home_address import shared_home
from rag.store.durability import make_folder, sync_paths

SECRET_BYTES = 32


def load_secret(path: Path) -> str:
    """Return the key that signs cookies; the first call creates it, readable by its owner only. Raises StoreFailed."""
    try:
        make_folder(path.parent)
        if home := shared_home(path.parent):  # one key for all who serve this home, or each would sign others out
            home.file(path).create(secrets.token_hex(SECRET_BYTES).encode())
        with contextlib.suppress(FileExistsError):
            _write_secret(path)
        secret = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreFailed(f"{path}: cannot be read or created ({error}): make its folder writable") from error
    if len(secret) < 2 * SECRET_BYTES:
        raise StoreFailed(f"{path}: contains no key (a full disk?): delete it, and the next start creates a new one")
    return secret


def _write_secret(path: Path) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
        file.write(secrets.token_hex(SECRET_BYTES))
    sync_paths(path, path.parent)  # without it, everybody's own ratings would be a stranger's after a power cut
