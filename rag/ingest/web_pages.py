"""Fetch the web pages of a list of URLs, at most once a week; in between, and without a network, use a cached copy.

Why a copy: a source that cannot be read loses its chunks, and a train ride without network must not empty the index.
Why only lists in the documents folder: an uploaded list could name private addresses that only this machine reaches,
and expose what is there (SSRF).
"""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urldefrag, urljoin, urlsplit

from rag.errors import Unreadable
from rag.loaders.decoding import decode
from rag.records import content_id

if TYPE_CHECKING:
    import httpx

ADDRESS = re.compile(r"^\s*(?:URL=)?(https?://\S+)", re.IGNORECASE)  # "URL=": a Windows bookmark
SUFFIX_OF_TYPE = {  # content type -> suffix, which selects the loader
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "text/markdown": ".md",
    "text/plain": ".txt",
    "text/csv": ".csv",
    "application/pdf": ".pdf",
    "application/epub+zip": ".epub",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
}
WEEK = 7 * 24 * 3600.0  # seconds that a copy is used; documentation changes with releases
CONNECT_SECONDS, PAGE_SECONDS = 5.0, 60.0  # a server that sends a byte per second must not block an index run
MAX_REDIRECTS = 5
USER_AGENT = "thumbtune (reads pages that its user has listed)"
log = logging.getLogger(__name__)
Page = tuple[str, bytes]  # (suffix, bytes)
Fetch = Callable[[str], Page]


def parse_addresses(data: bytes) -> Iterator[str]:
    """Yield the distinct URLs of a list, one per line, without fragments; other lines are ignored."""
    lines = (ADDRESS.match(line) for line in decode(data).splitlines())
    yield from dict.fromkeys(urldefrag(match[1]).url for match in lines if match)


class PageFetcher:
    """Fetches pages and caches them in a folder. A call returns a page, or raises Unreadable with the reason."""

    def __init__(self, folder: Path, max_bytes: int, now: Callable[[], float] = time.time) -> None:
        self._folder, self._max_bytes, self._now = folder, max_bytes, now
        self._unreachable: dict[str, str] = {}

    def __call__(self, address: str) -> Page:
        copy = next(self._folder.glob(f"{content_id(address)}.*"), None)
        if copy and self._now() - copy.stat().st_mtime < WEEK:
            return copy.suffix, copy.read_bytes()
        try:
            page = self._fetch(address)
        except Unreadable as error:
            if copy is None:
                raise
            log.warning("%s: %s; using the copy of %s", address, error, time.ctime(copy.stat().st_mtime))
            return copy.suffix, copy.read_bytes()
        self._keep(address, page, copy)
        return page

    def _fetch(self, address: str) -> Page:
        """Return a page from its server. A host that could not be reached is not tried again in this run."""
        import httpx  # a quarter of a second, and few documents are lists of addresses

        host = urlsplit(address).netloc
        if host in self._unreachable:
            raise Unreadable(self._unreachable[host])
        try:
            with httpx.Client(timeout=httpx.Timeout(PAGE_SECONDS / 2, connect=CONNECT_SECONDS)) as client:
                return self._follow(client, address)
        except httpx.TransportError as error:
            reason = f"it cannot be fetched ({type(error).__name__}): is there a network, and does the address work?"
            self._unreachable[host] = reason
            raise Unreadable(reason) from None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise Unreadable(f"it cannot be fetched ({type(error).__name__}): check the address") from None

    def _follow(self, client: httpx.Client, address: str) -> Page:
        """Return the page at an address after redirects, none of which may lead to a private network."""
        start = address
        for _ in range(MAX_REDIRECTS + 1):
            with client.stream("GET", address, headers={"User-Agent": USER_AGENT}) as reply:
                if not reply.is_redirect:
                    return self._read(reply)
                address = urljoin(address, reply.headers["location"])
            if urlsplit(address).scheme not in ("http", "https") or _leads_to_private_network(start, address):
                raise Unreadable(f"it redirects to {address[:80]!r}, which was not listed: list that address itself")
        raise Unreadable(f"it redirects more than {MAX_REDIRECTS} times: list the last address")

    def _read(self, reply: httpx.Response) -> Page:
        if reply.status_code != HTTPStatus.OK:
            raise Unreadable(f"its server replied {reply.status_code} {reply.reason_phrase}: check the address")
        kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in SUFFIX_OF_TYPE:
            raise Unreadable(f"its content type, {kind or 'not stated'}, is not supported")
        data, until = b"", self._now() + PAGE_SECONDS
        for part in reply.iter_bytes():
            data += part
            if len(data) > self._max_bytes:
                raise Unreadable(f"it is too large: the limit for a document is {self._max_bytes / 1e6:.0f} MB")
            if self._now() > until:
                raise Unreadable(f"it took more than {PAGE_SECONDS:.0f} seconds: try again later")
        if not data:
            raise Unreadable("it is empty")
        return SUFFIX_OF_TYPE[kind], data

    def _keep(self, address: str, page: Page, former: Path | None) -> None:
        suffix, data = page
        self._folder.mkdir(parents=True, exist_ok=True)
        copy = self._folder / f"{content_id(address)}{suffix}"
        part = self._folder / f".part-{os.getpid()}"
        part.write_bytes(data)
        part.replace(copy)
        if former and former != copy:
            former.unlink(missing_ok=True)


def _leads_to_private_network(start: str, address: str) -> bool:
    """Return whether a public page redirects to an address that only this machine or its network reaches."""
    return _is_private(address) and not _is_private(start)


def _is_private(address: str) -> bool:
    try:
        found = socket.getaddrinfo(urlsplit(address).hostname, None)
    except (OSError, UnicodeError):
        return False  # it cannot be fetched anyway
    return any(not ipaddress.ip_address(str(each[4][0]).partition("%")[0]).is_global for each in found)
