"""Read the address of a Postgres database: nothing of it is shown but its user, host and database.

Why so strict: where a character of a password is not percent-encoded, the driver takes a part of the password for a
host or port, and its error would quote it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote

from rag.errors import BadSetting

HOST = r"(?:\[[0-9A-Fa-f:.%]+\]|[^@/?#:,\[\]\s]*)(?::\d+)?"
ADDRESS = re.compile(
    r"postgres(?:ql)?://"
    r"(?:(?P<user>[^:@/?#\s]*)(?::(?P<password>[^@/?#\s]*))?@)?"
    rf"(?P<host>{HOST}(?:,{HOST})*)"
    r"(?P<database>/[^@/?#\s]*)?"
    r"(?:\?(?P<options>[^@?#\s]*))?"
)
NAME = "THUMBTUNE_HISTORY"
STRAY = re.compile("%(?![0-9A-Fa-f]{2})|%00")  # no percent-encoded character


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a database, as it was given, and as it may be shown."""

    given: str = field(repr=False)
    password: str = field(repr=False)
    shown: str


def parse_address(given: str) -> Address:
    """Return the address. Raises BadSetting, without showing what was given: it may have a password."""
    found = ADDRESS.fullmatch(given.strip())
    if not found:
        raise BadSetting(
            f"{NAME}: not an address of a Postgres database (it is not shown, as it may have a password): give "
            "postgresql://USER:PASSWORD@HOST/DATABASE, with %25 for %, %40 for @, %3A for :, %2F for /, %3F for ? and "
            "%23 for # in a password"
        )
    options = parse_qs(found["options"] or "")
    user = f"{found['user']}@" if found["user"] else ""
    shown = f"postgresql://{user}{found['host']}{found['database'] or ''}"
    if STRAY.search(given) or not _is_text(given):
        raise BadSetting(
            f"{NAME}={shown}: a % in it begins no percent-encoded character: write %25 for % in a password"
        )
    password = unquote(found["password"] or "") or options.get("password", [""])[-1]
    return Address(given.strip(), password, shown)


def _is_text(encoded: str) -> bool:
    """Return whether what is percent-encoded is UTF-8: the driver's error would quote it."""
    try:
        unquote(encoded, errors="strict")
    except UnicodeDecodeError:
        return False
    return True
