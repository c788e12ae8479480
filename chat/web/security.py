"""What the chat's web server says and refuses: security headers, pages of other sites, routes that we do not use.

Documents and model answers are other people's text. The content policy keeps whatever they hold from loading or
sending anything: no image, script, font or connection goes to another host.
"""

from __future__ import annotations

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

UPLOAD = "/project/file"  # where files are dropped; what lies below it is one of them
MOST_BYTES = 110_000_000  # of an upload: a document may have 100 MB, and Chainlit takes a request whole, whatever it is
HOST = re.compile(r"[\w.\-\[\]:]+")
CLOSED = re.compile(
    # Chainlit's own routes that would let a browser write what only the server may say: a card's props (PUT and
    # DELETE element), Chainlit's own feedback table, sharing, tool servers.
    r"(PUT|DELETE) /project/element|(PUT|DELETE) /feedback|PUT /project/thread/share|GET /project/share/.*"
    r"|(POST|DELETE) /mcp"
)

FOREIGN = {  # a dropped file may be anybody's web page: opened at our address, its scripts would speak for the rater
    "content-security-policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
    "content-disposition": "attachment",
}
PDF = "/document.pdf"  # chat.actions.passages
VIEWED = {"content-security-policy": "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'"}  # the viewer's


class SecurityMiddleware:
    """ASGI middleware: refuses what `CLOSED` lists, what other sites ask for and too large files; adds the headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403; a refused websocket is closed before it opens."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if _from_another_site(scope, headers) or CLOSED.fullmatch(f"{scope.get('method')} {scope['path'].rstrip('/')}"):
            await refuse(scope, receive, send)
            return
        if _too_large(scope, headers):
            most = f"A file may have {MOST_BYTES // 10**6 - 10} MB."
            await JSONResponse({"detail": most}, status_code=413)(scope, receive, send)
            return
        extra = security_headers(headers.get("host", ""))
        if scope["path"].startswith(f"{UPLOAD}/"):
            extra |= FOREIGN
        if scope["path"] == PDF:
            extra |= VIEWED

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = MutableHeaders(scope=message)
                ours.update(extra)
                if scope.get("scheme") == "https":
                    _secure_cookies(ours)
            await send(message)

        await self.app(scope, receive, send_with_headers)


def security_headers(host: str) -> dict[str, str]:
    """Return the headers of every response. `host` is named because some browsers leave sockets out of 'self'."""
    sockets = f" ws://{host} wss://{host}" if HOST.fullmatch(host) else ""
    policy = {
        "default-src": "'self'",
        "script-src": "'self' 'unsafe-inline' 'unsafe-eval'",  # Chainlit's page; react-runner evaluates Compare.jsx
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": f"'self'{sockets}",
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


def _too_large(scope: Scope, headers: Headers) -> bool:
    """Return whether an upload has more bytes than any document may have, or does not say how many."""
    if (scope.get("method"), scope["path"].rstrip("/")) != ("POST", UPLOAD):
        return False
    length = headers.get("content-length", "")
    return not length.isascii() or not length.isdigit() or int(length) > MOST_BYTES


def _from_another_site(scope: Scope, headers: Headers) -> bool:
    """Return whether the browser says that another site's page makes this request (following a link is fine)."""
    asked_by = headers.get("sec-fetch-site", "none")
    follows_link = scope.get("method") == "GET" and headers.get("sec-fetch-mode") == "navigate"
    return asked_by not in ("same-origin", "none") and not follows_link


def _secure_cookies(headers: MutableHeaders) -> None:
    """Keep the cookies that Chainlit sets over https from ever being sent over http."""
    cookies = headers.getlist("set-cookie")
    del headers["set-cookie"]
    for cookie in cookies:
        headers.append("set-cookie", cookie if "; secure" in cookie.lower() else f"{cookie}; Secure")


async def refuse(scope: Scope, receive: Receive, send: Send, reason: str = "thumbtune does not allow this.") -> None:
    """Answer 403 with the reason; close a websocket before it opens."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
        return
    await JSONResponse({"detail": reason}, status_code=403)(scope, receive, send)
