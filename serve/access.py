"""Who asks: the client of a request by its key, what it may ask for, and how often.

Without any key the server answers everybody who reaches it, as the chat does: on this machine, or where
THUMBTUNE_OPEN allows it, and only where people do not sign in to the chat. With one key all clients need one.

Why other limits than the chat's: one client, such as Open WebUI, asks for many people with one key. People have the
chat's own limit where the client names them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

from starlette.requests import Request

from rag.errors import BadSetting, TooMany
from rag.settings import Settings
from rag.web.hosts import is_loopback
from rag.web.rate_limits import Networks, Rate, SlidingWindows, client_address, network_of
from serve.errors import FORBIDDEN, UNAUTHORISED, ApiError
from serve.keys import LOCAL, RATER, SCOPES, Client, KeyRing

CLIENT: Mapping[str, Rate] = {  # of a key
    "ask": Rate(400, 60),  # the chat's limit of an address: forty people, ten questions a minute each
    "rate": Rate(2_000, 60),  # an import by a loop
    "retrieve": Rate(1_200, 60),  # twenty a second: more is a job for the model itself, not for a server
    "metrics": Rate(240, 60),
}
PERSON = Rate(30, 60)  # questions of one person, as in the chat
WRONG_KEYS = Rate(120, 600)  # of an address: nobody guesses 256 bits, but a log must not fill
ANY = ""  # the scope of a route that any key may use: what it does there, is asked again
MADE_BY = "make one with `thumbtune keys add NAME`"


class Access:
    """Admits requests. `proxies` are those whose X-Forwarded-For is believed."""

    def __init__(
        self,
        settings: Settings,
        keys: KeyRing,
        proxies: Networks = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys, self._proxies = keys, proxies
        self._windows = SlidingWindows(clock)
        self.is_open = is_open(settings)

    def client_of(self, request: Request, scope: str) -> Client:
        """Return who asks, for a route of this scope. Raises ApiError with 401 or 403, TooMany for many wrong keys."""
        if self.is_open and self._keys.is_empty:
            return LOCAL
        key = _bearer(request.headers.get("authorization", ""))
        client = self._keys.client_of(key) if key else None
        if client is None:
            address = client_address(request.scope, self._proxies)
            self._spend({f"wrong key {network_of(address)}": WRONG_KEYS}, "wrong keys")
            said = "Incorrect API key provided." if key else "You didn't provide an API key."
            hint = f"Send it as 'Authorization: Bearer KEY'; {MADE_BY}."
            raise ApiError(UNAUTHORISED, f"{said} {hint}", "invalid_api_key", headers={"www-authenticate": "Bearer"})
        if scope != ANY and scope not in client.scopes:
            allowed = ", ".join(sorted(client.scopes))
            raise ApiError(
                FORBIDDEN,
                f"The key of {client.name!r} is for {allowed}, and not for {scope} ({SCOPES[scope]}).",
                "insufficient_scope",
            )
        return client

    def spend(self, client: Client, scope: str, person: str = "") -> None:
        """Count one more request. Raises TooMany with the seconds to wait. A client without a key is not limited."""
        if client is LOCAL:
            return
        rates = {f"{scope} client {client.name}": CLIENT[scope]}
        if person and scope == "ask":
            rates[f"{scope} person {client.rater(person)}"] = PERSON
        self._spend(rates, "requests")

    def _spend(self, rates: Mapping[str, Rate], what: str) -> None:
        if wait := math.ceil(self._windows.spend(rates)):
            raise TooMany(f"Rate limit reached: too many {what}. Wait {wait} seconds.", wait)


def is_open(settings: Settings) -> bool:
    """Return whether clients need no key as long as none was made: where nobody signs in to the chat either."""
    signs_in = settings.passwords or settings.oauth_allow or settings.trusted_header
    return not signs_in and (settings.open or is_loopback(settings.host))


def require_access(settings: Settings, keys: KeyRing) -> None:
    """Raise BadSetting where no request could be admitted: a key is needed, and there is none."""
    if keys.is_empty and not is_open(settings):
        raise BadSetting(
            f"no client could ask this server on THUMBTUNE_HOST={settings.host!r}: a key is needed there, and there "
            f"is none; {MADE_BY}"
        )


def named_person(request: Request, given: str | None) -> str:
    """Return whom a client asks or rates for, "" if it does not say: `user`, or the header of Open WebUI.

    Raises ApiError for a name that could not be stored.
    """
    return checked_person(given or request.headers.get("x-openwebui-user-id", ""))


def checked_person(given: str) -> str:
    """Return a person's name without surrounding whitespace. Raises ApiError for one that could not be stored."""
    name = given.strip()
    if name and not RATER.fullmatch(name):
        raise ApiError(400, "user must be 1 to 128 characters without control characters", "invalid_user", "user")
    return name


def _bearer(header: str) -> str:
    kind, _, key = header.partition(" ")
    return key.strip() if kind.lower() == "bearer" else ""
