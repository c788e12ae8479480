"""A list of addresses -> the pages behind them. Asked for once a week; between, and without a network, a copy serves.

The copy is not only for speed: a source that cannot be read loses its chunks, and a train ride without network must not
empty the index. Only lists in the documents folder are followed. One that somebody drops into the chat could name
addresses that only this machine reaches, and would show what is there.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urldefrag, urljoin, urlsplit

import httpx

from rag.errors import Unreadable
from rag.loaders.builder import decode
from rag.records import content_id

ADDRESS = re.compile(r"^\s*(?:URL=)?(https?://\S+)", re.IGNORECASE)  # "URL=" is how Windows keeps a bookmark
KINDS = {  # what a server says of a page -> the suffix that says how it is read
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
WEEK = 7 * 24 * 3600.0  # seconds a copy serves; documentation changes by releases
CONNECT_SECONDS, PAGE_SECONDS = 5.0, 60.0  # a server that drips a byte a second must not hold up an index run
MAX_REDIRECTS = 5
AGENT = "thumbtune (reads pages that its user has listed)"
log = logging.getLogger(__name__)
Page = tuple[str, bytes]  # the suffix that says how it is read, and its bytes
Fetch = Callable[[str], Page]


def addresses(data: bytes) -> Iterator[str]:
    """Yield the addresses of a list, one a line, without the part that points within a page; other lines are notes."""
    lines = (ADDRESS.match(line) for line in decode(data).splitlines())
    yield from dict.fromkeys(urldefrag(match[1]).url for match in lines if match)


class PageFetcher:
    """Fetches pages and keeps copies of them in a folder. A call returns a page, or raises Unreadable with why not."""

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
            log.warning("%s: %s; the copy of %s is used", address, error, time.ctime(copy.stat().st_mtime))
            return copy.suffix, copy.read_bytes()
        self._keep(address, page, copy)
        return page

    def _fetch(self, address: str) -> Page:
        """Return a page from its server. One that could not be reached is not waited for again in this run."""
        host = urlsplit(address).netloc
        if host in self._unreachable:
            raise Unreadable(self._unreachable[host])
        try:
            with httpx.Client(timeout=httpx.Timeout(PAGE_SECONDS / 2, connect=CONNECT_SECONDS)) as client:
                return self._follow(client, address)
        except httpx.TransportError as error:
            why = f"it cannot be fetched ({type(error).__name__}): is there a network, and does the address work?"
            self._unreachable[host] = why
            raise Unreadable(why) from None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise Unreadable(f"it cannot be fetched ({type(error).__name__}): check the address") from None

    def _follow(self, client: httpx.Client, address: str) -> Page:
        start = address
        for _ in range(MAX_REDIRECTS + 1):
            with client.stream("GET", address, headers={"User-Agent": AGENT}) as reply:
                if not reply.is_redirect:
                    return self._read(reply)
                address = urljoin(address, reply.headers["location"])
            if urlsplit(address).scheme not in ("http", "https") or _leads_inside(start, address):
                raise Unreadable(f"it sends on to {address[:80]!r}, which was not listed: list that itself")
        raise Unreadable(f"it sends on more than {MAX_REDIRECTS} times: list the last address")

    def _read(self, reply: httpx.Response) -> Page:
        if reply.status_code != httpx.codes.OK:
            raise Unreadable(f"its server says {reply.status_code} {reply.reason_phrase}: check the address")
        kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in KINDS:
            raise Unreadable(f"it is {kind or 'of no stated kind'}, which is not read")
        data, until = b"", self._now() + PAGE_SECONDS
        for part in reply.iter_bytes():
            data += part
            if len(data) > self._max_bytes:
                raise Unreadable(f"it is too large: a document may have {self._max_bytes / 1e6:.0f} MB")
            if self._now() > until:
                raise Unreadable(f"it took more than {PAGE_SECONDS:.0f} seconds: try again later")
        if not data:
            raise Unreadable("it is empty")
        return KINDS[kind], data

    def _keep(self, address: str, page: Page, former: Path | None) -> None:
        suffix, data = page
        self._folder.mkdir(parents=True, exist_ok=True)
        copy = self._folder / f"{content_id(address)}{suffix}"
        part = self._folder / f".part-{os.getpid()}"
        part.write_bytes(data)
        part.replace(copy)
        if former and former != copy:
            former.unlink(missing_ok=True)


def _leads_inside(start: str, address: str) -> bool:
    """Return whether a page of the open web sends on to an address that only this machine or its network reaches."""
    return _is_private(address) and not _is_private(start)


def _is_private(address: str) -> bool:
    try:
        found = socket.getaddrinfo(urlsplit(address).hostname, None)
    except (OSError, UnicodeError):
        return False  # it cannot be fetched either
    return any(not ipaddress.ip_address(str(each[4][0]).partition("%")[0]).is_global for each in found)
