"""Say who uses a home folder: each chat holds a lock file, and what changes files by hand refuses while one runs.

Why locks: the system releases them however a process ends, so that a killed chat needs no cleanup.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from rag.errors import StoreFailed
from rag.home_address import address_of
from rag.training_status import LOCK_FILE, read_training

CHATS = "chats"  # in a home folder: a lock file of each chat that runs, named by its process id and a random number
UPKEEP_LOCK = "upkeep.lock"  # held while a home folder is repaired or restored
INDEX_LOCK = "lancedb/index.lock"  # rag.indexing.update
WAIT_SECONDS = 2.0  # for another chat that starts at the same moment


def require_folder(home: Path) -> None:
    """Raise StoreFailed for a home on object storage: no command of ours backs it up, restores or repairs it."""
    if address := address_of(home):
        raise StoreFailed(
            f"{address}: a home on object storage is backed up, restored and repaired by its bucket: switch on the "
            "bucket's versioning; `python -m rag export` writes the labels, and `python -m rag index` makes the index"
        )


@contextmanager
def chat_running(home: Path) -> Iterator[None]:
    """Mark a home folder as used by a chat, until it ends. Raises StoreFailed while it is repaired or restored."""
    file = home / CHATS / f"{os.getpid()}-{secrets.token_hex(4)}.lock"  # in containers, all chats may be process 1
    lock = FileLock(file)
    try:
        with FileLock(home / UPKEEP_LOCK, timeout=WAIT_SECONDS):
            file.parent.mkdir(exist_ok=True)
            _running_chats(home)  # removes what killed ones left
            lock.acquire(timeout=0)
    except Timeout:
        raise StoreFailed(f"{home}: is being repaired or restored: start the chat when that has ended") from None
    except OSError as error:
        raise StoreFailed(f"{home}: cannot be written ({error.strerror}): make it writable") from error
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        lock.release()


@contextmanager
def only_user(home: Path) -> Iterator[None]:
    """Hold a home folder for repairing or restoring it. Raises StoreFailed where a chat, training or indexing runs.

    Meanwhile none of them can start.
    """
    locks = {
        UPKEEP_LOCK: "it is being repaired or restored already: wait until that has ended",
        LOCK_FILE: f"{_training(home)} runs on it: wait for it, or stop it",
        INDEX_LOCK: "its documents are being indexed: wait until that has ended",
    }
    with ExitStack() as held:
        for name, why in locks.items():
            if not (home / name).parent.is_dir():
                continue
            try:
                held.enter_context(FileLock(home / name, timeout=0))
            except Timeout:
                raise StoreFailed(f"{home}: {why}") from None
            except OSError as error:
                raise StoreFailed(f"{home}: cannot be written ({error.strerror}): make it writable") from error
        if chats := _running_chats(home):
            raise StoreFailed(f"{home}: a chat runs on it (process {', '.join(chats)}): stop it first")
        yield


def _training(home: Path) -> str:
    training = read_training(home)
    return f"a training ({training.who})" if training and training.is_running else "a training"


def _running_chats(home: Path) -> list[str]:
    """Return the process ids of the chats that run on a home folder; remove the files of those that were killed."""
    running = []
    for file in sorted((home / CHATS).glob("*.lock")):
        try:
            with FileLock(file, timeout=0):
                file.unlink(missing_ok=True)
        except Timeout:
            running.append(file.stem.partition("-")[0])
    return running
