"""Addresses of homes on object storage, and the local folder that each is cached in.

Why a table of addresses: most of the code is given the folder of a home, or a folder in it. Where that folder is the
cache of a shared home, `shared_home` returns what talks to the store; for a home on this disk it imports nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rag.shared_home.home import SharedHome

SCHEMES = ("s3", "az", "gs")
EXAMPLES = "a folder, s3://BUCKET/PATH, az://CONTAINER/PATH or gs://BUCKET/PATH"
ADDRESS = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*)://(?P<rest>.*)")
CACHED_IN = "thumbtune/homes"  # under the user's cache folder

_addresses: dict[Path, str] = {}  # by folder
_homes: dict[Path, SharedHome] = {}  # those that were asked for


def is_address(home: str) -> bool:
    """Return whether a home is given by an address, rather than by a folder."""
    return ADDRESS.fullmatch(home) is not None


def cache_of(address: str) -> Path:
    """Return the folder that a home on object storage is cached in, by its address. Raises ValueError."""
    found = ADDRESS.fullmatch(address)
    scheme, rest = (found["scheme"].lower(), found["rest"].strip("/")) if found else ("", "")
    if scheme not in SCHEMES or not rest.partition("/")[0]:
        raise ValueError(f"give {EXAMPLES}")
    whole = f"{scheme}://{rest}"
    readable = re.sub(r"[^\w.-]+", "-", rest)[-40:].strip("-")
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = (root / CACHED_IN / f"{readable}-{hashlib.sha256(whole.encode()).hexdigest()[:12]}").resolve()
    _addresses[folder] = whole
    return folder


def address_of(home: Path) -> str:
    """Return the address of the shared home that this folder is the cache of, "" where it is a home itself."""
    return _addresses.get(home, "")


def shared_home(home: Path) -> SharedHome | None:
    """Return the shared home that this folder is the cache of, None where it is a home itself."""
    address = _addresses.get(home)
    if address is None:
        return None
    if home not in _homes:
        from rag.shared_home.home import SharedHome

        _homes[home] = SharedHome(address, home)
    return _homes[home]


def fetched(folder: Path) -> Path:
    """Return the folder of a version or run (HOME/models/v1), fetched first where its home is shared."""
    if _addresses and (home := shared_home(folder.parent.parent)):
        home.fetch_folder(f"{folder.parent.name}/{folder.name}")
    return folder
