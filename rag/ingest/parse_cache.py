"""What files were parsed into, kept by the hash of their bytes: another model cuts them anew, and parses nothing again.

Parsing takes a tenth of the time that embedding takes, but for slides and PDFs of many pages that is minutes. Kinds
whose text is the file itself are not kept: reading them costs nothing.
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
from rag.loaders import LOADERS
from rag.loaders.blocks import Block, Section
from rag.loaders.builder import LoadedText

COSTLY = frozenset({".pdf", ".docx", ".docm", ".pptx", ".pptm", ".xlsx", ".xlsm", ".epub", ".html", ".htm", ".xhtml"})
UNUSED_SECONDS = 180 * 24 * 3600.0  # kept as long after it was last used


class ParseCache:
    """The extracts of one folder. It may be deleted at any time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def extract(self, suffix: str, data: bytes) -> LoadedText:
        """Return what a file of this kind says, parsed now or before. Raises Unreadable as the loaders do."""
        if suffix not in COSTLY:
            return LOADERS[suffix](data)
        path = self._folder / f"{hashlib.sha256(data).hexdigest()}-{CHUNKER_VERSION}{suffix}.json.gz"
        kept = _read(path)
        if kept:
            return kept
        extract = LOADERS[suffix](data)
        with suppress(OSError):  # then it is parsed again, and that is all
            self._folder.mkdir(parents=True, exist_ok=True)
            draft = path.with_suffix(f".{os.getpid()}")
            draft.write_bytes(gzip.compress(json.dumps(asdict(extract)).encode(), compresslevel=1))
            draft.replace(path)
        return extract

    def tidy(self) -> None:
        """Remove what was not used for half a year."""
        with suppress(OSError):
            for path in self._folder.iterdir():
                if path.stat().st_mtime < time.time() - UNUSED_SECONDS:
                    path.unlink()


def _read(path: Path) -> LoadedText | None:
    """Return what is kept, None where nothing is, or nothing that can be read: damaged, or of another version."""
    try:
        row: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
        os.utime(path)
        sections = tuple(
            Section(tuple(Block(**block) for block in section["blocks"]), section["heading"], section["page"])
            for section in row["sections"]
        )
        return LoadedText(row["text"], sections, row["title"], row["lost"], row["date"])
    except (OSError, ValueError, EOFError, zlib.error, KeyError, TypeError):
        return None
