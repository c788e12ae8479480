"""What the chat's web server says and refuses: security headers, pages of other sites, routes that we do not use.

Documents and model answers are other people's text. The content policy keeps whatever they hold from loading or
sending anything: no image, script, font or connection goes to another host.
"""

from __future__ import annotations

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = re.compile(r"[\w.\-\[\]:]+")
CLOSED = re.compile(
    # Chainlit's own routes that would let a browser write what only the server may say: a card's props (PUT and
    # DELETE element), Chainlit's own feedback table, sharing, uploads, tool servers.
    r"(PUT|DELETE) /project/element|(PUT|DELETE) /feedback|PUT /project/thread/share|GET /project/share/.*"
    r"|POST /project/file|(POST|DELETE) /mcp"
)


class Guard:
    """ASGI middleware: refuses what `CLOSED` lists and what other sites ask for; adds the security headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403; a refused websocket is closed before it opens."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if _from_another_site(scope, headers) or CLOSED.fullmatch(f"{scope.get('method')} {scope['path'].rstrip('/')}"):
            await _refuse(scope, receive, send)
            return
        extra = security_headers(headers.get("host", ""))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(extra)
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


def _from_another_site(scope: Scope, headers: Headers) -> bool:
    """Return whether the browser says that another site's page makes this request (following a link is fine)."""
    asked_by = headers.get("sec-fetch-site", "none")
    follows_link = scope.get("method") == "GET" and headers.get("sec-fetch-mode") == "navigate"
    return asked_by not in ("same-origin", "none") and not follows_link


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
        return
    await JSONResponse({"detail": "thumbtune does not allow this."}, status_code=403)(scope, receive, send)
