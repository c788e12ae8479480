"""Open a home folder: refuse one of a newer release, and keep it from other users of the machine.

Folders have mode 0700 and files 0600. Where the home folder is setgid, which somebody must have chosen (chmod g+s),
its group may read and write, too.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from rag.errors import StoreFailed
from rag.home_address import shared_home

FORMAT = 1  # raised by a release whose home folders this one could not read
FORMAT_FILE = "home.json"
RESTORED = ".restored"
PRIVATE, SHARED = 0o077, 0o007  # what is taken away from new files: of the group and of others; of others


def open_home(home: Path) -> None:
    """Create a home folder, or check its format; make one of an earlier release private, once. Raises StoreFailed.

    The cache of a shared home is a folder of this user's own.
    """
    has_format = check_format(home)
    if shared := shared_home(home):
        shared.open(FORMAT)
    try:
        if not home.exists():
            with suppress(FileNotFoundError):  # nothing was being restored, or the process that restores was faster
                restored_folder(home).rename(home)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        finish_restoring(home)
    except OSError as error:
        raise StoreFailed(
            f"{home}: cannot be created ({error.strerror}): set THUMBTUNE_HOME to a folder you may write"
        ) from error
    mask = SHARED if home.stat().st_mode & stat.S_ISGID else PRIVATE
    if mask == SHARED:
        os.umask(SHARED)
    if not has_format:
        _tighten(home, mask)
        with suppress(OSError):  # a home folder that may only be read: the next command that may write does it
            _write_format(home / FORMAT_FILE, 0o666 & ~mask)


def check_format(home: Path) -> bool:
    """Return whether a home folder says its format; one that is not there yet, or of an earlier release, does not.

    Creates and changes nothing. Raises StoreFailed for a newer format, and for what is no folder.
    """
    if shared := shared_home(home):
        found = shared.read_format()
        if isinstance(found, int) and found > FORMAT:
            raise _newer(shared.address, found)
        return found is not None
    file = home / FORMAT_FILE
    try:
        found = json.loads(file.read_text("utf-8"))["format"]
        if found > FORMAT:
            raise _newer(home, found)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False
    except NotADirectoryError:
        blocking = next((each for each in (home, *home.parents) if each.is_file()), home)
        raise StoreFailed(
            f"{blocking}: is a file, not a folder: set THUMBTUNE_HOME to a folder you may write"
        ) from None
    except OSError as error:
        raise StoreFailed(f"{file}: cannot be read ({error.strerror}): make it readable for yourself") from error
    return True


def _newer(home: Path | str, found: int) -> StoreFailed:
    return StoreFailed(
        f"{home}: was made by a newer release (format {found}, this one knows {FORMAT}): update thumbtune, "
        "or set THUMBTUNE_HOME to another folder"
    )


def check_home(home: Path) -> None:
    """Raise StoreFailed where nothing can be written under the home folder (root passes every check of rights)."""
    open_home(home)
    try:
        with tempfile.TemporaryFile(dir=home) as probe:
            probe.write(b"probe" * 1024)
    except OSError as error:
        raise StoreFailed(
            f"{home}: cannot be written ({error.strerror}): set THUMBTUNE_HOME to a folder you may write"
        ) from None


def restored_folder(home: Path) -> Path:
    """Return the name of a home folder that is restored in full, before it takes the place of the former one."""
    return home.with_name(f".{home.name}{RESTORED}")


def finish_restoring(home: Path) -> None:
    """Move in place what was restored in full inside a home folder, of which a mount point cannot be renamed.

    Raises OSError; called again, it moves what is left.
    """
    restored = home / RESTORED
    with suppress(FileNotFoundError):  # nothing was, or another process has finished it
        for each in list(restored.iterdir()):
            with suppress(FileNotFoundError):
                each.replace(home / each.name)
        restored.rmdir()


def _tighten(home: Path, mask: int) -> None:
    """Take away what others may do to the files of a home folder; links and files of other users stay as they are."""
    for folder, _, files in os.walk(home):
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            with suppress(OSError):  # gone meanwhile, or somebody else's
                mode = stat.S_IMODE(path.lstat().st_mode)
                if mode & mask and not path.is_symlink():
                    path.chmod(mode & ~mask)


def _write_format(file: Path, mode: int) -> None:
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    draft.write_text(json.dumps({"format": FORMAT}), "utf-8")
    draft.chmod(mode)
    draft.replace(file)
