"""What we know of a table's indexes: small JSON files in the table's own folder, so that they move and go with it.

The idea a reader would miss: a fact holds for one index, which its uuid names. LanceDB replaces and folds indexes by
itself, and a fact about the former one must not be taken for one about the present one. Files that it does not know it
leaves alone, also when it tidies up.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

Facts = dict[str, Any]


def read(table: Any, name: str) -> Facts | None:  # noqa: ANN401  # lancedb ships no types
    """Return the facts of this name; None where there are none, or they cannot be read."""
    try:
        facts = json.loads(_path(table, name).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


def write(table: Any, name: str, facts: Facts) -> None:  # noqa: ANN401
    """Replace the facts of this name, whole. Raises OSError."""
    path = _path(table, name)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(facts), "utf-8")
    draft.replace(path)


def forget(table: Any, name: str) -> None:  # noqa: ANN401
    """Remove the facts of this name."""
    with suppress(FileNotFoundError):
        _path(table, name).unlink()


def content(table: Any) -> Facts:  # noqa: ANN401
    """Return what changes with every write of rows and with nothing else: an index is a version, too."""
    newest = max(table.list_versions(), key=lambda version: int(version["version"]))
    return dict(newest["metadata"])


def _path(table: Any, name: str) -> Path:  # noqa: ANN401
    return Path(table.uri) / f"{name}.json"
