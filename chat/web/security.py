"""Add security headers and refuse requests with other Hosts or Origins, or to unused routes.

Documents and model answers are untrusted text. The content security policy keeps them from loading or sending anything:
no image, script, font or connection to another host, and no script in the page but its own.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.web.hosts import FORBIDDEN, Guard, Hosts, from_another_site, refuse

UPLOAD = "/project/file"  # uploads are posted here; paths below it are uploaded files
MOST_BYTES = 110_000_000  # of an upload: documents may have 100 MB, and Chainlit reads a request whole
MOST_SENT = 4_000_000  # of any other request, which is read whole before anybody asks who sent it
HOST = re.compile(r"[\w.\-\[\]:]+")  # allowed in the content security policy
SOCKET = "/ws/socket.io"  # its polling transport reads by GET, so Origin is checked for GET, too
INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)
SENT_SECONDS, UPLOAD_SECONDS = 60.0, 1_800.0  # to send it: a phone sends 4 MB in a minute, 100 MB in half an hour
TOO_SLOW, TOO_LARGE = 408, 413
TOO_MUCH = f"A request may have {MOST_SENT // 10**6} MB."
MOST_DIGITS = 18  # of a length; Python reads no number of 5,000
CLOSED = re.compile(
    # Chainlit routes by which a browser could write what only the server may write: a card's props (PUT and DELETE
    # element), Chainlit's feedback table, sharing. Its /mcp, for tool servers, is replaced by ours (serve.app).
    r"(PUT|DELETE) /project/element|(PUT|DELETE) /feedback|PUT /project/thread/share|GET /project/share/.*"
)

FOREIGN = {  # an uploaded file may be a web page: opened at our address, its scripts would act as the rater
    "content-security-policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
    "content-disposition": "attachment",
}
PDF = "/document.pdf"  # chat.actions.passages
VIEWED = {"content-security-policy": "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'"}  # the viewer's
VIEWER = "/public/pdf/"  # pdf.js; a worker has the policy of its own file
WORKS = {  # it reads files that anybody may have made: no eval, nothing from elsewhere
    "content-security-policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'"
}


class BodyRefused(HTTPException):
    """A body that is too long, or takes too long: FastAPI passes an HTTPException on."""


class SecurityMiddleware:
    """ASGI middleware: refuse other Hosts and Origins, the routes of `CLOSED` and too large files; add the headers."""

    def __init__(self, app: ASGIApp, hosts: Hosts, scripts: Sequence[str] = ()) -> None:
        self.app, self.scripts = app, scripts
        self._guard = Guard(hosts, sockets=[SOCKET])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403, 408, 413 or 421; a refused websocket is closed before it opens."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if refused := self._refused(scope, headers):
            await refuse(scope, receive, send, *refused)
            return
        extra = security_headers(headers.get("host", ""), self.scripts) | _headers_of(scope["path"])
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                ours = MutableHeaders(scope=message)
                ours.update(extra)
                if scope.get("scheme") == "https":
                    _secure_cookies(ours)
            await send(message)

        try:
            await self.app(scope, _limited(scope, receive), send_with_headers)
        except BodyRefused as error:
            if started:
                raise
            await refuse(scope, receive, send, error.detail, error.status_code)

    def _refused(self, scope: Scope, headers: Headers) -> tuple[str, int] | None:
        """Return why a request is refused and the status to answer with, or None."""
        if refused := self._guard.refused(scope, headers):
            return refused
        if from_another_site(scope, headers) or CLOSED.fullmatch(f"{scope.get('method')} {scope['path'].rstrip('/')}"):
            return "thumbtune does not allow this.", FORBIDDEN
        if _is_upload(scope) and _too_large(headers, MOST_BYTES):
            return f"A file may have {MOST_BYTES // 10**6 - 10} MB.", TOO_LARGE
        if "content-length" in headers and not _is_upload(scope) and _too_large(headers, MOST_SENT):
            return TOO_MUCH, TOO_LARGE
        return None


def inline_hashes(html: str) -> tuple[str, ...]:
    """Return the hash of each inline script of a page, as a content security policy names it."""
    digests = (hashlib.sha256(script.encode()).digest() for script in INLINE.findall(html))
    return tuple(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


def security_headers(host: str, scripts: Sequence[str] = ()) -> dict[str, str]:
    """Return the security headers. `host` is needed because in some browsers 'self' does not include websockets;
    `scripts` are the hashes of our pages' own inline scripts, and no other one runs.
    """
    sockets = f" ws://{host} wss://{host}" if HOST.fullmatch(host) else ""
    policy = {
        "default-src": "'self'",
        "script-src": " ".join(("'self'", "'unsafe-eval'", *scripts)),  # react-runner evaluates our elements
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": f"'self'{sockets}",
        "worker-src": "'self'",
        "frame-ancestors": "'none'",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
    }
    return {
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "permissions-policy": "camera=(), microphone=(), geolocation=()",
    }


def _headers_of(path: str) -> dict[str, str]:
    """Return the headers of a path that has some of its own."""
    if path.startswith(f"{UPLOAD}/"):
        return FOREIGN
    if path == PDF:
        return VIEWED
    return WORKS if path.startswith(VIEWER) else {}


def _is_upload(scope: Scope) -> bool:
    return (scope.get("method"), scope["path"].rstrip("/")) == ("POST", UPLOAD)


def _too_large(headers: Headers, most: int) -> bool:
    """Return whether a request is larger than `most` bytes or has no valid content length."""
    length = headers.get("content-length", "")
    return not length.isascii() or not length.isdigit() or len(length) > MOST_DIGITS or int(length) > most


def _limited(scope: Scope, receive: Receive) -> Receive:
    """Return `receive` of a request, which raises BodyRefused once its body is too long or takes too long."""
    if scope["type"] != "http":
        return receive
    left, seconds = (MOST_BYTES, UPLOAD_SECONDS) if _is_upload(scope) else (MOST_SENT, SENT_SECONDS)
    until, is_read = asyncio.get_running_loop().time() + seconds, False

    async def receive_some() -> Message:
        nonlocal left, is_read
        if is_read:  # what follows is the end of the connection
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            raise BodyRefused(TOO_SLOW, f"A request has {seconds:.0f} seconds to be sent.") from None
        is_read = not message.get("more_body", False)
        left -= len(message.get("body", b""))
        if left < 0:
            raise BodyRefused(TOO_LARGE, TOO_MUCH)
        return message

    return receive_some


def _secure_cookies(headers: MutableHeaders) -> None:
    """Add Secure to the cookies that Chainlit sets over https."""
    cookies = headers.getlist("set-cookie")
    del headers["set-cookie"]
    for cookie in cookies:
        headers.append("set-cookie", cookie if "; secure" in cookie.lower() else f"{cookie}; Secure")
