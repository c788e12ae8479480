"""Back up a home folder into a folder of backups, and check the backups there by their hashes.

A backup is a folder DIR/TIME with home/ and backup.json, which has each file's sha256. It is written under another name
and renamed when it is complete, so a killed backup leaves the former one as it was. A file that has not changed since
the former backup is a hard link to it, and costs no space.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from rag.cli import DISTRIBUTION
from rag.errors import StoreFailed
from rag.history import history_of
from rag.home import check_format, open_home
from rag.settings import Settings
from rag.upkeep.forgotten import forgotten_at
from rag.upkeep.in_use import require_folder
from rag.upkeep.snapshot import Source, take_snapshot

RECORD, HOME, PART = "backup.json", "home", ".part-"
FORMAT = 1
TIME = "%Y-%m-%dT%H-%M-%SZ"  # of a backup's folder
BLOCK = 1 << 20
NOT_SHOWN = {"home", "openai_api_key", "api_keys"}  # it is restored elsewhere; a key is no part of a backup


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of a backup: its hash, its size, and when its original was changed, in nanoseconds since 1970."""

    sha256: str
    size: int
    changed: int


@dataclass(frozen=True, slots=True)
class Backup:
    """A complete backup: its folder, when it was made, its files by path in the home folder, settings by name."""

    folder: Path
    made: datetime
    files: dict[str, Kept]
    settings: dict[str, str]

    def file(self, path: str) -> Path:
        """Return where a file of the home folder lies in this backup."""
        return self.folder / HOME / path


@dataclass(frozen=True, slots=True)
class Report:
    """What a backup has done: its folder, files and bytes in all, those that were copied, and backups removed."""

    folder: Path
    files: int
    size: int
    copied: int
    copied_size: int
    removed: tuple[Path, ...] = ()


def back_up(settings: Settings, into: Path, *, keep: int = 0) -> Report:
    """Back up the home folder while the chat may run, and return what was done.

    `keep` is how many backups stay, 0 for all. Backups made before a rater was forgotten do not stay. Raises
    StoreFailed with one line; the backups that were there are then as they were.
    """
    require_folder(settings.home)
    into = into.expanduser().resolve()
    if into.is_relative_to(settings.home):
        raise StoreFailed(f"{into} is in the home folder: name a folder elsewhere, best on another disk")
    check_format(settings.home)
    if not settings.home.is_dir():
        raise StoreFailed(f"{settings.home}: there is no home folder to back up: set THUMBTUNE_HOME")
    open_home(settings.home)
    with _locked(into):
        for left in into.glob(f"{PART}*"):
            shutil.rmtree(left)
        former = next(iter(backups(into)), None)
        folder = _new_folder(into)
        part = into / f"{PART}{folder.name}"
        try:
            writer = _write(settings, part, former)
            part.rename(folder)
            _sync()
        finally:
            shutil.rmtree(part, ignore_errors=True)
        removed = tuple(_remove_old(into, keep, forgotten_at(settings.home)))
    files = writer.files
    return Report(folder, len(files), sum(each.size for each in files.values()), *writer.copied, removed)


def backups(folder: Path) -> list[Backup]:
    """Return the complete backups in a folder, the latest first; a folder that is a backup itself is the only one."""
    if (folder / RECORD).is_file():
        return [read_backup(folder)]
    found = [path.parent for path in folder.glob(f"*/{RECORD}") if not path.parent.name.startswith(".")]
    return sorted(map(read_backup, found), key=lambda each: each.made, reverse=True)


def read_backup(folder: Path) -> Backup:
    """Return the backup in a folder. Raises StoreFailed where its record cannot be read or is of a newer release."""
    try:
        row: dict[str, Any] = json.loads((folder / RECORD).read_text("utf-8"))
        if row["format"] > FORMAT:
            raise StoreFailed(f"{folder}: was made by thumbtune {row['thumbtune']}: update thumbtune to restore it")
        files = {path: Kept(**each) for path, each in row["files"].items()}
        return Backup(folder, datetime.fromisoformat(row["made"]), files, row["settings"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreFailed(f"{folder / RECORD}: cannot be read ({error}): use another backup") from error


def check_backup(backup: Backup, known: dict[int, str]) -> Iterator[str]:
    """Yield one line on each file that is missing or not as it was; `known` has the hashes by inode, and gets more."""
    for path, kept in backup.files.items():
        file = backup.file(path)
        try:
            inode = file.stat().st_ino
            if inode not in known:
                known[inode] = hash_file(file)
        except OSError as error:
            yield f"{file}: {error.strerror}"
            continue
        if known[inode] != kept.sha256:
            yield f"{file}: is not what was backed up"


def hash_file(path: Path) -> str:
    """Return a file's sha256. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_file(source: Path, target: Path) -> Kept:
    """Copy a file, readable by its owner only, with its time of change; return its record. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as read, open(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as write:  # noqa: PTH123  # with a mode
        stat = os.fstat(read.fileno())
        while block := read.read(BLOCK):
            digest.update(block)
            write.write(block)
            size += len(block)
    os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    return Kept(digest.hexdigest(), size, stat.st_mtime_ns)


class _Writer:
    """Writes the files of one backup; those of the former one that have not changed are linked."""

    def __init__(self, folder: Path, former: Backup | None) -> None:
        self._folder, self._former = folder, former
        self.files: dict[str, Kept] = {}
        self.copied = (0, 0)  # files, bytes

    def take(self, source: Source) -> None:
        """Add a file. Raises OSError."""
        target = self._folder / source.path
        if source.path in self.files:  # of a table that is taken once more
            target.unlink()
        stat = source.file.stat()
        known = self._former.files.get(source.path) if self._former else None
        if known and (known.size, known.changed) == (stat.st_size, stat.st_mtime_ns) and self._link(source.path):
            self.files[source.path] = known
            return
        kept = copy_file(source.file, target)
        self.files[source.path] = kept
        if known and known.sha256 == kept.sha256:  # rewritten with the same content, as chat.db is each time
            target.unlink()
            if self._link(source.path):
                self.files[source.path] = known
                return
            kept = copy_file(source.file, target)
        self.copied = (self.copied[0] + 1, self.copied[1] + kept.size)

    def _link(self, path: str) -> bool:
        """Link a file of the former backup; return whether the disk can do that, and the file is there."""
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(self._former.file(path), target)  # type: ignore[union-attr]  # asked only where there is one
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            return False
        return True


def _write(settings: Settings, part: Path, former: Backup | None) -> _Writer:
    scratch = part / "scratch"
    try:
        part.mkdir(mode=0o700)
        scratch.mkdir()
        writer = _Writer(part / HOME, former)
        take_snapshot(settings, scratch, writer.take)
        shutil.rmtree(scratch)
        row = {
            "format": FORMAT,
            "thumbtune": version(DISTRIBUTION),
            "made": datetime.now(UTC).isoformat(),
            "home": str(settings.home),
            "settings": _shown(settings),
            "files": {path: asdict(kept) for path, kept in sorted(writer.files.items())},
        }
        (part / RECORD).write_text(json.dumps(row, indent=1), "utf-8")
        _sync()
    except OSError as error:
        what = "the disk is full" if error.errno == errno.ENOSPC else f"{error.filename}: {error.strerror}"
        raise StoreFailed(f"{part.parent}: {what}: former backups are as they were; make room and try again") from error
    return writer


def _shown(settings: Settings) -> dict[str, str]:
    """Return the settings that are not the defaults, by the names they are set by; without keys."""
    shown = {}
    for name, value in settings:
        is_default = value == type(settings).model_fields[name].default
        if is_default or name in NOT_SHOWN or ("url" in name and "@" in str(value)):
            continue
        if name == "history":
            value = history_of(settings).shown
        joint = os.pathsep if name == "docs" else ","
        shown[_env_name(name)] = joint.join(map(str, value)) if isinstance(value, tuple) else str(value)
    return shown


def _env_name(field: str) -> str:
    alias: Any = Settings.model_fields[field].validation_alias
    return str(alias.choices[0]) if alias else f"THUMBTUNE_{field.upper()}"


def _new_folder(into: Path) -> Path:
    """Return a folder named by the time, in the next second if one of this second is there."""
    while (folder := into / datetime.now(UTC).strftime(TIME)).exists():
        time.sleep(0.1)
    return folder


def _remove_old(into: Path, keep: int, forgotten: datetime | None) -> Iterator[Path]:
    for nth, backup in enumerate(backups(into)):
        if nth and ((keep and nth >= keep) or (forgotten and backup.made < forgotten)):
            gone = backup.folder.rename(into / f"{PART}{backup.folder.name}")  # if killed now, the next one removes it
            shutil.rmtree(gone)
            yield backup.folder


@contextmanager
def _locked(into: Path) -> Iterator[None]:
    try:
        into.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(into / ".lock", timeout=0):
            yield
    except Timeout:
        raise StoreFailed(f"{into}: another backup is being made there: wait until it has ended") from None
    except OSError as error:
        raise StoreFailed(f"{error.filename or into}: {error.strerror}: name a folder that you may write") from error


def _sync() -> None:
    """Have the system write to the disk what it still holds in memory."""
    if hasattr(os, "sync"):
        os.sync()
