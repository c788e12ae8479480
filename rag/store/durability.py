"""Fsync what LanceDB wrote, so that a write that returned survives a power cut.

Why: LanceDB syncs nothing. A commit makes a data file, a transaction and a manifest, sometimes a deletion file or an
index, and names them in their folders; a kernel keeps these in memory for up to 30 seconds. Object storage would have
its own promise, but a home is a local folder.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

SUFFIX = ".lance"
VERSIONS = "_versions"
# The manifests come first, so that the files of a listed one exist when they are listed.
LISTED = (VERSIONS, "_transactions", "_deletions", "_indices", "data")
DIGITS = 20  # of a manifest's name, which counts down: the newest one sorts first
HIGHEST = 2**64 - 1
KEEP_OLD_VERSIONS = timedelta(minutes=10)  # never 0 while others read: their manifest would vanish under them
KEEP_OLD_FEEDBACK = timedelta(minutes=1)  # its tables are read in seconds, and a read whose files vanish is repeated
# Each commit of ratings and labels leaves 65 kB, whatever it writes: a filter of its keys, in the manifest and in the
# transaction. A minute of votes was 100 MB beside 8 MB of data.
KEEP_OLD_VOTES = timedelta(seconds=15)
KEEP_ALL = timedelta(days=36_500)
# Rows that a compaction reads at once. By LanceDB's default it holds a whole table of answers, some 45 kB each, three
# times in blocks that are not given back: after 2,000 answers 43 MB more than with 256. Queries have their own size.
COMPACTED_AT_ONCE = 256
os.environ.setdefault("LANCE_DEFAULT_BATCH_SIZE", str(COMPACTED_AT_ONCE))  # read once, at LanceDB's first scan
THREADS = 8  # that fsync at once: the file system commits their changes together, 4 ms instead of 4 ms each
NO_FOLDERS = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}  # from a file system that syncs files only
log = logging.getLogger(__name__)


class TableSync:
    """What is on disk of the tables of one folder. For one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[Path, set[str]] = {}  # by folder: names of files and folders that are on disk
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="store-sync")

    def sync(self, tables: Iterable[str]) -> None:
        """Fsync the files of these tables that were not synced before, then the folders that name them. Raises OSError.

        A data file comes before the manifest that refers to it, and a manifest before its name. At the first call for a
        table this includes what other processes left: this one's writes rest on it.
        """
        found = {
            parent: names for name in tables for parent, names in _listing(self._folder / f"{name}{SUFFIX}").items()
        }
        new = {parent: names - self._known.get(parent, set()) for parent, names in found.items()}
        changed = [parent for parent, names in new.items() if names]
        versions = [parent for parent in changed if parent.name == VERSIONS]
        folders = [parent for parent in changed if parent.name != VERSIONS]
        files = [parent / name for parent in folders for name in new[parent]]
        manifests = [parent / min(new[parent]) for parent in versions]
        made = [parent for parent in found if parent not in self._known]
        above = {*(parent.parent for parent in made), *(_lineage(self._folder) if made else ())}
        for step in (files, [*manifests, *folders, *above], versions):
            list(self._threads.map(_fsync, step))
        self._known.update(found)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()


def compact(table: Any, on_disk: TableSync | None = None, keep: timedelta | None = None) -> None:  # noqa: ANN401  # lancedb ships no types
    """Rewrite a table in few files, and remove its old versions once these are on disk. Raises OSError, RuntimeError.

    `keep` is how old they are at least, by default KEEP_OLD_VERSIONS. It also adds new rows to the table's indexes.
    """
    if "://" in table.uri:  # on object storage nothing has to reach a disk first
        table.optimize(cleanup_older_than=KEEP_OLD_VERSIONS if keep is None else keep)
        return
    table.optimize(cleanup_older_than=KEEP_ALL)
    if on_disk:
        on_disk.sync([table.name])
    else:
        with closing(TableSync(Path(table.uri).parent)) as all_of_it:
            all_of_it.sync([table.name])
    table.optimize(cleanup_older_than=KEEP_OLD_VERSIONS if keep is None else keep)


def drop_empty_manifests(folder: Path) -> None:
    """Remove the newest manifest of each table while it has no byte, as a power cut in the middle of a write leaves it.

    The table could not be opened; now it is as it was before that write, which was not acknowledged. LanceDB gives a
    manifest its name only when it is complete, so that another process is never in the middle of writing one.
    """
    for versions in folder.glob(f"*{SUFFIX}/{VERSIONS}"):
        for manifest in sorted(versions.glob("*.manifest")):
            if len(manifest.stem) != DIGITS or manifest.stat().st_size:
                break
            manifest.unlink()
            log.warning("%s was empty after a power cut and is removed", manifest)


def newest_version(table: Path) -> int:
    """Return the version of a table's newest manifest, by its name; 0 where it has none of that form."""
    with suppress(FileNotFoundError):
        stems = [each.name.removesuffix(".manifest") for each in os.scandir(table / VERSIONS) if _is_final(each.name)]
        if stems and all(len(stem) == DIGITS and stem.isdecimal() for stem in stems):
            return HIGHEST - int(min(stems))
    return 0


def sync_paths(*paths: Path) -> None:
    """Fsync files and folders, in this order. Raises OSError."""
    for path in paths:
        _fsync(path)


def sync_tree(folder: Path) -> None:
    """Fsync all files and folders in a folder, and the folder. Raises OSError."""
    for parent, _, names in os.walk(folder, topdown=False):
        sync_paths(*(Path(parent, name) for name in names), Path(parent))


def make_folder(folder: Path) -> None:
    """Create a folder with its parents and sync the names of those that were missing. Raises OSError."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    sync_paths(*(each.parent for each in missing))


def _listing(table: Path) -> dict[Path, set[str]]:
    """Return the folders of a table with the names of their files; the newest manifest stands for all older ones."""
    found = {}
    for folder in (table / name for name in LISTED):
        for parent in (folder, *(folder.iterdir() if folder.name == "_indices" and folder.is_dir() else ())):
            with suppress(FileNotFoundError, NotADirectoryError):
                found[parent] = {each.name for each in os.scandir(parent) if _is_final(each.name)}
    return found


def _lineage(folder: Path) -> list[Path]:
    """Return a folder and those above it on its file system: a new home folder is named in one of them."""
    device = folder.stat().st_dev
    return [each for each in (folder, *folder.resolve().parents) if each.stat().st_dev == device]


def _is_final(name: str) -> bool:
    """Return whether LanceDB has given a file its last name; drafts are renamed, and the hint may be lost."""
    return not name.startswith(".") and "#" not in name and not name.endswith(".json")


def _fsync(path: Path) -> None:
    """Fsync a file or folder; one that is gone was removed by another process's maintenance.

    Windows opens no folders, and some network and virtual file systems do not sync them: there is nothing to do there.
    """
    with suppress(FileNotFoundError):
        is_folder = path.is_dir()
        if is_folder and os.name == "nt":
            return
        try:
            handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        except PermissionError:
            if not is_folder:
                raise
            return  # above the home folder, and so somebody else's
        try:
            os.fsync(handle)
        except OSError as error:
            if not is_folder or error.errno not in NO_FOLDERS:
                raise
        finally:
            os.close(handle)
