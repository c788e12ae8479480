"""Add security headers and refuse requests with other Hosts or Origins, or to unused routes.

Documents and model answers are untrusted text. The content security policy keeps them from loading or sending anything:
no image, script, font or connection to another host, and no script in the page but its own.

Why Host and Origin are both checked: an attacker can point a domain of their own at this machine (DNS rebinding), and
then every header except Host says "same origin". A page on another port of this host sends the cookie, too, and only
Origin identifies it: browsers omit Sec-Fetch-* on websockets and on plain http other than localhost.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import NamedTuple

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.errors import BadSetting
from rag.settings import Settings

UPLOAD = "/project/file"  # uploads are posted here; paths below it are uploaded files
MOST_BYTES = 110_000_000  # of an upload: documents may have 100 MB, and Chainlit reads a request whole
HOST = re.compile(r"[\w.\-\[\]:]+")  # allowed in the content security policy
NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
PLACE = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:/?#@\[\]]+)(?::(\d{1,5}))?")
ORIGIN = re.compile(r"(https?)://([^\s/?#@]+)")
PORTS = {"http": 80, "https": 443}
LOCALHOST = "localhost"
SOCKET = "/ws/socket.io"  # its polling transport reads by GET, so Origin is checked for GET, too
READS = ("GET", "HEAD")  # browsers hide these responses from pages of other origins
INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)
FORBIDDEN, TOO_LARGE, MISDIRECTED = 403, 413, 421
MOST_LOGGED = 100  # foreign origins that are logged, each once: a refused page may retry for hours
CLOSED = re.compile(
    # Chainlit routes by which a browser could write what only the server may write: a card's props (PUT and DELETE
    # element), Chainlit's feedback table, sharing, tool servers.
    r"(PUT|DELETE) /project/element|(PUT|DELETE) /feedback|PUT /project/thread/share|GET /project/share/.*"
    r"|(POST|DELETE) /mcp"
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
PROXY = "let the reverse proxy pass on Host with its port, or set CHAINLIT_URL to the address that people type"
log = logging.getLogger("thumbtune")


class Origin(NamedTuple):
    """Scheme, name and port of an address, in lower case."""

    scheme: str
    name: str
    port: int


@dataclass(frozen=True, slots=True)
class Hosts:
    """Host names under which the chat is served, on any port, in addition to localhost, 127.* and [::1]."""

    names: frozenset[str] = frozenset()
    any_address: bool = False  # an IP address cannot be rebound
    public: Origin | None = None  # if a proxy sends another Host than users type

    def serves(self, host: str) -> bool:
        """Return whether a Host header names this chat."""
        name = _name(host)
        if name == LOCALHOST or name in self.names:
            return True
        return _is_address(name) and (self.any_address or is_loopback(name))

    def has_page(self, origin: str, host: str, scheme: str) -> bool:
        """Return whether an Origin header is a page of the chat, for a request with this Host and scheme.

        Behind a proxy that terminates TLS without X-Forwarded-Proto the scheme is http here and https in Origin, so
        only the opposite is refused: an http page over TLS. X-Forwarded-Host is ignored, as anyone can set it.
        """
        page = read_origin(origin.lower())
        if page is None:  # "null", from a sandboxed frame or a local file
            return False
        if page == self.public:
            return True
        downgraded = scheme in ("https", "wss") and page.scheme == "http"
        return not downgraded and page == _read_place(page.scheme, host.lower())


def allowed_hosts(settings: Settings) -> Hosts:
    """Return the host names that the settings allow. Raises BadSetting for an invalid name or URL."""
    public = read_origin(_origin_of(settings.public_url.lower())) if settings.public_url else None
    if settings.public_url and public is None:
        raise BadSetting(f"CHAINLIT_URL={settings.public_url!r}: give the whole address, as https://chat.example.org")
    for name in settings.hosts:
        if not (NAME.fullmatch(name.lower()) or _is_address(name)):
            raise BadSetting(
                f"THUMBTUNE_HOSTS: {name!r} is not a host name: give it as chat.example.org, without a port"
            )
    own = () if is_loopback(settings.host) else (settings.host,)
    names = {_bracketed(name.lower()) for name in (*settings.hosts, *own)} | ({public.name} if public else set())
    return Hosts(frozenset(names), any_address=not is_loopback(settings.host), public=public)


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is a loopback address."""
    try:
        return host == LOCALHOST or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def read_origin(text: str) -> Origin | None:
    """Return the parsed Origin header (in lower case), or None for "null" and non-HTTP origins."""
    found = ORIGIN.fullmatch(text)
    return _read_place(found[1], found[2]) if found else None


def _origin_of(url: str) -> str:
    return "/".join(url.split("/", 3)[:3])


def _read_place(scheme: str, place: str) -> Origin | None:
    """Return the origin of a Host header, with or without a port."""
    found = PLACE.fullmatch(place)
    return Origin(scheme, found[1], int(found[2] or PORTS[scheme])) if found else None


def _name(host: str) -> str:
    found = PLACE.fullmatch(host.lower())
    return found[1] if found else ""


def _is_address(name: str) -> bool:
    try:
        return bool(ip_address(name.strip("[]")))
    except ValueError:
        return False


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name and not name.startswith("[") else name


class SecurityMiddleware:
    """ASGI middleware: refuse other Hosts and Origins, the routes of `CLOSED` and too large files; add the headers."""

    def __init__(self, app: ASGIApp, hosts: Hosts, scripts: Sequence[str] = ()) -> None:
        self.app, self.hosts, self.scripts = app, hosts, scripts
        self._logged: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403, 413 or 421; a refused websocket is closed before it opens."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if refused := self._refused(scope, headers):
            await refuse(scope, receive, send, *refused)
            return
        extra = security_headers(headers.get("host", ""), self.scripts)
        if scope["path"].startswith(f"{UPLOAD}/"):
            extra |= FOREIGN
        if scope["path"] == PDF:
            extra |= VIEWED
        if scope["path"].startswith(VIEWER):
            extra |= WORKS

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = MutableHeaders(scope=message)
                ours.update(extra)
                if scope.get("scheme") == "https":
                    _secure_cookies(ours)
            await send(message)

        await self.app(scope, receive, send_with_headers)

    def _refused(self, scope: Scope, headers: Headers) -> tuple[str, int] | None:
        """Return why a request is refused and the status to answer with, or None."""
        if reason := self._wrong_host(headers):
            return reason, MISDIRECTED
        if reason := self._wrong_origin(scope, headers):
            return reason, FORBIDDEN
        if _from_another_site(scope, headers) or CLOSED.fullmatch(f"{scope.get('method')} {scope['path'].rstrip('/')}"):
            return "thumbtune does not allow this.", FORBIDDEN
        if _too_large(scope, headers):
            return f"A file may have {MOST_BYTES // 10**6 - 10} MB.", TOO_LARGE
        return None

    def _wrong_host(self, headers: Headers) -> str:
        """Return why the Host is refused, or "". Browsers always send one; an HTTP/1.0 probe does not."""
        said = headers.getlist("host")
        if not said or (len(said) == 1 and self.hosts.serves(said[0])):
            return ""
        name = _name(said[0]) or said[0]
        return f"No chat is served as {name!r}. If this is its name, set THUMBTUNE_HOSTS={name} and start it again."

    def _wrong_origin(self, scope: Scope, headers: Headers) -> str:
        """Return why the Origin is refused, or "". Clients other than browsers send none."""
        reads = scope["type"] == "http" and scope["method"] in READS and SOCKET not in scope["path"]
        host, scheme = headers.get("host", ""), scope.get("scheme", "http")
        foreign = [origin for origin in headers.getlist("origin") if not self.hosts.has_page(origin, host, scheme)]
        if reads or not foreign:
            return ""
        if foreign[0] not in self._logged and len(self._logged) < MOST_LOGGED:
            self._logged.add(foreign[0])
            log.warning("refused a page of %r to %r; if it is the chat's own, %s", foreign[0][:200], host[:200], PROXY)
        return f"This page has another origin than the chat. If it is the chat's own, {PROXY}."


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


def _too_large(scope: Scope, headers: Headers) -> bool:
    """Return whether an upload is larger than MOST_BYTES or has no valid content length."""
    if (scope.get("method"), scope["path"].rstrip("/")) != ("POST", UPLOAD):
        return False
    length = headers.get("content-length", "")
    return not length.isascii() or not length.isdigit() or int(length) > MOST_BYTES


def _from_another_site(scope: Scope, headers: Headers) -> bool:
    """Return whether Sec-Fetch-Site marks a request from another site, other than following a link."""
    asked_by = headers.get("sec-fetch-site", "none")
    follows_link = scope.get("method") == "GET" and headers.get("sec-fetch-mode") == "navigate"
    return asked_by not in ("same-origin", "none") and not follows_link


def _secure_cookies(headers: MutableHeaders) -> None:
    """Add Secure to the cookies that Chainlit sets over https."""
    cookies = headers.getlist("set-cookie")
    del headers["set-cookie"]
    for cookie in cookies:
        headers.append("set-cookie", cookie if "; secure" in cookie.lower() else f"{cookie}; Secure")


async def refuse(scope: Scope, receive: Receive, send: Send, reason: str, status: int = FORBIDDEN) -> None:
    """Send the status and the reason; close a websocket before it opens."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
        return
    await JSONResponse({"detail": reason}, status_code=status)(scope, receive, send)
