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
LANCEDB_SERVICE = "db"  # LanceDB Cloud and Enterprise; decision 43 has what they lack
EXAMPLES = "a folder, s3://BUCKET/PATH, az://CONTAINER/PATH or gs://BUCKET/PATH"
ADDRESS = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*)://(?P<rest>.*)")
MISTYPED = re.compile(rf"(?:{'|'.join((*SCHEMES, 's3a', 'azure', 'abfs', 'gcs'))}):", re.IGNORECASE)  # s3:/BUCKET
OWN = "cache"  # in a home: what each machine makes or fetches for itself
CACHED_IN = "thumbtune/homes"  # under the user's cache folder

_addresses: dict[Path, str] = {}  # by folder
_homes: dict[Path, SharedHome] = {}  # those that were asked for


def is_address(home: str) -> bool:
    """Return whether a home is given by an address, rather than by a folder."""
    return ADDRESS.fullmatch(home) is not None or MISTYPED.match(home) is not None


def cache_of(address: str) -> Path:
    """Return the folder that a home on object storage is cached in, by its address. Raises ValueError."""
    found = ADDRESS.fullmatch(address)
    scheme, rest = (found["scheme"].lower(), found["rest"].rstrip("/")) if found else ("", "")
    if scheme == LANCEDB_SERVICE:
        raise ValueError(
            "LanceDB Cloud and Enterprise hold tables only, no models and no leases, and do not erase when told to: "
            f"give {EXAMPLES}"
        )
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


def refreshed(path: Path) -> Path:
    """Return the path of a small file of a home (groups.txt); where the home is shared, it is brought up to date.

    That costs a request every few seconds at most.
    """
    if _addresses and (home := _home_above(path)):
        home.file(path).refresh()
    return path


def refresh_now(path: Path) -> Path:
    """Do the same whenever it was done last, ahead of a change that `put_back` ends."""
    if _addresses and (home := _home_above(path)):
        home.file(path).refresh(0)
    return path


def put_back(path: Path, *, over: bool = False) -> None:
    """Put a small file that was written in the cache of a shared home into the store; else nothing is to be done.

    Raises StoreFailed where the object is no longer as it was when it was brought up to date; not with `over`.
    """
    if _addresses and (home := _home_above(path)):
        home.require_leases()
        home.file(path).push(over=over)


def remove(path: Path) -> None:
    """Delete a small file of a home, in the store, too, where the home is shared."""
    if _addresses and (home := _home_above(path)):
        home.file(path).remove()
    path.unlink(missing_ok=True)


def folder_of(uri: str) -> Path:
    """Return the folder of a table: its address is the folder, or has the same place in the cache of a shared home."""
    for folder, address in _addresses.items():
        if uri.startswith(f"{address}/"):
            return folder / uri.removeprefix(f"{address}/")
    return Path(uri)


def _home_above(path: Path) -> SharedHome | None:
    """Return the shared home in whose cache a file lies, except for what each machine makes for itself."""
    for folder in _addresses:
        if path.is_relative_to(folder) and path.relative_to(folder).parts[0] != OWN:
            return shared_home(folder)
    return None
