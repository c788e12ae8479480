"""Limit how often a rater, and all raters of one address, may ask, upload, sign in and train: a sliding window.

Why two: a person in a hurry stays far below the first limit, so whoever meets it is a script. Without sign-in a script
can be a new rater with each request, and the second limit stops that; it is wide enough for a class of forty whose
computers share one address. On this machine without sign-in nothing is limited: nobody else reaches the chat there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from chat.language import Phrase, in_language, language_for
from rag.errors import TooMany
from rag.web.hosts import is_loopback
from rag.web.rate_limits import TOO_MANY, Networks, Rate, SlidingWindows, client_address, network_of

What = Literal["question", "upload", "sign_in", "training"]


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
        self._sign_in = sign_in
        self._windows = SlidingWindows(clock)

    def __len__(self) -> int:
        return len(self._windows)

    def spend(self, what: What, rater: str, address: str) -> None:
        """Count one more; raise TooMany with the seconds to wait where a limit is reached, and count nothing then."""
        if not self._sign_in and (not address or is_loopback(address)):
            return
        rates = {f"{what} rater {rater}": LIMITS[what].rater} if rater else {}
        if address and not is_loopback(address):  # that is a proxy which does not say for whom it asks
            rates[f"{what} address {network_of(address)}"] = LIMITS[what].address
        if wait := math.ceil(self._windows.spend(rates)):
            raise TooMany(Phrase(LIMITS[what].refusal, n=wait), wait)


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
