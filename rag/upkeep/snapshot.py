"""Read a home folder as it is at one moment, while the chat writes to it.

Tables are taken by the manifest of their newest version and the files that it names, which LanceDB never changes;
chat.db by SQLite's own backup. Why the order: what refers to something is taken before it, so that no rating is there
without its answer and no champion without its index.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rag.errors import StoreFailed
from rag.models.registry import REGISTRY_FILE
from rag.settings import Settings
from rag.store import schema
from rag.store.table_files import VERSIONS, files_of_version, manifests
from rag.store.table_health import SUFFIX, table_names
from rag.upkeep.repair import FOLDER as DAMAGED

LEFT_OUT = {"cache", DAMAGED, "training.lock", "indexing.json"}  # made again, damaged, or only of a running process
LOCK = ".lock"
ORDER = (schema.TRAINING_PAIRS, schema.RATINGS, schema.ANSWERS, schema.SYNTHETIC_PAIRS, schema.CHUNKS, schema.DOCUMENTS)
TRIES = 5  # a table whose files are removed by a compaction meanwhile is taken once more, in its newer version


@dataclass(frozen=True, slots=True)
class Source:
    """A file to be backed up: its path in the home folder, and where its content lies."""

    path: str
    file: Path


Take = Callable[[Source], None]  # raises OSError


def take_snapshot(settings: Settings, scratch: Path, take: Take) -> None:
    """Call `take` with each file of a home folder, those of a table all of one version.

    `scratch` is an empty folder for copies of what changes. Raises StoreFailed for a table that is damaged, and
    whatever `take` raises.
    """
    home = settings.home
    if settings.chat_db.is_file():
        take(Source(settings.chat_db.name, _copy_threads(settings.chat_db, scratch)))
    registry = settings.models / REGISTRY_FILE
    if registry.is_file():
        copy = scratch / REGISTRY_FILE
        copy.write_bytes(registry.read_bytes())
        stat = registry.stat()
        os.utime(copy, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        take(Source(registry.relative_to(home).as_posix(), copy))
    for name in sorted(table_names(settings.lancedb) if settings.lancedb.is_dir() else (), key=_rank):
        _take_table(home, settings.lancedb / f"{name}{SUFFIX}", scratch, take)
    done = {settings.chat_db, registry}
    for file in _other_files(settings):
        if file not in done:
            take(Source(file.relative_to(home).as_posix(), file))


def _take_table(home: Path, table: Path, scratch: Path, take: Take) -> None:
    for left in reversed(range(TRIES)):
        try:
            manifest = manifests(table)[0]
            copy = scratch / f"{table.name}-{manifest.name}"
            copy.write_bytes(manifest.read_bytes())
            stat = manifest.stat()
            os.utime(copy, ns=(stat.st_atime_ns, stat.st_mtime_ns))
            for name in files_of_version(table, copy.read_bytes()):
                take(Source((table / name).relative_to(home).as_posix(), table / name))
            take(Source((table / VERSIONS / manifest.name).relative_to(home).as_posix(), copy))
            return
        except (FileNotFoundError, IndexError, ValueError) as error:
            if not left or isinstance(error, ValueError):
                name = table.name.removesuffix(SUFFIX)
                raise StoreFailed(f"table {name} is damaged ({error}): run `python -m rag doctor`") from error


def _rank(table: str) -> tuple[int, str]:
    return ORDER.index(kind) if (kind := table.partition("__")[0]) in ORDER else len(ORDER), table


def _copy_threads(path: Path, scratch: Path) -> Path:
    copy = scratch / path.name
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
    except sqlite3.Error as error:
        if "full" in str(error):
            raise OSError(28, os.strerror(28), str(copy)) from error
        raise StoreFailed(f"{path} is damaged ({error}): run `python -m rag doctor`") from error
    return copy


def _other_files(settings: Settings) -> Iterator[Path]:
    """Yield the files of a home folder outside its tables, those of finished versions and runs among them."""
    parts = tuple(settings.chat_db.with_name(settings.chat_db.name + part) for part in ("-wal", "-shm"))
    for top in sorted(settings.home.iterdir()):
        if top.name in LEFT_OUT or top.name.startswith(".") or top in (settings.lancedb, *parts):
            continue
        for folder, folders, files in os.walk(top):
            inside = Path(folder)
            if settings.uploads not in (inside, *inside.parents):  # there hidden files say what was interrupted
                folders[:] = [name for name in folders if not name.startswith(".")]
                files = [name for name in files if not name.startswith(".")]
            folders.sort()
            yield from (inside / name for name in sorted(files) if not name.endswith(LOCK) and _is_file(inside / name))
        if top.is_file() and not top.name.endswith(LOCK):
            yield top


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
