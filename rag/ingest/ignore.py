"""Leave out what a `.thumbtuneignore` in a documents folder names, by the rules of `.gitignore` (pathspec)."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from rag.errors import NoDocuments

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILE = ".thumbtuneignore"
# What pathspec takes and git means otherwise: classes such as [[:upper:]], and ** beside other characters.
UNLIKE_GIT = re.compile(r"\[\[:|(?<![/!])(?<!^)\*\*|\*\*(?![/]|\s*$)")
UNDERSTOOD = "*, ?, [a-z], and ** alone between slashes"


class Ignored:
    """The files and folders that are left out of a documents folder."""

    def __init__(self, spec: GitIgnoreSpec | None = None) -> None:
        self._spec = spec

    def __contains__(self, inside: str) -> bool:
        """Return whether a path inside the folder is left out by itself; that of a folder ends with a slash."""
        return self._spec is not None and self._spec.match_file(inside)

    def hides(self, inside: str) -> bool:
        """Return whether a file is left out, by itself or with a folder that it is in."""
        return inside in self or any(f"{parent}/" in self for parent in PurePosixPath(inside).parents)


def read_ignored(folder: Path) -> Ignored:
    """Return what a documents folder's `.thumbtuneignore` names; nothing where there is none.

    Raises NoDocuments where it cannot be read, also for a link whose target is gone, or where a line is no pattern or
    one that pathspec matches otherwise than git: nothing may be shown that was to be left out.
    """
    file = folder / IGNORE_FILE
    if not os.path.lexists(file):
        return Ignored()
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise NoDocuments(f"{file}: cannot be read ({why}): nothing is indexed before it can") from error
    from pathspec import GitIgnoreSpec  # only where it is needed: 10 ms

    lines = [line.removesuffix("\r") for line in text.split("\n")]
    for number, line in enumerate(lines, 1):
        try:
            if UNLIKE_GIT.search(line) and not line.startswith("#"):
                raise ValueError(line)
            GitIgnoreSpec.from_lines([line])
        except ValueError as error:
            raise NoDocuments(
                f"{file} line {number}: {line!r} is no pattern of a .gitignore that is understood here ({UNDERSTOOD}): "
                "correct or remove it"
            ) from error
    return Ignored(GitIgnoreSpec.from_lines(lines))
