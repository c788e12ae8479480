"""Limit how often a rater, and all raters of one address, may ask, upload, sign in and train: a sliding window.

Why two: a person in a hurry stays far below the first limit, so whoever meets it is a script. Without sign-in a script
can be a new rater with each request, and the second limit stops that; it is wide enough for a class of forty whose
computers share one address. On this machine without sign-in nothing is limited: nobody else reaches the chat there.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Literal, NamedTuple

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from chat.language import Phrase, in_language, language_for
from chat.web.security import is_loopback
from rag.errors import TooMany

What = Literal["question", "upload", "sign_in", "training"]
Networks = tuple[IPv4Network | IPv6Network, ...]
TOO_MANY = 429
FORWARDED = "x-forwarded-for"
MOST_KEYS = 100_000  # raters and addresses that are remembered; beyond it those are dropped whose window is over
ONE_NETWORK = 64  # bits of an IPv6 address that a provider gives to one household: the rest changes at will


class Rate(NamedTuple):
    """At most `most` in any `seconds`."""

    most: int
    seconds: int


class Limit(NamedTuple):
    """The rates of one rater, and of all raters of one address; `refusal` is the key of what is said beyond them."""

    rater: Rate
    address: Rate
    refusal: str


LIMITS: Mapping[What, Limit] = {
    # Reading two answers takes a minute; 30 are for who asks again and again. 40 people may ask 10 questions a minute.
    "question": Limit(Rate(30, 60), Rate(400, 60), "limits.question"),
    # A message has at most 20 files, so ten full messages at once; an address has four people who do that.
    "upload": Limit(Rate(200, 600), Rate(800, 600), "limits.upload"),
    # Forty people sign in when the lesson begins, and each mistypes twice. A password is checked in 0.25 s, so without
    # this one address could try 2,400 in ten minutes.
    "sign_in": Limit(Rate(120, 600), Rate(120, 600), "limits.sign_in"),
    # One runs at a time, and takes minutes: more starts are starts and stops.
    "training": Limit(Rate(20, 3600), Rate(60, 3600), "limits.training"),
}


class RateLimits:
    """What was done within the last window, by rater and by address. `sign_in`: whether this chat has a sign-in."""

    def __init__(self, *, sign_in: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._sign_in, self._clock = sign_in, clock
        self._done: dict[tuple[What, str], deque[float]] = {}

    def spend(self, what: What, rater: str, address: str) -> None:
        """Count one more; raise TooMany with the seconds to wait where a limit is reached, and count nothing then."""
        if not self._sign_in and (not address or is_loopback(address)):
            return
        rates = {f"rater {rater}": LIMITS[what].rater} if rater else {}
        if address and not is_loopback(address):  # that is a proxy which does not say for whom it asks
            rates[f"address {network_of(address)}"] = LIMITS[what].address
        now = self._clock()
        wait = max((self._wait(what, who, rate, now) for who, rate in rates.items()), default=0.0)
        if wait > 0:
            raise TooMany(Phrase(LIMITS[what].refusal, n=math.ceil(wait)), math.ceil(wait))
        for who in rates:
            self._done[what, who].append(now)

    def _wait(self, what: What, who: str, rate: Rate, now: float) -> float:
        if len(self._done) >= MOST_KEYS:
            self._forget(now)
        done = self._done.setdefault((what, who), deque(maxlen=rate.most))
        return done[0] + rate.seconds - now if len(done) == rate.most else 0.0

    def _forget(self, now: float) -> None:
        """Drop the raters and addresses whose last window is over."""
        longest = {what: max(limit.rater.seconds, limit.address.seconds) for what, limit in LIMITS.items()}
        self._done = {key: done for key, done in self._done.items() if done and done[-1] + longest[key[0]] > now}


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


class SignInLimit:
    """ASGI middleware: refuse attempts to sign in beyond the limit of their address with status 429."""

    def __init__(self, app: ASGIApp, limits: RateLimits, proxies: Networks = ()) -> None:
        self.app, self.limits, self.proxies = app, limits, proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 429."""
        if scope["type"] == "http" and _signs_in(scope):
            try:
                self.limits.spend("sign_in", "", client_address(scope, self.proxies))
            except TooMany as error:
                await too_many(error, Headers(scope=scope))(scope, receive, send)
                return
        await self.app(scope, receive, send)


def too_many(error: TooMany, headers: Headers) -> JSONResponse:
    """Return the response to a request beyond a limit, in the browser's language."""
    line = in_language(error.args[0], language_for(headers.get("accept-language", "")))
    return JSONResponse({"detail": line}, TOO_MANY, headers={"retry-after": str(error.seconds)})


def _signs_in(scope: Scope) -> bool:
    path = scope["path"].rstrip("/")
    return (scope["method"] == "POST" and path in ("/login", "/auth/jwt")) or path.startswith("/auth/oauth/")


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
