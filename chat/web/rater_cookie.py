"""Identify an anonymous rater by a random number in a signed cookie: no login page, no name.

Why: browsers send cookies to every port of a host, and two chats on one machine with two homes would overwrite each
other's cookies. So the cookie's name contains a hash of the secret that signs it.

This module must not import chainlit: `chat.__main__` reads the secret before Chainlit reads its environment, at import.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from http.cookies import SimpleCookie

from itsdangerous import BadSignature, Signer
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE_SECONDS = 365 * 24 * 3600  # one year: a rater who returns by then is the same rater


def cookie_tag(secret: str) -> str:
    """Return 8 hex digits of a SHA-256 of the secret, for the cookie's name."""
    return hashlib.sha256(b"cookie name" + secret.encode()).hexdigest()[:8]


class RaterCookie:
    """The rater's cookie: a random number, signed with the home folder's secret."""

    def __init__(self, secret: str) -> None:
        self.name = f"rid_{cookie_tag(secret)}"
        self._signer = Signer(secret, salt="rater", digest_method=hashlib.sha256)

    def read(self, headers: Headers) -> str | None:
        """Return the rater of a request's cookie, or None if the cookie is missing or its signature is invalid."""
        value = cookie_parser(headers.get("cookie", "")).get(self.name, "")
        try:
            return f"rater-{self._signer.unsign(value).decode()}"
        except BadSignature:
            return None

    def make(self) -> tuple[str, str]:
        """Return a new rater and the signed cookie value."""
        number = secrets.token_hex(8)
        return f"rater-{number}", self._signer.sign(number).decode()


class RaterCookieMiddleware:
    """ASGI middleware: give each browser without a valid cookie a new rater.

    `sign_in` returns further cookies (name -> value) for the new rater, so that the page needs no login first; `apart`
    whether a path is for programs, which get none.
    """

    def __init__(
        self,
        app: ASGIApp,
        cookie: RaterCookie,
        sign_in: Callable[[str], dict[str, str]],
        apart: Callable[[str], bool] = lambda path: False,
    ) -> None:
        self.app, self.cookie, self.sign_in, self.apart = app, cookie, sign_in, apart

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add missing cookies to its response."""
        if scope["type"] != "http" or self.apart(scope["path"]) or self.cookie.read(Headers(scope=scope)):
            await self.app(scope, receive, send)
            return

        async def send_with_cookies(message: Message) -> None:
            if message["type"] == "http.response.start":
                rater, value = self.cookie.make()
                headers = MutableHeaders(scope=message)
                for name, content in {self.cookie.name: value, **self.sign_in(rater)}.items():
                    headers.append("set-cookie", _set_cookie(name, content, secure=scope.get("scheme") == "https"))
            await send(message)

        await self.app(scope, receive, send_with_cookies)


def _set_cookie(name: str, value: str, *, secure: bool) -> str:
    """Return the value of a set-cookie header: HttpOnly, SameSite=Lax."""
    cookie = SimpleCookie({name: value})[name]
    cookie["path"], cookie["max-age"], cookie["samesite"] = "/", str(COOKIE_SECONDS), "Lax"
    cookie["httponly"], cookie["secure"] = True, secure
    return cookie.OutputString()
