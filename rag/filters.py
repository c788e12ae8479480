"""`in:reports type:pdf` at either end of a question -> which documents are searched for it. Pure.

The idea a reader would miss: the words of a filter are no part of the query. A query is what trains the models, and
"in:reports" says where to look, not what is meant; so they are taken off before anything is embedded or stored.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

MOST_NAMED = 8  # folders or types that a message names; the rest is "..."
WORD = r'(in|type):(?:"([^"\n]+)"|([^\s"]+))'
FIRST = re.compile(rf"\s*{WORD}(?:\s+|\Z)", re.IGNORECASE)
LAST = re.compile(rf"(?:\s+|\A){WORD}\s*\Z", re.IGNORECASE)
END_MARKS = "?!.,;"  # of the question, where a filter ends it: "What grew in:reports?"


@dataclass(frozen=True, slots=True)
class Only:
    """Which documents are searched: in one of these folders, and of one of these types; empty: any. All lower case."""

    folders: tuple[str, ...] = ()
    types: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Return whether anything is left out."""
        return bool(self.folders or self.types)

    def __str__(self) -> str:
        """Return the filter as it is typed; parsed again it is the same."""
        return " ".join([*(f"in:{_quoted(x)}" for x in self.folders), *(f"type:{_quoted(x)}" for x in self.types)])

    def told(self) -> str:
        """Return in words what is searched, or nothing where all is."""
        where = " or ".join(self.folders)
        kinds = " or ".join(self.types)
        parts = [f"in {where}" if where else "", f"of type {kinds}" if kinds else ""]
        return f"Only documents {', '.join(filter(None, parts))}." if self else ""

    def allows(self, source: str) -> bool:
        """Return whether a document of this source is searched. A folder may be any part of the path, or a file."""
        path = f"/{source.lower()}/"
        inside = not self.folders or any(f"/{folder}/" in path for folder in self.folders)
        return inside and (not self.types or any(path.endswith(f".{kind}/") for kind in self.types))


EVERYWHERE = Only()


def split_filter(text: str) -> tuple[str, Only]:
    """Return a question without the filters at its beginning and its end, and what they say.

    Several of a kind are alternatives. In the middle of a question nothing is a filter: people ask about such words.
    """
    found: list[tuple[str, str]] = []
    while match := FIRST.match(text):
        found.append(_read(match))
        text = text[match.end() :]
    last: list[tuple[str, str]] = []
    while match := LAST.search(text):
        last.append(_read(match))
        text = text[: match.start()]
    found += reversed(last)
    values = {kind: tuple(dict.fromkeys(v for k, v in found if k == kind and v)) for kind in ("in", "type")}
    return text.strip(), Only(values["in"], values["type"])


def why_nothing(only: Only, sources: Collection[str]) -> str:
    """Return why a filter leaves no document to search, with what there is instead; nothing where it leaves some."""
    if any(only.allows(source) for source in sources):
        return ""
    hint = "Or put a blank behind the colon, to search for these words."
    for folder in only.folders:
        if not any(Only(folders=(folder,)).allows(source) for source in sources):
            known = {source.rpartition("/")[0] for source in sources} - {""}
            return f"No document is in {folder!r}: the folders are {_some(known)}. {hint}"
    for kind in only.types:
        if not any(Only(types=(kind,)).allows(source) for source in sources):
            known = {source.rpartition(".")[2].lower() for source in sources if "." in source.rpartition("/")[2]}
            return f"No document is of type {kind!r}: the types are {_some(known)}. {hint}"
    return f"No document is both in {' or '.join(only.folders)} and of type {' or '.join(only.types)}. {hint}"


def _read(match: re.Match[str]) -> tuple[str, str]:
    kind, quoted, bare = match.groups()
    value = (quoted or bare.rstrip(END_MARKS)).lower().strip().strip("/")
    return kind.lower(), value.lstrip(".") if kind.lower() == "type" else value


def _quoted(value: str) -> str:
    return value if re.fullmatch(rf"\S*[^\s{END_MARKS}]", value) else f'"{value}"'


def _some(names: Collection[str]) -> str:
    if not names:
        return "none"
    return ", ".join(sorted(names)[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")
