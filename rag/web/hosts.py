"""Refuse requests to other hosts and from pages of other origins: the guard of every server here, as parts.

Why Host and Origin are both checked: an attacker can point a domain of their own at this machine (DNS rebinding), and
then every header except Host says "same origin". A page on another port of this host sends the cookie, too, and only
Origin identifies it: browsers omit Sec-Fetch-* on websockets and on plain http other than localhost.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from rag.errors import BadSetting
from rag.settings import Settings

NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
PLACE = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:/?#@\[\]]+)(?::(\d{1,5}))?")
ORIGIN = re.compile(r"(https?)://([^\s/?#@]+)")
PORTS = {"http": 80, "https": 443}
LOCALHOST = "localhost"
READS = ("GET", "HEAD")  # browsers hide these responses from pages of other origins
FORBIDDEN, MISDIRECTED = 403, 421
MOST_LOGGED = 100  # foreign origins that are logged, each once: a refused page may retry for hours
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


class Guard:
    """Says why a request's Host or Origin is refused. `sockets` are paths that are guarded for GET, too."""

    def __init__(self, hosts: Hosts, sockets: Sequence[str] = ()) -> None:
        self.hosts, self._sockets = hosts, tuple(sockets)
        self._logged: set[str] = set()

    def refused(self, scope: Scope, headers: Headers) -> tuple[str, int] | None:
        """Return why a request is refused and the status to answer with, or None."""
        if reason := self._wrong_host(headers):
            return reason, MISDIRECTED
        if reason := self._wrong_origin(scope, headers):
            return reason, FORBIDDEN
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
        reads = scope["type"] == "http" and scope["method"] in READS
        reads = reads and not any(socket in scope["path"] for socket in self._sockets)
        host, scheme = headers.get("host", ""), scope.get("scheme", "http")
        foreign = [origin for origin in headers.getlist("origin") if not self.hosts.has_page(origin, host, scheme)]
        if reads or not foreign:
            return ""
        if foreign[0] not in self._logged and len(self._logged) < MOST_LOGGED:
            self._logged.add(foreign[0])
            log.warning("refused a page of %r to %r; if it is the chat's own, %s", foreign[0][:200], host[:200], PROXY)
        return f"This page has another origin than the chat. If it is the chat's own, {PROXY}."


def from_another_site(scope: Scope, headers: Headers) -> bool:
    """Return whether Sec-Fetch-Site marks a request from another site, other than following a link."""
    asked_by = headers.get("sec-fetch-site", "none")
    follows_link = scope.get("method") == "GET" and headers.get("sec-fetch-mode") == "navigate"
    return asked_by not in ("same-origin", "none") and not follows_link


async def refuse(scope: Scope, receive: Receive, send: Send, reason: str, status: int = FORBIDDEN) -> None:
    """Send the status and the reason, also in OpenAI's shape; close a websocket before it opens."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
        return
    error = {"message": reason, "type": "invalid_request_error", "param": None, "code": "refused"}
    await JSONResponse({"detail": reason, "error": error}, status_code=status)(scope, receive, send)
