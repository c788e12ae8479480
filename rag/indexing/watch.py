"""Follow the documents folders: what is added, changed or deleted there is in the index a second later.

The idea a reader would miss: an event says only that something happened. What happened is found by an ordinary index
run, which does not open files that look as before; so an event that was missed or came twice does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from functools import partial
from pathlib import Path

import watchfiles

from rag.errors import NoDocuments
from rag.indexing.indexer import Indexer, format_report
from rag.indexing.update import IndexReport
from rag.ingest.discovery import FOUND, NEVER_ENTERED
from rag.settings import Settings

DEBOUNCE_MS = 1_000  # an editor saves in several steps, a copied folder comes file by file

Tell = Callable[[str], None]
Events = Iterable[object]


def watch(settings: Settings, tell: Tell, events: Events | None = None) -> None:
    """Index, then follow the folders until Ctrl-C, which raises KeyboardInterrupt. The first run's errors pass through.

    Each of the `events` is one or more changes of files; by default they come from the system.
    """
    events = _events(settings) if events is None else events
    with Indexer(settings) as indexer:
        tell(format_report(indexer.run()))
        for line in indexer.speed_up():
            tell(line)
        tell(f"following {', '.join(map(str, settings.docs))}: Ctrl-C ends it")
        for _ in events:
            for line in follow(indexer):
                tell(f"{datetime.now().astimezone():%H:%M:%S} {line}")


def follow(indexer: Indexer) -> Iterable[str]:
    """Bring the index level once more, and yield a line for each document that changed, or for why none could."""
    try:
        report = indexer.run()
    except NoDocuments as error:  # the folder was emptied or moved: it may come back, and rows are kept meanwhile
        yield f"nothing is changed: {error}"
        return
    yield from lines(report)
    yield from indexer.speed_up()


def lines(report: IndexReport) -> Iterable[str]:
    """Yield what happened to each document that changed; what is skipped is named where anything changed at all."""
    for what, sources in {"added": report.added, "changed": report.changed, "deleted": report.deleted}.items():
        yield from (f"{what} {source}" for source in sources)
    yield from (f"skipped {skipped.source}: {skipped.reason}" for skipped in report.skipped)


def concerns(folders: Collection[Path], home: Path, change: object, path: str) -> bool:
    """Return whether a change may be one of a document: not of our own state, of what is hidden, or of another type.

    What is no file (any more) may be a folder that came or went with all that was in it.
    """
    where = Path(path)
    if not any(_is_searched(where, folder, home) for folder in folders if where.is_relative_to(folder)):
        return False
    return where.suffix.lower() in FOUND or not where.is_file()


def _is_searched(where: Path, folder: Path, home: Path) -> bool:
    """Return whether find_files comes by here: the home is left out below a folder, not a folder that lies in it."""
    if home != folder and home.is_relative_to(folder) and where.is_relative_to(home):
        return False
    return not any(part.startswith(".") or part in NEVER_ENTERED for part in where.relative_to(folder).parts)


def _events(settings: Settings) -> Events:
    """Return the system's events. A single file is followed by its folder: many editors replace it by another one."""
    folders = [(folder if folder.is_dir() else folder.parent).resolve() for folder in settings.docs]
    return watchfiles.watch(
        *folders,
        watch_filter=partial(concerns, folders, settings.home.resolve()),
        debounce=DEBOUNCE_MS,
        raise_interrupt=True,
    )
