"""The front matter of a Markdown file: what stands between two rules at its top, for the program that publishes it.

The idea a reader would miss: text may stand there as well. It is front matter if it is YAML with names and values.
"""

from __future__ import annotations

import re

import yaml

from rag.drafts import day, one_line

BETWEEN = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*\n", re.DOTALL | re.MULTILINE)
MOST = 20_000  # characters: far beyond what anybody writes there
LIKE_YAML = re.compile(r"[ \t#-]|[^\s:][^:\n]*:(?:[ \t]|$)")  # how a line of it begins
TITLE = re.compile(r"^title:[ \t]*(['\"]?)(.+?)\1[ \t]*$", re.MULTILINE)
DATES = [
    re.compile(rf"^{key}:[ \t]*['\"]?(\S+)", re.MULTILINE | re.IGNORECASE)
    for key in ("(?:last[-_]?)?mod(?:ified)?(?:[-_]?at)?", "(?:last[-_]?)?updated(?:[-_]?at)?", "date")
]


def take_front_matter(text: str) -> tuple[str, str, str]:
    """Return the title and the day that a file's front matter tells, "" where it tells none, and the text without it.

    The day is that of the last change, if both are told.
    """
    matter = BETWEEN.match(text)
    if not matter or not _is_front_matter(matter[1]):
        return "", "", text
    title = TITLE.search(matter[1])
    found = (pattern.search(matter[1]) for pattern in DATES)
    date = next(filter(None, (day(match[1]) for match in found if match)), "")
    return one_line(title[2]) if title else "", date, text[matter.end() :]


def _is_front_matter(lines: str) -> bool:
    """Return whether lines are names and values. Nothing at all, or comments alone, are no text either.

    Many write a title with a colon in it, which YAML refuses: then each line must look like it.
    """
    if len(lines) > MOST:
        return False
    try:
        return isinstance(yaml.load(lines, Loader=yaml.BaseLoader), dict | None)  # a loader that makes texts only
    except (yaml.YAMLError, RecursionError):
        return all(map(LIKE_YAML.match, filter(str.strip, lines.splitlines())))
