"""Restore a backup into a home folder: each file is compared with its hash while it is copied."""

from __future__ import annotations

import errno
import shutil
from datetime import UTC, datetime
from pathlib import Path

from rag.errors import StoreFailed
from rag.home import FORMAT_FILE
from rag.upkeep.backup import TIME, Backup, backups, copy_file

DRAFT = ".restoring"
UNUSED = (FORMAT_FILE, "lost+found")  # what a home folder has in which nothing was done yet


def restore(home: Path, source: Path, *, replace: bool = False) -> tuple[Backup, Path | None]:
    """Restore the latest backup in a folder, or the one that it is; return it, and where a former home folder is now.

    A home folder with something in it is refused; with `replace` it is moved to a name of its own next to it. The home
    folder appears when all files are there and as they were. Raises StoreFailed with one line.
    """
    found = backups(source.expanduser().resolve())
    if not found:
        raise StoreFailed(f"{source}: there is no backup in it: name the folder that `python -m rag backup` was given")
    backup, draft = found[0], home.with_name(f".{home.name}{DRAFT}")
    if _is_used(home) and not replace:
        raise StoreFailed(
            f"{home}: is not empty: set THUMBTUNE_HOME to a new folder, or stop the chat and add --replace, "
            "which moves it aside"
        )
    try:
        shutil.rmtree(draft, ignore_errors=True)  # of a restoring that was killed
        draft.mkdir(mode=0o700, parents=True)
        _copy(backup, draft, older=found[1:2])
        return backup, _put_in_place(draft, home)
    except OSError as error:
        what = "the disk is full" if error.errno == errno.ENOSPC else f"{error.filename}: {error.strerror}"
        raise StoreFailed(f"{home}: {what}: nothing was changed there") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _copy(backup: Backup, draft: Path, older: list[Backup]) -> None:
    other = f"try {older[0].folder}" if older else "no older backup is there"
    for path, kept in backup.files.items():
        target = draft / path
        if not target.resolve().is_relative_to(draft.resolve()):
            raise StoreFailed(f"{backup.folder}: names {path!r}, outside of the home folder: {other}")
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            copied = copy_file(backup.file(path), target)
        except FileNotFoundError:
            raise StoreFailed(f"{backup.file(path)}: is missing in the backup: {other}") from None
        if copied.sha256 != kept.sha256:
            raise StoreFailed(f"{backup.file(path)}: is not what was backed up: {other}")


def _put_in_place(draft: Path, home: Path) -> Path | None:
    """Rename the restored folder to the home folder's name; return where the former one is now, if it had content."""
    former = None
    if _is_used(home):
        former = home.with_name(f"{home.name}.before-{datetime.now(UTC).strftime(TIME)}")
        home.rename(former)
    elif home.exists():
        (home / FORMAT_FILE).unlink(missing_ok=True)
        try:
            home.rmdir()
        except OSError:  # the mount point of a disk, which stays: its content is moved in
            for each in draft.iterdir():
                shutil.move(each, home / each.name)
            return None
    draft.rename(home)
    return former


def _is_used(home: Path) -> bool:
    return home.exists() and (not home.is_dir() or any(path.name not in UNUSED for path in home.iterdir()))
