"""Cache of parsed files by the hash of their bytes: re-chunking for another model parses nothing again.

Why: parsing takes a tenth of the time of embedding, which is minutes for slides and long PDFs. Formats whose text is
the file itself are not cached: reading them costs nothing.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import time
import zlib
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rag.ingest.chunking import CHUNKER_VERSION
from rag.loaders.blocks import Block, Section
from rag.loaders.builder import LoadedText
from rag.loaders.formats import SLOW_SUFFIXES
from rag.loaders.ocr.extra import reader_version

UNUSED_SECONDS = 180 * 24 * 3600.0  # an entry is removed this long after its last use


class ParseCache:
    """The cache in one folder, which may be deleted at any time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, suffix: str, data: bytes) -> LoadedText | None:
        """Return the cached text of a file, None if there is none."""
        return _read(self._path(suffix, data)) if suffix in SLOW_SUFFIXES else None

    def write(self, suffix: str, data: bytes, loaded: LoadedText) -> None:
        """Cache the text of a file; without effect for formats that are not cached."""
        if suffix not in SLOW_SUFFIXES:
            return
        path = self._path(suffix, data)
        with suppress(OSError):  # the file is parsed again next time
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(f".{os.getpid()}")
            temporary.write_bytes(gzip.compress(json.dumps(asdict(loaded)).encode(), compresslevel=1))
            temporary.replace(path)

    def remove_unused(self) -> None:
        """Remove entries that were not used for half a year."""
        with suppress(OSError):
            for path in self.folder.iterdir():
                if path.stat().st_mtime < time.time() - UNUSED_SECONDS:
                    path.unlink()

    def _path(self, suffix: str, data: bytes) -> Path:
        return self.folder / f"{hashlib.sha256(data).hexdigest()}-{CHUNKER_VERSION}{reader_version()}{suffix}.json.gz"


def _read(path: Path) -> LoadedText | None:
    """Return a cache entry; None if there is none, or if it is damaged or of another version."""
    try:
        row: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
        os.utime(path)
        sections = tuple(
            Section(tuple(Block(**block) for block in section["blocks"]), section["heading"], section["page"])
            for section in row["sections"]
        )
        return LoadedText(row["text"], sections, row["title"], row["lost"], row["date"], row["note"])
    except (OSError, ValueError, EOFError, zlib.error, KeyError, TypeError):
        return None
