"""A shared home: what every process on it does through its object store, and the local folder that it is cached in."""

from __future__ import annotations

import json
import logging
import threading
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from rag.errors import StoreFailed
from rag.shared_home import folders
from rag.shared_home.files import FRESH_SECONDS, SharedFile
from rag.shared_home.lease import Lease, Leases, holder
from rag.shared_home.mirror import Mirror
from rag.shared_home.objects import Changed, Objects, lance_options
from rag.shared_home.probe import require_conditions
from rag.shared_home.tables import SharedTables

FORMAT_FILE = "home.json"
TABLES = "lancedb"
log = logging.getLogger(__name__)


class SharedHome:
    """The home at one address, one per process. Methods may be called from any thread; each raises StoreFailed."""

    def __init__(self, address: str, folder: Path) -> None:
        self.address, self.folder = address, folder
        self.objects = Objects(address)
        self.leases = Leases(self.objects)
        self.tables = SharedTables(f"{address}/{TABLES}", lance_options(address), self.leases)
        self._files: dict[str, SharedFile] = {}
        self._is_open = False
        self._follower: threading.Thread | None = None
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    def read_format(self) -> object:
        """Return the format that the home has, as it is written there; None where it has none yet."""
        found = self.objects.get(FORMAT_FILE)
        try:
            return json.loads(found.data)["format"] if found else None
        except (ValueError, KeyError, TypeError):
            raise StoreFailed(f"{self.address}/{FORMAT_FILE}: cannot be read: is it a home?") from None

    def open(self, number: int) -> None:
        """Make the home ready to be written, once in a process: conditional puts work, and it says its format."""
        with self._lock:
            if self._is_open:
                return
            require_conditions(self.objects)
            if self.read_format() is None:
                with suppress(Changed):
                    self.objects.put_new(FORMAT_FILE, json.dumps({"format": number}).encode())
            self._is_open = True

    def file(self, path: Path) -> SharedFile:
        """Return the object of a small file, by the path of its copy in the cache."""
        name = path.relative_to(self.folder).as_posix()
        with self._lock:
            return self._files.setdefault(name, SharedFile(self.objects, name, path))

    def start_following(self) -> None:
        """Keep the copies of small files up to date in a thread: in a chat no event loop may wait for the store.

        While the store fails, the copies stay as they were.
        """
        with self._lock:
            if self._follower and self._follower.is_alive():
                return
            self._stopped.clear()
            self._follower = threading.Thread(target=self._follow, name="follow-shared-files", daemon=True)
            self._follower.start()

    def stop_following(self) -> None:
        """End that thread; from now on readers look themselves."""
        self._stopped.set()
        for file in list(self._files.values()):
            file.is_followed = False

    def _follow(self) -> None:
        trouble = ""
        while not self._stopped.wait(FRESH_SECONDS):
            try:
                for file in list(self._files.values()):
                    file.is_followed = True
                    file.follow()
                trouble = ""
            except Exception as error:  # noqa: BLE001  # the thread must go on: readers rely on it
                if not trouble:
                    log.warning("what other machines change is not seen for now: %s", error)
                trouble = str(error) or type(error).__name__

    def lease(self, name: str, seconds: float | None = None) -> AbstractContextManager[Lease]:
        """Hold a lease. Raises TimeoutError, with its owner, if another process keeps it for `seconds` (None: wait)."""
        return self.leases.hold(name, seconds)

    def require_leases(self) -> None:
        """Raise StoreFailed where this process has lost a lease that it took: it slept, and another one goes on."""
        self.leases.require()

    def holder(self, name: str) -> str:
        """Return which process holds a lease now, "" for none."""
        return holder(self.objects, name)

    def put_folder(self, name: str) -> None:
        """Put a complete folder of the cache, such as models/v1."""
        folders.put_folder(self.objects, name, self.folder / name)

    def fetch_folder(self, name: str) -> None:
        """Fetch such a folder into the cache unless it is there. Where it is nowhere, nothing happens."""
        folders.fetch_folder(self.objects, name, self.folder / name)

    def names_in(self, name: str) -> list[str]:
        """Return the names of the folders in a folder of the store."""
        return self.objects.folders(name)

    def mirror(self, folder: Path) -> Mirror:
        """Return what keeps a folder of the cache the same as in the store."""
        return Mirror(self.objects, folder.relative_to(self.folder).as_posix(), folder)

    def table_failed(self, error: BaseException, table: str) -> StoreFailed:
        """Return an error of LanceDB on object storage as one line with the address and the next step."""
        if "concurrent transaction Restore" in str(error):
            return StoreFailed(
                f"{self.address}: another process has taken over the index meanwhile; nothing more was written: run "
                "the command again"
            )
        return self.objects.failed(error, f"{TABLES}/{table}" if table else TABLES)
