"""Password file: one line `name:hash` (scrypt) for each person who may sign in.

    python -m chat.passwords anna >> passwords.txt     # asks for the password, prints the line

Why: one attempt is checked at a time. The hash takes about 0.25 s, so that is the rate limit for all users together,
and a flood of attempts takes no more than one core and 32 MiB.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import hashlib
import hmac
import re
import secrets
import sys
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rag.errors import BadSetting, ThumbtuneError

LOG_N, R, P = 15, 8, 3  # scrypt: 32 MiB and about 0.25 s; OWASP's table of equal strength, 2023
SCHEME = f"scrypt-{LOG_N}-{R}-{P}"
SALT_BYTES, DIGEST_BYTES = 16, 32
MIN_LENGTH, MAX_LENGTH = 8, 1024  # NIST SP 800-63B asks for at least 8; nobody types more than 1024
NAME = re.compile(r"(?!rater-)[\w.@+-]{1,64}")  # "rater-" and a number name raters without sign-in
LINE = re.compile(rf"(?P<name>[^:]+):{SCHEME}\$(?P<salt>[0-9a-f]{{32}})\$(?P<digest>[0-9a-f]{{64}})")


@dataclass(frozen=True, slots=True)
class Hash:
    """Salt and scrypt digest of a password."""

    salt: bytes
    digest: bytes

    def fits(self, password: str) -> bool:
        """Return whether the password matches, compared in constant time."""
        return hmac.compare_digest(_derive(password, self.salt), self.digest)


class Passwords:
    """The people who may sign in, with their password hashes."""

    def __init__(self, hashes: Mapping[str, Hash]) -> None:
        self._hashes = dict(hashes)
        self._nobody = Hash(secrets.token_bytes(SALT_BYTES), secrets.token_bytes(DIGEST_BYTES))
        self._one_at_a_time = asyncio.Lock()

    @property
    def fingerprint(self) -> str:
        """Return a hash of all names and digests: it changes with any of them."""
        entries = sorted((name, hash_.digest.hex()) for name, hash_ in self._hashes.items())
        return hashlib.sha256(repr(entries).encode()).hexdigest()

    async def check(self, typed: str, password: str) -> str | None:
        """Return the normalised name if the password matches, else None; an unknown name takes as long."""
        name = _same(typed)
        if len(password) > MAX_LENGTH:
            return None
        stored = self._hashes.get(name, self._nobody)
        async with self._one_at_a_time:
            return name if await asyncio.to_thread(stored.fits, password) else None


def read_passwords(path: Path) -> Passwords:
    """Read a file of lines `name:hash`; "#" starts a comment line. Raises BadSetting."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(
            f"THUMBTUNE_PASSWORDS={path}: cannot be read ({_reason(error)}); {_how('NAME', path)}"
        ) from None
    hashes: dict[str, Hash] = {}
    for number, line in enumerate(map(_same, lines), 1):
        if line.strip() and not line.startswith("#"):
            found = LINE.fullmatch(line.strip())
            if not found or not NAME.fullmatch(found["name"]):
                raise BadSetting(f"{path}, line {number}: is not a valid name:hash line; {_how('NAME', path)}")
            if found["name"] in hashes:
                raise BadSetting(f"{path}, line {number}: {found['name']} has a line already; delete one of them")
            hashes[found["name"]] = Hash(bytes.fromhex(found["salt"]), bytes.fromhex(found["digest"]))
    if not hashes:
        raise BadSetting(f"{path}: has no names, so nobody could sign in; {_how('NAME', path)}")
    return Passwords(hashes)


def make_line(name: str, password: str) -> str:
    """Return the line for a name and password. Raises BadSetting if either is not allowed."""
    if not NAME.fullmatch(name):
        raise BadSetting(f"{name!r}: a name has 1 to 64 letters, digits or . @ + - _ and does not start with rater-")
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise BadSetting(f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters: use four words, for example")
    salt = secrets.token_bytes(SALT_BYTES)
    return f"{_same(name)}:{SCHEME}${salt.hex()}${_derive(password, salt).hex()}"


def _derive(password: str, salt: bytes) -> bytes:
    memory = 2 * 128 * R * 2**LOG_N
    return hashlib.scrypt(_same(password).encode(), salt=salt, n=2**LOG_N, r=R, p=P, maxmem=memory, dklen=DIGEST_BYTES)


def _same(typed: str) -> str:
    """Return text in NFKC form: keyboards may send "ö" as one character or two."""
    return unicodedata.normalize("NFKC", typed)


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or "an error" if isinstance(error, OSError) else "not UTF-8"


def _how(name: str, path: Path) -> str:
    return f"make a line with `python -m chat.passwords {name} >> {path}`"


def main() -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m chat.passwords", description="Print a line for a password file.")
    parser.add_argument("name", help="what the person types as name; ratings are stored under it")
    return ask_password(parser.parse_args().name)


def ask_password(name: str) -> int:
    """Ask for a password twice and print the line to add to the file; return the exit code."""
    try:
        password = getpass.getpass(f"Password for {name}: ")
        if password != getpass.getpass("Again: "):
            raise BadSetting("the two passwords differ: try again")
        print(make_line(name, password))
    except ThumbtuneError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (EOFError, KeyboardInterrupt):
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
