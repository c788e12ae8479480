"""Resolve the host of a web address to IP addresses, once, and check whether they are public.

Why: a list in a shared folder could name what only this machine reaches, such as a router, a cloud's metadata or the
chat itself (SSRF). The connection is made to the address that was checked, since a name may lead elsewhere a second
later (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from rag.errors import Unreadable

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # its last 32 bits are an IPv4 address (RFC 6052)
Lookup = Callable[[str], list[str]]


class PrivateAddress(Unreadable):
    """An address that only this machine or its network reaches; no copy of its page is used either."""


def look_up(host: str) -> list[str]:
    """Return the IP addresses of a host, none where it is not known."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(each[4][0]).partition("%")[0] for each in found))


def is_public(ip: str) -> bool:
    """Return whether an IP address can be reached from everywhere; those within IPv6 addresses count, too."""
    address = ipaddress.ip_address(ip)
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return inner.is_global and not inner.is_multicast
    return address.is_global and not address.is_multicast


def without_password(address: str) -> str:
    """Return an address without a user name and password, which are neither sent nor shown."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def is_proxied(address: str) -> bool:
    """Return whether the environment names a proxy for an address; the proxy looks its host up then."""
    parts = urlsplit(address)
    proxies = getproxies()
    return (parts.scheme in proxies or "all" in proxies) and not proxy_bypass(parts.hostname or "")
