"""A folder of a shared home whose files come and go: the uploads of one set of documents folders."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from rag.shared_home.objects import Objects

STATE = ".mirrored.json"  # in the local folder: name -> e_tag of what was fetched or put; hidden files are no documents


class Mirror:
    """The objects under a name, and the local folder that has the same files. Call it while holding `index`."""

    def __init__(self, objects: Objects, name: str, folder: Path) -> None:
        self._objects, self._name, self._folder = objects, name, folder

    def fetch(self) -> None:
        """Make the local folder the same as the store: fetch what is new or changed, remove what is gone."""
        listed = {each.name.removeprefix(f"{self._name}/"): each for each in self._objects.listing(self._name)}
        known = self._known()
        if not listed and not known:
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in sorted({path.name for path in self._folder.iterdir() if not path.name.startswith(".")} - {*listed}):
            (self._folder / name).unlink()
        for name, each in listed.items():
            if "/" in name or name.startswith("."):
                continue
            target = self._folder / name
            if _plain(known.get(name)) != _plain(each.stamp.e_tag) or not target.exists():
                draft = target.with_name(f".part-{os.getpid()}-{name}")
                self._objects.get_file(each.name, draft)
                os.utime(draft, (each.modified.timestamp(), each.modified.timestamp()))
                draft.replace(target)
        self._note({name: each.stamp.e_tag for name, each in listed.items()})

    def put(self, name: str) -> None:
        """Put a file of the local folder."""
        stamp = self._objects.put_file(f"{self._name}/{name}", self._folder / name)
        self._note({**self._known(), name: stamp.e_tag})

    def delete(self, name: str) -> None:
        """Delete a file from the store."""
        self._objects.delete(f"{self._name}/{name}")
        self._note({each: tag for each, tag in self._known().items() if each != name})

    def _known(self) -> dict[str, str | None]:
        with suppress(OSError, ValueError):
            return dict(json.loads((self._folder / STATE).read_text("utf-8")))
        return {}

    def _note(self, tags: dict[str, str | None]) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._folder / f"{STATE}.{os.getpid()}"
        draft.write_text(json.dumps(tags), "utf-8")
        draft.replace(self._folder / STATE)


def _plain(tag: str | None) -> str:
    """Return an e_tag without quotation marks, which some stores leave out in lists."""
    return (tag or "").strip('"')
