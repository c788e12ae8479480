"""Parse document filters at either end of a question: `in:reports type:pdf since:2026`. Pure.

Why parsed off: queries train the models, and "in:reports" says where to search, not what is meant. So filters are
removed before anything is embedded or stored.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import chain

from rag.errors import BadQuery

MOST_NAMED = 8  # folders or types that a message names; "..." stands for the rest
WORD = r'(in|type|since(?!:\d{1,3}\b|:\d{1,2}\D)|before(?!:\d{1,3}\b|:\d{1,2}\D)):(?:"([^"\n]+)"|([^\s"]+))'
FIRST = re.compile(rf"\s*{WORD}(?:\s+|\Z)", re.IGNORECASE)
LAST = re.compile(rf"(?:\s+|\A){WORD}\s*\Z", re.IGNORECASE)
END_MARKS = "?!.,;"  # of the question, where a filter ends it: "What grew in:reports?"
DAY = "0001-01-01"  # completes a date: since:2026 means since its first day
PLAIN = "put a blank behind the colon, to search for these words"


@dataclass(frozen=True, slots=True)
class DocumentFilter:
    """Restricts a search to documents in one of these folders, of one of these types, and within these dates.

    Empty fields restrict nothing. All lower case; dates as in Document, `since` inclusive, `before` exclusive.
    """

    folders: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    since: str = ""
    before: str = ""

    def __bool__(self) -> bool:
        """Return whether the filter restricts anything."""
        return bool(self.folders or self.types or self.since or self.before)

    def __str__(self) -> str:
        """Return the filter as it is typed; `split_filter` parses it back to the same."""
        dates = [f"since:{self.since}" if self.since else "", f"before:{self.before}" if self.before else ""]
        named = [*(f"in:{_quoted(x)}" for x in self.folders), *(f"type:{_quoted(x)}" for x in self.types)]
        return " ".join(filter(None, [*named, *dates]))

    def summary(self) -> str:
        """Return a sentence that says which documents are searched; "" where all are."""
        where = " or ".join(self.folders)
        kinds = " or ".join(self.types)
        parts = [f"in {where}" if where else "", f"of type {kinds}" if kinds else ""]
        parts += [f"changed since {self.since}" if self.since else ""]
        parts += [f"changed before {self.before}" if self.before else ""]
        return f"Only documents {', '.join(filter(None, parts))}." if self else ""

    def allows(self, source: str, changed: str = "") -> bool:
        """Return whether a document of this source and date is searched.

        A folder may be any part of the path, or a file. A document without a date matches no date filter.
        """
        path = f"/{source.lower()}/"
        inside = not self.folders or any(f"/{each}/" in path for each in spellings(self.folders))
        of_type = not self.types or any(path.endswith(f".{kind}/") for kind in self.types)
        return inside and of_type and self.since <= changed and not (self.before and not "" < changed < self.before)


EVERYWHERE = DocumentFilter()


def spellings(names: Iterable[str]) -> list[str]:
    """Return names in Unicode forms NFC and NFD: both look alike, and disks have both.

    macOS writes file names in NFD, most keyboards type NFC; sources are stored as they are on disk.
    """
    both = [(name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)) for name in names]
    return list(dict.fromkeys(chain.from_iterable(both)))


def split_filter(text: str) -> tuple[str, DocumentFilter]:
    """Return a question without the filters at its beginning and end, and the filter. Raises BadQuery.

    Several folders or types are alternatives; several dates must all hold. In the middle of a question nothing is a
    filter: people ask about such words.
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
    dates = {kind: [_day(kind, v) for k, v in found if k == kind and v] for kind in ("since", "before")}
    since, before = max(dates["since"], default=""), min(dates["before"], default="")
    return text.strip(), DocumentFilter(values["in"], values["type"], since, before)


def explain_empty(only: DocumentFilter, dates: Mapping[str, str]) -> str:
    """Return why a filter matches no document, with the existing folders, types or dates; "" where it matches some.

    `dates` maps source to date.
    """
    sources = list(dates)
    if any(only.allows(source, changed) for source, changed in dates.items()):
        return ""
    hint = f"Or {PLAIN}."
    for folder in only.folders:
        if not any(DocumentFilter(folders=(folder,)).allows(source) for source in sources):
            known = {source.rpartition("/")[0] for source in sources} - {""}
            return f"No document is in {folder!r}: the folders are {_some(known)}. {hint}"
    for kind in only.types:
        if not any(DocumentFilter(types=(kind,)).allows(source) for source in sources):
            known = {source.rpartition(".")[2].lower() for source in sources if "." in source.rpartition("/")[2]}
            return f"No document is of type {kind!r}: the types are {_some(known)}. {hint}"
    return f"{only.summary().replace('Only documents', 'No document is', 1).rstrip('.')}. {_spread(dates, only)}{hint}"


def _spread(dates: Mapping[str, str], only: DocumentFilter) -> str:
    """Return the range of the documents' dates, where the filter has a date."""
    known = sorted(filter(None, dates.values()))
    if not (only.since or only.before):
        return ""
    return f"They are from {known[0]} to {known[-1]}. " if known else "None of them has a date. "


def _read(match: re.Match[str]) -> tuple[str, str]:
    kind, quoted, bare = match.groups()
    value = (quoted or bare.rstrip(END_MARKS)).lower().strip().strip("/")
    return kind.lower(), value.lstrip(".") if kind.lower() == "type" else value


def _day(kind: str, value: str) -> str:
    """Return the first day of a year, a month, or a day itself. Raises BadQuery."""
    try:
        if not re.fullmatch(r"\d{4}(-\d\d){0,2}", value):
            raise ValueError
        return date.fromisoformat(value + DAY[len(value) :]).isoformat()
    except ValueError:
        raise BadQuery(
            f"{kind}:{value[:40]} is no date: write it as {kind}:2026, {kind}:2026-05 or {kind}:2026-05-31; or {PLAIN}"
        ) from None


def _quoted(value: str) -> str:
    return value if re.fullmatch(rf"\S*[^\s{END_MARKS}]", value) else f'"{value}"'


def _some(names: Collection[str]) -> str:
    if not names:
        return "none"
    return ", ".join(sorted(names)[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")
