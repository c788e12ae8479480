"""Restore a backup into a home folder: each file is compared with its hash while it is copied."""

from __future__ import annotations

import errno
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from rag.errors import StoreFailed
from rag.home import FORMAT_FILE, RESTORED, finish_restoring, restored_folder
from rag.upkeep.backup import TIME, Backup, backups, copy_file
from rag.upkeep.in_use import only_user, require_folder

DRAFT = ".restoring"
UNUSED = (FORMAT_FILE, "lost+found", DRAFT)  # what a home folder has in which nothing was done yet


def restore(home: Path, source: Path, *, replace: bool = False) -> tuple[Backup, Path | None]:
    """Restore the latest backup in a folder, or the one that it is; return it, and where a former home folder is now.

    A home folder with something in it is refused; with `replace` it is moved to a name of its own next to it. The home
    folder appears when all files are there and as they were; where that is interrupted, whatever opens the home folder
    next finishes it. An empty one may be the mount point of a disk, which cannot be renamed, and whose space is what
    there is: it is filled inside. Raises StoreFailed with one line.
    """
    require_folder(home)
    found = backups(source.expanduser().resolve())
    if not found:
        raise StoreFailed(f"{source}: there is no backup in it: name the folder that `python -m rag backup` was given")
    backup, draft, complete = found[0], home.with_name(f".{home.name}{DRAFT}"), restored_folder(home)
    if home.is_dir():
        finish_restoring(home)
    if inside := home.is_dir() and not _is_used(home):
        draft, complete = home / DRAFT, home / RESTORED
    if not inside:
        _refuse_content(home, replace)
    _refuse_others(home)
    try:
        for left in (draft, complete) if home.exists() and not inside else (draft,):  # by one that was killed
            shutil.rmtree(left, ignore_errors=True)
        draft.mkdir(mode=0o700, parents=True)
        _copy(backup, draft, older=found[1:2])
        _refuse_others(home)  # that may have taken a while
        if inside and _is_used(home):
            raise StoreFailed(f"{home}: was used meanwhile: nothing was changed there; add --replace to move it aside")
        draft.rename(complete)
        if inside:
            finish_restoring(home)
            return backup, None
        return backup, _put_in_place(complete, home)
    except OSError as error:
        what = "the disk is full" if error.errno == errno.ENOSPC else f"{error.filename}: {error.strerror}"
        state = "the rest is moved by the next start" if inside and complete.exists() else "nothing was changed there"
        raise StoreFailed(f"{home}: {what}: {state}") from error
    finally:
        for left in (draft, complete) if home.exists() and not inside else (draft,):
            shutil.rmtree(left, ignore_errors=True)


def _refuse_content(home: Path, replace: bool) -> None:
    """Raise StoreFailed where a home folder is not empty and may not, or cannot, be moved aside."""
    if home.is_mount():
        raise StoreFailed(
            f"{home}: is the mount point of a disk and cannot be moved aside: empty it, or set THUMBTUNE_HOME to a new "
            "folder"
        )
    if _is_used(home) and not replace:
        raise StoreFailed(
            f"{home}: is not empty: set THUMBTUNE_HOME to a new folder, or stop the chat and add --replace, "
            "which moves it aside"
        )


def _refuse_others(home: Path) -> None:
    """Raise StoreFailed where a chat, a training or indexing runs on a home folder."""
    if _is_used(home):
        with only_user(home):  # and no longer: a folder with open files cannot be renamed everywhere
            return


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
    elif home.exists():  # another process has opened it
        (home / FORMAT_FILE).unlink(missing_ok=True)
        home.rmdir()
    with suppress(FileNotFoundError):  # another process that opens the home folder was faster
        draft.rename(home)
    return former


def _is_used(home: Path) -> bool:
    return home.exists() and (not home.is_dir() or any(path.name not in UNUSED for path in home.iterdir()))
