"""Read what earlier versions were trained on and what was held out from them; write it for a new version.

Why it is kept with the versions: it matters as long as one of them may serve or be compared.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from rag.errors import StoreFailed, first_line
from rag.home_address import fetched
from rag.models.registry import Registry, group_key
from rag.records import Pair
from rag.store.durability import sync_paths
from train.dataset.held_out import HeldOut, Known, key_of

PAIRS, HELD_OUT = "pairs.jsonl", "held_out.json"  # in a version's folder


def known_sides(registry: Registry, folders: str, groups: Collection[str] = ()) -> Known:
    """Return what the versions on these documents folders were trained on, and what was held out from them.

    Those of `groups` are counted with everybody's: either may serve a group. A version of an earlier release has no
    list of what was held out, only one of what it was trained on. Raises StoreFailed where a list cannot be read.
    """
    keys = {group_key(folders, group) for group in ("", *groups)}
    trained: dict[str, frozenset[str]] = {}
    held: set[str] = set()
    for version in registry.versions():
        if version.folders in keys:
            folder = fetched(registry.model_folder(version))
            for pair in trained_pairs(folder):
                key = key_of(pair.query)
                trained[key] = trained.get(key, frozenset()) | {pair.positive_id}
            held |= _read_held_out(folder / HELD_OUT)
    return Known(trained, frozenset(held - trained.keys()))


def write_held_out(folder: Path, held_out: HeldOut) -> None:
    """Write the keys of the queries held out from a version to its folder. Raises OSError."""
    keys = sorted(map(key_of, held_out.judge | held_out.aside))
    (folder / HELD_OUT).write_text(json.dumps(keys), "utf-8")
    sync_paths(folder / HELD_OUT, folder)


def trained_pairs(folder: Path) -> list[Pair]:
    """Return the training pairs of a version; none for weights from elsewhere."""
    path = folder / PAIRS
    rows = path.read_text("utf-8").splitlines() if path.exists() else []
    lists = ("negatives", "unsure")  # an earlier release had no "unsure"
    return [Pair(**row | {key: tuple(row.get(key, ())) for key in lists}) for row in map(json.loads, rows)]


def _read_held_out(path: Path) -> set[str]:
    if not path.exists():
        return set()
    try:
        return set(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise StoreFailed(
            f"{path}: cannot be read ({first_line(error)}): restore it from a backup, or delete it: then its queries "
            "are held out by the labels alone"
        ) from error
