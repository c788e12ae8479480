"""Which files are, byte for byte, those that were read last time: told by the file system, without opening them.

The idea a reader would miss: a file that was changed a moment ago is never taken for seen. Clocks of file systems tick
in milliseconds, or in two seconds, so two writes may bear one time; and the time of a file's content can be set by
hand, so the time at which its entry changed counts as well.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

SETTLED = 3.0  # seconds that must lie between a file's last change and its being seen
Print = list[int]


class StatCache:
    """What files looked like when their bytes were known to have a hash. Kept in one file; losing it costs reading."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = _load(path)
        self._now: dict[str, tuple[str, Print]] = {}

    def is_same(self, source: str, path: Path, digest: str | None) -> bool:
        """Return whether a file is the one that was seen with this hash. Remembers how it looks now."""
        looks = _looks(path)
        if looks is None:
            return False
        known = self._known.get(source)
        self._now[source] = ("", looks)
        if digest is None or known != [digest, looks]:
            return False
        self._now[source] = (digest, looks)
        return True

    def keep(self, hashes: Mapping[str, str]) -> None:
        """Remember the files whose hash is known now, as they looked before they were read."""
        settled = (time.time() - SETTLED) * 1e9
        kept = {
            source: [digest or hashes[source], looks]
            for source, (digest, looks) in self._now.items()
            if (digest or source in hashes) and max(looks[1:3]) < settled
        }
        if kept == self._known:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft = self._path.with_suffix(f".{os.getpid()}")
            draft.write_text(json.dumps(kept), "utf-8")
            draft.replace(self._path)
        except OSError:
            return  # the next run reads every file again, and that is all


def _load(path: Path) -> dict[str, list[object]]:
    try:
        known = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _looks(path: Path) -> Print | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev]


def changed_on(path: Path) -> str:
    """Return the day on which a file was last changed; nothing where it is gone, which reading it says."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()
    except (OSError, OverflowError, ValueError):
        return ""
