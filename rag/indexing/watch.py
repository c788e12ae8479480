"""Watch the documents folders and re-index about a second after files are added, changed or deleted.

Why index runs: an event only says that something happened. An ordinary index run finds out what, without opening
unchanged files, so a missed or repeated event does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from functools import partial
from pathlib import Path

import watchfiles

from rag.errors import NoDocuments
from rag.indexing.file_report import record_of
from rag.indexing.indexer import Indexer, format_report
from rag.indexing.update import IndexReport
from rag.ingest.discovery import INDEXED_SUFFIXES, SKIPPED_FOLDERS
from rag.ingest.ignore import IGNORE_FILE
from rag.loaders.formats import suffix_of
from rag.settings import Settings

DEBOUNCE_MS = 1_000  # an editor saves in several steps, a folder is copied file by file

WriteLine = Callable[[str], None]
Events = Iterable[object]


def watch(settings: Settings, write_line: WriteLine, events: Events | None = None) -> None:
    """Index, then watch the folders until Ctrl-C, which raises KeyboardInterrupt; `write_line` gets the output.

    Each of the `events` stands for one or more changes; by default they come from the operating system. Errors of the
    first run pass through.
    """
    events = _events(settings) if events is None else events
    with Indexer(settings) as indexer:
        write_line(format_report(indexer.run()))
        for line in indexer.build_vector_indexes():
            write_line(line)
        write_line(f"watching {', '.join(map(str, settings.docs))}: press Ctrl-C to stop")
        for _ in events:
            for line in reindex(indexer):
                write_line(f"{datetime.now().astimezone():%H:%M:%S} {line}")


def reindex(indexer: Indexer) -> Iterable[str]:
    """Run the index update and yield a line for each changed document, or the reason why nothing was changed."""
    try:
        report = indexer.run()
    except NoDocuments as error:  # the folder was emptied or moved: it may come back, so rows are kept
        yield f"nothing was changed: {error}"
        return
    yield from change_lines(report)
    yield from indexer.build_vector_indexes()


def change_lines(report: IndexReport) -> Iterable[str]:
    """Yield a line for each document that was added, changed, deleted, read in part, guessed or skipped."""
    for what, sources in {"added": report.added, "changed": report.changed, "deleted": report.deleted}.items():
        yield from (f"{what} {source}" for source in sources)
    yield from (record_of(remark.source, remark).line for remark in report.remarks.values())
    yield from (f"skipped {skipped.source}: {skipped.reason}" for skipped in report.skipped)


def may_be_document(folders: Collection[Path], home: Path, change: object, path: str) -> bool:
    """Return whether a change may affect a document: not one in the home folder, hidden, or of another file type.

    A path that is no file (any more) may be a folder that was added or deleted with its content.
    """
    where = Path(path)
    if where.name == IGNORE_FILE and where.parent in folders:
        return True
    if not any(_is_searched(where, folder, home) for folder in folders if where.is_relative_to(folder)):
        return False
    return suffix_of(where) in INDEXED_SUFFIXES or not where.is_file()


def _is_searched(where: Path, folder: Path, home: Path) -> bool:
    """Return whether find_files searches here: it leaves out the home below a folder, but not a folder in the home."""
    if home != folder and home.is_relative_to(folder) and where.is_relative_to(home):
        return False
    return not any(part.startswith(".") or part in SKIPPED_FOLDERS for part in where.relative_to(folder).parts)


def _events(settings: Settings) -> Events:
    """Return the system's events. For a single file its folder is watched, since many editors replace the file."""
    folders = [(folder if folder.is_dir() else folder.parent).resolve() for folder in settings.docs]
    return watchfiles.watch(
        *folders,
        watch_filter=partial(may_be_document, folders, settings.home.resolve()),
        debounce=DEBOUNCE_MS,
        raise_interrupt=True,
    )
