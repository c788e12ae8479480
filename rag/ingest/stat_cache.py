"""Cache of file size, mtime, ctime and inode: unchanged files are recognised without opening them.

Why: a file that changed moments ago is never taken for unchanged. File system clocks tick in milliseconds, some in two
seconds, so two writes may have the same time. The mtime can be set by hand, so the ctime counts as well.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

MIN_AGE = 3.0  # seconds between a file's last change and the moment from which it may be cached
StatKey = list[int]  # size, mtime, ctime, inode, device


class StatCache:
    """What os.stat returned when a file had a known hash. Stored as one JSON file; losing it only costs reading."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = _load(path)
        self._current: dict[str, tuple[str, StatKey]] = {}

    def is_unchanged(self, source: str, path: Path, digest: str | None) -> bool:
        """Return whether a file is the one that had this hash; `digest` None means that it is not indexed."""
        key = _stat_key(path)
        if key is None:
            return False
        known = self._known.get(source)
        self._current[source] = ("", key)
        if digest is None or known != [digest, key]:
            return False
        self._current[source] = (digest, key)
        return True

    def save(self, hashes: Mapping[str, str]) -> None:
        """Store the files whose hash is known (source -> hash), with their stat from before they were read."""
        newest = (time.time() - MIN_AGE) * 1e9
        entries = {
            source: [digest or hashes[source], key]
            for source, (digest, key) in self._current.items()
            if (digest or source in hashes) and max(key[1:3]) < newest
        }
        if entries == self._known:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._path.with_suffix(f".{os.getpid()}")
            temporary.write_text(json.dumps(entries), "utf-8")
            temporary.replace(self._path)
        except OSError:
            return  # the next run reads every file again


def modified_on(path: Path) -> str:
    """Return the day on which a file was last modified, as 2026-05-31; "" if the file is gone."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()
    except (OSError, OverflowError, ValueError):
        return ""


def _load(path: Path) -> dict[str, list[object]]:
    """Return the stored entries, none if the file is missing or damaged."""
    try:
        known = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _stat_key(path: Path) -> StatKey | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev]
