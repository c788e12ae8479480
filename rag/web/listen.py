"""Check that a server could listen, before it spends time on anything else."""

from __future__ import annotations

import errno
import socket

from rag.errors import BadSetting


def check_port(host: str, port: int, command: str = "make chat") -> None:
    """Raise BadSetting where a server could not listen on host and port; `command` is what would start it."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise BadSetting(f"THUMBTUNE_HOST={host!r}: no such address ({error.strerror}); try localhost") from None
    for family, kind, protocol, _, address in addresses:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError as error:
                raise BadSetting(_why_not(host, port, command, error)) from None


def _why_not(host: str, port: int, command: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use: stop what uses it, or run `THUMBTUNE_PORT={port + 1} {command}`"
    if error.errno == errno.EACCES:
        return f"port {port} on {host} needs more rights: run `THUMBTUNE_PORT=8000 {command}`"
    return f"cannot listen on {host}:{port} ({error.strerror}): set THUMBTUNE_HOST and THUMBTUNE_PORT"
