"""The report on all files of a corpus: per kind how many were read, read in part, skipped; and what was left out.

An index run computes it, the home folder keeps it, and the command line, the documents page and `stats` render it.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from rag.home_address import put_back, refresh_now
from rag.ingest.corpus import Corpus
from rag.ingest.discovery import ARCHIVES, MAILBOXES, URL_LISTS, LeftOut, LeftOutWhy
from rag.ingest.documents import Remark, Skipped
from rag.loaders.formats import LOADERS, suffix_of
from rag.settings import Settings

State = Literal["read", "read in part", "skipped"]
MAX_LISTED = 20  # files whose reasons are printed without --list: a screenful
MAX_ENDINGS = 12  # endings named in the line on other kinds; the rest are counted
MAX_KEPT = 10_000  # names of what was left out that are kept; a folder of pictures may have a million
WHY: Mapping[LeftOutWhy, tuple[str, str]] = {  # one, several
    "kind": ("file of another kind", "files of other kinds"),
    "hidden": ("hidden file or folder", "hidden files and folders"),
    "tools": ("folder of a tool", "folders of tools"),
    "home": ("home folder of thumbtune", "home folders of thumbtune"),
    "questions": ("file of questions for the training", "files of questions for the training"),
    "ignored": ("file or folder named in .thumbtuneignore", "files and folders named in .thumbtuneignore"),
    "illustration": ("picture of a page or mail", "pictures of pages and mails"),
    "outside": (
        "link out of the documents folder (THUMBTUNE_FOLLOW_LINKS=yes follows it)",
        "links out of the documents folder (THUMBTUNE_FOLLOW_LINKS=yes follows them)",
    ),
    "again": ("link to what is read anyway", "links to what is read anyway"),
}


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file of the corpus. `reason`: what is missing or why it is skipped; `note`: what was guessed."""

    source: str
    kind: str
    state: State
    reason: str = ""
    note: str = ""

    @property
    def has_news(self) -> bool:
        """Return whether a user should see the file: something is missing or was guessed."""
        return self.state != "read" or bool(self.note)

    @property
    def line(self) -> str:
        """Return the file in one line, with its reason and note."""
        parts = [f"{self.state} {self.source!r}", *filter(None, (self.reason, self.note and f"note: {self.note}"))]
        return ": ".join(parts[:2]) + "".join(f"; {part}" for part in parts[2:])


@dataclass(frozen=True, slots=True)
class KindCount:
    """How many files of a kind there are, by what happened to them; `notes`: those read with a note."""

    kind: str
    read: int
    partly: int
    skipped: int
    notes: int

    @property
    def line(self) -> str:
        """Return the counts in one line."""
        counts = {"read": self.read, "read in part": self.partly, "skipped": self.skipped}
        words = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
        return f"{self.kind}: {words}" + (f" ({self.notes:,} with a note)" if self.notes else "")


@dataclass(frozen=True, slots=True)
class FileReport:
    """All files of a corpus by source, and what was left out: counts by ending and by reason, and the first names."""

    files: tuple[FileRecord, ...] = ()
    endings: Mapping[str, int] = field(default_factory=dict)
    others: Mapping[LeftOutWhy, int] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()

    def record(self, source: str) -> FileRecord | None:
        """Return the record of one file."""
        return next((record for record in self.files if record.source == source), None)

    def kinds(self) -> list[KindCount]:
        """Return one row for each kind of file, the most frequent first."""
        states: dict[str, Counter[str]] = {}
        for record in self.files:
            states.setdefault(record.kind, Counter()).update([record.state, *(["note"] if record.note else [])])
        rows = [
            KindCount(kind, count["read"], count["read in part"], count["skipped"], count["note"])
            for kind, count in states.items()
        ]
        return sorted(rows, key=lambda row: (-(row.read + row.partly + row.skipped), row.kind))

    def lines(self) -> list[str]:
        """Return one line per kind, and one or two on what was left out."""
        return [*(row.line for row in self.kinds()), *self._left_out_lines()]

    def details(self, *, everything: bool = False) -> Iterator[str]:
        """Yield a line for each file that was skipped, read in part or guessed; with `everything`, for each file."""
        if everything:
            yield from (record.line for record in self.files)
            yield from self._left_out_names()
        else:
            yield from _at_most(MAX_LISTED, [each.line for each in self.files if each.has_news])

    def as_json(self) -> dict[str, Any]:
        """Return the report for a machine; FileReport.read takes it back."""
        return {
            "kinds": [asdict(row) for row in self.kinds()],
            "files": [asdict(record) for record in self.files],
            "left_out": {
                "endings": dict(self.endings),
                "others": dict(self.others),
                "files": [asdict(each) for each in self.left_out],
            },
        }

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> FileReport:
        """Return the report that `as_json` has written. Raises KeyError or TypeError for another shape."""
        left = row["left_out"]
        records = tuple(FileRecord(**each) for each in row["files"])
        return cls(records, left["endings"], left["others"], tuple(LeftOut(**each) for each in left["files"]))

    def with_file(self, source: str, report: FileReport) -> FileReport:
        """Return this report with that on one file and its attachments, which replaces what was said of them."""

        def is_inside(other: str) -> bool:
            return other == source or other.startswith(f"{source}/")

        gone = [each for each in self.left_out if is_inside(each.source)]
        return replace(
            self,
            files=_sorted([*(each for each in self.files if not is_inside(each.source)), *report.files]),
            endings=Counter(self.endings) - _endings(gone) + Counter(report.endings),
            others=Counter(self.others) - _others(gone) + Counter(report.others),
            left_out=(*(each for each in self.left_out if not is_inside(each.source)), *report.left_out),
        )

    def _left_out_names(self) -> Iterator[str]:
        yield from (f"left out {each.source!r}: {WHY[each.why][0]}" for each in self.left_out)
        unnamed = sum(self.endings.values()) + sum(self.others.values()) - len(self.left_out)
        if unnamed:
            yield f"and {unnamed:,} more left out"

    def _left_out_lines(self) -> Iterator[str]:
        if self.endings:
            most = sorted(self.endings.items(), key=lambda each: (-each[1], each[0]))
            named = [f"{ending or 'without ending'} {count:,}" for ending, count in most[:MAX_ENDINGS]]
            rest = [f"{len(most) - MAX_ENDINGS} other endings"] if len(most) > MAX_ENDINGS else []
            total = sum(self.endings.values())
            yield f"{total:,} file{'s' * (total != 1)} of other kinds left out: {', '.join(named + rest)}"
        if self.others:
            words = (f"{count:,} {WHY[why][count != 1]}" for why, count in self.others.items() if count)
            yield f"also left out: {', '.join(words)}"


def kind_of(source: str) -> str:
    """Return the kind of file that a source is, as the report names it."""
    if source.startswith(("http://", "https://")):
        return "web address"
    suffix = suffix_of(PurePosixPath(source))
    if suffix in LOADERS:
        return LOADERS[suffix].kind
    others = {**dict.fromkeys(ARCHIVES, "archive"), **dict.fromkeys(MAILBOXES, "mailbox")}
    return "list of addresses" if suffix in URL_LISTS else others.get(suffix, "other")


def make_file_report(
    read: Iterable[str],
    unchanged: Iterable[str],
    skipped: Iterable[Skipped],
    remarks: Mapping[str, Remark],
    left_out: Iterable[LeftOut],
    former: FileReport | None,
) -> FileReport:
    """Return the report of an index run; what is unchanged has the notes of the former report."""
    known = {record.source: record for record in former.files} if former else {}
    records = [record_of(source, remarks.get(source)) for source in read]
    for source in unchanged:
        was = None if source in remarks else known.get(source)
        records.append(was or record_of(source, remarks.get(source)))
    records += [FileRecord(each.source, kind_of(each.source), "skipped", each.reason) for each in skipped]
    left = list(left_out)
    return FileReport(_sorted(records), _endings(left), _others(left), tuple(left[:MAX_KEPT]))


def _endings(left_out: Iterable[LeftOut]) -> Counter[str]:
    return Counter(PurePosixPath(each.source).suffix.lower() for each in left_out if each.why == "kind")


def _others(left_out: Iterable[LeftOut]) -> Counter[LeftOutWhy]:
    return Counter(each.why for each in left_out if each.why != "kind")


def record_of(source: str, remark: Remark | None) -> FileRecord:
    """Return the record of a file that was read now."""
    lost, note = (remark.lost, remark.note) if remark else ("", "")
    return FileRecord(source, kind_of(source), "read in part" if lost else "read", lost, note)


def load_file_report(settings: Settings, corpus: Corpus) -> FileReport | None:
    """Return the report of the last index run, None where there is none that can be read."""
    try:
        return FileReport.read(json.loads(refresh_now(_path(settings, corpus)).read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save_file_report(settings: Settings, corpus: Corpus, report: FileReport) -> None:
    """Store the report; call it under the lock of `changing_documents`. Raises OSError."""
    path = _path(settings, corpus)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(report.as_json()), "utf-8")
    temporary.replace(path)
    put_back(path, over=True)


def _path(settings: Settings, corpus: Corpus) -> Path:
    return settings.home / "reports" / f"files-{corpus.id}.json"


def _at_most(most: int, lines: Sequence[str]) -> Iterator[str]:
    yield from lines[:most]
    if len(lines) > most:
        yield f"and {len(lines) - most:,} more: `python -m rag index --list` shows all"


def _sorted(records: Iterable[FileRecord]) -> tuple[FileRecord, ...]:
    return tuple(sorted(records, key=lambda record: record.source))
