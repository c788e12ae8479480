"""Count what was done within a sliding window, by rater, client or address; tell the address of a request.

The chat and the server for other programs have limits of their own; how they count is here.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.types import Scope

Networks = tuple[IPv4Network | IPv6Network, ...]
TOO_MANY = 429
FORWARDED = "x-forwarded-for"
MOST_KEYS = 100_000  # that are remembered; beyond it those are dropped whose window is over
ONE_NETWORK = 64  # bits of an IPv6 address that a provider gives to one household: the rest changes at will


class Rate(NamedTuple):
    """At most `most` in any `seconds`."""

    most: int
    seconds: int


class SlidingWindows:
    """The times of what was done, by key."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._done: dict[str, tuple[Rate, deque[float]]] = {}

    def __len__(self) -> int:
        return len(self._done)

    def spend(self, rates: Mapping[str, Rate]) -> float:
        """Count one more under each key, and return 0; where a rate is reached, count nothing and return the wait.

        The wait is in seconds.
        """
        now = self._clock()
        if len(self._done) >= MOST_KEYS:
            self._forget(now)
        wait = max((self._wait(key, rate, now) for key, rate in rates.items()), default=0.0)
        if wait <= 0:
            for key in rates:
                self._done[key][1].append(now)
        return max(wait, 0.0)

    def _wait(self, key: str, rate: Rate, now: float) -> float:
        _, done = self._done.setdefault(key, (rate, deque(maxlen=rate.most)))
        return done[0] + rate.seconds - now if len(done) == rate.most else 0.0

    def _forget(self, now: float) -> None:
        """Drop the keys whose last window is over."""
        kept = {key: each for key, each in self._done.items() if each[1] and each[1][-1] + each[0].seconds > now}
        self._done = kept


def network_of(address: str) -> str:
    """Return what counts as one address: an IPv4 address, or the first half of an IPv6 address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    mapped = getattr(parsed, "ipv4_mapped", None)
    if parsed.version == 6 and mapped is None:
        return str(ip_network((address, ONE_NETWORK), strict=False))
    return str(mapped or parsed)


def client_address(scope: Scope, proxies: Networks = ()) -> str:
    """Return the address that a request comes from, "" if unknown: behind trusted proxies the last one before them.

    Each proxy adds the address it was asked from at the end of X-Forwarded-For, so only what stands there after the
    first address that is no proxy's can be believed. The server itself has read it for a proxy on this machine.
    """
    client = scope.get("client")
    address = str(client[0]) if client else ""
    forwarded = ",".join(Headers(scope=scope).getlist(FORWARDED)) if _is_within(address, proxies) else ""
    for said in reversed([part.strip() for part in forwarded.split(",") if part.strip()]):
        if not _is_address(said):
            break
        address = said
        if not _is_within(said, proxies):
            break
    return address


def _is_within(address: str, networks: Networks) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(parsed in network for network in networks)


def _is_address(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False
