"""Sign-in modes: an anonymous cookie, passwords, OAuth, or the header of a proxy.

| way | set by | a rater's id |
|---|---|---|
| cookie | the default; on a network, THUMBTUNE_OPEN | rater-<random number> |
| password | THUMBTUNE_PASSWORDS | the name in the file |
| oauth | THUMBTUNE_OAUTH_ALLOW, and Chainlit's OAUTH_* | github:<name there> |
| header | THUMBTUNE_TRUSTED_HEADER | the header's value |

Why: Chainlit's login token stays valid when the settings change. So each mode signs its tokens with a key of its own
that is derived from the list of allowed users: a change of mode or list ends every login.

chainlit is imported in functions only: `chat.__main__` imports this module before Chainlit reads its environment.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any, Literal, cast

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from chat.passwords import Passwords, read_passwords
from chat.web.rater_cookie import RaterCookie, RaterCookieMiddleware
from rag.errors import BadSetting
from rag.settings import Settings
from rag.web.hosts import is_loopback, refuse

if TYPE_CHECKING:
    from fastapi import FastAPI

Way = Literal["cookie", "password", "oauth", "header"]
SignIn = Callable[[str], dict[str, str]]  # rater -> login cookies
LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
YOU = "You"  # display name of an anonymous rater
HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
PERSON = re.compile(r"(?!rater-)[^\x00-\x1f\x7f;,]{1,128}")  # a user name as a proxy may send it
PART = re.compile(r"_\d+$")  # Chainlit cuts a long token into numbered cookies
ANYBODY = "*"
NOT_THROUGH_PROXY = "This chat is reached through its proxy, where people sign in."


@dataclass(frozen=True)
class AuthMode:
    """A sign-in mode with its configuration."""

    way: Way
    passwords: Passwords | None = None
    allowed: tuple[str, ...] = ()
    header: str = ""
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()

    def token_key(self, secret: str) -> str:
        """Return the key that signs tokens; it changes with the mode and with the list of allowed users."""
        if self.way == "cookie":
            return secret
        who = self.passwords.fingerprint if self.passwords else " ".join(self.allowed)
        return hashlib.sha256(f"{secret}\n{self.way}\n{who}".encode()).hexdigest()

    def lets_in(self, name: str, profile: Mapping[str, Any]) -> bool:
        """Return whether the OAuth user with this name and profile is allowed."""
        if profile.get("email_verified", profile.get("verified_email")) is False:
            return False  # an unverified address proves nothing
        low = name.casefold()
        return any(rule == ANYBODY or low == rule or (rule[0] == "@" and low.endswith(rule)) for rule in self.allowed)

    def name_in(self, headers: Headers) -> str | None:
        """Return the user in a proxy's header, or None if it is missing, invalid or sent twice (forged)."""
        said = headers.getlist(self.header)
        name = said[0].strip() if len(said) == 1 else ""
        return name if PERSON.fullmatch(name) else None

    def is_proxy(self, client: tuple[str, int] | None) -> bool:
        """Return whether the client address is the proxy's."""
        try:
            address = ip_address(client[0] if client else "")
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address  # ::ffff:10.0.0.7 on a dual-stack socket
        return any(address in network for network in self.proxies)


def auth_mode(settings: Settings) -> AuthMode:
    """Return the sign-in mode of the settings. Raises BadSetting if two are set, or one that cannot work."""
    named = {
        "THUMBTUNE_PASSWORDS": settings.passwords,
        "THUMBTUNE_OAUTH_ALLOW": settings.oauth_allow,
        "THUMBTUNE_TRUSTED_HEADER": settings.trusted_header,
    }
    chosen = [name for name, value in named.items() if value]
    if len(chosen) > 1:
        raise BadSetting(f"{' and '.join(chosen)} are set, but only one sign-in mode can be used: keep one of them")
    if settings.trusted_proxies and not settings.trusted_header:
        raise BadSetting("THUMBTUNE_TRUSTED_PROXIES is set without THUMBTUNE_TRUSTED_HEADER: name the header, too")
    if settings.passwords:
        return AuthMode("password", passwords=read_passwords(settings.passwords))
    if settings.oauth_allow:
        return AuthMode("oauth", allowed=tuple(rule.casefold() for rule in settings.oauth_allow))
    if settings.trusted_header:
        return AuthMode("header", header=_header(settings.trusted_header), proxies=_proxies(settings))
    if not is_loopback(settings.host) and not settings.open:
        raise BadSetting(
            f"THUMBTUNE_HOST={settings.host!r} without sign-in: everyone who can reach it could read the documents; "
            "set THUMBTUNE_PASSWORDS, THUMBTUNE_OAUTH_ALLOW or THUMBTUNE_TRUSTED_HEADER, or THUMBTUNE_OPEN=yes to "
            "allow it"
        )
    return AuthMode("cookie")


def open_to_all(settings: Settings, mode: AuthMode) -> str:
    """Return a warning if other machines can reach the chat without signing in, else ""."""
    if mode.way != "cookie" or is_loopback(settings.host):
        return ""
    return f"Warning: no sign-in on {settings.host}:{settings.port}: everyone who can reach it can read the documents."


def _header(name: str) -> str:
    if not HEADER_NAME.fullmatch(name):
        raise BadSetting(
            f"THUMBTUNE_TRUSTED_HEADER={name!r}: not a valid header name; X-Forwarded-User is a common one"
        )
    return name


def _proxies(settings: Settings) -> tuple[IPv4Network | IPv6Network, ...]:
    """Return the proxy's networks; by default loopback, and then the chat must not listen on a network."""
    try:
        listed = tuple(ip_network(address) for address in settings.trusted_proxies)
    except ValueError as error:
        raise BadSetting(f"THUMBTUNE_TRUSTED_PROXIES: {error}: give addresses or networks, as 10.0.0.7") from None
    if not listed and not is_loopback(settings.host):
        raise BadSetting(
            f"THUMBTUNE_TRUSTED_HEADER with THUMBTUNE_HOST={settings.host!r}: anybody could send the header; "
            "set THUMBTUNE_TRUSTED_PROXIES to the proxy's address, or THUMBTUNE_HOST=localhost"
        )
    return listed or LOOPBACK


class ProxyAuthMiddleware:
    """ASGI middleware: refuse requests that do not come through the proxy; sign the others in as its header says.

    Each request's token replaces the browser's, so a sign-out or change of user at the proxy takes effect.
    """

    def __init__(
        self, app: ASGIApp, mode: AuthMode, sign_in: SignIn, apart: Callable[[str], bool] = lambda path: False
    ) -> None:
        self.app, self.mode, self.sign_in, self.apart = app, mode, sign_in, apart

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its user's token, or answer 403."""
        is_open = scope["type"] == "http" and (scope["path"] == "/health" or self.apart(scope["path"]))
        if is_open or scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        name = self.mode.name_in(Headers(scope=scope)) if self.mode.is_proxy(scope.get("client")) else None
        if name is None:
            await refuse(scope, receive, send, NOT_THROUGH_PROXY)
            return
        await self.app({**scope, "headers": with_cookies(scope["headers"], self.sign_in(name))}, receive, send)


def with_cookies(headers: Iterable[tuple[bytes, bytes]], cookies: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Return headers with these cookies in place of any of the same names, numbered parts (name_0, name_1) included."""
    headers = list(headers)
    sent = [cookie_parser(value.decode("latin-1")) for name, value in headers if name == b"cookie"]
    kept = {name: value for each in sent for name, value in each.items() if PART.sub("", name) not in cookies}
    line = "; ".join(f"{name}={value}" for name, value in {**kept, **cookies}.items())
    return [*(pair for pair in headers if pair[0] != b"cookie"), (b"cookie", line.encode("latin-1"))]


# --- Chainlit callbacks --------------------------------------------------------------------------------------------


def install(mode: AuthMode, secret: str, app: FastAPI, apart: Callable[[str], bool] = lambda path: False) -> None:
    """Register the callbacks of a sign-in mode with Chainlit. Raises BadSetting if OAuth is half configured.

    `apart` returns whether a path is for programs, which have keys: nobody is signed in for it.
    """
    from chainlit.oauth_providers import get_configured_oauth_providers

    check_providers(mode, get_configured_oauth_providers())  # type: ignore[no-untyped-call]
    install_mode = {"cookie": _by_cookie, "password": _by_password, "oauth": _by_oauth, "header": _by_header}[mode.way]
    install_mode(mode, secret, app, apart)


def check_providers(mode: AuthMode, providers: list[str]) -> None:
    """Raise BadSetting if an OAuth provider is configured without a list of allowed users, or the reverse."""
    if mode.way == "oauth" and not providers:
        raise BadSetting(
            "THUMBTUNE_OAUTH_ALLOW is set, but no provider: set, for example, OAUTH_GITHUB_CLIENT_ID and "
            "OAUTH_GITHUB_CLIENT_SECRET"
        )
    if mode.way != "oauth" and providers:
        raise BadSetting(
            f"OAuth by {', '.join(providers)} is configured, but not who may sign in by it: set THUMBTUNE_OAUTH_ALLOW "
            "(and no other way to sign in), or remove the OAUTH_ variables"
        )


def _by_cookie(mode: AuthMode, secret: str, app: FastAPI, apart: Callable[[str], bool]) -> None:
    import chainlit as cl

    cookie = RaterCookie(secret)

    @cl.header_auth_callback
    async def who(headers: Headers) -> cl.User | None:
        rater = cookie.read(headers)
        return cl.User(identifier=rater, display_name=YOU) if rater else None

    if app.middleware_stack is None:  # not when `chainlit run -w` loads the app again
        sign_in = partial(token_cookie, display_name=YOU)
        app.add_middleware(RaterCookieMiddleware, cookie=cookie, sign_in=sign_in, apart=apart)


def _by_password(mode: AuthMode, secret: str, app: FastAPI, apart: Callable[[str], bool]) -> None:
    import chainlit as cl

    @cl.password_auth_callback
    async def who(typed: str, password: str) -> cl.User | None:
        name = await cast(Passwords, mode.passwords).check(typed, password)
        return cl.User(identifier=name, display_name=name) if name else None


def _by_oauth(mode: AuthMode, secret: str, app: FastAPI, apart: Callable[[str], bool]) -> None:
    import chainlit as cl

    @cl.oauth_callback
    async def who(
        provider: str, token: str, profile: dict[str, Any], user: cl.User, id_token: str | None = None
    ) -> cl.User | None:
        if not mode.lets_in(user.identifier, profile):
            return None
        return cl.User(identifier=f"{provider}:{user.identifier}", display_name=user.identifier)  # no picture, no token


def _by_header(mode: AuthMode, secret: str, app: FastAPI, apart: Callable[[str], bool]) -> None:
    import chainlit as cl

    @cl.header_auth_callback
    async def who(headers: Headers) -> cl.User | None:
        name = mode.name_in(headers)  # ProxyAuthMiddleware has refused every other request
        return cl.User(identifier=name, display_name=name) if name else None

    if app.middleware_stack is None:
        app.add_middleware(ProxyAuthMiddleware, mode=mode, sign_in=token_cookie, apart=apart)


def token_cookie(rater: str, display_name: str = "") -> dict[str, str]:
    """Return the cookie that Chainlit's own login would set for a rater."""
    from chainlit import User
    from chainlit.auth import create_jwt
    from chainlit.auth.cookie import _auth_cookie_name

    return {_auth_cookie_name: create_jwt(User(identifier=rater, display_name=display_name or rater))}
