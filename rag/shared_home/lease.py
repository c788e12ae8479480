"""Leases: locks of a shared home, each an object with its owner and a token that only grows.

A lease is renewed every RENEW_SECONDS by a thread and counts as abandoned when the store's own clock says that it was
not changed for TTL_SECONDS; no machine's clock is read. Its next owner gets a higher token. A process that slept may
believe that it still holds its lease: so what a lease protects is written under a condition that the next owner breaks
first (`Lease.taken_over`), and after the lease was looked at again (`Lease.check`). The algorithm is that of fencing
tokens (Kleppmann, How to do distributed locking, 2016), with the store's conditional puts as the only primitive.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import timedelta

from rag.errors import StoreFailed
from rag.shared_home.objects import Changed, Found, Objects, Stamp

FOLDER = "leases"
TTL_SECONDS = 30.0  # not renewed for so long: its owner is dead or cut off
RENEW_SECONDS = 8.0  # three tries before it counts as abandoned
POLL_SECONDS = 1.0  # between two looks at a lease that somebody else holds
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Record:
    """A lease as it is stored. `held` is false once it was given back, `nonce` makes each
    state unlike all others, and after `ttl` seconds without a renewal it is abandoned."""

    owner: str
    token: int
    held: bool
    nonce: str
    ttl: float

    def as_bytes(self) -> bytes:
        """Return it as JSON, never twice the same."""
        return json.dumps(asdict(replace(self, nonce=secrets.token_hex(8)))).encode()


class Held(TimeoutError):
    """A lease is held by another process, `owner`; filelock's Timeout is a TimeoutError, too."""

    def __init__(self, owner: str) -> None:
        super().__init__(owner)
        self.owner = owner


class Lease:
    """A lease that this process holds. `taken_over`: its last owner did not give it back, and may believe it has it."""

    def __init__(self, objects: Objects, name: str, record: Record, stamp: Stamp, *, taken_over: bool) -> None:
        self._objects, self.name, self._record, self._stamp = objects, name, record, stamp
        self.taken_over = taken_over
        self._lock = threading.Lock()
        self._renewed = time.monotonic()
        self._lost = ""  # why, and who has it now
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._renew_forever, name=f"lease-{name}", daemon=True)
        self._thread.start()

    @property
    def token(self) -> int:
        """Return the fencing token: higher than that of each earlier owner."""
        return self._record.token

    def check(self) -> None:
        """Ask the store whether this process still holds the lease. Raises StoreFailed where it does not."""
        with self._lock:
            if not self._lost:
                self._look(self._objects.get(_path(self.name)))
            self._require()

    def check_if_late(self) -> None:
        """Do the same only where a renewal is overdue, as after a process was stopped; else it takes no time."""
        if self._lost or time.monotonic() - self._renewed > 2 * RENEW_SECONDS:
            self.check()

    def release(self) -> None:
        """Give the lease back; the next owner need not wait. One that cannot be given back runs out by itself."""
        self._done.set()
        with self._lock, suppress(Changed, StoreFailed):
            if not self._lost:
                given_back = replace(self._record, held=False).as_bytes()
                self._objects.put_changed(_path(self.name), given_back, self._stamp)
        self._thread.join(RENEW_SECONDS)

    def _renew_forever(self) -> None:
        while not self._done.wait(RENEW_SECONDS):
            with self._lock:
                if self._lost:
                    return
                began = time.monotonic()
                try:
                    data = self._record.as_bytes()
                    self._stamp = self._objects.put_changed(_path(self.name), data, self._stamp)
                    self._renewed = began
                except Changed:
                    with suppress(StoreFailed):
                        self._look(self._objects.get(_path(self.name)))
                except StoreFailed as error:  # it is tried again; meanwhile the lease may run out
                    log.warning("lease %s was not renewed: %s", self.name, error)

    def _look(self, found: Found | None) -> None:
        now = _read(found)
        if found and now and now.held and (now.owner, now.token) == (self._record.owner, self._record.token):
            self._stamp = found.stamp
            return
        self._lost = f"{now.owner} has taken it over" if now else "it was deleted"

    def _require(self) -> None:
        if self._lost:
            raise StoreFailed(
                f"{self._objects.address}: this process has lost its turn ({self.name}: {self._lost}), as it did not "
                f"answer for {TTL_SECONDS:.0f} seconds; nothing more was written: run the command again"
            )


def owner() -> str:
    """Return which process this is, for people: machine, process id and command, and what no other process has."""
    command = os.path.basename(sys.argv[0] or "python")  # noqa: PTH119  # of __main__.py its package
    if command == "__main__.py":
        command = os.path.basename(os.path.dirname(sys.argv[0]))  # noqa: PTH119, PTH120
    return f"{command} on {socket.gethostname()}, process {os.getpid()}"


def take(objects: Objects, name: str) -> Lease:
    """Take a lease that is free or abandoned. Raises Held with its owner, and StoreFailed."""
    for _ in range(3):
        found = objects.get(_path(name))
        before = _read(found)
        if found and before and before.held and not _is_abandoned(objects, name, before):
            raise Held(before.owner)
        mine = Record(owner(), before.token + 1 if before else 1, held=True, nonce="", ttl=TTL_SECONDS)
        with suppress(Changed):
            stamp = objects.put_changed(_path(name), mine.as_bytes(), found.stamp if found else None)
            abandoned = bool(before and before.held)
            if abandoned and before:
                log.warning("%s: took over %s, which %s had left", objects.address, name, before.owner)
            return Lease(objects, name, mine, stamp, taken_over=abandoned or (found is not None and before is None))
    raise Held("another process")


def wait_for(objects: Objects, name: str, seconds: float | None = None) -> Lease:
    """Take a lease, and wait for it if it must be. Raises Held after `seconds`, and StoreFailed."""
    began = time.monotonic()
    while True:
        try:
            return take(objects, name)
        except Held:
            if seconds is not None and time.monotonic() - began >= seconds:
                raise
        time.sleep(POLL_SECONDS)


@contextmanager
def holding(objects: Objects, name: str, seconds: float | None = None) -> Iterator[Lease]:
    """Hold a lease; `seconds` as in `wait_for`."""
    lease = wait_for(objects, name, seconds)
    try:
        yield lease
    finally:
        lease.release()


class Leases:
    """The leases that this process holds in one home. Thread-safe."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._held: dict[str, Lease] = {}

    @contextmanager
    def hold(self, name: str, seconds: float | None = None) -> Iterator[Lease]:
        """Hold a lease; `seconds` as in `wait_for`."""
        with holding(self._objects, name, seconds) as lease:
            self._held[name] = lease
            try:
                yield lease
            finally:
                del self._held[name]

    def require(self) -> None:
        """Ask the store whether all of them are still this process's. Raises StoreFailed where one is not."""
        for lease in list(self._held.values()):
            lease.check()

    def require_if_late(self) -> None:
        """Do the same for those whose renewal is overdue."""
        for lease in list(self._held.values()):
            lease.check_if_late()


def holder(objects: Objects, name: str) -> str:
    """Return who holds a lease now, "" for nobody."""
    now = _read(objects.get(_path(name)))
    return now.owner if now and now.held and not _is_abandoned(objects, name, now) else ""


def _is_abandoned(objects: Objects, name: str, record: Record) -> bool:
    """Return whether a lease was not renewed for its time, by the store's clock: it is read off a fresh object."""
    now_name = f"{FOLDER}/.clock-{secrets.token_hex(8)}"
    objects.put(now_name, b"")
    try:
        now, changed = objects.modified(now_name), objects.modified(_path(name))
    finally:
        objects.delete(now_name)
    whole_second = timedelta(seconds=1)  # some stores tell the time by seconds
    return bool(now and changed and now - changed > timedelta(seconds=record.ttl) + whole_second)


def _path(name: str) -> str:
    return f"{FOLDER}/{name}.json"


def _read(found: Found | None) -> Record | None:
    """Return the record of a lease; None where there is none, or none that can be read."""
    if found is None:
        return None
    try:
        return Record(**json.loads(found.data))
    except (ValueError, TypeError):
        return None
