"""Who is rating: a random number in a signed cookie. No login page, no name, no preset secret.

The idea a reader would miss: browsers send cookies to every port of a host. Two chats on one machine with two homes
would keep replacing each other's cookies, so a cookie's name carries a tag of the secret that signs it.

No chainlit here: `chat.__main__` reads the secret before Chainlit, which reads its environment once, may be imported.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable
from http.cookies import SimpleCookie
from pathlib import Path

from itsdangerous import BadSignature, Signer
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.errors import StoreFailed

COOKIE_SECONDS = 365 * 24 * 3600  # a rater who comes back within a year finds the votes again
SECRET_BYTES = 32


def load_secret(path: Path) -> str:
    """Return the key that signs cookies; made at the first call, readable by its owner only. Raises StoreFailed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            _write_secret(path)
        secret = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreFailed(f"{path}: cannot be read or made ({error}): make its folder writable") from error
    if len(secret) < 2 * SECRET_BYTES:
        raise StoreFailed(f"{path}: holds no key (a full disk?): delete it, and a new one is made at the next start")
    return secret


def _write_secret(path: Path) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
        file.write(secrets.token_hex(SECRET_BYTES))


def cookie_tag(secret: str) -> str:
    """Return what a cookie's name carries: the same for the same secret, and nothing to guess the secret from."""
    return hashlib.sha256(b"cookie name" + secret.encode()).hexdigest()[:8]


class RaterCookie:
    """The cookie by which a rater is known again: a random number, signed with the home folder's secret."""

    def __init__(self, secret: str) -> None:
        self.name = f"rid_{cookie_tag(secret)}"
        self._signer = Signer(secret, salt="rater", digest_method=hashlib.sha256)

    def read(self, headers: Headers) -> str | None:
        """Return the rater that a request's cookie names, or None where it is missing or not signed by us."""
        value = cookie_parser(headers.get("cookie", "")).get(self.name, "")
        try:
            return f"rater-{self._signer.unsign(value).decode()}"
        except BadSignature:
            return None

    def make(self) -> tuple[str, str]:
        """Return a new rater, and the cookie value that proves it."""
        number = secrets.token_hex(8)
        return f"rater-{number}", self._signer.sign(number).decode()


class RaterCookieMiddleware:
    """ASGI middleware: makes a rater of every browser that brings no valid cookie.

    `sign_in` turns the new rater into further cookies (name -> value), so that the page need not pass by a login first.
    """

    def __init__(self, app: ASGIApp, cookie: RaterCookie, sign_in: Callable[[str], dict[str, str]]) -> None:
        self.app, self.cookie, self.sign_in = app, cookie, sign_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add the cookies to its response where they are missing."""
        if scope["type"] != "http" or self.cookie.read(Headers(scope=scope)):
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
    """Return the value of a set-cookie header; no script can read the cookie, no other site's page sends it along."""
    cookie = SimpleCookie({name: value})[name]
    cookie["path"], cookie["max-age"], cookie["samesite"] = "/", str(COOKIE_SECONDS), "Lax"
    cookie["httponly"], cookie["secure"] = True, secure
    return cookie.OutputString()
