"""Read label files line by line, with line numbers; write them all or nothing.

A line ends at "\\n" and nowhere else: `str.splitlines` would also cut at U+2028 and its like, which JSON allows in a
text.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rag.errors import BadLabels
from rag.records import Label

DEFAULT_RATER = "import"
UNDATED = datetime(1970, 1, 1, tzinfo=UTC)  # not now: the same file twice must leave the same rows
SHOWN = 60  # characters of a line, or of a text, in a message


@dataclass(frozen=True, slots=True)
class LabelRecord:
    """A label of a passage for a query, as read from a file. `where` is its line; `lacks` says why it has no text.

    `preference` is the weight of a label that a preference made, 0 for any other.
    """

    where: str
    query: str
    text: str
    label: Label
    rater: str = DEFAULT_RATER
    at: datetime = UNDATED
    lacks: str = ""
    preference: float = 0.0


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file that are not blank, each with its number from 1. Raises BadLabels."""
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            yield from ((number, line) for number, line in enumerate(file, start=1) if line.strip())
    except FileNotFoundError as error:
        raise BadLabels(f"{path}: there is no such file: check the path") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadLabels(f"{path}: cannot be read as UTF-8 text ({error}): save it as UTF-8") from error


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the JSON object of each line with the line's number. Raises BadLabels for what is none."""
    for number, line in numbered_lines(path):
        try:
            given = json.loads(line)
            if "\\ud" in line.casefold():  # half a surrogate pair is JSON, but no text that could be stored
                json.dumps(given, ensure_ascii=False).encode("utf-8")
        except (ValueError, RecursionError) as error:
            raise bad_line(path, number, f"{line.strip()[:SHOWN]!r} is not JSON ({error})") from error
        if not isinstance(given, dict):
            raise bad_line(path, number, f"{line.strip()[:SHOWN]!r} is no object: each line needs one in braces")
        yield number, given


def read_list(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the objects of a JSON list, each with where it stands; the list may be an answer's `data`.

    Raises BadLabels for a file that has none.
    """
    try:
        given = json.loads(path.read_text("utf-8-sig"))
        json.dumps(given, ensure_ascii=False).encode("utf-8")  # half a surrogate pair is JSON, but no text to store
    except (OSError, ValueError, RecursionError) as error:
        raise BadLabels(f"{path}: cannot be read as JSON ({error}): export it again") from error
    if isinstance(given, dict):
        lists = [given[name] for name in ("data", "items", "records") if isinstance(given.get(name), list)]
        given = lists[0] if lists else [given]
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise BadLabels(f"{path}: is no list of JSON objects: export it again")
    return [(f"entry {number}", each) for number, each in enumerate(given, 1)]


def bad_line(path: Path, where: int | str, why: str) -> BadLabels:
    """Return the error for a line, given by its number, that cannot be used, or for a row of a table."""
    place = f"line {where}" if isinstance(where, int) else where
    return BadLabels(f"{path} {place}: {why}; nothing was imported: fix the {place.split()[0]} and import again")


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines to a file, each ended by "\\n"."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def write_objects(path: Path, objects: Iterable[Mapping[str, object]]) -> None:
    """Write objects as JSON Lines, in UTF-8 without escapes."""
    write_lines(path, (json.dumps(given, ensure_ascii=False) for given in objects))


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a draft path next to `path`, for a file or folder; rename it to `path` at the end, delete it on an error.

    Raises BadLabels where `path` exists already, or cannot be written.
    """
    if os.path.lexists(path):
        raise BadLabels(f"{path}: is there already, and nothing is overwritten: name another, or move it away")
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield draft
        draft.rename(path)
    except OSError as error:
        raise BadLabels(f"{path}: cannot be written ({error.strerror}): name a place that can") from error
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(draft) if draft.is_dir() else draft.unlink(missing_ok=True)
