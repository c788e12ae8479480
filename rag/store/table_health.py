"""Read a LanceDB table in full to find damage, and repair it from its own files.

Why read in full: LanceDB opens a table, counts its rows and adds to it although a data file is cut off or gone; only
reading fails. A repair moves the damaged files aside and deletes none.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lancedb
import pyarrow as pa

from rag.store import schema
from rag.store.table_files import VERSIONS, files_of_version, manifests

SUFFIX = ".lance"
TRIES = 3  # a table that is compacted by another process while it is read is read once more
FAILURES = (RuntimeError, OSError, ValueError)  # what LanceDB and pyarrow raise for a file that cannot be read


@dataclass(frozen=True, slots=True)
class TableHealth:
    """What reading a table in full has found: its rows, and why it is damaged ("" where it is not)."""

    name: str
    rows: int
    damage: str = ""


def table_names(folder: Path) -> list[str]:
    """Return the names of all tables in a folder, damaged ones included, without a full disk's empty leftovers."""
    found = (path for path in folder.glob(f"*{SUFFIX}") if path.is_dir())
    return sorted(path.name.removesuffix(SUFFIX) for path in found if _has_content(path))


def check_table(folder: Path, name: str) -> TableHealth:
    """Return a table's health after reading all its rows and its indexes' file names."""
    path = folder / f"{name}{SUFFIX}"
    seen: list[Path] = []
    for _ in range(TRIES):
        newest = manifests(path)[:1]
        if newest and newest == seen:
            break  # the same version failed twice
        seen = newest
        try:
            if not newest:
                raise ValueError("its versions are gone")
            files_of_version(path, newest[0].read_bytes())
            return TableHealth(name, _count(lancedb.connect(folder).open_table(name)))
        except FAILURES as error:
            why = _in_words(error)
    return TableHealth(name, 0, why)


def repair_table(folder: Path, name: str, aside: Path) -> str:
    """Bring a damaged table back as far as its own files allow, and return in one line what was done.

    Where only manifests are damaged: the newest version with a good one. Where data is lost: all rows of it that can
    still be read, and of the others those of the newest older version that can. What was damaged is in `aside` then.
    """
    path = folder / f"{name}{SUFFIX}"
    found = manifests(path)
    newest = next((n for n, each in enumerate(found) if _is_whole(each)), len(found))
    if newest < len(found) and _reads(path, found[newest]):
        for each in found[:newest]:
            _move(each, aside / VERSIONS / each.name)
        when = datetime.fromtimestamp(found[newest].stat().st_mtime, UTC)
        return f"went back to its last good version, of {when:%Y-%m-%d %H:%M} UTC; the damaged one is in {aside}"
    rows = _readable_rows(path, found[newest:])
    _move(path, aside)
    if rows is None or not rows.num_rows:
        return f"no row of it can be read: it is in {aside}, and begins empty; `rag restore` takes it from a backup"
    lancedb.connect(folder).create_table(name, data=rows.cast(_keyed(rows.schema)))
    return f"kept the {rows.num_rows:,} rows that can be read; the damaged table is in {aside}"


def set_table_aside(folder: Path, name: str, aside: Path) -> None:
    """Move a table that can be made again out of the way."""
    _move(folder / f"{name}{SUFFIX}", aside)


def _readable_rows(path: Path, found: list[Path]) -> pa.Table | None:
    """Return the rows of the first of these versions that can be read, and those of other keys of an older one.

    The older one is the newest of those 1, 2, 4, 8, ... versions back: a table may have a thousand.
    """
    if not found:
        return None
    with _only(path, found[0]) as table:
        rows = _salvage(table)
    steps = [found[1 << n] for n in range(len(found).bit_length()) if 1 << n < len(found)]
    older = next((each for each in (*steps, found[-1]) if _reads(path, each)), None)
    if older is None:
        return rows
    with _only(path, older) as table:
        former = table.search().to_arrow()
    if rows is None:
        return former
    known = set(rows["id"].to_pylist())
    lost = former.filter(pa.array([key not in known for key in former["id"].to_pylist()], pa.bool_()))
    return pa.concat_tables([rows, lost], promote_options="default")


def _salvage(table: Any) -> pa.Table | None:  # noqa: ANN401  # lancedb ships no types
    """Return the rows that can be read: those that are not in a damaged file."""
    parts: list[pa.Table] = []
    ranges = [(0, int(table.count_rows()))]
    while ranges:
        low, high = ranges.pop()
        if low == high:
            continue
        try:
            parts.append(table.take_offsets(list(range(low, high))).to_arrow())
        except FAILURES:
            if high - low > 1:
                middle = (low + high) // 2
                ranges += [(middle, high), (low, middle)]
    return pa.concat_tables(parts) if parts else None


def _keyed(found: pa.Schema) -> pa.Schema:
    """Return a schema whose `id` is declared as primary key, as in rag.store.schema."""
    return pa.schema([schema.ID if field.name == "id" else field for field in found])


def _count(table: Any) -> int:  # noqa: ANN401  # lancedb ships no types
    """Return the number of rows after reading each of them. Raises what LanceDB does, and ValueError."""
    rows = sum(int(batch.num_rows) for batch in table.search().to_batches())
    if rows != table.count_rows():
        raise ValueError(f"it says that it has {table.count_rows():,} rows, and {rows:,} can be read")
    return rows


@contextmanager
def _only(path: Path, manifest: Path) -> Iterator[Any]:
    """Open one version of a table in a folder of links to its files; LanceDB alone would open the newest first."""
    with TemporaryDirectory(dir=path.parent.parent, prefix=".check-") as scratch:
        copy = Path(scratch) / path.name
        (copy / VERSIONS).mkdir(parents=True)
        (copy / VERSIONS / manifest.name).symlink_to(manifest)
        for folder in (part for part in path.iterdir() if part.name != VERSIONS):
            (copy / folder.name).symlink_to(folder)
        yield lancedb.connect(scratch).open_table(path.name.removesuffix(SUFFIX))


def _is_whole(manifest: Path) -> bool:
    """Return whether a manifest can be read, whatever the data that it names is like."""
    try:
        files_of_version(manifest.parent.parent, manifest.read_bytes())
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    return True


def _reads(path: Path, manifest: Path) -> bool:
    """Return whether a version can be read in full."""
    try:
        with _only(path, manifest) as table:
            files_of_version(path, manifest.read_bytes())
            _count(table)
    except FAILURES:
        return False
    return True


def _has_content(path: Path) -> bool:
    return any(any((path / part).glob("*")) for part in (VERSIONS, "data"))


def _move(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(path, to)


def _in_words(error: BaseException) -> str:
    """Return what is wrong with a table's file in one line, without LanceDB's own source paths."""
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"{Path(error.filename).name} is missing"
    text = " ".join(str(error).split())
    return text.partition(", /")[0].removeprefix("lance error: ")[:200] or type(error).__name__
