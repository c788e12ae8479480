"""A power cut: what a file system surely has after it, by the fsyncs until then, written to a fresh folder."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass
class Disk:
    """What is on disk of the files and folders that were synced: contents and entries, by inode."""

    contents: dict[int, bytes] = field(default_factory=dict)
    entries: dict[int, dict[str, tuple[int, bool]]] = field(default_factory=dict)  # name -> inode, whether a folder

    def note(self, handle: int) -> None:
        """Keep what this file or folder has now. A hard link and a renamed file are found by their inode."""
        state, path = os.fstat(handle), Path(f"/proc/self/fd/{handle}")
        if stat.S_ISDIR(state.st_mode):
            self.entries[state.st_ino] = {each.name: (each.inode(), each.is_dir()) for each in os.scandir(path)}
        else:
            self.contents[state.st_ino] = path.read_bytes()

    def restore(self, inode: int, target: Path) -> None:
        """Write what is left of a folder; a file whose name is on disk and whose content is not has no byte."""
        target.mkdir()
        for name, (child, is_folder) in self.entries.get(inode, {}).items():
            if is_folder:
                self.restore(child, target / name)
            else:
                (target / name).write_bytes(self.contents.get(child, b""))


@dataclass
class Power:
    """The power of a machine. `now` is held while something is synced, and to cut."""

    disk: Disk = field(default_factory=Disk)
    now: threading.Lock = field(default_factory=threading.Lock)
    before: Callable[[], object] = lambda: None  # runs before each sync

    def cut(self) -> Disk:
        """Return what is on disk. Call it while holding `now`."""
        return deepcopy(self.disk)


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Power]:
    """Note every fsync of this process."""
    power, fsync = Power(), os.fsync

    def noted(handle: int) -> None:
        with power.now:
            power.before()
        fsync(handle)
        with power.now:
            power.disk.note(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", noted)
        yield power
