"""Find out whether a store honours conditional puts, without which two writers would overwrite each other.

Why at each start: LanceDB commits by put-if-absent, and each lease by put-if-unchanged. A store that ignores the
condition answers 200 and loses what the other has written: of 99 acknowledged rows 28 (s3rver, docs/log.md).
"""

from __future__ import annotations

import secrets
from contextlib import suppress

from rag.errors import StoreFailed
from rag.shared_home.objects import Changed, Objects, endpoint

FOLDER = ".probe"


def require_conditions(objects: Objects) -> None:
    """Raise StoreFailed, naming the store, unless it refuses a second put-if-absent and a put over a changed object.

    It also finds a wrong bucket and missing rights: an object is put, read, put again and deleted.
    """
    name = f"{FOLDER}/{secrets.token_hex(8)}"
    first = objects.put_new(name, b"first")
    try:
        second = objects.put_changed(name, b"second", first)
        refusals = 0
        with suppress(StoreFailed):  # it may also say that it does not know the header
            try:
                objects.put_new(name, b"third")
            except Changed:
                refusals += 1
            try:
                objects.put_changed(name, b"fourth", first)
            except Changed:
                refusals += 1
        if refusals < 2 or second == first:
            raise StoreFailed(
                f"{objects.address}: the store ({store_name(objects)}) does not honour conditional puts (If-None-Match "
                "and If-Match), and two writers would lose each other's rows: use Amazon S3, Azure, Google Cloud "
                "Storage, or another store that does"
            )
    finally:
        objects.delete(name)


def store_name(objects: Objects) -> str:
    """Return what a person calls the store: its endpoint, or the cloud's name."""
    clouds = {"s3": endpoint() or "Amazon S3", "az": "Azure", "gs": "Google Cloud Storage"}
    return clouds[objects.address.partition("://")[0]]
