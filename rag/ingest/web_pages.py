"""Fetch the web pages of a list of URLs, at most once a week; in between, and without a network, use a cached copy.

Why a copy: a source that cannot be read loses its chunks, and a train ride without network must not empty the index.
Why only lists in the documents folder, and by default only public addresses: rag.ingest.addresses.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urldefrag, urljoin, urlsplit

from rag.errors import Unreadable
from rag.ingest.addresses import Lookup, PrivateAddress, is_proxied, is_public, look_up, without_password
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
    """Yield the distinct URLs of a list, one per line, without fragments and passwords; other lines are ignored."""
    lines = (ADDRESS.match(line) for line in decode(data).splitlines())
    yield from dict.fromkeys(without_password(urldefrag(match[1]).url) for match in lines if match)


class PageFetcher:
    """Fetches pages and caches them in a folder. A call returns a page, or raises Unreadable with the reason.

    With `private` also those of addresses that only this machine or its network reaches.
    """

    def __init__(
        self,
        folder: Path,
        max_bytes: int,
        now: Callable[[], float] = time.time,
        *,
        private: bool = False,
        lookup: Lookup = look_up,
        public: Callable[[str], bool] = is_public,
    ) -> None:
        self._folder, self._max_bytes, self._now = folder, max_bytes, now
        self._private, self._lookup, self._public = private, lookup, public
        self._unreachable: dict[str, str] = {}
        self._located: dict[str, list[str]] = {}  # host -> its IP addresses: without a network a lookup takes seconds

    def __call__(self, address: str) -> Page:
        copy = next(self._folder.glob(f"{content_id(address)}.*"), None)
        if copy and self._now() - copy.stat().st_mtime < WEEK and not self._is_refused(address):
            return copy.suffix, copy.read_bytes()
        try:
            page = self._fetch(address)
        except PrivateAddress:
            raise
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
            return self._follow(address)
        except httpx.TransportError as error:
            reason = f"it cannot be fetched ({type(error).__name__}): is there a network, and does the address work?"
            self._unreachable[host] = reason
            raise Unreadable(reason) from None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise Unreadable(f"it cannot be fetched ({type(error).__name__}): check the address") from None

    def _follow(self, address: str) -> Page:
        """Return the page at an address after redirects, none of which may lead from a public to a private network."""
        was_public = False
        for _ in range(MAX_REDIRECTS + 1):
            ips, now_public = self._locate(address)
            if was_public and not now_public:
                raise PrivateAddress(
                    f"it redirects to {address[:80]!r}, which was not listed: list that address itself"
                )
            was_public = now_public
            with self._open(address, ips) as reply:
                if not reply.is_redirect:
                    return self._read(reply)
                address = without_password(urljoin(address, reply.headers["location"]))
            if urlsplit(address).scheme not in ("http", "https"):
                raise Unreadable(f"it redirects to {address[:80]!r}, which was not listed: list that address itself")
        raise Unreadable(f"it redirects more than {MAX_REDIRECTS} times: list the last address")

    def _locate(self, address: str) -> tuple[list[str], bool]:
        """Return the IP addresses of a page's host, and whether all are public. Raises PrivateAddress unless allowed.

        Behind a proxy, which looks the host up itself, there may be none.
        """
        host = urlsplit(address).hostname or ""
        if host not in self._located:
            self._located[host] = self._lookup(host)
        ips = self._located[host]
        if not ips and not is_proxied(address):
            raise Unreadable("its host is not known: is there a network, and does the address work?")
        if all(map(self._public, ips)):
            return ips, True
        if not self._private:
            raise PrivateAddress(
                "its address is private, and such are not fetched: set THUMBTUNE_PRIVATE_ADDRESSES=yes if it is meant"
            )
        return ips, False

    def _is_refused(self, address: str) -> bool:
        """Return whether a page must not be fetched, nor its copy used; without a network a copy may."""
        try:
            self._locate(address)
        except PrivateAddress:
            return True
        except Unreadable:
            return False
        return False

    @contextmanager
    def _open(self, address: str, ips: Sequence[str]) -> Iterator[httpx.Response]:
        """Connect to the first of these addresses that answers, and to no other, and give its reply."""
        import httpx

        by_proxy = is_proxied(address)
        timeout = httpx.Timeout(PAGE_SECONDS / 2, connect=CONNECT_SECONDS)
        url = httpx.URL(address)
        headers = {"User-Agent": USER_AGENT, "Host": url.netloc.decode("ascii")}
        with httpx.Client(timeout=timeout, trust_env=by_proxy, verify=httpx.create_ssl_context()) as client:
            for left, ip in reversed(list(enumerate(reversed(ips or [url.host])))):
                target = url if by_proxy else url.copy_with(host=ip)
                request = client.build_request("GET", target, headers=headers, extensions={"sni_hostname": url.host})
                try:
                    reply = client.send(request, stream=True)
                except (httpx.ConnectError, httpx.ConnectTimeout):
                    if not left or by_proxy:
                        raise
                    continue
                try:
                    yield reply
                finally:
                    reply.close()
                return

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
