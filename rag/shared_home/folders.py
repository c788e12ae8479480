"""Folders of a shared home that never change once they are complete: versions and the reports of trainings.

The files lie under the folder's name, so that any tool can copy them; `NAME.files.json`, put last, lists them with
their hashes and says that the folder is complete. What is fetched is checked against these and kept in the cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from pathlib import Path

from rag.errors import StoreFailed
from rag.shared_home.objects import Changed, Objects

LIST = ".files.json"  # after a folder's name
RESERVED = ".reserved"  # in a folder: the first object that is put there, so that two processes never mix their files
BLOCK = 1 << 20


def put_folder(objects: Objects, name: str, folder: Path) -> None:
    """Put a complete folder. Raises StoreFailed, also where another process has put one of this name."""
    wanted = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if _belongs(path, folder)}
    listed = json.dumps({"files": {each: hash_file(path) for each, path in wanted.items()}}, indent=1).encode()
    there = objects.get(name + LIST)
    try:
        if there is None:
            objects.put_new(f"{name}/{RESERVED}", secrets.token_hex(8).encode())
            for each, path in wanted.items():
                objects.put_file(f"{name}/{each}", path)
            objects.put_new(name + LIST, listed)
        elif there.data != listed:
            raise Changed(name)
    except Changed:
        raise StoreFailed(f"{objects.address}/{name}: another process has made it meanwhile: run it again") from None
    mark(folder)


def fetch_folder(objects: Objects, name: str, folder: Path) -> bool:
    """Fetch a folder unless it is in the cache; return whether it is there now. Raises StoreFailed."""
    if _mark_of(folder).exists() and folder.is_dir():
        return True
    found = objects.get(name + LIST)
    if found is None:
        return folder.is_dir()  # being made here, or nowhere
    files: dict[str, str] = json.loads(found.data)["files"]
    draft = folder.with_name(f".{folder.name}.part-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        for each, wanted in files.items():
            target = draft / each
            if not target.resolve().is_relative_to(draft.resolve()):
                raise StoreFailed(f"{objects.address}/{name}{LIST}: names a file outside its folder: {each!r}")
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            objects.get_file(f"{name}/{each}", target)
            if hash_file(target) != wanted:
                raise StoreFailed(
                    f"{objects.address}/{name}/{each}: is not what was put there (its hash differs): restore it from "
                    "the bucket's versions, or train again"
                )
        draft.mkdir(parents=True, exist_ok=True)
        if folder.is_dir() and not _mark_of(folder).exists():
            shutil.rmtree(folder)  # left by a process that was killed
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise  # else another process was faster
        mark(folder)
    except OSError as error:
        raise StoreFailed(f"{folder}: cannot be written ({error.strerror}): make room in the cache") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return True


def mark(folder: Path) -> None:
    """Note that a folder of the cache is complete, and the same as in the store."""
    _mark_of(folder).touch()


def hash_file(path: Path) -> str:
    """Return a file's sha256. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _mark_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.fetched")


def _belongs(path: Path, folder: Path) -> bool:
    return path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
