"""Report on the files of an index run, in lines; `python -m rag index` prints them in English only."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from chat.language import Phrase, joined, recognised
from rag.indexing.file_report import MAX_ENDINGS, FileRecord, FileReport, KindCount, State
from rag.ingest.discovery import LeftOutWhy

KINDS = {  # others are names, the same in each language
    "text": Phrase("kind.text"),
    "source code": Phrase("kind.source_code"),
    "picture": Phrase("kind.picture"),
    "data": Phrase("kind.data"),
    "slides": Phrase("kind.slides"),
    "spreadsheet": Phrase("kind.spreadsheet"),
    "subtitles": Phrase("kind.subtitles"),
    "web page": Phrase("kind.web_page"),
    "saved web page": Phrase("kind.saved_page"),
    "e-mail": Phrase("kind.mail"),
    "log": Phrase("kind.log"),
    "notebook": Phrase("kind.notebook"),
    "Outlook message": Phrase("kind.outlook"),
    "OpenDocument sheet": Phrase("kind.od_sheet"),
    "OpenDocument slides": Phrase("kind.od_slides"),
    "OpenDocument text": Phrase("kind.od_text"),
    "Wiki text": Phrase("kind.wiki"),
    "archive": Phrase("kind.archive"),
    "mailbox": Phrase("kind.mailbox"),
    "web address": Phrase("kind.address"),
    "list of addresses": Phrase("kind.addresses"),
    "other": Phrase("kind.other"),
    "not supported": Phrase("kind.not_supported"),
}
STATES: dict[State, str] = {
    "read": "report.file_read",
    "read in part": "report.file_partly",
    "skipped": "report.file_skipped",
}
WHY: dict[LeftOutWhy, Phrase] = {
    "kind": Phrase("report.why_kind"),
    "hidden": Phrase("report.why_hidden"),
    "tools": Phrase("report.why_tools"),
    "home": Phrase("report.why_home"),
    "questions": Phrase("report.why_questions"),
    "ignored": Phrase("report.why_ignored"),
    "illustration": Phrase("report.why_illustration"),
    "again": Phrase("report.why_again"),
    "outside": Phrase("report.why_outside"),
}
AND = "report.and"
MAX_ON_PAGE = 500  # lines that are listed on request


def report_lines(report: FileReport) -> list[str]:
    """Return one line per kind of file, the most frequent first, and one or two on what was left out."""
    return [*map(_kind_line, report.kinds()), *_left_out_lines(report)]


def report_files(report: FileReport) -> list[str]:
    """Return a line for each file that was skipped, read in part, guessed or left out, MAX_ON_PAGE at most."""
    lines = [
        *(_file_line(record) for record in report.files if record.has_news),
        *(_because(Phrase("report.file_left_out", source=each.source), WHY[each.why]) for each in report.left_out),
    ]
    unnamed = sum(report.endings.values()) + sum(report.others.values()) - len(report.left_out)
    rest = max(0, len(lines) - MAX_ON_PAGE) + unnamed
    return [*islice(lines, MAX_ON_PAGE), *([Phrase("report.more", number=rest)] if rest else [])]


def _kind_line(row: KindCount) -> str:
    counts = {"report.read": row.read, "report.partly": row.partly, "report.skipped": row.skipped}
    words = joined(*(Phrase(key, number=count) for key, count in counts.items() if count), by=AND)
    kind = KINDS.get(row.kind, row.kind)
    if row.notes:
        return Phrase("report.kind_noted", kind=kind, counts=words, number=row.notes)
    return Phrase("report.kind", kind=kind, counts=words)


def _file_line(record: FileRecord) -> str:
    note = Phrase("report.note", note=recognised(record.note)) if record.note else ""
    return _because(Phrase(STATES[record.state], source=record.source), recognised(record.reason), note)


def _because(file: str, *reasons: str) -> str:
    why = joined(*reasons, by="library.two")
    return Phrase("report.because", file=file, why=why) if why else file


def _left_out_lines(report: FileReport) -> Iterator[str]:
    if report.endings:
        most = sorted(report.endings.items(), key=lambda each: (-each[1], each[0]))
        named = [
            Phrase("report.many", number=count, what=ending or Phrase("report.without_ending"))
            for ending, count in most[:MAX_ENDINGS]
        ]
        if len(most) > MAX_ENDINGS:
            named.append(Phrase("report.other_endings", number=len(most) - MAX_ENDINGS))
        yield Phrase("report.endings", n=sum(report.endings.values()), names=joined(*named, by=AND))
    others = [Phrase("report.many", number=count, what=WHY[why]) for why, count in report.others.items() if count]
    if others:
        yield Phrase("report.also", what=joined(*others, by=AND))
