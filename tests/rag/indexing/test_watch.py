"""Watch mode: an event starts an ordinary index run, which prints a line per change."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import watchfiles

from rag.errors import NoDocuments
from rag.indexing import watch as watching
from rag.indexing.update import IndexReport, is_up_to_date
from rag.indexing.watch import change_lines, may_be_document, watch
from rag.ingest.corpus import load_corpus
from rag.ingest.documents import Remark
from rag.settings import Settings
from rag.store.store import open_store


def changes(lines: list[str]) -> list[str]:
    """Return the lines after "watching ...", without the time of day."""
    start = next(number for number, line in enumerate(lines) if line.startswith("watching"))
    return [line.split(" ", 1)[1] for line in lines[start + 1 :]]


def test_each_change_is_a_line_and_the_index_is_up_to_date_after_it(settings: Settings) -> None:
    docs, lines = settings.docs[0], []

    def events() -> Iterator[None]:
        (docs / "cats.md").write_text("# Cats\n\nThe cat drinks cold milk.\n")
        yield
        (docs / "birds.md").write_text("Birds eat seed.")
        (docs / "bad.md").write_bytes(b"\x00binary")
        yield
        (docs / "dogs.md").unlink()
        yield
        yield  # nothing happened

    watch(settings, lines.append, events())
    bad = next(line for line in changes(lines) if line.startswith("skipped bad.md: "))
    assert [line for line in changes(lines) if line != bad] == ["changed cats.md", "added birds.md", "deleted dogs.md"]
    with_tables = open_store(settings.lancedb)
    corpus = load_corpus(settings)
    (table,) = [name for name in with_tables.tables.names() if name.startswith("chunks__")]
    assert is_up_to_date(with_tables, corpus.id, table)


def test_a_change_is_listed_with_what_is_missing_or_was_guessed() -> None:
    report = IndexReport(added=["scan.pdf"], remarks={"scan.pdf": Remark("scan.pdf", "page 2 has no text", "as UTF-8")})
    assert list(change_lines(report)) == [
        "added scan.pdf",
        "read in part 'scan.pdf': page 2 has no text; note: as UTF-8",
    ]


def test_an_emptied_folder_is_reported_and_still_watched(settings: Settings) -> None:
    docs, lines = settings.docs[0], []
    kept = {path: path.read_text() for path in docs.iterdir()}

    def events() -> Iterator[None]:
        for path in kept:
            path.unlink()
        yield
        for path, text in kept.items():
            path.write_text(text)
        (docs / "birds.md").write_text("Birds eat seed.")
        yield

    watch(settings, lines.append, events())
    first, *rest = changes(lines)
    assert first.startswith("nothing was changed: nothing to index in")
    assert rest == ["added birds.md"]


def test_a_missing_folder_is_refused_at_the_start(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(NoDocuments, match="there is no"):
        watch(settings.model_copy(update={"docs": (tmp_path / "none",)}), print, iter(()))


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("docs/a.md", True),
        ("docs/deep/b.pdf", True),
        ("docs/gone-folder", True),
        ("docs/v1.2", True),
        ("docs/picture.gif", False),
        ("docs/.a.md.swp", False),
        ("docs/.git/a.md", False),
        ("docs/.thumbtuneignore", True),
        ("docs/deep/.thumbtuneignore", False),
        ("docs/node_modules/a.md", False),
        ("docs/data/lancedb/a.txt", False),
    ],
)
def test_only_changes_that_may_be_documents_start_a_run(tmp_path: Path, path: str, is_one: bool) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "picture.gif").touch()
    assert may_be_document([tmp_path / "docs"], tmp_path / "docs" / "data", None, str(tmp_path / path)) is is_one


def test_a_documents_folder_inside_the_home_is_watched(tmp_path: Path) -> None:
    home = tmp_path / "data"
    folders = [tmp_path, home / "papers"]
    assert may_be_document(folders, home, None, str(home / "papers" / "a.md"))
    assert may_be_document(folders[1:], home, None, str(home / "papers" / "a.md"))
    assert not may_be_document(folders, home, None, str(home / "papers" / ".a.md"))
    assert not may_be_document(folders, home, None, str(home / "cache" / "a.md"))
    assert may_be_document(folders, home, None, str(tmp_path / "b.md"))


def test_a_written_file_is_noticed_by_the_system(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, lines = threading.Event(), []
    real = watchfiles.watch
    monkeypatch.setattr(watching, "DEBOUNCE_MS", 50)
    monkeypatch.setattr(watchfiles, "watch", lambda *paths, **given: real(*paths, **given, stop_event=stop))

    def write_line(line: str) -> None:
        lines.append(line)
        if line.startswith("watching"):  # the watcher starts after this line: write until it has noticed
            threading.Thread(target=write, daemon=True).start()
        if "birds.md" in line:
            stop.set()

    def write() -> None:
        number = 0
        while not stop.wait(0.2):
            number += 1
            (settings.docs[0] / "birds.md").write_text(f"Birds eat seed {number}.")

    watch(settings, write_line)
    assert any(line.endswith(("added birds.md", "changed birds.md")) for line in lines)
