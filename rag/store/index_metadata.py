"""Index metadata as JSON files in the table's folder, so that they are moved and deleted with it.

Why a uuid: metadata holds for one index. LanceDB replaces and compacts indexes on its own, and metadata of a previous
index must not be taken for the current one's. LanceDB leaves unknown files alone, also when it cleans up.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from rag.home_address import folder_of, put_back, refreshed, remove

Facts = dict[str, Any]


def read(table: Any, name: str) -> Facts | None:  # noqa: ANN401  # lancedb ships no types
    """Return the metadata of this name; None where it is missing or cannot be read."""
    try:
        facts = json.loads(refreshed(_path(table, name)).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


def write(table: Any, name: str, facts: Facts) -> None:  # noqa: ANN401
    """Replace the metadata of this name atomically. Raises OSError."""
    path = _path(table, name)
    path.parent.mkdir(parents=True, exist_ok=True)  # it is there, but in the cache of a shared home
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(facts), "utf-8")
    draft.replace(path)
    put_back(path, over=True)


def forget(table: Any, name: str) -> None:  # noqa: ANN401
    """Delete the metadata of this name."""
    remove(_path(table, name))


def content(table: Any) -> Facts:  # noqa: ANN401
    """Return a value that changes with every write of rows only; a table's version changes with an index, too."""
    newest = max(table.list_versions(), key=lambda version: int(version["version"]))
    return dict(newest["metadata"])


def _path(table: Any, name: str) -> Path:  # noqa: ANN401
    return folder_of(table.uri) / f"{name}.json"
