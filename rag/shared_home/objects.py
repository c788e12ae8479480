"""The objects of one home on S3, Azure or Google storage: get, list, delete, and puts that may have a condition.

The store is reached by obstore, bindings of the Rust crate object_store that LanceDB uses, too: both read the same
AWS_*, AZURE_* and GOOGLE_* variables. It repeats what fails by throttling or a 5xx. A conditional put whose answer was
lost would then be refused by its own first try, so each carries a mark, by which it is known after a refusal.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rag.errors import BadSetting, StoreFailed, first_line

if TYPE_CHECKING:
    from obstore.store import ObjectStore

INSTALL = "pip install 'thumbtune[s3]'"
MARK = "thumbtune"  # name of the metadata with which put of this program an object is of
PART = 8 << 20  # bytes that are fetched at once
RETRIES = 8  # after throttling, a 5xx or a broken connection, with growing pauses
RETRY_SECONDS = 40
CLIENT: dict[str, Any] = {"connect_timeout": "5s", "timeout": "60s"}
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
USUAL_REGION = "us-east-1"  # of stores that are not Amazon's, which have none; without one LanceDB asks Amazon for it
URL = re.compile(r"https?://[\w.\[\]:-]+(/\S*)?")
T = TypeVar("T")

# What the text of an error says -> what it means and what to do. The first that is found counts.
NO_BUCKET = r"NoSuchBucket|ContainerNotFound|The specified bucket does not exist"
MEANINGS: tuple[tuple[str, str], ...] = (
    (
        r"Too many concurrent writers",
        "too many processes write to one table at once; what was acknowledged is safe: try again",
    ),
    (NO_BUCKET, "there is no such bucket or container: create it, or correct THUMBTUNE_HOME"),
    (
        r"RequestTimeTooSkewed|difference between the request time",
        "the clocks of this machine and of the store differ: set this machine's clock (timedatectl set-ntp true)",
    ),
    (
        r"169\.254\.169\.254|metadata\.google|Account must be specified|no storage account|credentials? file",
        "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the AZURE_STORAGE_* or "
        "GOOGLE_* variables",
    ),
    (
        r"AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|AuthenticationFailed|AuthorizationFailure"
        r"|AuthorizationPermissionMismatch|ExpiredToken|403 Forbidden|401 Unauthorized|Unauthenticated",
        "the store refuses these credentials: they need the rights to get, put, list and delete objects under this "
        "address",
    ),
    (
        r"NotImplemented|\b501\b",
        "the store does not know something that a shared home needs, such as conditional puts: use another store",
    ),
    (
        r"SlowDown|TooManyRequests|ServerBusy|\b429\b|\b50[0234]\b|ServiceUnavailable|InternalError",
        "the store is throttling or failing, after {retries} tries; what was acknowledged is safe: try again later",
    ),
    (
        r"redirect without LOCATION|resolve (the )?region|PermanentRedirect|AuthorizationHeaderMalformed",
        "the bucket is in another region: set AWS_REGION to its own",
    ),
    (
        r"error sending request|Connect|connection|dns error|timed? ?out|operation timed out",
        "the store cannot be reached: check the network, and AWS_ENDPOINT_URL where one is set",
    ),
)


class Changed(Exception):
    """A conditional put was refused: the object is there already, or is no longer what it was."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Which state of an object is meant: its e_tag, and the version (generation) where the store counts by that."""

    e_tag: str | None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """An object's bytes and state."""

    data: bytes
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Listed:
    """An object in a list: its name under the home's address, size, state, and when the store last changed it."""

    name: str
    size: int
    stamp: Stamp
    modified: datetime


class Objects:
    """The objects under one address, by their names below it. Methods may be called from any thread.

    Each raises StoreFailed, in one line with the address and the next step.
    """

    def __init__(self, address: str) -> None:
        """Raise BadSetting where obstore is not installed."""
        self.address = address
        try:
            import obstore  # noqa: F401
        except ImportError:
            raise BadSetting(f"THUMBTUNE_HOME={address}: object storage needs obstore: {INSTALL}") from None

    @cached_property
    def _store(self) -> ObjectStore:
        from obstore.store import from_url

        retry: Any = {"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS)}
        client: Any = {**CLIENT, "allow_http": allows_http()}
        config: Any = s3_options(self.address)
        return self._run(lambda: from_url(self.address, config=config, client_options=client, retry_config=retry))

    def get(self, name: str) -> Found | None:
        """Return an object, None where there is none."""
        return self.get_unless(name, None)[0]

    def get_unless(self, name: str, known: Stamp | None) -> tuple[Found | None, bool]:
        """Return an object (None where there is none), and whether it is still as known; then it is not read."""
        import obstore
        from obstore.exceptions import NotModifiedError

        options: Any = {"if_none_match": known.e_tag} if known and known.e_tag else {}

        def act() -> tuple[Found | None, bool]:
            try:
                got = obstore.get(self._store, name, options=options)
                return Found(bytes(got.bytes()), _stamp(got.meta)), False
            except NotModifiedError:
                return None, True
            except FileNotFoundError as error:
                self._require_bucket(error)
                return None, known is None

        return self._run(act, name)

    def modified(self, name: str) -> datetime | None:
        """Return when the store last changed an object, by the store's clock; None where there is none."""
        import obstore

        def act() -> datetime | None:
            try:
                return obstore.head(self._store, name)["last_modified"]
            except FileNotFoundError as error:
                self._require_bucket(error)
                return None

        return self._run(act, name)

    def put(self, name: str, data: bytes) -> Stamp:
        """Put an object, whatever is there."""
        return self._put(name, data, "overwrite")

    def put_new(self, name: str, data: bytes) -> Stamp:
        """Put an object unless there is one. Raises Changed."""
        return self._put(name, data, "create")

    def put_changed(self, name: str, data: bytes, known: Stamp | None) -> Stamp:
        """Put an object if it is still as known; None: if there is none. Raises Changed."""
        if known is None:
            return self.put_new(name, data)
        state = {"e_tag": known.e_tag, "version": known.version}
        return self._put(name, data, {key: value for key, value in state.items() if value is not None})

    def _put(self, name: str, data: bytes, mode: Any) -> Stamp:  # noqa: ANN401  # obstore's words for a condition
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        mark = secrets.token_hex(8)  # kept with the object: two writers may put the same bytes

        def act() -> Stamp:
            try:
                put = obstore.put(self._store, name, data, mode=mode, attributes={MARK: mark}, use_multipart=False)
                return _stamp(put)
            except (AlreadyExistsError, PreconditionError):
                with suppress(FileNotFoundError):
                    there = obstore.get(self._store, name)
                    if there.attributes.get(MARK) == mark:  # the answer to our first try was lost
                        return _stamp(there.meta)
                raise Changed(name) from None

        return self._run(act, name)

    def put_file(self, name: str, path: Path) -> Stamp:
        """Put a file's content, in parts where it is large, whatever is there."""
        import obstore

        return self._run(lambda: _stamp(obstore.put(self._store, name, path)), name)

    def get_file(self, name: str, path: Path) -> None:
        """Write an object into a new file, in parts. A missing object raises StoreFailed."""
        import obstore

        def act() -> None:
            with os.fdopen(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as out:
                for part in obstore.get(self._store, name).stream(min_chunk_size=PART):
                    out.write(part)

        self._run(act, name)

    def listing(self, prefix: str) -> list[Listed]:
        """Return all objects whose names begin with these folders."""
        import obstore

        def act() -> list[Listed]:
            return [
                Listed(each["path"], each["size"], _stamp(each), each["last_modified"])
                for page in obstore.list(self._store, prefix)
                for each in page
            ]

        return self._run(act, prefix)

    def folders(self, prefix: str) -> list[str]:
        """Return the names of the folders right under this one."""
        import obstore

        def act() -> list[str]:
            found = obstore.list_with_delimiter(self._store, prefix)["common_prefixes"]
            return [each.rstrip("/").rpartition("/")[2] for each in found]

        return self._run(act, prefix)

    def delete(self, name: str) -> None:
        """Delete an object; where there is none, nothing happens."""
        import obstore

        def act() -> None:
            try:
                obstore.delete(self._store, name)
            except FileNotFoundError as error:
                self._require_bucket(error)

        self._run(act, name)

    def _require_bucket(self, error: Exception) -> None:
        """Raise the error where the bucket is missing, which obstore does not tell from a missing object."""
        if re.search(NO_BUCKET, str(error)):
            raise OSError(str(error)) from error

    def _run(self, action: Callable[[], T], name: str = "") -> T:
        from obstore.exceptions import BaseError

        try:
            return action()
        except (BaseError, OSError, ValueError) as error:
            raise self.failed(error, name) from error

    def failed(self, error: BaseException, name: str = "") -> StoreFailed:
        """Return an error of the store as one line with the address and the next step."""
        text = str(error)
        where = f"{self.address}/{name}" if name else self.address
        for pattern, meaning in MEANINGS:
            if re.search(pattern, text):
                return StoreFailed(f"{self.address}: {meaning.format(retries=RETRIES)} ({_short(text)})")
        return StoreFailed(f"{where}: the store failed: try again, or run `python -m rag doctor` ({_short(text)})")


def explains(text: str) -> Iterator[str]:
    """Yield what a text of an error of object storage means, nothing for another error."""
    yield from (meaning.format(retries=RETRIES) for pattern, meaning in MEANINGS if re.search(pattern, text))


def lance_options(address: str) -> dict[str, str]:
    """Return what LanceDB is told for the same store, besides the environment, which it reads itself."""
    options = {"client_max_retries": str(RETRIES), "client_retry_timeout": str(RETRY_SECONDS)}
    options |= {"allow_http": "true"} if allows_http() else {}
    return options | s3_options(address)


def s3_options(address: str) -> dict[str, str]:
    """Return where the S3 store of an address is, if it is not Amazon's. Raises BadSetting."""
    if not address.startswith("s3:") or not endpoint():
        return {}
    has_region = any(os.environ.get(name) for name in REGIONS)
    return {"aws_endpoint": endpoint()} | ({} if has_region else {"aws_region": USUAL_REGION})


def endpoint() -> str:
    """Return the S3 endpoint that the environment names, "" for Amazon's own. Raises BadSetting."""
    name = next((name for name in ENDPOINTS if os.environ.get(name)), "")
    given = os.environ[name] if name else ""
    if given and not URL.fullmatch(given):  # the store's client would panic
        raise BadSetting(f"{name}={given}: no address of a store: write http://HOST:PORT or https://HOST")
    return given


def allows_http() -> bool:
    """Return whether the store may be reached without encryption: where its address says so."""
    azure = os.environ.get("AZURE_STORAGE_USE_EMULATOR", "") + os.environ.get("AZURE_STORAGE_ENDPOINT", "")
    return endpoint().startswith("http:") or "http:" in azure or "true" in azure.lower()


def _stamp(meta: Any) -> Stamp:  # noqa: ANN401  # obstore's dictionaries of two kinds
    return Stamp(meta.get("e_tag"), meta.get("version"))


def _short(text: str) -> str:
    """Return the part of an error that a person reads: the code of the store, or its first words."""
    code = re.search(r"<Code>(\w+)</Code>", text)
    status = re.search(r"status code: (\d{3}[^:<]*)", text)
    if code or status:
        return ", ".join(each[1].strip() for each in (status, code) if each)
    line = first_line(Exception(text.partition("Debug source")[0]))
    return line if len(line) < 160 else line[:159] + "…"
