"""The keys of clients: who may ask this server for what. Stored is a hash of each, in a file of the home folder.

A key is 256 random bits, so a plain SHA-256 of it cannot be turned back: the slow hashes of passwords are for what
people think up. The file is read again when it changes: a key that is removed ends at once, without a restart.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from rag.errors import BadSetting, StoreFailed
from rag.home_address import put_back, refresh_now, refreshed
from rag.settings import Settings
from rag.store.durability import make_folder, sync_paths

KEYS_FILE = "api-keys.json"
SCOPES: Mapping[str, str] = {
    "ask": "questions: /v1/chat/completions",
    "rate": "feedback: /v1/feedback",
    "retrieve": "search and embeddings: /retrieval, /v1/embeddings, /v1/rerank",
    "metrics": "numbers for a monitor: /metrics",
}
DEFAULT_SCOPES = ("ask", "rate", "retrieve")
PREFIX = "tt-"  # so that a key is recognised in a log or a commit
KEY_BYTES = 32
LEAST_KEY = 16  # characters of a key in THUMBTUNE_API_KEYS, which somebody may have thought up
NAME = re.compile(r"(?!rater-)[\w.-]{1,64}")
# Raters are stored as client:name, and people who sign in by OAuth as provider:name (chat.web.signin).
PROVIDERS = frozenset(
    ["github", "google", "azure-ad", "azure-ad-hybrid", "okta", "auth0", "descope", "aws-cognito", "gitlab", "keycloak"]
)
RESERVED = PROVIDERS | {"generic", "import"}  # the latter is the rater of labels that name none
RATER = re.compile(r"[^\x00-\x1f\x7f\u2028\u2029\ud800-\udfff]{1,128}")
NOBODY = "anonymous"  # the rater of a client that names none


@dataclass(frozen=True, slots=True)
class Client:
    """A program that may ask, by the name of its key; "local" where none is needed."""

    name: str
    scopes: frozenset[str]

    def rater(self, named: str) -> str:
        """Return under which name the ratings of somebody who uses this client are stored."""
        return f"{self.name}:{named or NOBODY}"


LOCAL = Client("local", frozenset(SCOPES))


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is stored: the client's name, the hash, what it may ask for, when it was made."""

    name: str
    hash: str
    scopes: tuple[str, ...]
    made: str


def hash_key(key: str) -> str:
    """Return the SHA-256 of a key, in hex."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class KeyRing:
    """All keys: those of the settings, and those of the home's file as it is now. Raises BadSetting, StoreFailed."""

    def __init__(self, settings: Settings) -> None:
        self._file = keys_file(settings.home)
        self._given = {hash_key(key): Client(name, frozenset(SCOPES)) for name, key in _given_keys(settings)}
        self._stamp: tuple[int, int] | None = None
        self._stored: dict[str, Client] = {}

    def client_of(self, key: str) -> Client | None:
        """Return the client with this key, or None."""
        self._refresh()
        hashed = hash_key(key)
        return self._given.get(hashed) or self._stored.get(hashed)

    @property
    def is_empty(self) -> bool:
        """Return whether there is no key at all."""
        self._refresh()
        return not self._given and not self._stored

    def _refresh(self) -> None:
        stamp = _stamp(self._file)
        if stamp != self._stamp:
            keys = read_keys(self._file)
            self._stored = {key.hash: Client(key.name, frozenset(key.scopes)) for key in keys}
            self._stamp = stamp


def keys_file(home: Path) -> Path:
    """Return the file of the keys in a home folder."""
    return home / KEYS_FILE


def read_keys(file: Path) -> list[ApiKey]:
    """Return the stored keys. Raises StoreFailed for a file that is damaged: nobody is let in by mistake."""
    try:
        rows: list[dict[str, Any]] = json.loads(refreshed(file).read_text("utf-8"))["keys"]
        return [ApiKey(row["name"], row["hash"], tuple(row["scopes"]), row["made"]) for row in rows]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreFailed(
            f"{file}: cannot be read as a list of keys ({type(error).__name__}): delete it, and make the keys again"
        ) from error


def add_key(home: Path, name: str, scopes: Iterable[str]) -> str:
    """Store a new key for a client and return it: it cannot be read again. Raises BadSetting, StoreFailed."""
    if not NAME.fullmatch(name) or name in RESERVED:
        raise BadSetting(
            f"{name!r}: the name of a client has 1 to 64 letters, digits or . _ -, does not begin with rater-, and is "
            "not the name of a sign-in provider"
        )
    wanted = tuple(dict.fromkeys(scope.strip() for scope in scopes if scope.strip()))
    if unknown := [scope for scope in wanted if scope not in SCOPES] or (not wanted and ["nothing"]):
        raise BadSetting(f"--scope {','.join(unknown)}: give one or more of {', '.join(SCOPES)}")
    key = PREFIX + secrets.token_urlsafe(KEY_BYTES)
    file = keys_file(home)
    with _locked(file):
        keys = read_keys(refresh_now(file))
        if any(each.name == name for each in keys):
            raise BadSetting(f"{name!r} has a key already: remove it with `thumbtune keys remove {name}`")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        _write(file, [*keys, ApiKey(name, hash_key(key), wanted, now)])
    return key


def remove_key(home: Path, name: str) -> None:
    """Remove a client's key, which ends at once. Raises BadSetting where there is none, StoreFailed."""
    file = keys_file(home)
    with _locked(file):
        keys = read_keys(refresh_now(file))
        kept = [each for each in keys if each.name != name]
        if len(kept) == len(keys):
            raise BadSetting(f"{name!r} has no key: `thumbtune keys list` lists who has one")
        _write(file, kept)


def _given_keys(settings: Settings) -> list[tuple[str, str]]:
    """Return name and key of each entry of THUMBTUNE_API_KEYS. Raises BadSetting, without the key."""
    text = settings.api_keys.get_secret_value() if settings.api_keys else ""
    found = []
    for number, entry in enumerate(filter(None, (part.strip() for part in text.split(","))), 1):
        name, _, key = entry.partition(":")
        if not NAME.fullmatch(name) or name in RESERVED or len(key) < LEAST_KEY:
            raise BadSetting(
                f"THUMBTUNE_API_KEYS, entry {number}: give NAME:KEY, with a key of at least {LEAST_KEY} characters, as "
                "`thumbtune keys add NAME` prints"
            )
        found.append((name, key))
    return found


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        status = refreshed(file).stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino


def _locked(file: Path) -> FileLock:
    try:
        make_folder(file.parent)
    except OSError as error:
        raise StoreFailed(f"{file.parent}: cannot be written ({error.strerror}): make it writable") from error
    return FileLock(file.with_suffix(".lock"))


def _write(file: Path, keys: list[ApiKey]) -> None:
    draft = file.with_suffix(".part")
    try:
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w", encoding="utf-8") as out:
            json.dump({"keys": [asdict(key) for key in keys]}, out, indent=1)
        sync_paths(draft)
        draft.replace(file)
        sync_paths(file.parent)
        put_back(file)
    except OSError as error:
        raise StoreFailed(f"{file}: cannot be written ({error.strerror}): make its folder writable") from error
